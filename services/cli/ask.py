"""`ote ask`: a live query, answered by who is up and recorded by nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from services.cli.arguments import parse_arguments
from services.cli.exits import Exit
from services.cli.local_api import local_api
from services.cli.options import COMMON, Common, Span
from services.cli.printing import as_yaml, note, show, show_data, show_names
from services.cli.render import count_of
from services.cli.views.answers import answer_table

Answer = Mapping[str, Any]


async def ask(
    verb: str,
    /,
    *args: str,
    on: Annotated[str, Parameter(metavar="SELECTOR")],
    shim: Annotated[str | None, Parameter(metavar="KIND")] = None,
    timeout: Annotated[Span, Parameter(show_default=True)] = 5.0,
    common: Common = COMMON,
) -> Exit:
    """Asks clusters live, without a record: those that are up answer now, the others are named.

    For example:

        ote ask --on tag:camera list kind=ConfigMap
        ote ask --on under:root.east get kind=Deployment name=web -o json --timeout 2s

    Only verbs that change nothing may be asked, such as get and list; anything else is a command (ote run), and
    refused here. Ends with 1 if a cluster did not answer, or not with success, and with 4 if none answered.

    For example:

        ote ask list kind=ConfigMap --on tag:camera
        ote ask get kind=ConfigMap name=shop --on under:root.east --timeout 2s -o json

    Parameters
    ----------
    verb
        What to ask the shim: get, list ...
    args
        Its arguments: kind=ConfigMap name=shop, limit:=3, or one JSON object.
    on
        The clusters: site1, root.east.site1, under:root.east, tag:camera, like:cam, with and, or, not.
    shim
        The shim that is asked; each cluster's default if not given.
    timeout
        How long the clusters have to answer.
    """
    do = {"verb": verb, "args": parse_arguments(args)} | ({"shim": shim} if shim else {})
    async with local_api(common) as api:
        answer = await api.asked(on, do, timeout, lambda so_far: note(_progress(so_far)))
    _show(answer, common)
    return _exit(answer)


def _progress(so_far: Answer) -> str:
    return f"asked {len(so_far['answers']) + len(so_far['missing']):,} of {count_of(so_far['count'], 'cluster')}"


def _show(answer: Answer, common: Common) -> None:
    if common.output == "name":
        show_names(sorted(answer["answers"]))
    elif not common.for_people:
        show_data(answer, common.output)
    else:
        show(answer_table(answer))
        results = {path: said.get("result") for path, said in sorted(answer["answers"].items())}
        if large := {path: result for path, result in results.items() if result and isinstance(result, (dict, list))}:
            show("\n" + as_yaml(large).rstrip())


def _exit(answer: Answer) -> Exit:
    if not answer["answers"]:
        return Exit.UNAVAILABLE
    well = not answer["missing"] and all(said["ok"] for said in answer["answers"].values())
    return Exit.OK if well else Exit.FAILED
