"""`ote init` and `ote user`: the credentials of a root, and of those who work with a tier on its machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from bus import paths
from bus.errors import BadRequest, NotFound
from leafnodes.credentials.store import State
from leafnodes.credentials.tier import SERVICES, Credentials
from services.cli.options import Form
from services.cli.printing import note, show, show_data, show_names

Output = Annotated[Form, Parameter(name=["--output", "-o"], show_default=True)]

#: The first user of a tier.
FIRST = "admin"


def init(*, path: str = "root", state: Path | None = None, output: Output = "table") -> None:
    """Makes the credentials of the root of a tree: its keys, and a credential for its first user.

    From then on nobody attaches to this tier, or asks it, without a credential of their own. Private keys stay in this
    directory; nobody but its owner can read them.

    For example:

        ote init --state /var/lib/ote/root

    Parameters
    ----------
    path
        The path of the root: one name.
    state
        The directory of the tier; ./PATH if not given.
    output
        Tables for people; json, yaml or name for programs.
    """
    root = paths.parse_path(path, "--path")
    if paths.depth(root):
        raise BadRequest(
            f"{path} is not a root", field="--path", hint="its parent admits it: ote join-token --path PATH, there"
        )
    directory = state or Path(path)
    credentials = Credentials.found(directory, State(path=root))
    file = credentials.person(FIRST)
    _show({"path": root, "state": str(directory), "key": credentials.public.cluster, "creds": str(file)}, output)
    if output == "table":
        note(f"next: ote tier --path {root} --state {directory}")
        note(f"and with it: export OTE_CREDS={file}")


def user(
    name: str | None = None,
    /,
    *,
    state: Path,
    shim: Annotated[str | None, Parameter(metavar="KIND")] = None,
    output: Output = "table",
) -> None:
    """Makes a credential for somebody who asks the tier of this directory, or for a shim that runs beside it.

    Whoever has it can ask the tier's API, in this name and no other; a shim can only be asked, as its kind. It is good
    at the server of this tier alone.

    For example:

        ote user ann --state /var/lib/ote/root
        ote user --shim greet --state /var/lib/ote/site1

    Parameters
    ----------
    name
        Who it is: commands say that they are of this name.
    state
        The directory of the tier.
    shim
        Instead of a name: the kind of shim.
    output
        Tables for people; json, yaml or name for programs.
    """
    if (name is None) == (shim is None):
        raise BadRequest("give either a name or --shim KIND", field="name")
    if name == SERVICES or (name or "").startswith("shim-"):
        raise BadRequest(f"{name} is a name that the tier uses itself", field="name", hint="take another")
    credentials = Credentials.load(state)
    if credentials is None:
        raise NotFound(f"there are no credentials in {state}", field="--state", hint="make them: ote init, or ote join")
    file = credentials.person(name) if name is not None else credentials.shim(shim or "")
    _show({"path": credentials.path, "user": file.stem, "creds": str(file)}, output)


def _show(made: dict[str, Any], output: Form) -> None:
    if output == "name":
        show_names([made["creds"]])
    elif output in ("table", "wide"):
        show("\n".join(f"{name:<6} {value}" for name, value in made.items()))
    else:
        show_data(made, output)
