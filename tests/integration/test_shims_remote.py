"""Shims behind a real server: what they answer, and what it means when they do not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bus.client import Bus, Message, NoAnswer
from bus.errors import BadMessage, BadRequest, Unavailable
from bus.event import Event, format_time, new_id
from bus.shim_messages import WatchAnswer
from services.shims import remote
from services.shims.base import Answer, Request, idempotent, objects_of
from services.shims.local import LocalShim
from services.shims.remote import RemoteShim
from services.shims.served import ServedShim, in_log
from store.memory.log import MemoryLog
from tests.support import NatsServer


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    async with await Bus.connect(nats_server.url, name="host") as bus:
        yield bus


@pytest.fixture
async def theirs(nats_server: NatsServer) -> AsyncIterator[Bus]:
    """The connection of a shim."""
    async with await Bus.connect(nats_server.url, name="shim") as bus:
        yield bus


def request(verb: str = "greet", *, seconds: float | None = 5.0, **args: Any) -> Request:
    deadline = None if seconds is None else format_time(datetime.now(UTC) + timedelta(seconds=seconds))
    return Request(new_id(), 1, verb, args, deadline)


async def answering(bus: Bus, subject: str, answer: bytes | Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:
    """A shim that answers on the subject; the requests that it sees are in the list."""
    seen: list[dict[str, Any]] = []

    def handle(message: Message) -> None:
        seen.append(json.loads(message.data))
        message.respond(answer if isinstance(answer, bytes) else json.dumps(answer(seen[-1])).encode())

    await bus.subscribe(subject, handle)
    await bus.flush()
    return seen


async def test_a_command_and_its_answer(bus: Bus, theirs: Bus) -> None:
    seen = await answering(theirs, "ote.local.shim.greet.execute", lambda asked: {"ok": True, "result": asked["args"]})
    asked = request(name="ann")
    assert await RemoteShim(bus, "greet").execute(asked) == Answer.done({"name": "ann"})
    assert seen == [
        {"id": asked.id, "attempt": 1, "verb": "greet", "args": {"name": "ann"}, "deadline": asked.deadline}
    ]


async def test_a_shim_that_answers_on_its_kind_alone(bus: Bus, theirs: Bus) -> None:
    seen = await answering(theirs, "ote.local.shim.greet", lambda asked: {"ok": True})
    shim = RemoteShim(bus, "greet")
    for _ in range(2):
        assert (await shim.execute(request())).ok
    assert len(seen) == 2


async def test_a_shim_may_come_back_on_the_other_subject(bus: Bus, theirs: Bus) -> None:
    shim = RemoteShim(bus, "greet")
    subscription = await theirs.subscribe("ote.local.shim.greet", lambda message: message.respond(b'{"ok":true}'))
    await theirs.flush()
    assert (await shim.execute(request())).ok
    await subscription.end()
    await answering(theirs, "ote.local.shim.greet.execute", lambda asked: {"ok": True, "result": "new"})
    assert (await shim.execute(request())).result == "new"


async def test_nobody_ran_it(bus: Bus) -> None:
    with pytest.raises(NoAnswer) as caught:
        await RemoteShim(bus, "greet").execute(request())
    assert caught.value.no_responders
    assert "ote.local.shim.greet.execute or ote.local.shim.greet" in caught.value.message
    assert "ote shim check greet" in (caught.value.hint or "")


async def test_nobody_knows_whether_it_ran(bus: Bus, theirs: Bus) -> None:
    await theirs.subscribe("ote.local.shim.greet", lambda message: None)
    await theirs.flush()
    began = asyncio.get_running_loop().time()
    with pytest.raises(NoAnswer) as caught:
        await RemoteShim(bus, "greet").execute(request(seconds=0.3))
    assert not caught.value.no_responders
    assert 0.2 < asyncio.get_running_loop().time() - began < 2.0


async def test_without_a_connection_nobody_ran_it(nats_server: NatsServer) -> None:
    bus = await Bus.connect(nats_server.url, name="host")
    await bus.close()
    with pytest.raises(NoAnswer) as caught:
        await RemoteShim(bus, "greet").execute(request())
    assert caught.value.no_responders


async def test_what_comes_too_late_is_not_sent(bus: Bus, theirs: Bus) -> None:
    seen = await answering(theirs, "ote.local.shim.greet", lambda asked: {"ok": True})
    answer = await RemoteShim(bus, "greet").execute(request(seconds=-1))
    assert not answer.ok and answer.error and answer.error.code == "expired"
    assert seen == []


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"done", "bad-answer", "the shim answered 'done': expected {\"ok\": true"),
        (b"", "bad-answer", "the shim answered '': expected"),
        (b"[1]", "bad-answer", "a map is expected"),
        (b"{}", "bad-answer", "ok: is missing"),
        (b'{"ok": "yes"}', "bad-answer", "ok: "),
        (b'{"ok": true, "result": NaN}', "bad-answer", "NaN"),
        (b'{"ok": true, "result": 1' + b"0" * 30 + b"}", "bad-answer", "beyond 64 bits"),
        (b"\xff" * 1000, "bad-answer", "..."),
        (b'{"ok": false}', "failed", "the shim gave no reason"),
        (b'{"ok": false, "error": "no disk"}', "failed", "no disk"),
        (b'{"ok": false, "error": {"message": "no disk"}}', "failed", "no disk"),
        (b'{"ok": false, "error": {"code": "full", "message": "no disk"}}', "full", "no disk"),
        (b'{"ok": false, "error": {"code": "full"}}', "bad-answer", "message"),
    ],
)
async def test_bad_answers_and_refusals_are_errors_that_say_what_came(
    bus: Bus, theirs: Bus, data: bytes, code: str, says: str
) -> None:
    await answering(theirs, "ote.local.shim.greet", data)
    answer = await RemoteShim(bus, "greet").execute(request())
    assert not answer.ok and answer.error
    assert answer.error.code == code
    assert says in answer.error.message
    assert len(answer.error.message) < 600


async def test_a_services_error_header_is_an_error(bus: Bus, theirs: Bus) -> None:
    def fail(message: Message) -> None:
        message.respond(b"", {"Nats-Service-Error": "no disk", "Nats-Service-Error-Code": "500"})

    await theirs.subscribe("ote.local.shim.greet", fail)
    await theirs.flush()
    answer = await RemoteShim(bus, "greet").execute(request())
    assert answer == Answer.failed("shim-error", "no disk")


async def test_arguments_that_do_not_fit_are_refused(bus: Bus, theirs: Bus) -> None:
    await answering(theirs, "ote.local.shim.greet", lambda asked: {"ok": True})
    shim = RemoteShim(bus, "greet")
    for text in ("x" * 1_100_000, b"bytes"):
        answer = await shim.execute(request(text=text))
        assert not answer.ok and answer.error and answer.error.code == "bad-request"


async def test_verbs_are_learned_from_the_shim(bus: Bus, theirs: Bus) -> None:
    described = {"kind": "vm", "verbs": {"start": {"idempotent": True}, "reboot": {}, "apply": {"idempotent": True}}}
    await answering(theirs, "ote.local.shim.vm.describe", lambda asked: described)
    await answering(theirs, "ote.local.shim.vm.execute", lambda asked: {"ok": True})
    shim = RemoteShim(bus, "vm")
    assert [idempotent(shim, verb) for verb in ("start", "reboot", "apply")] == [False, False, True]
    await shim.execute(request("reboot"))
    assert [idempotent(shim, verb) for verb in ("start", "reboot", "apply")] == [True, False, True]
    assert objects_of(shim, "apply", {"kind": "Node", "name": "n1"}) == frozenset({"Node//n1"})
    assert objects_of(shim, "start", {"name": "vm1"}) is None
    assert (await shim.describe()).kind == "vm"


async def test_a_bad_description(bus: Bus, theirs: Bus) -> None:
    await answering(theirs, "ote.local.shim.vm.describe", b'{"verbs": []}')
    await answering(theirs, "ote.local.shim.vm.execute", lambda asked: {"ok": True})
    shim = RemoteShim(bus, "vm")
    with pytest.raises(BadMessage, match="expected"):
        await shim.describe()
    assert (await shim.execute(request())).ok


async def test_watch_tells_what_is_there(bus: Bus, theirs: Bus) -> None:
    def tell(message: Message) -> None:
        for name in ("a", "b"):
            message.respond(json.dumps({"type": "applied", "object": {"name": name}}).encode())
        message.respond(b"")

    await theirs.subscribe("ote.local.shim.vm.watch", tell)
    await theirs.flush()
    assert [told.object["name"] async for told in RemoteShim(bus, "vm").watch()] == ["a", "b"]


async def test_a_watch_that_does_not_end_is_not_taken_for_all_there_is(
    bus: Bus, theirs: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "ASIDE", 0.1)

    def tell(message: Message) -> None:
        message.respond(json.dumps({"type": "applied", "object": {"name": "a"}}).encode())

    await theirs.subscribe("ote.local.shim.vm.watch", tell)
    await theirs.flush()
    for kind, names in (("vm", ["a"]), ("greet", [])):
        seen = []
        with pytest.raises(Unavailable):
            async for told in RemoteShim(bus, kind).watch():
                seen.append(told.object["name"])
        assert seen == names


async def test_a_watch_that_tells_nonsense(bus: Bus, theirs: Bus) -> None:
    def tell(message: Message) -> None:
        message.respond(b'{"type": "new"}')
        message.respond(b"")

    await theirs.subscribe("ote.local.shim.vm.watch", tell)
    await theirs.flush()
    with pytest.raises(BadRequest, match="type"):
        assert not [told async for told in RemoteShim(bus, "vm").watch()]


async def test_the_local_shim_on_the_bus(bus: Bus, theirs: Bus) -> None:
    log: MemoryLog[Event] = MemoryLog("root.site1")
    local = LocalShim(log)
    async with ServedShim(theirs, local.kind, local.describe, in_log(local, log), local.watch):
        shim = RemoteShim(bus, "local")
        settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"a": "1"}}
        made = await shim.execute(request("apply", manifest=settings))
        assert made.result["objects"][0]["result"] == "created"
        assert (await shim.execute(request("get", kind="ConfigMap", name="web"))).result["data"] == {"a": "1"}
        missing = await shim.execute(request("get", kind="ConfigMap", name="none"))
        assert missing.error and missing.error.code == "not-found"
        [told] = [told async for told in shim.watch()]
        assert (told.type, told.object["data"]) == ("applied", {"a": "1"})
        wrong = await shim.execute(request("apply", manifest={"kind": "ConfigMap"}))
        assert wrong.error and wrong.error.field == "manifest.metadata.name"
    with pytest.raises(NoAnswer) as caught:
        await shim.execute(request("list"))
    assert caught.value.no_responders


async def test_requests_run_together(bus: Bus, theirs: Bus) -> None:
    together = asyncio.Barrier(8)

    async def run(request: Request) -> Answer:
        await together.wait()
        return Answer.done()

    async with ServedShim(theirs, "slow", _described, run):
        shim = RemoteShim(bus, "slow")
        answers = await asyncio.gather(*(shim.execute(request()) for _ in range(8)))
    assert all(answer.ok for answer in answers)


async def test_a_failing_shim_answers(bus: Bus, theirs: Bus) -> None:
    nothing: dict[str, bool] = {}
    answers: dict[str, Callable[[], Answer]] = {
        "crash": lambda: Answer(nothing["at all"]),
        "large": lambda: Answer.done("x" * 1_100_000),
        "bytes": lambda: Answer.done(b"x"),
    }

    async def run(request: Request) -> Answer:
        return answers[request.verb]()

    async with ServedShim(theirs, "bad", _described, run):
        shim = RemoteShim(bus, "bad")
        codes = [(await shim.execute(request(verb))).error for verb in answers]
    assert [error and error.code for error in codes] == ["shim-error", "too-large", "shim-error"]


async def _described() -> Any:
    raise BadMessage("no description")


async def test_a_watch_that_fails_in_the_middle_says_not_that_it_was_all(
    bus: Bus, theirs: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "ASIDE", 0.1)
    log: MemoryLog[Event] = MemoryLog("root.site1")
    local = LocalShim(log)

    async def half() -> AsyncIterator[WatchAnswer]:
        yield WatchAnswer(type="applied", object={"name": "a"})
        raise Unavailable("no more")

    async with ServedShim(theirs, local.kind, local.describe, in_log(local, log), half):
        with pytest.raises(Unavailable, match="has not said"):
            assert not [told async for told in RemoteShim(bus, "local").watch() if told.object["name"] != "a"]
