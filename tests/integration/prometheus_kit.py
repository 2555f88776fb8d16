"""A real Prometheus for tests: Debian's, on a free port, with its data in a directory of its own."""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from leafnodes.ports import free_port
from tests.support import eventually

Answer = Any


def program(name: str) -> str:
    """Where the program is. The test is skipped where it is missing, and fails where it must be there (OTE_CI)."""
    found = shutil.which(name)
    if found is None:
        (pytest.fail if os.environ.get("OTE_CI") else pytest.skip)(f"no {name} here: apt-get install prometheus")
    return found


async def promtool(*words: str, stdin: bytes = b"") -> tuple[str, int]:
    """What it says, and its exit code."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        program("promtool"), *words, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate(stdin)
    assert process.returncode is not None
    return said.decode(), process.returncode


class Prometheus:
    """Started with a configuration; asked over its HTTP API."""

    def __init__(self, directory: Path, config: Mapping[str, Any]) -> None:
        self._directory = directory
        self._config = config
        self._port = free_port()
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._directory.mkdir()
        config = self._directory / "prometheus.yml"
        config.write_text(yaml.safe_dump(dict(self._config)))
        said, code = await promtool("check", "config", str(config))
        assert code == 0, said
        words = [program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={self._directory / 'data'}"]
        with (self._directory / "prometheus.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *words, f"--web.listen-address=127.0.0.1:{self._port}", stderr=log
            )
        try:
            await eventually(self._ready, 30, what="prometheus is ready")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def _ready(self) -> bool:
        if self._process is None or self._process.returncode is not None:
            raise RuntimeError((self._directory / "prometheus.log").read_text())
        try:
            await self._get("/-/ready")
        except OSError:
            return False
        return True

    async def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The series that this expression has now, without those that are no number."""
        answer = await self._ask("query", query=expression)
        assert answer["resultType"] == "vector", expression
        series = [(one["metric"], float(one["value"][1])) for one in answer["result"]]
        return [(labels, value) for labels, value in series if not math.isnan(value)]

    async def label_values(self, metric: str, label: str) -> list[str]:
        """What Grafana fills a variable with."""
        values: list[str] = await self._ask(f"label/{label}/values", **{"match[]": metric})
        return values

    async def _ask(self, what: str, **parameters: str) -> Answer:
        body = await self._get(f"/api/v1/{what}?{urllib.parse.urlencode(parameters)}")
        return json.loads(body)["data"]

    async def _get(self, path: str) -> bytes:
        return await asyncio.to_thread(_fetch, f"http://127.0.0.1:{self._port}{path}")


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        body: bytes = answer.read()
    return body
