"""`ote why`: the chain of causes from an object to the command, and who sent it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from bus.errors import BadRequest
from services.cli.local_api import local_api
from services.cli.options import COMMON, Common
from services.cli.printing import show, show_data, show_names
from services.cli.views.objects import explained


async def why(
    object: str,
    /,
    *,
    on: Annotated[str | None, Parameter(metavar="SELECTOR")] = None,
    namespace: Annotated[str | None, Parameter(name=["--namespace", "-n"])] = None,
    changes: Annotated[int, Parameter(show_default=True, validator=Number(gte=1, lte=1000))] = 1,
    common: Common = COMMON,
) -> None:
    """Why an object is as it is, or gone: which command made it so, from where and by whom, and when each step was.

    For example:

        ote why ConfigMap/shop/catalog --on site1
        ote why Deployment/web -n shop --changes 5

    Parameters
    ----------
    object
        KIND/NAME or KIND/NAMESPACE/NAME: ConfigMap/shop/catalog.
    on
        Only at these clusters.
    namespace
        The object's namespace.
    changes
        How many of its changes are shown, the latest first.
    """
    kind, space, name = _parsed(object)
    if space and namespace and space != namespace:
        raise BadRequest(f"{object} and --namespace {namespace} say two namespaces", field="--namespace")
    asked = {"kind": kind, "namespace": space or namespace, "name": name, "on": on, "changes": changes}
    async with local_api(common) as api:
        rows = await api.why(asked)
    if common.output == "name":
        show_names(dict.fromkeys(one["command"]["id"] for row in rows for one in row["changes"] if "command" in one))
    elif common.for_people:
        show(explained(rows, datetime.now(UTC)))
    else:
        show_data({"objects": rows}, common.output)


def _parsed(object: str) -> tuple[str, str | None, str]:
    kind, *rest = object.split("/")
    if not kind or len(rest) not in (1, 2) or not all(rest):
        raise BadRequest(
            f"{object!r} is no object",
            field="object",
            hint="write KIND/NAME or KIND/NAMESPACE/NAME: ConfigMap/shop/catalog",
        )
    return kind, rest[0] if len(rest) == 2 else None, rest[-1]
