"""`ote shim`: for those who write one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from services.cli.arguments import parse_arguments
from services.cli.exits import Exit
from services.cli.local_api import connected
from services.cli.options import COMMON, Common, Span
from services.cli.printing import show, show_data, show_names
from services.cli.render import Cell, table
from services.cli.shim_check import Finding, ShimCheck

app = App(name="shim", help="Checks shims.")

_STYLES = {"ok": "green", "note": "yellow", "fail": "bold red"}


@app.command
async def check(
    kind: str,
    /,
    *args: str,
    verb: str | None = None,
    timeout: Annotated[Span, Parameter(show_default=True)] = 5.0,
    common: Common = COMMON,
) -> Exit:
    """Checks that a running shim keeps the shim wire. Nothing is changed, unless a verb is named.

    Parameters
    ----------
    kind
        The kind: it listens on ote.local.shim.KIND.
    args
        Arguments of --verb: name=web replicas:=3, or one JSON object.
    verb
        Execute this verb for real; twice under one id if the shim says that it is idempotent.
    timeout
        How long each answer may take.
    """
    async with connected(common) as bus:

        async def ask(subject: str, data: bytes) -> bytes:
            return (await bus.request(subject, data, timeout=timeout)).data

        findings = await ShimCheck(kind, ask, verb, parse_arguments(args)).run()
    _show(findings, common)
    return Exit.FAILED if any(finding.level == "fail" for finding in findings) else Exit.OK


def _show(findings: list[Finding], common: Common) -> None:
    if common.output == "name":
        show_names(finding.check for finding in findings if finding.level == "fail")
    elif common.for_people:
        rows: list[list[Cell]] = [
            [finding.check, Text(finding.level, _STYLES[finding.level]), finding.said] for finding in findings
        ]
        show(table(["CHECK", "", "FOUND"], rows))
    else:
        show_data({"checks": [asdict(finding) for finding in findings]}, common.output)
