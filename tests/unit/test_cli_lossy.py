"""The stream of a tier's log loses what it cannot write, and says so when it can again."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from services.cli.lossy import LossyStream


def test_what_is_lost_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("w") as good, open("/dev/full", "w") as full:
        stream = LossyStream(good)
        logger = structlog.WriteLogger(stream)  # type: ignore[arg-type]
        logger.info("one\udcff")
        kept = os.dup(good.fileno())
        os.dup2(full.fileno(), good.fileno())
        logger.info("two")
        logger.info("three")
        os.dup2(kept, good.fileno())
        logger.info("four")
        logger.info("five")
    os.close(kept)
    missing = "2 lines of the log were lost: they could not be written"
    assert file.read_text().splitlines() == ["one\\udcff", "", missing, "four", "five"]


def test_a_closed_stream_harms_nobody(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as closed:
        pass
    stream = LossyStream(closed)
    stream.write("x\n")
    stream.flush()
