"""The command shim: what may be run, with which arguments, for how long; real programs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bus.errors import BadRequest
from bus.event import format_time, new_id
from services.shims import finals
from services.shims.base import Answer, Request
from services.shims.command import CommandShim, read_programs
from tests.support import eventually


def shim(tmp_path: Path, **programs: Any) -> CommandShim:
    file = tmp_path / "commands.json"
    file.write_text(json.dumps({name.replace("_", "-"): one for name, one in programs.items()}))
    return CommandShim(read_programs(file))


async def do(shim: CommandShim, verb: str, seconds: float = 60.0, **args: Any) -> Answer:
    deadline = format_time(datetime.now(UTC) + timedelta(seconds=seconds))
    return await shim.execute(Request(new_id(), 1, verb, args, deadline))


def python(code: str, *words: str, **more: Any) -> dict[str, Any]:
    return {"argv": [sys.executable, "-c", code, *words], **more}


def gone(pid: int) -> bool:
    """A child whose parent is gone may stay a zombie where nobody reaps."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_words_reach_the_program_as_they_are(tmp_path: Path) -> None:
    show = python("import sys; print(sys.argv[1:])", "--name={name}", "{text}", args={"name": ".*", "text": ".*"})
    answer = await do(shim(tmp_path, show=show), "show", name="a b", text="$(id); `id` 'x' {name}")
    assert answer.ok and answer.result["exit"] == 0
    assert answer.result["stdout"] == str(["--name=a b", "$(id); `id` 'x' {name}"]) + "\n"


async def test_exit_code_and_outputs_are_told_also_of_a_failure(tmp_path: Path) -> None:
    fail = python("import sys; print('out'); sys.exit('no disk')")
    answer = await do(shim(tmp_path, fail=fail), "fail")
    assert not answer.ok and answer.error is not None
    assert (answer.error.code, answer.error.message) == ("exit", f"{sys.executable} ended with exit code 1: no disk")
    kind, said = finals.of_answer(answer)
    assert kind.endswith("failed.v1") and said["error"]["code"] == "exit"
    assert (said["result"]["exit"], said["result"]["stdout"], said["result"]["stderr"]) == (1, "out\n", "no disk\n")


async def test_a_program_ends_with_its_children_when_its_time_is_over(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    sleeper = f"sleep 300 & echo $! $$ > {pids}; echo began; wait"
    slow = shim(tmp_path, slow={"argv": ["sh", "-c", sleeper], "timeout": 0.5}, long={"argv": ["sh", "-c", sleeper]})
    for verb, seconds in (("slow", 60.0), ("long", 0.5)):
        answer = await do(slow, verb, seconds)
        assert answer.error is not None and answer.error.code == "timeout"
        assert (answer.result["exit"], answer.result["stdout"]) == (-9, "began\n")
        for pid in pids.read_text().split():
            await eventually(lambda: gone(int(pid)), what=f"{pid} has ended")


async def test_what_is_left_running_ends_with_the_program(tmp_path: Path) -> None:
    # The second is still there when the program is waited for, and holds its output open.
    for script in ("sleep 300 & echo $!", "sleep 300 & echo $!; sleep 0.3"):
        answer = await do(shim(tmp_path, left={"argv": ["sh", "-c", script]}), "left")
        assert answer.ok and answer.result["seconds"] < 30
        await eventually(lambda: gone(int(answer.result["stdout"])), what="it has ended")


async def test_who_leaves_the_group_holds_nothing_up(tmp_path: Path) -> None:
    inner = f"echo $$; touch {tmp_path}/away; exec sleep 300"
    script = f"setsid sh -c '{inner}' & until test -e {tmp_path}/away; do sleep 0.02; done"
    away = shim(tmp_path, away={"argv": ["sh", "-c", script], "timeout": 20})
    answer = await do(away, "away")
    os.kill(int(answer.result["stdout"]), 9)
    assert answer.ok and answer.result["seconds"] < 20


async def test_open_files_are_closed(tmp_path: Path) -> None:
    made = shim(tmp_path, say={"argv": ["echo", "x"]}, nobody={"argv": ["/no/such/program"]})
    await do(made, "say")
    before = len(os.listdir("/proc/self/fd"))
    for verb in ("say", "nobody") * 5:
        await do(made, verb)
    await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before, what="all are closed")


async def test_a_run_that_is_given_up_ends(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    long = shim(tmp_path, long={"argv": ["sh", "-c", f"echo $$ > {file}.new; mv {file}.new {file}; sleep 300"]})
    running = asyncio.create_task(do(long, "long"))
    await eventually(file.exists, what="it runs")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await eventually(lambda: gone(int(file.read_text())), what="it has ended")


async def test_of_long_output_both_ends_are_kept(tmp_path: Path) -> None:
    much = python("import sys; sys.stdout.write('a' * 5_000_000 + 'z')")
    out = (await do(shim(tmp_path, much=much), "much")).result["stdout"]
    assert len(out) < 70_000 and out.startswith("aaa") and out.endswith("az") and "4934465 bytes left out" in out


async def test_the_environment_holds_no_secret_of_the_tier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTE_SECRET", "x")
    env = python("import os, json; print(json.dumps(dict(os.environ)))", env={"SHOP": "7"})
    seen = json.loads((await do(shim(tmp_path, env=env), "env")).result["stdout"])
    assert seen["SHOP"] == "7" and seen["PATH"] == os.environ["PATH"] and seen["OTE_ATTEMPT"] == "1"
    assert "OTE_SECRET" not in seen


async def test_nothing_begins_too_late_or_unknown_or_not_there(tmp_path: Path) -> None:
    made = tmp_path / "made"
    touch = {"argv": ["touch", str(made)]}
    here = shim(tmp_path, touch=touch, nobody={"argv": ["/no/such/program"]})
    for verb, seconds, code in (("touch", -1, "expired"), ("rm", 9, "unknown-verb"), ("nobody", 9, "not-started")):
        answer = await do(here, verb, seconds)
        assert answer.error is not None and answer.error.code == code
    assert not made.exists()


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({}, "path"),
        ({"path": "etc"}, "path"),
        ({"path": "/etc\nx"}, "path"),
        ({"path": ["/etc"]}, "path"),
        ({"path": True}, "path"),
        ({"path": "/a", "more": 1}, "more"),
        ({"path": "/a", "any": "-rf"}, "any"),
        ({"path": "/a", "any": "a\0b"}, "any"),
        ({"path": "/a", "any": "a" * 5000}, "any"),
    ],
)
async def test_arguments_that_are_refused(tmp_path: Path, args: dict[str, Any], field: str) -> None:
    given = {"path": "/[a-z]+", "any": {"pattern": "(?s).*", "default": "x"}}
    listing = shim(tmp_path, list={"argv": ["true", "{path}", "{any}"], "args": given})
    assert (await do(listing, "list", path="/a")).ok
    answer = await do(listing, "list", **args)
    assert answer.error is not None and (answer.error.code, answer.error.field) == ("bad-request", field)


async def test_it_describes_what_may_be_repeated(tmp_path: Path) -> None:
    made = shim(
        tmp_path, one={"argv": ["a"]}, two={"argv": ["a"], "idempotent": True}, see={"argv": ["a"], "readOnly": True}
    )
    verbs = (await made.describe()).dump()["verbs"]
    assert {name: verb["idempotent"] for name, verb in verbs.items()} == {"one": False, "two": True, "see": True}
    assert [one async for one in made.watch()] == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a", "valid dictionary"),
        ("{a: {}}", "argv"),
        ("{a: {argv: []}}", "argv"),
        ("{a: {argv: [x], shell: true}}", "shell"),
        ("{A: {argv: [x]}}", "pattern"),
        ("{a: {argv: ['{x}'], args: {x: y}}}", "which program runs"),
        ("{a: {argv: [b, '{x}']}}", "x: must stand in argv"),
        ("{a: {argv: [b], args: {x: y}}}", "x: must stand in argv"),
        ("{a: {argv: [b, '{x}'], args: {x: '('}}}", "no regular expression"),
        ("{a: {argv: [b], timeout: 0}}", "timeout"),
        ("{a: [", "no YAML"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "commands.yaml"
    file.write_text(text)
    with pytest.raises(BadRequest, match=says) as caught:
        read_programs(file)
    assert caught.value.field == "commands"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="can not be read"):
        read_programs(tmp_path / "none.yaml")
    assert set(read_programs(Path("examples/commands.yaml"))) == {"disk", "count-lines", "notify"}
