from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bus.errors import Unavailable
from services.cli.shim_check import NO_VERB, ShimCheck

Reply = dict[str, Any] | bytes | None
DESCRIBED = {"kind": "toy", "version": "1", "verbs": {"set": {"idempotent": True}, "add": {}}}


class Toy:
    """A shim as it should be; a test gives it bad habits."""

    def __init__(self, *, bare: bool = False, described: Reply = DESCRIBED) -> None:
        self.bare = bare
        self.described = described
        self.on_verb: dict[str, Callable[[dict[str, Any]], Reply]] = {}
        self.on_garbage: Reply = {"ok": False, "error": "no JSON"}
        self.requests: list[dict[str, Any]] = []
        self.dead = False

    async def ask(self, subject: str, data: bytes) -> bytes:
        reply = self._reply(subject, data)
        if reply is None or self.dead:
            raise Unavailable("nobody answers")
        return reply if isinstance(reply, bytes) else json.dumps(reply).encode()

    def _reply(self, subject: str, data: bytes) -> Reply:
        if subject == "ote.local.shim.toy.describe":
            return self.described
        if subject != ("ote.local.shim.toy" if self.bare else "ote.local.shim.toy.execute"):
            return None
        try:
            request = json.loads(data)
        except ValueError:
            if self.on_garbage is None:
                self.dead = True
            return self.on_garbage
        self.requests.append(request)
        answer = self.on_verb.get(request["verb"])
        if answer:
            return answer(request)
        known = isinstance(self.described, dict) and request["verb"] in self.described.get("verbs", {})
        return {"ok": True, "result": "done"} if known else {"ok": False, "error": {"message": "no such verb"}}


async def levels(toy: Toy, verb: str | None = None) -> dict[str, str]:
    findings = await ShimCheck("toy", toy.ask, verb, {"n": 1}).run()
    return {finding.check: finding.level for finding in findings}


async def said(toy: Toy, check: str, verb: str | None = None) -> str:
    findings = await ShimCheck("toy", toy.ask, verb).run()
    return next(finding.said for finding in findings if finding.check == check)


async def test_a_good_shim_passes_everything() -> None:
    toy = Toy()
    assert set((await levels(toy)).values()) == {"ok"}
    assert {request["verb"] for request in toy.requests} == {NO_VERB}


async def test_a_shim_that_only_executes_is_enough() -> None:
    found = await levels(Toy(bare=True, described=None))
    assert found["describe"] == "note"
    assert "fail" not in found.values()


async def test_a_shim_that_takes_anything_is_noted() -> None:
    toy = Toy(bare=True, described=None)
    toy.on_verb[NO_VERB] = lambda _: {"ok": True}
    found = await levels(toy)
    assert (found["unknown verb"], "fail" in found.values()) == ("note", False)


async def test_a_verb_is_executed_once_or_twice_as_it_says() -> None:
    once, twice = Toy(), Toy()
    assert (await levels(once, "add"))["verb add"] == "ok"
    assert (await levels(twice, "set"))["verb set"] == "ok"
    assert [r["attempt"] for r in once.requests if r["verb"] == "add"] == [1]
    asked = [r for r in twice.requests if r["verb"] == "set"]
    assert [r["attempt"] for r in asked] == [1, 2]
    assert len({r["id"] for r in asked}) == 1
    assert asked[0]["args"] == {"n": 1}


async def test_nobody_there_ends_the_run() -> None:
    toy = Toy()
    toy.dead = True
    assert await levels(toy) == {"answers": "fail"}
    assert "ote.local.shim.toy.execute: nobody answers" in await said(toy, "answers")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"done", "no JSON: done"),
        (b"[1]", "a JSON object was expected"),
        ({"result": 1}, "ok: is missing"),
        ({"ok": "yes"}, "ok: "),
        ({"ok": False}, "without an error"),
    ],
)
async def test_wrong_answers_are_shown(reply: Reply, words: str) -> None:
    toy = Toy()
    toy.on_verb[NO_VERB] = lambda _: reply
    assert words in await said(toy, "answers")


@pytest.mark.parametrize(
    ("described", "words"),
    [
        ({"kind": "other", "verbs": {}}, "kind is 'other'"),
        ({"kind": "toy"}, "verbs: is missing"),
        (b"hello", "no JSON: hello"),
    ],
)
async def test_a_wrong_description_is_shown(described: Reply, words: str) -> None:
    assert words in await said(Toy(described=described), "describe")


async def test_bad_habits_are_found() -> None:
    toy = Toy()
    toy.on_verb[NO_VERB] = lambda _: {"ok": True}
    assert (await levels(toy))["unknown verb"] == "fail"

    toy = Toy()
    toy.on_garbage = None
    assert (await levels(toy))["not JSON"] == "fail"

    toy = Toy()
    toy.on_verb[NO_VERB] = lambda request: None if "text" in request["args"] else {"ok": False, "error": "no"}
    assert (await levels(toy))["large arguments"] == "fail"

    toy = Toy()
    toy.on_verb["set"] = lambda request: {"ok": request["attempt"] == 1, "error": "exists already"}
    assert "second attempt" in await said(toy, "verb set", verb="set")
