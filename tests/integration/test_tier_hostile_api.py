"""The local API and what is wrong: a clear error in the one shape, the service alive, and nothing recorded."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgpack
import pytest
from pydantic import ValidationError

from bus import messages, subjects, wire
from bus.errors import OteError
from bus.event import new_id
from services.tier.settings import TierSettings
from tests.integration.tiers import LocalTier, Tiers, config

LONG = "x" * 300
ID = "01a20753-d1be-7513-bd4d-e3a09cffa02c"
HOSTILE = [
    "*",
    ">",
    "a.*",
    "root.>",
    "..",
    ".",
    "a b",
    "ä",
    "💥",
    LONG,
    "",
    "\x00",
    "\n",
    "A",
    "-a",
    "a" * 64,
    "a.b." * 20,
]

GOOD: dict[str, dict[str, Any]] = {
    "submit": {"to": "root", "do": config("shop")},
    "command": {"id": ID},
    "commands": {},
    "cancel": {"id": ID},
    "resolve": {"id": ID, "target": "root", "as": "done"},
    "retry": {"id": ID, "target": "root"},
    "tag": {"path": "root", "set": {"camera": ""}},
    "ask": {"to": "root", "do": {"verb": "list"}},
    "clusters": {},
    "resolve_selector": {"select": "root"},
    "log": {},
    "status": {},
}


@pytest.fixture
async def root(tiers: Tiers) -> LocalTier:
    return await tiers.grow("root")


class Asked:
    """An answer as it came."""

    def __init__(self, data: bytes, headers: Any) -> None:
        self.failed = wire.SERVICE_ERROR in headers
        self.content_type = headers.get(wire.CONTENT_TYPE)
        self.code = headers.get(wire.SERVICE_ERROR_CODE)
        self.text = headers.get(wire.SERVICE_ERROR)
        self.body = wire.parse_body(data, self.content_type)

    def check(self, *codes: str) -> None:
        """An error in its one shape."""
        assert self.failed, self.body
        assert self.code in codes, self.body
        messages.ErrorAnswer.model_validate(self.body)
        assert set(self.body["error"]) <= {"code", "message", "field", "hint"}
        assert self.text and len(self.text) <= 500 and "\n" not in self.text
        assert len(str(self.body)) < 2_000


async def ask(tier: LocalTier, name: str, data: bytes, content_type: str | None = None) -> Asked:
    headers = {} if content_type is None else {wire.CONTENT_TYPE: content_type}
    answer = await tier.bus.request(subjects.local(name), data, timeout=30, headers=headers)
    return Asked(answer.data, answer.headers)


NO_REQUESTS = [
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"7",
    b"\xff\xfe\xfd",
    b"\x81",
    b"\x81\xa1a",
    b"{'single': 1}",
    b'{"a": NaN}',
    b'{"a": 1e999}',
    b'{"a": "\\ud800"}',
    b'{"a": 123456789012345678901234567890}',
    b"[" * 100_000,
    b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    msgpack.packb([1, 2]),
    msgpack.packb({1: 2}),
    msgpack.packb({"a": b"bytes"}),
    msgpack.packb({"a": msgpack.ExtType(5, b"x")}),
    msgpack.packb({"a": float("nan")}),
    b"x" * 1_000_000,
]


async def test_what_is_no_request_is_refused_by_every_endpoint(root: LocalTier) -> None:
    before = await root.log()
    for name in GOOD:
        for data in NO_REQUESTS:
            (await ask(root, name, data)).check("400")
        (await ask(root, name, b"{}", "text/html")).check("400")
        unknown = await ask(root, name, wire.dump_body({**GOOD[name], "surprise": 1}))
        unknown.check("400")
        assert unknown.body["error"]["field"] == "surprise"
    assert await root.log() == before
    assert (await root.submit("root", "shop", wait=30))["summary"] == {"succeeded": 1}


async def test_every_field_of_every_endpoint_refuses_what_it_is_not(root: LocalTier) -> None:
    before = await root.log()
    wrong: list[Any] = [7.5, -1, True, "", LONG * 100, [], {}, [[]], "💥\n", {"a": {"b": []}}]
    fields = {name: set(model.model_fields) for name, model in REQUESTS.items()}
    for name, model_fields in fields.items():
        for field in model_fields:
            key = REQUESTS[name].model_fields[field].alias or field
            for value in wrong:
                body = {**GOOD[name], key: value}
                if not _is_right(name, body):
                    (await ask(root, name, wire.dump_body(body))).check("400")
    assert await root.log() == before


def _is_right(name: str, body: dict[str, Any]) -> bool:
    """Some of the wrong values are right somewhere: 7.5 seconds, a selector that nothing fits."""
    try:
        REQUESTS[name].model_validate(body)
    except (OteError, ValidationError):
        return False
    return True


REQUESTS: dict[str, Any] = {
    "submit": messages.SubmitRequest,
    "command": messages.CommandRequest,
    "commands": messages.CommandsRequest,
    "cancel": messages.CancelRequest,
    "resolve": messages.ResolveRequest,
    "retry": messages.RetryRequest,
    "tag": messages.TagRequest,
    "ask": messages.AskRequest,
    "clusters": messages.ClustersRequest,
    "resolve_selector": messages.ResolveSelectorRequest,
    "log": messages.LogRequest,
    "status": messages.StatusRequest,
}


async def test_hostile_names_are_refused_wherever_a_name_stands(root: LocalTier) -> None:
    before = await root.log()
    for text in HOSTILE:
        bodies = [
            ("submit", {"to": f"path:{text}", "do": config("shop")}),
            ("submit", {"to": f"tag:{text}", "do": config("shop")}),
            ("submit", {"to": f"under:{text}", "do": config("shop")}),
            ("submit", {"to": "root", "do": {"verb": f"{text}!"}}),
            ("submit", {"to": "root", "do": {"verb": "apply", "shim": text}}),
            ("command", {"id": text}),
            ("command", {"id": ID, "after": text}),
            ("cancel", {"id": ID, "target": text}),
            ("resolve", {"id": ID, "target": text, "as": "done"}),
            ("tag", {"path": f"{text}!", "set": {"camera": ""}}),
            ("retry", {"id": ID, "target": text}),
            ("tag", {"unset": [f"{text}!"]}),
            ("ask", {"to": f"tag:{text}", "do": {"verb": "list"}}),
            ("ask", {"to": "root", "do": {"verb": f"{text}!"}}),
            ("clusters", {"select": f"tag:{text}"}),
        ]
        for name, body in bodies:
            # A few are good names: then what they name is not there.
            (await ask(root, name, wire.dump_body(body))).check("400", "404")
    for field in ("key", "lane", "actor"):
        for text in ("", LONG, "two\nlines", "\x00", "\x1b[31m"):
            body = {**GOOD["submit"], field: text}
            answer = await ask(root, "submit", wire.dump_body(body))
            answer.check("400")
            assert answer.body["error"]["field"] == field
    assert await root.log() == before


async def test_odd_keys_lanes_and_actors_that_are_text_are_kept_as_they_are(root: LocalTier) -> None:
    for text in ("*", "root.>", "ä 💥", "a'; DROP TABLE events; --", "%s", "{}"):
        done = await root.submit("root", "shop", key=text, lane=text, actor=text, wait=30)
        assert (done["summary"], done["actor"]) == ({"succeeded": 1}, text)
        assert (await root.command(done["id"]))["actor"] == text


async def test_errors_come_in_the_language_of_the_question(root: LocalTier) -> None:
    body = {"id": new_id()}
    for content_type, data in ((wire.JSON, wire.dump_body(body)), (wire.MSGPACK, msgpack.packb(body))):
        for stated in (content_type, None):
            answer = await ask(root, "command", data, stated)
            answer.check("404")
            assert answer.content_type == content_type
            assert answer.text == answer.body["error"]["message"]
    good = await ask(root, "submit", msgpack.packb(GOOD["submit"]))
    assert (good.failed, good.content_type, good.body["state"]) == (False, wire.MSGPACK, "accepted")


async def test_a_flood_of_nonsense_leaves_the_service_alive(root: LocalTier) -> None:
    answers = await asyncio.gather(*(ask(root, "submit", b"{") for _ in range(300)))
    for answer in answers:
        answer.check("400")
    assert (await root.submit("root", "shop", wait=30))["summary"] == {"succeeded": 1}


async def test_a_cursor_beyond_the_end_is_an_empty_page(root: LocalTier) -> None:
    assert (await root.ask("log", {"after": 2**62}))["events"] == []
    assert (await root.ask("clusters", {"after": "zzz"}))["clusters"] == []
    with pytest.raises(OteError):
        await root.ask("log", {"after": 2**63})


def test_a_tier_refuses_a_hostile_path_or_tag(tmp_path: Path) -> None:
    for text in HOSTILE:
        with pytest.raises((OteError, ValidationError)):
            TierSettings(path=text, state=tmp_path)
        with pytest.raises((OteError, ValidationError)):
            TierSettings(path=f"root.{text}", state=tmp_path)
    for text in ("*", ">", "a b", "ä", LONG, "", "zone=", "=eu", "zone=a=b", "zone=*", "a\n"):
        if text == "zone=":
            continue
        with pytest.raises((OteError, ValidationError)):
            TierSettings(path="root", state=tmp_path, tags=[text])
    with pytest.raises((OteError, ValidationError), match="the limit is 10"):
        TierSettings(path=".".join(["a"] * 11), state=tmp_path)
