"""The command shim in a tier: results travel, and a tier that dies over a program leaves no lie."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.integration.tiers import Answer, Tiers
from tests.support import eventually


async def test_programs_run_once_or_are_in_doubt(tiers: Tiers, tmp_path: Path) -> None:
    ran, file = tmp_path / "ran", tmp_path / "commands.yaml"
    ran.touch()
    script = f"echo $0 >> {ran}; until test -e {tmp_path}/quick; do sleep 0.1; done"
    programs = {
        "say": {"argv": ["echo", "{text}"], "args": {"text": "[a-z ]+"}},
        "once": {"argv": ["sh", "-c", script, "once"]},
        "again": {"argv": ["sh", "-c", script, "again"], "idempotent": True},
    }
    file.write_text(yaml.safe_dump(programs))
    root = await tiers.spawn("root", shims=["command"], commands=file)

    async def becomes(verb: str, text: str, state: str) -> Answer:
        id = (await root.submit("root", {"verb": verb, "args": {"text": text}}))["id"]
        return await root.becomes(id, "root", state)

    said = (await becomes("say", "hello there", "succeeded"))["result"]
    assert (said["stdout"], said["exit"]) == ("hello there\n", 0)
    assert (await becomes("say", "$(id)", "failed"))["error"]["field"] == "text"

    ids = {verb: (await root.submit("root", {"verb": verb, "args": {}}, lane=verb))["id"] for verb in ("once", "again")}
    await eventually(lambda: sorted(ran.read_text().split()) == ["again", "once"], what="both run")
    await root.kill()
    (tmp_path / "quick").touch()
    await root.start()
    await root.becomes(ids["once"], "root", "in-doubt", 15)
    await root.becomes(ids["again"], "root", "succeeded", 15)
    assert sorted(ran.read_text().split()) == ["again", "again", "once"]
