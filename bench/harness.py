"""What every case shares: rows of results, medians over interleaved rounds, trees of real tiers."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.keyed import Keyring, config
from bus import subjects
from bus.client import Bus
from bus.credential import Credential
from leafnodes.credentials.joining import Token
from leafnodes.credentials.store import State, Store
from leafnodes.credentials.tier import SERVICES, Credentials
from services.controller.controller import Controller
from services.shims.host import Host
from services.shims.shims import make_shims
from services.tier import joining
from services.tier.run import Factory, tier
from services.tier.runtime import Runtime
from services.tier.settings import TierSettings

ROUNDS = 5


@dataclass(frozen=True)
class Result:
    """One case. `ratio` is ours in terms of raw; `goal` is a bound on it, from above where less is better."""

    case: str
    ours: float
    raw: float
    unit: str
    ratio: float
    goal: str
    met: bool


def less(case: str, ours: Sequence[float], raw: Sequence[float], unit: str, goal: float) -> Result:
    """A case where less is better: the medians over rounds."""
    mine, limit = statistics.median(ours), statistics.median(raw)
    return Result(
        case, round(mine, 3), round(limit, 3), unit, round(mine / limit, 2), f"<= {goal}", mine / limit <= goal
    )


def more(case: str, ours: Sequence[float], raw: Sequence[float], unit: str, goal: float) -> Result:
    """A case where more is better: the medians over rounds."""
    mine, limit = statistics.median(ours), statistics.median(raw)
    return Result(case, round(mine), round(limit), unit, round(mine / limit, 2), f">= {goal}", mine / limit >= goal)


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which this part of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


@dataclass(frozen=True)
class Chain:
    """A root in this process and tiers below it, each a process of its own: `paths` from the root down."""

    controller: Controller
    runtime: Runtime
    leaf: str
    paths: list[str]
    urls: list[str]


@asynccontextmanager
async def chain(
    depth: int, *, keyed: bool = False, tls: bool = False, trusted: bool = False, **more: Any
) -> AsyncIterator[Chain]:
    """Real tiers over `depth` leaf hops; the last one executes with the local shim. `more` are settings of
    the root. They are `keyed` where they sign what they say; with `tls` all that travels is encrypted; `trusted` ones
    have credentials, and so both sign and are permitted what they may say and hear, subject by subject."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ote-bench-")))
        found: list[Controller] = []
        runtimes: list[Runtime] = []

        def controller(runtime: Runtime) -> Controller:
            runtimes.append(runtime)
            found.append(Controller(runtime))
            return found[-1]

        def host(runtime: Runtime) -> Host:
            return Host(runtime, make_shims(runtime, runtime.settings.shims))

        tree = ["root"]
        for level in range(1, depth + 1):
            tree.append(f"{tree[-1]}.t{level}")
        keys = Keyring.make(tree) if keyed else None
        settings = TierSettings(path="root", state=folder / "root", shims=[], tls="on" if tls else "auto", **more)
        factories: list[Factory] = [host, controller, *([keys.admission("root")] if keys else [])]
        trust = keys.trust("root", settings.state) if keys else None
        if trusted:
            Credentials.found(settings.state, State(path="root"))
        info = await stack.enter_async_context(tier(settings, factories, trust))
        paths, urls, leaf = ["root"], [info["nats"]], info["leaf"]
        for level in range(1, depth + 1):
            path = f"{paths[-1]}.t{level}"
            if trusted:
                await _admit(info["nats"], folder / paths[-1], path, folder / path)
            starting = child(path, folder / path, info["leaf"], shims=level == depth, keys=keys, tls=tls)
            below = await stack.enter_async_context(starting)
            info = below
            paths.append(path)
            urls.append(info["nats"])
        await seen(found[0], paths[-1])
        yield Chain(found[0], runtimes[0], leaf, paths, urls)


async def _admit(url: str, parent: Path, path: str, state: Path) -> None:
    """The directory of a child that this tier has admitted."""
    credential = Credential.load(Store(parent).user_file(SERVICES))
    async with await Bus.connect(url, name="bench", credential=credential) as bus:
        answer = await bus.call(subjects.local("join_token"), {"path": path}, timeout=10)
    await joining.join(Token.parse(answer["token"]), state, lambda _: None)


async def seen(controller: Controller, path: str, deadline: float = 30.0) -> None:
    """Returns when the root knows the cluster and its shims."""
    async with asyncio.timeout(deadline):
        while (row := controller.registry.snapshot.rows.get(path)) is None or not row.announced:
            await asyncio.sleep(0.02)


@asynccontextmanager
async def child(
    path: str, state: Path, parent: str, *, shims: bool, keys: Keyring | None = None, tls: bool = False
) -> AsyncIterator[dict[str, str]]:
    """A tier as a process; its `tier.json`."""
    command = ["-m", "services.cli", "tier", "--path", path, "--state", str(state), "--parent", parent]
    command += [] if shims else ["--no-shims"]
    command += ["--tls", "on"] if tls else []
    state.mkdir(parents=True, exist_ok=True)
    if keys is not None:
        settings = TierSettings(path=path, state=state, parent=parent, **({} if shims else {"shims": []}))
        (state / "keyed.json").write_text(config(settings, keys))
        command = ["-m", "bench.keyed", str(state / "keyed.json")]
    with (state / "tier.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=log, stderr=log)
        try:
            async with asyncio.timeout(30):
                while not (state / "tier.json").exists():
                    if process.returncode is not None:
                        raise RuntimeError(f"{path} did not start: {(state / 'tier.log').read_text()[-2000:]}")
                    await asyncio.sleep(0.02)
            yield json.loads((state / "tier.json").read_text())
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def rounds(
    measures: Sequence[Callable[[], Awaitable[list[float]]]], count: int = ROUNDS
) -> list[list[list[float]]]:
    """Runs the measures in turn, `count` times, so that what disturbs the machine disturbs all of them.
    For each measure the values of each round."""
    out: list[list[list[float]]] = [[] for _ in measures]
    for _ in range(count):
        for place, measure in enumerate(measures):
            out[place].append(await measure())
    return out


def save(results: Sequence[Result], file: Path) -> None:
    """Writes the results as JSON, a list of objects."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
