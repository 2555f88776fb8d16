"""The reads of projections."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from store.projections.commands import RUNNING, SETTLED, WAITING
from store.projections.keys import KEYS
from store.sql.queries import SPAN, under
from store.sql.schema import EVENTS, RECORD_TABLES
from store.sql.statements import Query, limited

_commands, _targets = RECORD_TABLES["commands"], RECORD_TABLES["targets"]
_clusters, _objects = RECORD_TABLES["clusters"], RECORD_TABLES["objects"]
_whereabouts = RECORD_TABLES["whereabouts"]
_waypoints = RECORD_TABLES["waypoints"]
_observed, _tellers = RECORD_TABLES["observed"], RECORD_TABLES["tellers"].c
_c, _t, _o = _commands.c, _targets.c, _objects.c
_final, _submitted = EVENTS.alias("final"), EVENTS.alias("submitted")

# In the very words of the partial indexes: SQLite uses one only where it sees its condition.
_waiting = sa.text(f"phase = {WAITING} AND key IS NOT NULL")
_running = sa.text(f"phase = {RUNNING}")
_unsettled = sa.text(f"phase < {SETTLED}")

COMMAND = Query(sa.select(_commands).where(_c.id == bindparam("id")), "id")
COMMAND_COUNT = Query(sa.select(sa.func.count()).select_from(_commands))
COMMANDS = Query(
    limited(sa.select(_commands).where(_c.row < bindparam("before")).order_by(_c.row.desc())), *("before", "limit")
)


def _with_targets(*conditions: sa.ColumnElement[bool] | sa.TextClause) -> sa.Select[Any]:
    rows = sa.select(_t.command_row).where(_t.command_row < bindparam("before"), *conditions)
    latest = limited(rows.distinct().order_by(_t.command_row.desc()))
    return sa.select(_commands).where(_c.row.in_(latest)).order_by(_c.row.desc())


_at_target = _t.target == bindparam("target")
OPEN_COMMANDS = Query(_with_targets(_unsettled), "before", "limit")
COMMANDS_OF = Query(_with_targets(_at_target), "before", "target", "limit")
OPEN_COMMANDS_OF = Query(_with_targets(_at_target, _unsettled), "before", "target", "limit")

_of_command = _t.command == bindparam("command")
SUMMARY = Query(sa.select(_t.state, sa.func.count()).where(_of_command).group_by(_t.state), "command")
STATES = Query(sa.select(_t.state, sa.func.count()).group_by(_t.state))
WAYPOINTS = Query(sa.select(_waypoints).where(_waypoints.c.command == bindparam("command")), "command")

_whole = sa.select(_targets, _final.c.body).select_from(_targets.outerjoin(_final, _final.c.row == _t.final_row))
TARGET = Query(_whole.where(_of_command, _at_target), "command", "target")
TARGETS = Query(
    limited(_whole.where(_of_command, _t.target > bindparam("after")).order_by(_t.target)),
    *("command", "after", "limit"),
)
_by_life = (_t.key == bindparam("key"), _t.origin == bindparam("origin"), _t.epoch == bindparam("epoch"))
_unreceived = _whole.where(_waiting, *_by_life).order_by(_t.target, _t.number)
UNRECEIVED = Query(_unreceived, "key", "origin", "epoch")
UNRECEIVED_BY = Query(_unreceived.where(_at_target), "key", "origin", "epoch", "target")
_received_at = (_t.received_epoch, _t.received_seq)
UNFINISHED = Query(
    limited(
        sa.select(_targets, _submitted.c.body)
        .select_from(_targets.join(_submitted, _submitted.c.row == _t.submitted_row))
        .where(_running, _at_target, sa.tuple_(*_received_at) > sa.tuple_(bindparam("epoch"), bindparam("seq")))
        .order_by(*_received_at)
    ),
    *("target", "epoch", "seq", "limit"),
)
_aged = _whole.where(_unsettled, _t.command_row.is_not(None))
_by_age = (_t.command_row, _t.target)
OLDEST_OPEN = Query(limited(_aged.order_by(*_by_age)), "limit")
OLDEST_IN = Query(limited(_aged.where(_t.state == bindparam("state")).order_by(*_by_age)), "state", "limit")

OPEN = Query(sa.select(_t.command).where(_unsettled).distinct())
_by_wish = (_t.origin, _t.key, _t.target)
_last_of_key = sa.select(sa.func.max(_t.command_row)).where(_t.key.is_not(None)).group_by(*_by_wish)
LAST_OF_KEY = Query(sa.select(_c.id).where(_c.row.in_(_last_of_key)))

_still_waiting = sa.and_(_unsettled, sa.text(f"phase = {WAITING}"), _t.accepted.is_not(None))
WAITING_TARGETS = Query(
    sa.select(_t.target, sa.func.count(), sa.func.min(_t.accepted)).where(_still_waiting).group_by(_t.target)
)

_path = _clusters.c.path
_said = ("path", "epoch", "seq", "judge", "judged_epoch", "judged_seq")
OBSERVED_AT = Query(sa.select(_observed.c.cluster, _observed.c.epoch, _observed.c.seq).distinct())
LAST_WORDS = Query(sa.select(*(_clusters.c[name] for name in _said)))
ATTACHED_AT = Query(sa.select(_whereabouts.c.path, _whereabouts.c.epoch, _whereabouts.c.seq))
_somewhere = sa.select(_clusters, _whereabouts).select_from(
    _clusters.outerjoin(_whereabouts, _whereabouts.c.path == _path)
)
CLUSTERS = Query(_somewhere.where(under(_path)).order_by(_path), *SPAN)
CLUSTER = Query(_somewhere.where(_path == bindparam("path")), "path")

_keys = RECORD_TABLES[KEYS.name].c
KEYS_UNDER = Query(sa.select(RECORD_TABLES[KEYS.name]).where(under(_keys.path)).order_by(_keys.path, _keys.key), *SPAN)

_key = ("kind", "namespace", "name", "api_version")
OBJECT = Query(sa.select(_o.manifest).where(*(_o[name] == bindparam(name) for name in _key)), *_key)


def observed(
    cluster: str,
    kind: str | None,
    namespace: str | None,
    name: str | None,
    after: tuple[str, str, str, str, str] | None,
    gone: bool,
) -> sa.Select[Any]:
    """The objects that a cluster told in that life of its log in which it told all of them last."""
    o = _observed.c
    key = (o.kind, o.namespace, o.name, o.api_version, o.shim)
    begun = sa.select(_tellers.epoch).where(_tellers.cluster == o.cluster, _tellers.shim == o.shim).scalar_subquery()
    wanted = sa.select(_observed).where(o.cluster == cluster, o.epoch >= sa.func.coalesce(begun, "")).order_by(*key)
    for column, value in ((o.kind, kind), (o.namespace, namespace), (o.name, name)):
        if value is not None:
            wanted = wanted.where(column == value)
    if after is not None:
        wanted = wanted.where(sa.tuple_(*key) > after)
    return wanted if gone else wanted.where(o.gone == 0)
