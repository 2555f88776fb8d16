#!/bin/sh
# A shim of kind `host` from the shell: its one verb is `uname`. The request's JSON is in $NATS_REQUEST_BODY.
run='case $NATS_REQUEST_BODY in *?verb?:?uname?*) echo "{\"ok\":true,\"result\":\"$(uname -sr)\"}";; *) echo "{\"ok\":false,\"error\":\"the only verb is uname\"}";; esac'
exec nats reply ote.local.shim.host --command "sh -c '$run'"
