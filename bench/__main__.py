"""`python -m bench [--case NAME] [--long]`: our figures against the raw limits of the same run."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from bench import command, failover, log, many, neighbours, orphans, security
from bench.harness import Result, save

CASES: dict[str, Callable[[], Awaitable[list[Result]]]] = {
    "latency": command.latency,
    "throughput": command.throughput,
    "append": log.append,
    "catch-up": log.catch_up,
    "replay": log.replay,
    "fan-out": many.fan_out,
    "crowd": many.crowds,
    "failover": failover.failover,
    "fall-back": failover.fall_back,
    "orphans": orphans.orphans,
    "neighbours": neighbours.neighbours,
    "signatures": security.signatures,
    "tls": security.tls,
    "permissions": security.permissions,
}


def main() -> None:
    """Runs the cases and prints a table."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--case", choices=sorted(CASES), help="only this one")
    parser.add_argument("--long", action="store_true", help="also what takes minutes: a crowd of 5,000 clusters")
    arguments = parser.parse_args()
    chosen, cases = arguments.case, dict(CASES)
    if arguments.long:
        cases["crowd"] = partial(many.crowds, (*many.SIZES, many.MANY))
    # As `ote tier` does: the root's tier runs in this process.
    sys.setswitchinterval(0.0005)
    gc.set_threshold(100_000, 50, 100)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    console = Console()
    results: list[Result] = []
    for name in [chosen] if chosen else cases:
        console.print(f"{name} ...")
        results += _run(cases[name]())
    console.print(_table(results))
    save(results, Path("build/bench.json"))
    console.print("written to build/bench.json")


def _run(case: Awaitable[list[Result]]) -> list[Result]:
    async def measure() -> list[Result]:
        return await case

    try:
        import uvloop
    except ImportError:
        return asyncio.run(measure())
    return uvloop.run(measure())


def _table(results: list[Result]) -> Table:
    table = Table("case", "ours", "raw", "unit", "ratio", "goal", "met")
    for each in results:
        met = "[green]yes" if each.met else "[red]no"
        table.add_row(each.case, f"{each.ours:,}", f"{each.raw:,}", each.unit, f"{each.ratio}x", f"{each.goal}x", met)
    return table


if __name__ == "__main__":
    main()
