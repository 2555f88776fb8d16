"""`ote shim`: for those who write one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from bus.errors import BadRequest
from services.cli.arguments import parse_arguments
from services.cli.exits import Exit
from services.cli.local_api import connected
from services.cli.options import COMMON, Common, Span
from services.cli.printing import show, show_data, show_names
from services.cli.render import table
from services.shims.check import Finding
from services.shims.check import check as check_shim

app = App(name="shim", help="Checks shims.")


@app.command
async def check(
    kind: str,
    /,
    *args: str,
    verb: str | None = None,
    timeout: Annotated[Span, Parameter(show_default=True)] = 5.0,
    common: Common = COMMON,
) -> Exit:
    """Checks that a running shim keeps the shim wire.

    A verb that does not exist is executed, and one that only reads, or the one that is named.

    For example:

        ote shim check greet
        ote shim check greet --verb greet name=ann --timeout 30s

    Parameters
    ----------
    kind
        The kind: it listens on ote.local.shim.KIND.
    args
        Arguments of --verb: name=web replicas:=3, or one JSON object.
    verb
        Execute this verb, and again under the same id if the shim says that it is idempotent.
    timeout
        How long each answer may take.
    """
    arguments = parse_arguments(args)
    if arguments and verb is None:
        raise BadRequest("arguments are for a verb", field="args", hint="name it: --verb")
    async with connected(common) as bus:
        findings = await check_shim(bus, kind, verb=verb, args=arguments, timeout=timeout)
    _show(findings, common)
    return Exit.OK if all(finding.ok for finding in findings) else Exit.FAILED


def _show(findings: list[Finding], common: Common) -> None:
    if common.output == "name":
        show_names(finding.name for finding in findings if not finding.ok)
    elif common.for_people:
        show(table(["CHECK", "", "FOUND"], [[finding.name, _level(finding), finding.message] for finding in findings]))
    else:
        show_data({"checks": [asdict(finding) for finding in findings]}, common.output)


def _level(finding: Finding) -> Text:
    if not finding.ok:
        return Text("fail", "bold red")
    return Text("note", "yellow") if finding.note else Text("ok", "green")
