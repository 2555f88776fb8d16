"""The client on a real server: asking, answering, hearing, and what it does with bad input."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from bus.client import Bus, Message, NoAnswer
from bus.errors import BadMessage, BadRequest, OteError, Refused, Unavailable
from leafnodes.ports import free_port
from tests.support import NatsServer, eventually

Connect = Callable[..., Awaitable[Bus]]


async def echo(bus: Bus, subject: str = "echo") -> None:
    """Answers with what was asked."""
    await bus.subscribe(subject, lambda message: message.respond(message.data, message.headers))
    await bus.flush()


# Asking ------------------------------------------------------------------------------------------


async def test_a_request_is_answered_with_its_headers(bus: Bus) -> None:
    await echo(bus)
    answer = await bus.request("echo", b"hello", timeout=30, headers={"X-One": "1", "X-Two": " zwei ü "})
    assert answer.data == b"hello"
    assert answer.headers == {"X-One": "1", "X-Two": "zwei ü"}
    assert answer.status == ""
    assert (await bus.request("echo", b"", timeout=30)).headers == {}


async def test_where_nobody_listens_the_answer_comes_at_once(bus: Bus) -> None:
    start = time.monotonic()
    with pytest.raises(NoAnswer, match=r"nobody listens on no\.where") as nobody:
        await bus.request("no.where", b"", timeout=30)
    assert nobody.value.no_responders
    assert time.monotonic() - start < 25


async def test_a_deadline_ends_a_request(bus: Bus) -> None:
    await bus.subscribe("silent", lambda message: None)
    await bus.flush()
    with pytest.raises(Unavailable, match=r"no answer from silent within 0\.05 s") as late:
        await bus.request("silent", b"", timeout=0.05)
    assert isinstance(late.value, NoAnswer)
    assert not late.value.no_responders


async def test_many_requests_at_once_each_get_their_own_answer(bus: Bus) -> None:
    await echo(bus)
    answers = await asyncio.gather(*(bus.request("echo", b"%d" % n, timeout=30) for n in range(500)))
    assert [answer.data for answer in answers] == [b"%d" % n for n in range(500)]


async def test_an_answer_that_is_too_late_or_one_too_many_harms_nobody(bus: Bus) -> None:
    asked: list[Message] = []
    await bus.subscribe("slow", asked.append)
    await echo(bus)
    with pytest.raises(NoAnswer):
        await bus.request("slow", b"", timeout=0.05)
    for _ in range(2):
        asked[0].respond(b"late")
    assert (await bus.request("echo", b"on time", timeout=30)).data == b"on time"


async def test_a_cancelled_request_leaves_nothing_behind(bus: Bus) -> None:
    await bus.subscribe("silent", lambda message: None)
    asking = asyncio.create_task(bus.request("silent", b"", timeout=30))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not bus._inbox._waiting


# Many answers ------------------------------------------------------------------------------------


async def several(bus: Bus, answers: list[bytes]) -> None:
    def handler(message: Message) -> None:
        for answer in answers:
            message.respond(answer)

    await bus.subscribe("several", handler)
    await bus.flush()


async def test_all_answers_until_they_stall(bus: Bus) -> None:
    await several(bus, [b"1", b"2", b"3"])
    start = time.monotonic()
    answers = await bus.request_many("several", b"", timeout=30, stall=0.1)
    assert [answer.data for answer in answers] == [b"1", b"2", b"3"]
    assert time.monotonic() - start < 25


async def test_an_empty_message_ends_the_answers_at_once(bus: Bus) -> None:
    await several(bus, [b"1", b"2", b""])
    answers = await asyncio.wait_for(bus.request_many("several", b"", timeout=30, stall=30), 30)
    assert [answer.data for answer in answers] == [b"1", b"2"]


async def test_no_more_than_are_expected(bus: Bus) -> None:
    await several(bus, [b"1", b"2", b"3"])
    answers = await asyncio.wait_for(bus.request_many("several", b"", timeout=30, stall=30, expect=2), 30)
    assert [answer.data for answer in answers] == [b"1", b"2"]


async def test_the_total_time_ends_the_answers(bus: Bus) -> None:
    await several(bus, [b"1"])
    answers = await asyncio.wait_for(bus.request_many("several", b"", timeout=0.1, stall=30), 30)
    assert [answer.data for answer in answers] == [b"1"]


async def test_many_answers_from_nobody(bus: Bus) -> None:
    with pytest.raises(NoAnswer) as nobody:
        await bus.request_many("no.where", b"", timeout=30, stall=30)
    assert nobody.value.no_responders


# Hearing -----------------------------------------------------------------------------------------


async def test_messages_come_in_order_also_across_turns_of_the_loop(nats_server: NatsServer, connect: Connect) -> None:
    bus, other = await connect(nats_server), await connect(nats_server)
    heard: list[int] = []
    await bus.subscribe("n", lambda message: heard.append(int(message.data)))
    await bus.flush()
    for n in range(2000):
        other.send("n", b"%d" % n)
        if n % 7 == 0:
            await asyncio.sleep(0)
    await eventually(lambda: len(heard) == 2000)
    assert heard == list(range(2000))


async def test_flush_is_a_barrier_for_subscriptions(nats_server: NatsServer, connect: Connect) -> None:
    bus, other = await connect(nats_server), await connect(nats_server)
    heard: set[str] = set()
    for n in range(200):
        await bus.subscribe(f"b.{n}", lambda message: heard.add(message.subject))
        await bus.flush()
        other.send(f"b.{n}", b"")
    await other.flush()
    await bus.flush()
    assert len(heard) == 200


async def test_an_error_in_a_handler_is_counted_and_ends_nothing(bus: Bus) -> None:
    heard: list[bytes] = []

    def handler(message: Message) -> None:
        if message.data == b"bad":
            raise RuntimeError("no good")
        heard.append(message.data)

    await bus.subscribe("h", handler)
    for data in (b"1", b"bad", b"2"):
        bus.send("h", data)
    await bus.flush()
    assert heard == [b"1", b"2"]
    assert bus.stats.handler_errors == 1


async def test_what_a_full_queue_cannot_take_is_counted_and_told(bus: Bus) -> None:
    room: asyncio.Queue[Message] = asyncio.Queue(maxsize=3)
    told: list[bytes] = []
    bus.on_drop.append(lambda message: told.append(message.data))
    await bus.subscribe("flood", room.put_nowait)
    for n in range(10):
        bus.send("flood", b"%d" % n)
    await bus.flush()
    assert [room.get_nowait().data for _ in range(3)] == [b"0", b"1", b"2"]
    assert told == [b"%d" % n for n in range(3, 10)]
    assert bus.stats.drops == 7
    bus.send("flood", b"more")
    await bus.flush()
    assert room.get_nowait().data == b"more"


async def test_a_queue_group_shares_messages(bus: Bus) -> None:
    heard: list[list[bytes]] = [[], []]
    await bus.subscribe("work", lambda message: heard[0].append(message.data), queue="workers")
    await bus.subscribe("work", lambda message: heard[1].append(message.data), queue="workers")
    for n in range(50):
        bus.send("work", b"%d" % n)
    await bus.flush()
    assert sorted(heard[0] + heard[1]) == sorted(b"%d" % n for n in range(50))


async def test_an_ended_subscription_hears_nothing(bus: Bus) -> None:
    heard: list[bytes] = []
    subscription = await bus.subscribe("s.>", lambda message: heard.append(message.data))
    assert subscription.subject == "s.>"
    bus.send("s.a", b"1")
    await bus.flush()
    await subscription.end()
    await subscription.end()
    await bus.flush()
    bus.send("s.a", b"2")
    await bus.flush()
    assert heard == [b"1"]


async def test_drain_handles_what_has_come_and_can_still_answer(bus: Bus) -> None:
    asked: list[Message] = []
    await bus.subscribe("later", asked.append)
    await bus.flush()
    asking = asyncio.create_task(bus.request("later", b"", timeout=30))
    await eventually(lambda: asked)
    await bus.drain()
    asked[0].respond(b"done")
    assert (await asking).data == b"done"
    with pytest.raises(NoAnswer) as nobody:
        await bus.request("later", b"", timeout=30)
    assert nobody.value.no_responders


async def test_after_close_nothing_goes(nats_server: NatsServer, connect: Connect) -> None:
    bus = await connect(nats_server)
    other = await connect(nats_server)
    heard: list[bytes] = []
    await other.subscribe("last", lambda message: heard.append(message.data))
    await bus.subscribe("silent", lambda message: None)
    await other.flush()
    asking = asyncio.create_task(bus.request("silent", b"", timeout=30))
    await asyncio.sleep(0)
    bus.send("last", b"words")
    await bus.close()
    await bus.close()
    with pytest.raises(Unavailable, match="closed"):
        await asking
    with pytest.raises(Unavailable, match="closed"):
        bus.send("last", b"")
    with pytest.raises(Unavailable, match="closed"):
        await bus.subscribe("x", lambda message: None)
    with pytest.raises(Unavailable, match="closed"):
        await bus.flush()
    await eventually(lambda: heard == [b"words"])


# Bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB evil 0\r\n", "a\tb", "a\x00b", "a\ud800", "x" * 5000])
async def test_what_is_no_subject_is_refused(bus: Bus, subject: str) -> None:
    with pytest.raises(BadRequest):
        bus.send(subject, b"")
    with pytest.raises(BadRequest):
        await bus.request(subject, b"", timeout=1)
    with pytest.raises(BadRequest):
        await bus.subscribe(subject, lambda message: None)
    await bus.flush()


@pytest.mark.parametrize("pattern", ["a..b", "a.>.b", "a*", ".a"])
async def test_what_is_no_pattern_is_refused(bus: Bus, pattern: str) -> None:
    with pytest.raises(BadRequest, match="nothing to subscribe to"):
        await bus.subscribe(pattern, lambda message: None)
    await bus.flush()


@pytest.mark.parametrize("headers", [{"": "x"}, {"a b": "x"}, {"a:": "x"}, {"é": "x"}, {"a": "x\r\nb: y"}, {"a": "\n"}])
async def test_what_is_no_header_is_refused(bus: Bus, headers: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match="header"):
        bus.send("a", b"", headers)
    await bus.flush()


async def test_a_message_that_is_too_large_is_refused_and_the_connection_lives(bus: Bus) -> None:
    await echo(bus)
    headers = {"X": "1"}
    room = bus.max_payload - len(b"NATS/1.0\r\nX: 1\r\n\r\n")
    assert len((await bus.request("echo", b"x" * room, timeout=30, headers=headers)).data) == room
    for payload, some in ((b"x" * (room + 1), headers), (b"x" * (bus.max_payload + 1), None)):
        with pytest.raises(BadRequest, match="more than the server takes"):
            await bus.request("echo", payload, timeout=30, headers=some)
    assert bus.stats.reconnects == 0


async def test_a_foreign_subject_of_any_bytes_harms_nobody(bus: Bus, nats_server: NatsServer) -> None:
    heard: list[Message] = []
    await bus.subscribe("raw.>", heard.append)
    await bus.flush()
    reader, writer = await asyncio.open_connection(nats_server.host, nats_server.port)
    await reader.readline()
    writer.write(b'CONNECT {"headers":true,"verbose":false}\r\n')
    writer.write(b"PUB raw.\xff\xfe r.\xff 1\r\nx\r\n")
    head = b"NATS/1.0\r\nno colon\r\n\xff: \xff\r\nA:b\r\nA: c\r\n\r\n"
    writer.write(b"HPUB raw.h %d %d\r\n%s\r\n" % (len(head), len(head), head))
    await writer.drain()
    await eventually(lambda: len(heard) == 2)
    writer.close()
    assert heard[0].subject == "raw.\ufffd\ufffd"
    assert heard[1].headers["A"] == "c"
    assert bus.connected


async def test_a_call_is_answered_with_a_map_or_an_error(bus: Bus) -> None:
    answers = {
        "ok": (b'{"a": 1}', {}),
        "text": (b"hello", {}),
        "list": (b"[]", {}),
        "coded": (
            b'{"error": {"code": "not-found", "message": "no such", "field": "id", "hint": "look"}}',
            {"Nats-Service-Error": "no such", "Nats-Service-Error-Code": "404"},
        ),
        "bare": (b"", {"Nats-Service-Error": "it broke", "Nats-Service-Error-Code": "500"}),
        "odd": (b'{"error": 5}', {"Nats-Service-Error": "it broke", "Nats-Service-Error-Code": "500"}),
    }

    def handler(message: Message) -> None:
        message.respond(*answers[message.subject.removeprefix("svc.")])

    await bus.subscribe("svc.*", handler)
    await bus.flush()
    assert await bus.call("svc.ok", {"x": "é"}, timeout=30) == {"a": 1}
    for name in ("text", "list"):
        with pytest.raises(BadMessage):
            await bus.call(f"svc.{name}", {}, timeout=30)
    with pytest.raises(OteError, match="no such") as coded:
        await bus.call("svc.coded", {}, timeout=30)
    assert (coded.value.code, coded.value.field, coded.value.hint) == ("not-found", "id", "look")
    for name in ("bare", "odd"):
        with pytest.raises(OteError, match="it broke"):
            await bus.call(f"svc.{name}", {}, timeout=30)


# Connecting --------------------------------------------------------------------------------------


async def test_a_server_that_is_not_there_is_given_up_in_time() -> None:
    url = f"nats://ada:secret@127.0.0.1:{free_port()}"
    start = time.monotonic()
    with pytest.raises(Unavailable, match="no NATS server answers") as away:
        await Bus.connect(url, name="test", patience=0.3)
    assert time.monotonic() - start < 25
    assert "secret" not in away.value.message
    assert away.value.hint


async def test_what_is_no_address_is_refused() -> None:
    for url in ("nats://:port", "nats://host:99999999", ""):
        with pytest.raises(OteError) as refused:
            await Bus.connect(url, name="test", patience=0.5)
        assert refused.value.message


async def test_credentials(nats_servers: Callable[..., NatsServer], connect: Connect) -> None:
    server = nats_servers('authorization { user: ada, password: "s3cret" }')
    bus = await connect(server, user="ada", password="s3cret")
    await bus.flush()
    for password in (None, "wrong"):
        with pytest.raises(Refused, match="refused these credentials"):
            await Bus.connect(server.url, name="test", patience=30, user="ada", password=password)


async def test_a_refused_subject_does_not_end_the_connection(
    nats_servers: Callable[..., NatsServer], connect: Connect
) -> None:
    allowed = '["ok", "_IN.>"]'
    server = nats_servers(
        f"authorization {{ user: ada, password: x, permissions: {{ publish: {allowed}, subscribe: {allowed} }} }}"
    )
    bus = await connect(server, user="ada", password="x", inbox="_IN.ada")
    await echo(bus, "ok")
    await bus.subscribe("forbidden", lambda message: None)
    bus.send("forbidden", b"")
    await bus.flush()
    assert (await bus.request("ok", b"1", timeout=30)).data == b"1"
    assert bus.stats.reconnects == 0


async def test_a_cancel_is_not_lost_though_the_answer_comes_in_the_same_moment(nats_server: NatsServer) -> None:
    async with await Bus.connect(nats_server.url, name="cancelled") as bus:
        task = asyncio.create_task(bus.flush())
        await asyncio.sleep(0)
        # Its answer wakes the task, and then it is cancelled, before it goes on.
        bus._connection._pongs[-1].add_done_callback(lambda _: task.cancel())
        with pytest.raises(asyncio.CancelledError):
            await task
        await bus.flush()
