"""What security costs: the same commands through two trees side by side, one with it and one without."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from bench import command
from bench.command import IN_FLIGHT, one
from bench.harness import Chain, Result, chain, less, more, percentile, rounds

FEW, MANY, DEPTH = 200, 2_000, 2
#: Each tier on the way verifies each event, and its source has signed it.
GOAL_LATENCY, GOAL_RATE = 1.6, 0.4


async def signatures() -> list[Result]:
    """Latency and rate with and without signatures."""
    async with chain(DEPTH) as plain, chain(DEPTH, keyed=True) as signed:
        return await _compare("signed against unsigned", signed, plain)


async def permissions() -> list[Result]:
    """Latency and rate with credentials, whose permissions NATS looks up for each message at each hop, and with a
    password; both trees sign what they say."""
    async with chain(DEPTH, keyed=True) as plain, chain(DEPTH, trusted=True) as confined:
        return await _compare("with permissions against a password", confined, plain)


async def tls() -> list[Result]:
    """Latency and rate with TLS on every port and link, and without."""
    async with chain(DEPTH) as plain, chain(DEPTH, tls=True) as secret:
        return await _compare("over TLS against without", secret, plain)


async def _compare(what: str, ours: Chain, plain: Chain) -> list[Result]:
    counter = iter(range(10**9))
    for tree in (plain, ours) * 50:
        await one(tree, next(counter))

    async def latency(tree: Chain) -> list[float]:
        return [await one(tree, next(counter)) for _ in range(FEW)]

    async def rate(tree: Chain) -> list[float]:
        return [await command.rate(MANY, lambda: one(tree, next(counter)))]

    measures: list[Callable[[], Awaitable[list[float]]]] = [
        partial(latency, ours), partial(latency, plain), partial(rate, ours), partial(rate, plain),
    ]  # fmt: skip
    mine, without, fast, faster = await rounds(measures)
    name = f"durable command, {DEPTH} leaf hops, {what}"
    rates = [each[0] for each in fast], [each[0] for each in faster]
    return [
        less(f"{name}, p50", _ms(mine, 0.5), _ms(without, 0.5), "ms", GOAL_LATENCY),
        less(f"{name}, p99", _ms(mine, 0.99), _ms(without, 0.99), "ms", GOAL_LATENCY),
        more(f"the same, {IN_FLIGHT} in flight", *rates, "commands/s", GOAL_RATE),
    ]


def _ms(values: list[list[float]], part: float) -> list[float]:
    return [percentile(each, part) * 1000 for each in values]
