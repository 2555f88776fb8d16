"""Services on a real server, asked as the `nats` command line asks."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any

import msgpack
import pytest
from nats.aio.client import Client

from bus import micro, turns, wire
from bus.client import Bus, NoAnswer
from bus.contracts import Answer, Request
from bus.errors import Conflict, NotFound, Unavailable
from bus.micro import Service, semantic
from tests import nats_cli
from tests.support import NatsServer, eventually

Connect = Callable[..., Awaitable[Bus]]


class Add(Request):
    a: int
    b: int = 1


class Sum(Answer):
    sum: int
    note: str | None = None


class Shop:
    """A service with a behaviour for each test."""

    def __init__(self, bus: Bus) -> None:
        self.gate = asyncio.Event()
        self.waiting = 0
        self.service = Service(bus, "shop", version="1.2.3", description="adds", metadata={"tier": "root"})
        self.service.endpoint("add", "shop.add", Add, self.add, metadata={"schema": "add"})
        self.service.endpoint("wait", "shop.wait", Add, self.wait, limit=4)
        self.service.endpoint("fail", "shop.fail", Add, self.fail)

    async def add(self, request: Add) -> Sum:
        return Sum(sum=request.a + request.b)

    async def wait(self, request: Add) -> Sum:
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        return Sum(sum=request.a)

    async def fail(self, request: Add) -> dict[str, Any]:
        if request.a == 1:
            raise NotFound("no such\r\nthing: é", field="a", hint="look elsewhere")
        if request.a == 2:
            raise RuntimeError("a secret from the inside")
        if request.a == 3:
            return {"large": "x" * 2_000_000}
        return {"bad": object()}


class Desk:
    """A service whose only endpoint is fair: it works until the gate opens; `b` 0 is about what only waits."""

    def __init__(self, bus: Bus) -> None:
        self.gate = asyncio.Event()
        self.begun: list[int] = []
        self.service = Service(bus, "desk", version="1.0.0")
        self.service.endpoint("serve", "desk.serve", Add, self.serve, fair=True)

    async def serve(self, request: Add) -> Sum:
        self.begun.append(request.a)
        if not request.b:
            turns.rest()
        await self.gate.wait()
        return Sum(sum=request.a)


@pytest.fixture
async def desk(bus: Bus) -> AsyncIterator[Desk]:
    desk = Desk(bus)
    async with desk.service:
        yield desk


@pytest.fixture
async def shop(bus: Bus) -> AsyncIterator[Shop]:
    shop = Shop(bus)
    async with shop.service:
        yield shop


@pytest.fixture
async def cli(nats_server: NatsServer) -> AsyncIterator[Client]:
    async with nats_cli.client(nats_server.url) as connection:
        yield connection


async def ask(cli: Client, subject: str, body: str | bytes, **headers: str) -> tuple[Any, dict[str, str]]:
    [answer] = await nats_cli.request(cli, subject, body, headers=headers or None)
    return json.loads(answer.data), answer.headers or {}


async def nobody_answers(bus: Bus, subject: str) -> bool:
    try:
        await bus.request(subject, b"", timeout=30)
    except NoAnswer as error:
        return error.no_responders
    return False


# Asking ------------------------------------------------------------------------------------------


async def test_json_without_any_header_is_answered_in_json(shop: Shop, cli: Client) -> None:
    body, headers = await ask(cli, "shop.add", '{"a": 2, "b": 3}')
    assert body == {"sum": 5}
    assert headers == {"Content-Type": "application/json"}


async def test_msgpack_is_answered_in_msgpack_errors_too(shop: Shop, cli: Client) -> None:
    for headers in (None, {"Content-Type": "application/msgpack"}):
        [answer] = await nats_cli.request(cli, "shop.add", msgpack.packb({"a": 2}), headers=headers)
        assert msgpack.unpackb(answer.data) == {"sum": 3}
        assert (answer.headers or {})["Content-Type"] == "application/msgpack"
    [answer] = await nats_cli.request(cli, "shop.add", msgpack.packb({"x": 2}))
    assert msgpack.unpackb(answer.data)["error"]["code"] == "bad-request"


async def test_an_error_is_told_in_headers_and_body(shop: Shop, cli: Client) -> None:
    body, headers = await ask(cli, "shop.fail", '{"a": 1}')
    assert body["error"] == {
        "code": "not-found",
        "message": "no such\r\nthing: é",
        "field": "a",
        "hint": "look elsewhere",
    }
    assert headers["Nats-Service-Error"] == "no such thing: é"
    assert headers["Nats-Service-Error-Code"] == "404"


async def test_our_client_raises_what_the_service_raised(shop: Shop, bus: Bus) -> None:
    assert await bus.call("shop.add", {"a": 1}, timeout=30) == {"sum": 2}
    with pytest.raises(NotFound, match="no such") as missing:
        await bus.call("shop.fail", {"a": 1}, timeout=30)
    assert missing.value.field == "a"
    assert missing.value.hint == "look elsewhere"


async def test_an_unexpected_error_shows_no_insides_and_can_be_found_in_the_log(
    shop: Shop, cli: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    for a in (2, 4):
        body, headers = await ask(cli, "shop.fail", json.dumps({"a": a}))
        assert body["error"]["code"] == "internal"
        assert headers["Nats-Service-Error-Code"] == "500"
        assert "secret" not in json.dumps(body)
        reference = body["error"]["hint"].rsplit(" ", 1)[-1]
        assert reference in capsys.readouterr().out


async def test_an_answer_that_is_too_large_is_an_error_of_its_own(shop: Shop, cli: Client) -> None:
    body, _ = await ask(cli, "shop.fail", '{"a": 3}')
    assert "more than the server takes" in body["error"]["message"]
    assert "ask for less" in body["error"]["hint"]


@pytest.mark.parametrize(
    ("body", "headers", "code", "says"),
    [
        (b"", {}, "bad-request", "a: is missing"),
        (b"{", {}, "bad-message", "not JSON"),
        (b"hello", {}, "bad-message", "not JSON"),
        (b"[]", {}, "bad-message", "a map is expected"),
        (b'{"a": NaN}', {}, "bad-message", "NaN"),
        (b'{"a": "1"}', {}, "bad-request", "a: should be a valid integer"),
        (b'{"a": 1, "c": 1}', {}, "bad-request", "no field"),
        (b"\x81\xa1a", {}, "bad-message", "not a msgpack map"),
        (b"\xff\xfe\x00", {}, "bad-message", "not a msgpack map"),
        (b'{"a": 1}', {"Content-Type": "application/msgpack"}, "bad-message", "not a msgpack map"),
        (b"{}", {"Content-Type": "text/html"}, "bad-message", "text/html"),
        (b"x" * 1_000_000, {}, "bad-message", "not JSON"),
        (b'{"a":' * 100_000, {}, "bad-message", "nested"),
        (("{" + f'"{"é" * 300}": 1' + "}").encode(), {}, "bad-request", "a: is missing"),
    ],
)
async def test_bad_input_is_a_clear_error_and_the_service_lives(
    shop: Shop, cli: Client, body: bytes, headers: dict[str, str], code: str, says: str
) -> None:
    [answer] = await nats_cli.request(cli, "shop.add", body, headers=headers or None)
    content = wire.parse_body(answer.data, (answer.headers or {})["Content-Type"])
    assert content["error"]["code"] == code
    assert says in content["error"]["message"]
    assert (answer.headers or {})["Nats-Service-Error-Code"] == "400"
    assert (await ask(cli, "shop.add", '{"a": 1}'))[0] == {"sum": 2}


async def test_a_request_without_a_reply_is_served(shop: Shop, cli: Client) -> None:
    for body in (b'{"a": 1}', b"nonsense"):
        await cli.publish("shop.add", body)
    await cli.flush()
    await eventually(lambda: shop.service.stats()["endpoints"][0]["num_requests"] == 2)
    assert shop.service.stats()["endpoints"][0]["num_errors"] == 1


# Concurrency -------------------------------------------------------------------------------------


async def test_one_that_waits_delays_nobody(shop: Shop, bus: Bus) -> None:
    slow = asyncio.create_task(bus.call("shop.wait", {"a": 7}, timeout=30))
    await eventually(lambda: shop.waiting == 1)
    assert await bus.call("shop.add", {"a": 1}, timeout=30) == {"sum": 2}
    assert not slow.done()
    shop.gate.set()
    assert await slow == {"sum": 7}


async def test_an_endpoint_has_room_for_so_many_others_wait_and_then_it_is_busy(shop: Shop, bus: Bus) -> None:
    asked = [asyncio.create_task(bus.call("shop.wait", {"a": n}, timeout=30)) for n in range(8)]
    await eventually(lambda: shop.waiting == 4)
    with pytest.raises(Unavailable, match="busy") as busy:
        await bus.call("shop.wait", {"a": 9}, timeout=30)
    assert busy.value.hint
    assert shop.waiting == 4
    shop.gate.set()
    assert [answer["sum"] for answer in await asyncio.gather(*asked)] == list(range(8))
    assert await bus.call("shop.wait", {"a": 10}, timeout=30) == {"sum": 10}


async def test_who_asks_for_little_does_not_wait_for_who_asks_for_much(
    desk: Desk, shop: Shop, bus: Bus, nats_server: NatsServer, connect: Connect
) -> None:
    many, other = 5 * micro.AT_ONCE, await connect(nats_server, name="storm")
    storm = [asyncio.create_task(other.call("desk.serve", {"a": n}, timeout=30)) for n in range(many)]
    await eventually(lambda: len(desk.begun) == micro.AT_ONCE)
    await other.flush()
    one = asyncio.create_task(bus.call("desk.serve", {"a": -1}, timeout=30))
    await asyncio.sleep(0)
    # What comes over one connection comes in order: the service has the storm, and then the one.
    assert await bus.call("shop.add", {"a": 1}, timeout=30) == {"sum": 2}
    assert len(desk.begun) == micro.AT_ONCE
    desk.gate.set()
    assert await one == {"sum": -1}
    assert [answer["sum"] for answer in await asyncio.gather(*storm)] == list(range(many))
    assert desk.begun.index(-1) <= micro.AT_ONCE + 1


async def test_who_only_waits_takes_nobodys_turn(desk: Desk, bus: Bus) -> None:
    many = 3 * micro.AT_ONCE
    asked = [asyncio.create_task(bus.call("desk.serve", {"a": n, "b": 0}, timeout=30)) for n in range(many)]
    await eventually(lambda: len(desk.begun) == many)
    desk.gate.set()
    assert [answer["sum"] for answer in await asyncio.gather(*asked)] == list(range(many))


async def test_large_requests_are_bounded_by_their_bytes(shop: Shop, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(micro, "HELD_BYTES", 2_000)

    async def large(subject: str, size: int) -> Any:
        answer = await bus.request(subject, b'{"a": 1}'.ljust(size), timeout=30)
        return answer.headers.get(wire.SERVICE_ERROR) or json.loads(answer.data)

    asked = [asyncio.create_task(large("shop.wait", 700)) for _ in range(2)]
    await eventually(lambda: shop.waiting == 2)
    for subject in ("shop.wait", "shop.add"):
        assert re.search("is busy with 1,400 bytes of requests", await large(subject, 700))
    assert await large("shop.add", 500) == {"sum": 2}
    shop.gate.set()
    assert await asyncio.gather(*asked) == [{"sum": 1}] * 2
    # One alone is always taken.
    assert await large("shop.add", 5_000) == {"sum": 2}


async def test_stop_lets_requests_end_and_takes_no_more(bus: Bus) -> None:
    shop = Shop(bus)
    await shop.service.start()
    asked = asyncio.create_task(bus.call("shop.wait", {"a": 7}, timeout=30))
    await eventually(lambda: shop.waiting == 1)
    stopping = asyncio.create_task(shop.service.stop())
    await eventually(lambda: nobody_answers(bus, "shop.add"))
    shop.gate.set()
    assert await asked == {"sum": 7}
    await stopping


async def test_stop_gives_up_on_requests_that_do_not_end_and_says_so(bus: Bus) -> None:
    shop = Shop(bus)
    await shop.service.start()
    asked = asyncio.create_task(bus.call("shop.wait", {"a": 7}, timeout=30))
    await eventually(lambda: shop.waiting == 1)
    await shop.service.stop(grace=0.05)
    with pytest.raises(Unavailable, match="stopping"):
        await asked
    assert shop.waiting == 0


async def test_a_queue_group_shares_requests_and_without_one_all_answer(
    nats_server: NatsServer, connect: Connect
) -> None:
    asker = await connect(nats_server)

    async def answer(request: Add) -> Sum:
        return Sum(sum=0)

    for _ in range(2):
        service = Service(await connect(nats_server), "twins", version="1.0.0")
        service.endpoint("one", "twins.one", Add, answer, queue="twins")
        service.endpoint("all", "twins.all", Add, answer)
        await service.start()
    for subject, count in (("twins.one", 1), ("twins.all", 2)):
        assert len(await asker.request_many(subject, b'{"a":1}', timeout=30, stall=1.0)) == count


async def test_no_request_is_lost_when_a_service_moves(nats_server: NatsServer, connect: Connect) -> None:
    """One process takes over from another of the same queue group: each request is answered by one."""
    asker = await connect(nats_server)
    answered = {"old": 0, "new": 0}

    def service(bus: Bus, who: str) -> Service:
        async def answer(request: Add) -> Sum:
            answered[who] += 1
            return Sum(sum=request.a)

        made = Service(bus, "mover", version="1.0.0")
        made.endpoint("move", "mover.move", Add, answer, queue="movers")
        return made

    old, new = service(await connect(nats_server), "old"), service(await connect(nats_server), "new")
    await old.start()
    asking = [asyncio.create_task(asker.call("mover.move", {"a": n}, timeout=30)) for n in range(400)]
    await eventually(lambda: answered["old"])
    await new.start()
    await old.stop()
    asking += [asyncio.create_task(asker.call("mover.move", {"a": n}, timeout=30)) for n in range(400, 500)]
    assert [answer["sum"] for answer in await asyncio.gather(*asking)] == list(range(500))
    assert answered["old"] + answered["new"] == 500
    assert answered["new"] >= 100


# Monitoring --------------------------------------------------------------------------------------


async def test_nats_micro_lists_describes_and_counts(shop: Shop, cli: Client) -> None:
    id = shop.service.id
    for args in (("PING",), ("PING", "shop"), ("PING", "shop", id)):
        [ping] = await nats_cli.micro(cli, *args, wait=1.0)
        assert ping == {
            "type": "io.nats.micro.v1.ping_response",
            "name": "shop",
            "id": id,
            "version": "1.2.3",
            "metadata": {"tier": "root"},
        }
    [info] = await nats_cli.micro(cli, "INFO", "shop", wait=1.0)
    assert info["description"] == "adds"
    assert info["endpoints"][0] == {
        "name": "add",
        "subject": "shop.add",
        "queue_group": "",
        "metadata": {"schema": "add"},
    }
    assert [endpoint["name"] for endpoint in info["endpoints"]] == ["add", "wait", "fail"]
    assert await nats_cli.micro(cli, "INFO", "other", wait=1.0) == []


async def test_stats_are_right(shop: Shop, cli: Client) -> None:
    [fresh] = await nats_cli.micro(cli, "STATS", "shop", wait=1.0)
    assert datetime.fromisoformat(fresh["started"]).tzinfo
    assert {endpoint["num_requests"] for endpoint in fresh["endpoints"]} == {0}
    for n in range(3):
        await ask(cli, "shop.add", json.dumps({"a": n}))
    for a in (1, 2):
        await ask(cli, "shop.fail", json.dumps({"a": a}))
    [stats] = await nats_cli.micro(cli, "STATS", "shop", shop.service.id, wait=1.0)
    add, _, fail = stats["endpoints"]
    assert (add["num_requests"], add["num_errors"], add["last_error"]) == (3, 0, "")
    assert (fail["num_requests"], fail["num_errors"]) == (2, 2)
    assert fail["last_error"] == "500:internal error"
    for endpoint in (add, fail):
        assert 0 < endpoint["average_processing_time"] <= endpoint["processing_time"] < 60e9
        assert all(isinstance(endpoint[name], int) for name in ("processing_time", "average_processing_time"))


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.2.3", "1.2.3"),
        ("0.1", "0.1.0"),
        ("0.2.dev1", "0.2.0-dev1"),
        ("1.2.3rc1+g0a1b", "1.2.3-rc1-g0a1b"),
        ("1.2.3.4", "1.2.3+4"),
    ],
)
def test_versions_become_semantic(version: str, expected: str) -> None:
    assert semantic(version) == expected
    assert re.fullmatch(r"\d+\.\d+\.\d+([-+][0-9A-Za-z-]+)?", expected)


async def test_names_are_checked(bus: Bus) -> None:
    for name in ("", "a b", "a.b", "$SRV"):
        with pytest.raises(ValueError, match="no name"):
            Service(bus, name, version="1.0.0")
    with pytest.raises(ValueError, match="no version"):
        Service(bus, "a", version="latest")


async def test_a_conflict_is_409(bus: Bus, cli: Client) -> None:
    async def clash(request: Add) -> Sum:
        raise Conflict("exists")

    service = Service(bus, "c", version="1.0.0")
    service.endpoint("clash", "c.clash", Add, clash)
    async with service:
        _, headers = await ask(cli, "c.clash", '{"a": 1}')
        assert headers["Nats-Service-Error-Code"] == "409"
