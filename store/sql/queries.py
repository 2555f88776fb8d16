"""The reads of events, positions and mailboxes."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import bindparam

from store.projections.commands import FINALS
from store.sql.schema import EVENTS, RECORD_TABLES
from store.sql.statements import Query, limited

_e = EVENTS.c
_cover = EVENTS.alias("cover")
_fills = RECORD_TABLES["fills"]
_b, _f, _s = RECORD_TABLES["boxes"].c, _fills.c, RECORD_TABLES["streams"].c
_cursors, _places = RECORD_TABLES["cursors"].c, RECORD_TABLES["places"].c
_q = RECORD_TABLES["quarantine"].c
_n, _g = RECORD_TABLES["neighbours"].c, RECORD_TABLES["guarantees"].c


SPAN = ("scope", "low", "high")
"""The names of what `span` gives."""


def span(scope: str) -> tuple[str, str, str]:
    """The parameters of `under`: what lies below a path is one range of text ("/" follows ".")."""
    return scope, scope + ".", scope + "/"


def under(column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether a path is the scope or lies below it."""
    return sa.or_(column == bindparam("scope"), sa.and_(column >= bindparam("low"), column < bindparam("high")))


LAST_ROW = Query(sa.select(sa.func.max(_e.row)))
LAST_LIFE = Query(sa.select(sa.func.max(RECORD_TABLES["lives"].c.epoch)))
LAST_BOX = Query(sa.select(sa.func.max(_b.id)))
_projected = RECORD_TABLES["projections"].c.row
LAG = Query(
    sa.select(sa.select(_projected).where(_projected < sa.select(sa.func.max(_e.row)).scalar_subquery()).exists())
)
EVENT_COUNT = Query(sa.select(sa.func.count()).select_from(EVENTS))
EVENT = Query(sa.select(_e.body).where(_e.id == bindparam("id")), "id")
AT_ROW = Query(sa.select(_e.body).where(_e.row == bindparam("row")), "row")
FILED = Query(
    limited(
        sa.select(_e.row, _e.type, _e.body, _e.stored_at)
        .where(_e.row > bindparam("after"), _e.row <= bindparam("last"))
        .order_by(_e.row)
    ),
    *("after", "last", "limit"),
)

_stream = (_e.source == bindparam("source"), _e.epoch == bindparam("epoch"))
_above = (*_stream, _e.seq > bindparam("after"))
SEQS_ABOVE = Query(limited(sa.select(_e.seq).where(*_above).order_by(_e.seq)), *("source", "epoch", "after", "limit"))
STREAM = Query(
    limited(sa.select(_e.seq, _e.body).where(*_above).order_by(_e.seq)), *("source", "epoch", "after", "limit")
)
TOP_OF = Query(sa.select(sa.func.max(_e.seq)).where(*_stream), *("source", "epoch"))
LATEST_OF = Query(
    limited(
        sa.select(_e.body)
        .where(_e.source == bindparam("source"), _e.epoch < bindparam("before"), _e.seq.is_not(None))
        .order_by(_e.epoch.desc(), _e.seq.desc())
    ),
    *("source", "before", "limit"),
)
LAST_AT = Query(
    limited(
        sa.select(_e.body)
        .where(_e.source == bindparam("source"), _e.epoch == bindparam("epoch"), _e.seq <= bindparam("seq"))
        .order_by(_e.seq.desc())
    ),
    *("source", "epoch", "seq", "limit"),
)
QUARANTINED = Query(
    limited(
        sa.select(_q.body)
        .where(_q.source == bindparam("source"), _q.seq.is_not(None))
        .order_by(_q.epoch.desc(), _q.seq)
    ),
    *("source", "limit"),
)
STREAMS = Query(sa.select(_s.source, _s.epoch, _s.held).where(under(_s.source)), *SPAN)

_box = sa.select(_b.id).where(
    _b.origin == bindparam("origin"), _b.epoch == bindparam("epoch"), _b.target == bindparam("target")
)
MAIL = Query(
    limited(
        sa.select(_f.number, EVENTS.c.body, _cover.c.body)
        .select_from(_fills.outerjoin(EVENTS, _e.row == _f.event).outerjoin(_cover, _cover.c.row == _f.cover))
        .where(_f.box == _box.scalar_subquery(), _f.number > bindparam("after"))
        .order_by(_f.number)
    ),
    *("origin", "epoch", "target", "after", "limit"),
)
NUMBERS_ABOVE = Query(
    limited(sa.select(_f.number).where(_f.box == bindparam("box"), _f.number > bindparam("after")).order_by(_f.number)),
    *("box", "after", "limit"),
)
MAILBOXES = Query(sa.select(_b.origin, _b.epoch, _b.target, _b.held).where(under(_b.target)), *SPAN)

CURSORS = Query(sa.select(_cursors.origin, _cursors.epoch, _cursors.number))
CONFIRMED = Query(sa.select(_n.source, _n.epoch, _n.seq).where(_n.neighbour == bindparam("neighbour")), "neighbour")
DELETE = Query(sa.delete(EVENTS).where(_e.row == bindparam("row")), "row")
OLDEST = Query(limited(sa.select(_e.stored_at).order_by(_e.row)), "limit")
_is_final = sa.or_(*(_e.type == sa.literal_column(f"'{type}'") for type in FINALS))
AGED = Query(
    limited(
        sa.select(_e.row, _e.body)
        .where(_e.row > bindparam("after"), _e.stored_at < bindparam("before"))
        .where(sa.not_(sa.and_(_e.source == bindparam("me"), _is_final)))
        .order_by(_e.row)
    ),
    *("after", "before", "me", "limit"),
)

_floors, _kept = RECORD_TABLES["floors"].c, RECORD_TABLES["snapshots"].c
FLOORS = Query(sa.select(_floors.source, _floors.epoch, _floors.target, _floors.number))
FLOOR = Query(
    sa.select(_floors.number).where(*(_floors[name] == bindparam(name) for name in ("source", "epoch", "target"))),
    *("source", "epoch", "target"),
)
SNAPSHOTS = Query(
    limited(
        sa.select(_kept.key, _kept.record)
        .where(_kept.name == bindparam("name"), _kept.key > bindparam("after"))
        .order_by(_kept.key)
    ),
    *("name", "after", "limit"),
)
SNAPSHOT_OF = "snapshot of "
"""Consumers whose names begin so are the snapshots of projections."""
PLACES = Query(sa.select(_places.consumer, _places.row))
GUARANTEES = Query(sa.select(_g.synchronous, _g.since, _g.row).order_by(_g.since))
PLACE = Query(sa.select(_places.row).where(_places.consumer == bindparam("consumer")), "consumer")
