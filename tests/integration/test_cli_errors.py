"""Errors name what is wrong, and what to do: each as somebody tired would meet it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from services.cli.exits import Exit
from services.cli.main import run
from tests.integration.cli import Ote

Case = tuple[str, Exit, str, str]

QUESTIONS: list[Case] = [
    ("gett", Exit.BAD_INPUT, "unknown command 'gett'; did you mean get?", "ote --help"),
    ("get cluster", Exit.BAD_INPUT, 'Did you mean "clusters"?', "ote get --help"),
    ("get clusters --treee", Exit.BAD_INPUT, "Did you mean --tree?", "ote get clusters --help"),
    ("get clusters", Exit.UNAVAILABLE, "no tier to talk to", "ote lab up"),
    ("get clusters --lab nowhere", Exit.UNAVAILABLE, "no lab in nowhere", "ote lab up --state nowhere"),
    ("get clusters --server nats://127.0.0.1:1", Exit.UNAVAILABLE, "no NATS server answers", "ote doctor"),
    ("get clusters --server nats://x:1 --lab y", Exit.BAD_INPUT, "exclude each other", "leave one"),
    ("apply -f nothere --on x", Exit.BAD_INPUT, "nothere does not exist (-f)", "standard input"),
    ("apply -f . --on x", Exit.BAD_INPUT, "no manifest in .", ".yaml"),
    ("delete ConfigMap x -f y --on z", Exit.BAD_INPUT, "either -f FILE or KIND NAME", "ote delete --help"),
    ("run --on x list kind", Exit.BAD_INPUT, "'kind' is no argument", "key=text"),
    ("run --on x list --wait soon", Exit.BAD_INPUT, "'soon' is no span of time", "ote run --help"),
    ("log --since yesterday", Exit.BAD_INPUT, "write how long ago (90s, 10m, 2h, 7d), or a time", "ote log --help"),
    ("log --limit 0", Exit.BAD_INPUT, "Must be >= 1", "ote log --help"),
    ("store verify", Exit.BAD_INPUT, "either --state DIR or --log FILE", "DIR/log.db"),
    ("store verify --state nowhere", Exit.NOT_FOUND, "there is no log at nowhere/log.db", "ote lab status"),
    ("lab cut root.east", Exit.UNAVAILABLE, "no lab in .ote-lab", "ote lab up"),
    ("lab up --state file/below", Exit.BAD_INPUT, "can not be the lab's", "--state DIR"),
    ("shim check greet a=b", Exit.BAD_INPUT, "arguments are for a verb", "--verb"),
    ("top --interval 1ms", Exit.BAD_INPUT, "too often", "at least"),
]

TIERS: list[Case] = [
    ("tier --path Root", Exit.BAD_INPUT, "'Root'", "try 'root'"),
    ("tier --path root --port 99999", Exit.BAD_INPUT, "99999: it should be less than", "ote tier --help"),
    ("tier --path root --service nope", Exit.BAD_INPUT, "(--service)", "ote tier --help"),
    ("tier --path root --parent foo", Exit.BAD_INPUT, "parent's url is wrong", "nats-leaf://user:password@host:port"),
    ("tier --path root --state file/below", Exit.BAD_INPUT, "can not be the tier's directory", "--state DIR"),
    ("tier --path root --nats-binary /nope", Exit.NOT_FOUND, "/nope is not a program", "nats-server"),
]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory, with nothing said about tiers."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for name in ("OTE_SERVER", "OTE_LAB"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    structlog.reset_defaults()


def by_line(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("line", "code", "says", "hint"), cases, ids=[case[0] for case in cases])


def check(err: str, says: str, hint: str) -> None:
    first, second = err.strip().splitlines()
    assert first.startswith("error: ") and says in first
    assert second.startswith("hint: ") and hint in second


@by_line(QUESTIONS)
def test_an_error_names_its_remedy(
    line: str, code: Exit, says: str, hint: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == code
    captured = capsys.readouterr()
    assert not captured.out
    check(captured.err, says, hint)


# A tier decides for its whole process how it logs.
@by_line(TIERS)
async def test_a_tier_that_cannot_start_says_why(line: str, code: Exit, says: str, hint: str, desk: Path) -> None:
    ran = await Ote(desk, None)(*line.split())
    assert (ran.code, ran.out) == (code, "")
    check(ran.err, says, hint)


def test_help_that_is_shown_by_itself_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["get"]) == Exit.OK
    assert capsys.readouterr().out.startswith("Usage: ote get COMMAND")
