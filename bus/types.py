"""The types of all events, by name. `docs/events.md` says what each carries in `data`."""

SUBMITTED = "ote.command.submitted.v1"
CANCEL = "ote.command.cancel.v1"
RESOLVE = "ote.command.resolve.v1"
#: What an origin writes into numbered mailboxes.
MAIL = frozenset({SUBMITTED, CANCEL, RESOLVE})

RECEIVED = "ote.command.received.v1"
STARTED = "ote.command.started.v1"
STORED = "ote.command.stored.v1"

SUCCEEDED = "ote.command.succeeded.v1"
FAILED = "ote.command.failed.v1"
EXPIRED = "ote.command.expired.v1"
SUPERSEDED = "ote.command.superseded.v1"
CANCELLED = "ote.command.cancelled.v1"
IN_DOUBT = "ote.command.in-doubt.v1"
REFUSED = "ote.command.refused.v1"
#: What ends a command at a target, written by the target only: type -> state.
FINALS = {
    SUCCEEDED: "succeeded",
    FAILED: "failed",
    EXPIRED: "expired",
    SUPERSEDED: "superseded",
    CANCELLED: "cancelled",
    IN_DOUBT: "in-doubt",
    REFUSED: "refused",
}

ANNOUNCED = "ote.cluster.announced.v1"
#: Where a cluster is attached, in its own words, and where it could be.
ATTACHED = "ote.cluster.attached.v1"
#: Where it was told to belong (planned moves).
PREFERRED = "ote.cluster.preferred.v1"
ALTERNATES = "ote.cluster.alternates.v1"
JOINED = "ote.cluster.joined.v1"
OFFLINE = "ote.cluster.offline.v1"
ONLINE = "ote.cluster.online.v1"
REFUSED_CLUSTER = "ote.cluster.refused.v1"
#: Which key is whose, in the words of the cluster's parent, and that it is so no longer.
ADMITTED = "ote.cluster.admitted.v1"
REVOKED = "ote.cluster.revoked.v1"
#: How a cluster comes to be admitted, and that it shall renew its credentials: these stay in the log of who says it.
INVITED = "ote.cluster.invited.v1"
APPLIED = "ote.cluster.applied.v1"
ACCEPTED = "ote.cluster.accepted.v1"
ROTATED = "ote.cluster.rotated.v1"

#: What a cluster tells those above of its objects.
OBSERVED = "ote.object.observed.v1"

#: It says more than any well-meaning cluster can, in the words of whoever has to listen.
FLOODED = "ote.cluster.flooded.v1"

FORKED = "ote.log.forked.v1"
#: What came and was not believed.
REJECTED = "ote.log.rejected.v1"
#: A log has lost a part of itself, or has lived twice, and has begun another life.
RENEWED = "ote.log.renewed.v1"
