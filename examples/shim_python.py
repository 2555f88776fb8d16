import asyncio
import json
import os

import nats

with asyncio.Runner() as loop:  # whoever answers on ote.local.shim.KIND is the cluster's shim of that kind
    shim = loop.run(loop.run(nats.connect(os.environ["NATS_URL"])).subscribe("ote.local.shim.greet"))
    while message := loop.run(shim.next_msg(timeout=None)):
        try:
            request = json.loads(message.data)  # {"id", "attempt", "verb", "args", "deadline"?}
            answer = {"ok": True, "result": {"greet": "hello {name}".format_map}[request["verb"]](request["args"])}
        except Exception as error:
            answer = {"ok": False, "error": {"code": "failed", "message": repr(error)}}
        loop.run(message.respond(json.dumps(answer).encode()))
