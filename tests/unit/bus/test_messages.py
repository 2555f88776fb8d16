from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from bus import messages, schemas, wire
from bus.contracts import parse
from bus.errors import BadMessage, BadRequest

ID = "0190a2b4-7c3f-7d2e-9a51-0123456789ab"
SUBMIT: dict[str, Any] = {"to": "tag:camera", "do": {"verb": "apply", "args": {"manifests": []}}}


def refused(model: type[BaseModel], body: dict[str, Any]) -> BadRequest:
    with pytest.raises(BadRequest) as error:
        parse(model, body)
    return error.value


def test_the_least_and_the_most_of_a_submit() -> None:
    least = parse(messages.SubmitRequest, {"to": "site1", "do": {"verb": "ping"}})
    assert least.dump() == {"to": "site1", "do": {"verb": "ping", "args": {}}}
    whole = {
        "to": "tag:camera",
        "do": {"shim": "k3s", "verb": "rollout-restart", "args": {"a": [1, None]}},
        "ttl": 60,
        "key": "shop",
        "lane": "front",
        "wait": 1.5,
        "actor": "ada@desk",
        "id": ID.upper(),
    }
    assert parse(messages.SubmitRequest, whole).dump() == {**whole, "id": ID}


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"to": None}, "to", "string"),
        ({"to": ""}, "to", "at least 1 character"),
        ({"to": ["site1"]}, "to", "string"),
        ({"to": "x" * 20_000}, "to", "at most 16384"),
        ({"do": "apply"}, "do", "dictionary"),
        ({"do": {"args": {}}}, "do.verb", "is missing"),
        ({"do": {"verb": "no spaces"}}, "do.verb", "pattern"),
        ({"do": {"verb": "ping", "shim": "K3S"}}, "shim", "RFC 1123"),
        ({"do": {"verb": "ping", "shim": "a.b"}}, "shim", "RFC 1123"),
        ({"do": {"verb": "ping", "args": []}}, "do.args", "dictionary"),
        ({"do": {"verb": "ping", "argz": {}}}, "do.argz", "no field"),
        ({"ttl": 0}, "ttl", "greater than 0"),
        ({"ttl": -1}, "ttl", "greater than 0"),
        ({"ttl": "60"}, "ttl", "number"),
        ({"ttl": True}, "ttl", "number"),
        ({"ttl": float("inf")}, "ttl", "less than or equal"),
        ({"ttl": float("nan")}, "ttl", "less than or equal"),
        ({"ttl": 1e300}, "ttl", "less than or equal"),
        ({"wait": 0}, "wait", "greater than 0"),
        ({"wait": 3601}, "wait", "less than or equal to 3600"),
        ({"key": ""}, "key", "at least 1 character"),
        ({"key": "x" * 300}, "key", "at most 253"),
        ({"lane": "a\nb"}, "lane", "cannot be printed"),
        ({"actor": "\x1b[31mred"}, "actor", "cannot be printed"),
        ({"id": "1"}, "id", "no UUID"),
        ({"id": 1}, "id", "string"),
        ({"id": ID.replace("-", "")}, "id", "no UUID"),
        ({"id": f"{{{ID}}}"}, "id", "no UUID"),
        ({"tll": 60}, "tll", "no field"),
        ({"x\u202e" * 200: 1}, None, "no field"),
    ],
)
def test_a_wrong_submit_names_the_field(change: dict[str, Any], field: str | None, says: str) -> None:
    error = refused(messages.SubmitRequest, {**SUBMIT, **change})
    assert says in error.message
    assert field is None or error.field == field
    assert error.message.isprintable()
    assert len(error.message) < 300


def test_hints_name_the_nearest_field_or_all() -> None:
    assert refused(messages.SubmitRequest, {**SUBMIT, "tll": 1}).hint == "did you mean 'ttl'?"
    assert refused(messages.SubmitRequest, {**SUBMIT, "do": {"verb": "x", "arg": {}}}).hint == "did you mean 'args'?"
    unknown = refused(messages.ResolveSelectorRequest, {"select": "x", "zzz": 1})
    assert unknown.hint == "its fields are select, shim, limit, after"
    assert refused(messages.StatusRequest, {"zzz": 1}).hint == "it has no fields"
    assert refused(messages.Do, {"verb": "x", "shim": "K 3"}).hint == "try 'k-3'"


@pytest.mark.parametrize("limit", [0, -1, 1001, 1.5, "10", True])
def test_limits(limit: Any) -> None:
    models: list[tuple[type[BaseModel], dict[str, Any]]] = [
        (messages.CommandRequest, {"id": ID}),
        (messages.ClustersRequest, {}),
        (messages.LogRequest, {}),
    ]
    for model, least in models:
        assert parse(model, least).model_dump()["limit"] == 100
        assert parse(model, {**least, "limit": 1000}).model_dump()["limit"] == 1000
        assert refused(model, {**least, "limit": limit}).field == "limit"


def test_paths_times_and_rows_are_checked() -> None:
    assert refused(messages.CancelRequest, {"id": ID, "target": "Root"}).field == "target"
    assert refused(messages.CommandRequest, {"id": ID, "after": "a..b"}).field == "after"
    for since in ("yesterday", "2026-11-23T06:35:59", "0001-01-01T00:00:00+23:00", ""):
        assert refused(messages.LogRequest, {"since": since}).field == "since"
    normal = parse(messages.LogRequest, {"since": "2026-11-23T07:35:59+01:00"})
    assert normal.since == "2026-11-23T06:35:59.000000Z"
    for after in (-1, 2**63, "1", 1.0):
        assert refused(messages.LogRequest, {"after": after}).field == "after"


def test_resolve_speaks_of_as() -> None:
    body = {"id": ID, "target": "root.east", "as": "done"}
    assert parse(messages.ResolveRequest, body).dump() == body
    assert refused(messages.ResolveRequest, {**body, "as": "maybe"}).field == "as"
    assert refused(messages.ResolveRequest, {"id": ID, "target": "root"}).field == "as"


def test_answers_keep_required_nulls_and_leave_out_what_is_absent() -> None:
    answer = messages.CommandAnswer(
        id=ID,
        to="site1",
        do=messages.Do(verb="ping"),
        actor=None,
        submitted="2026-11-23T06:35:59.000000Z",
        targets={
            "root.site1": messages.TargetAnswer(state="accepted", number=1, receipts=messages.Receipts(accepted="t")),
        },
        summary={"accepted": 1},
    )
    assert answer.dump() == {
        "id": ID,
        "to": "site1",
        "do": {"verb": "ping", "args": {}},
        "actor": None,
        "submitted": "2026-11-23T06:35:59.000000Z",
        "targets": {"root.site1": {"state": "accepted", "number": 1, "receipts": {"accepted": "t", "stored": {}}}},
        "summary": {"accepted": 1},
    }
    later = {**answer.dump(), "shiny": "a field of a later version"}
    assert parse(messages.CommandAnswer, later) == answer


@pytest.mark.parametrize("error", ["it broke", {"message": "it broke"}, {"code": "broken", "message": "it broke"}])
def test_a_shim_may_say_its_error_in_words(error: Any) -> None:
    assert not parse(messages.ExecuteAnswer, {"ok": False, "error": error}).ok


def test_a_shim_that_does_not_say_how_it_went_is_refused() -> None:
    assert refused(messages.ExecuteAnswer, {}).field == "ok"
    assert refused(messages.ExecuteAnswer, {"ok": "yes"}).field == "ok"


def test_a_heartbeat_travels_as_msgpack() -> None:
    beat = messages.Heartbeat(
        path="root.east",
        instance="i",
        epoch="e",
        held=7,
        time="2026-11-23T06:35:59.000000Z",
        load=0.5,
        resources={"cpu": 1.5},
        version="0.1.0",
    )
    assert parse(messages.Heartbeat, wire.parse_body(wire.dump_body(beat.dump(), wire.MSGPACK))) == beat


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(schemas.PUBLIC)), st.data())
def test_any_map_is_a_message_or_a_clear_error(name: str, data: st.DataObject) -> None:
    model = schemas.PUBLIC[name]
    fields = [field.alias or key for key, field in model.model_fields.items()]
    body = data.draw(st.dictionaries(st.sampled_from(fields) if fields else st.text(), anything))
    try:
        parse(model, body)
    except (BadRequest, BadMessage) as error:
        assert error.message
        assert len(error.message) < 400
