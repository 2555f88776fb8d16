"""A stand-in for the `nats` command line: `python -m tests.nats_cli req SUBJECT BODY` and so on.

It sends what the real one sends, by a client that is not ours: no headers unless asked for, an inbox
for each request, and `reply` in the queue group NATS-RPLY-22, one request after the other, its command
without a shell and without standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shlex
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

QUEUE = "NATS-RPLY-22"
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


@asynccontextmanager
async def client(server: str) -> AsyncIterator[Client]:
    """A plain connection."""
    connection = await nats.connect(server, name="NATS CLI", max_reconnect_attempts=-1, reconnect_time_wait=1)
    try:
        yield connection
    finally:
        await connection.close()


async def request(
    connection: Client,
    subject: str,
    body: str | bytes = "",
    *,
    headers: dict[str, str] | None = None,
    replies: int = 1,
    timeout: float = 5.0,
    reply_timeout: float = 0.3,
) -> list[Msg]:
    """The answers, as `nats req` takes them: so many as `replies` (0: until `timeout` is over). [] if nobody
    listens."""
    payload = body if isinstance(body, bytes) else template(body).encode()
    answers: list[Msg] = []
    subscription = await connection.subscribe(connection.new_inbox())
    try:
        # nats-py writes a PING before what still waits: of two flushes the second is a barrier.
        await connection.flush()
        await connection.flush()
        start = time.monotonic()
        await connection.publish(subject, payload, reply=subscription.subject, headers=headers)
        left = timeout
        total = 0.0
        while True:
            answer = await subscription.next_msg(left)
            if (answer.headers or {}).get("Status") == "503":
                return []
            answers.append(answer)
            if len(answers) == replies:
                return answers
            total += time.monotonic() - start
            left = total / len(answers) + reply_timeout if replies else timeout - (time.monotonic() - start)
    except nats.errors.TimeoutError:
        return answers
    finally:
        await subscription.unsubscribe()


async def reply(
    connection: Client,
    subject: str,
    body: str = "",
    *,
    command: str = "",
    queue: str = QUEUE,
    headers: dict[str, str] | None = None,
) -> None:
    """Answers requests as `nats reply` does, until the connection is closed."""
    count = 0

    async def answer(message: Msg) -> None:
        nonlocal count
        if command:
            data = await run(command, message)
        elif body:
            data = template(body, message.data.decode(errors="replace"), count).encode()
        else:
            data = message.data
        await connection.publish(message.reply, data, headers=headers)
        count += 1

    await connection.subscribe(subject, queue=queue, cb=answer)
    await connection.flush()
    await connection.flush()


async def run(command: str, message: Msg) -> bytes:
    """What a command prints on both its outputs; it finds the request in its environment."""
    request_body = message.data.decode(errors="replace")
    for index, token in enumerate(message.subject.split(".")):
        command = command.replace(f"{{{{{index}}}}}", token)
    process = await asyncio.create_subprocess_exec(
        *shlex.split(template(command, request_body)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "NATS_REQUEST_SUBJECT": message.subject, "NATS_REQUEST_BODY": request_body},
    )
    output, _ = await process.communicate()
    return output


def template(text: str, request_body: str = "", count: int = 1) -> str:
    """The Go templates that people use most; others stay as they are."""
    text = re.sub(r"\{\{\s*\.?Request\s*\}\}", lambda _: request_body, text)
    return re.sub(r"\{\{\s*\.?(Count|Cnt)\s*\}\}", str(count), text)


async def micro(connection: Client, verb: str, name: str = "", id: str = "", *, wait: float = 1.0) -> list[Any]:
    """What services answer to PING, INFO or STATS, by name."""
    subject = ".".join(part for part in ("$SRV", verb, name, id) if part)
    answers = [json.loads(m.data) for m in await request(connection, subject, replies=0, timeout=wait)]
    wrong = [answer for answer in answers if answer["type"] != f"io.nats.micro.v1.{verb.lower()}_response"]
    if wrong:
        raise ValueError(f"invalid response type {wrong[0]['type']}")
    return sorted(answers, key=lambda answer: (answer["name"], answer["id"]))


# The command line --------------------------------------------------------------------------------


def seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9.]+)(ms|s|m)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration, such as 300ms or 5s")
    return float(found[1]) * UNITS[found[2]]


def arguments() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("-s", "--server")
    common.add_argument("--timeout", type=seconds)
    parser = argparse.ArgumentParser(prog="nats", parents=[common])
    verbs = parser.add_subparsers(dest="verb", required=True)

    def verb(name: str, *aliases: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, aliases=aliases, parents=[common])
        made.set_defaults(verb=name)
        made.add_argument("subject")
        made.add_argument("-H", "--header", action="append", default=[])
        return made

    req = verb("req", "request")
    req.add_argument("body", nargs="?", default="")
    req.add_argument("-r", "--raw", action="store_true")
    req.add_argument("--replies", type=int, default=1)
    req.add_argument("--reply-timeout", type=seconds, default=0.3)
    verb("pub", "publish").add_argument("body", nargs="?", default="")
    sub = verb("sub", "subscribe")
    sub.add_argument("-r", "--raw", action="store_true")
    sub.add_argument("--count", type=int, default=0)
    rep = verb("reply")
    rep.add_argument("body", nargs="?", default="")
    rep.add_argument("--command", default="")
    rep.add_argument("-q", "--queue", default=QUEUE)
    services = verbs.add_parser("micro", parents=[common])
    services.add_argument("what", choices=["ls", "list", "info", "stats", "ping"])
    services.add_argument("name", nargs="?", default="")
    services.add_argument("id", nargs="?", default="")
    services.add_argument("-j", "--json", action="store_true")
    return parser


async def main(argv: Sequence[str]) -> None:
    given = arguments().parse_args(argv)
    server = getattr(given, "server", None) or os.environ.get("NATS_URL") or "nats://127.0.0.1:4222"
    timeout = getattr(given, "timeout", 5.0)
    async with client(server) as connection:
        await globals()[f"_{given.verb}"](connection, given, timeout)


async def _req(connection: Client, given: argparse.Namespace, timeout: float) -> None:
    log(given.raw, f'Sending request on "{given.subject}"')
    answers = await request(
        connection,
        given.subject,
        given.body,
        headers=_headers(given),
        replies=given.replies,
        timeout=timeout,
        reply_timeout=given.reply_timeout,
    )
    if not answers:
        log(False, "No responders are available, or none answered in time")
    for answer in answers:
        _show(answer, given.raw)


async def _pub(connection: Client, given: argparse.Namespace, timeout: float) -> None:
    payload = template(given.body).encode()
    await connection.publish(given.subject, payload, headers=_headers(given))
    await connection.flush()
    await connection.flush()
    log(False, f'Published {len(payload)} bytes to "{given.subject}"')


async def _sub(connection: Client, given: argparse.Namespace, timeout: float) -> None:
    subscription = await connection.subscribe(given.subject)
    await connection.flush()
    await connection.flush()
    log(False, f"Subscribing on {given.subject}")
    count = 0
    async for message in subscription.messages:
        count += 1
        log(given.raw, f'[#{count}] Received on "{message.subject}"')
        _show(message, given.raw)
        if count == given.count:
            return


async def _reply(connection: Client, given: argparse.Namespace, timeout: float) -> None:
    await reply(
        connection, given.subject, given.body, command=given.command, queue=given.queue, headers=_headers(given)
    )
    log(False, f'Listening on "{given.subject}" in group "{given.queue}"')
    await asyncio.Event().wait()


async def _micro(connection: Client, given: argparse.Namespace, timeout: float) -> None:
    verb = {"ls": "INFO", "list": "INFO", "info": "INFO", "stats": "STATS", "ping": "PING"}[given.what]
    found = await micro(connection, verb, given.name, given.id, wait=min(timeout, 1.0))
    if given.json:
        print(json.dumps(found, indent=2))
        return
    for service in found:
        print(service["name"], service["version"], service["id"], service.get("description", ""))
        for endpoint in service.get("endpoints", []) if given.what in ("info", "stats") else []:
            print("  ", *(f"{key}={value}" for key, value in endpoint.items()))


def _headers(given: argparse.Namespace) -> dict[str, str] | None:
    pairs = (header.partition(":") for header in given.header)
    return {name.strip(): value.strip() for name, _, value in pairs} or None


def _show(message: Msg, raw: bool) -> None:
    for name, value in ({} if raw else message.headers or {}).items():
        print(f"{name}: {value}")
    print(message.data.decode(errors="replace"), flush=True)


def log(quiet: bool, text: str) -> None:
    if not quiet:
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
