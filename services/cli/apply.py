"""`ote apply` and `ote delete`: Kubernetes objects on clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token

from bus.errors import BadRequest
from services.cli.exits import Exit
from services.cli.manifests import STDIN, Manifest, read_manifests
from services.cli.options import COMMON, Common, Wait, wait_seconds
from services.cli.sending import Sending, send


def _files(_: Any, tokens: Sequence[Token]) -> list[str]:
    """An option is no file, but `-` looks like one and means standard input."""
    for token in tokens:
        if token.value.startswith("-") and token.value != STDIN:
            raise ValueError(f"a file, a directory or - is expected, not {token.value}")
    return [token.value for token in tokens]


Files = Annotated[
    list[str],
    Parameter(name=["--filename", "-f"], metavar="FILE|DIR|-", converter=_files, allow_leading_hyphen=True),
]


async def apply(*, filename: Files, sending: Sending, wait: Wait = False, common: Common = COMMON) -> Exit:
    """Applies manifests to clusters, as one command.

    For example:

        ote apply -f shop.yaml --on site1 --wait
        ote apply -f manifests/ --on 'tag:camera and not under:root.west' --dry-run
        kubectl get configmap shop -o yaml | ote apply -f - --on root.east.site1
        ote apply -f shop.yaml --on tag:zone=eu --key shop --ttl 7d

    Parameters
    ----------
    filename
        YAML or JSON; a directory's files in order of name; - is standard input. May be given several times.
    wait
        Wait until every cluster is done, at most this long (60 s if no time is given).
    """
    manifests = read_manifests(filename)
    return await send({"verb": "apply", "args": {"manifests": manifests}}, sending, wait_seconds(wait), common)


async def delete(
    kind: str | None = None,
    name: str | None = None,
    /,
    *,
    filename: Files | None = None,
    namespace: Annotated[str | None, Parameter(name=["--namespace", "-n"])] = None,
    api_version: str | None = None,
    ignore_not_found: bool = False,
    sending: Sending,
    wait: Wait = False,
    common: Common = COMMON,
) -> Exit:
    """Deletes objects from clusters, as one command: those of manifests, or one by kind and name.

    For example:

        ote delete ConfigMap shop -n shop --on tag:camera --wait
        ote delete -f manifests/ --on root.east.site1 --ignore-not-found
        ote delete Deployment web --api-version apps/v1 --on under:root.east --ttl 1h

    Parameters
    ----------
    kind
        Deployment, ConfigMap ...
    name
        The object's name.
    filename
        Manifests that name the objects.
    namespace
        The namespace of KIND NAME.
    api_version
        apps/v1, v1 ...; needed where two groups have the kind.
    ignore_not_found
        An object that is not there is no failure.
    wait
        Wait until every cluster is done, at most this long (60 s if no time is given).
    """
    if bool(filename) == bool(kind) or bool(kind) != bool(name) or (filename and (namespace or api_version)):
        raise BadRequest("give either -f FILE or KIND NAME", hint="ote delete --help")
    manifests = read_manifests(filename) if filename else [_named(str(kind), str(name), namespace, api_version)]
    args = {"manifests": manifests} | ({"ignoreNotFound": True} if ignore_not_found else {})
    return await send({"verb": "delete", "args": args}, sending, wait_seconds(wait), common)


def _named(kind: str, name: str, namespace: str | None, api_version: str | None) -> Manifest:
    metadata: dict[str, Any] = {"name": name} | ({"namespace": namespace} if namespace else {})
    return ({"apiVersion": api_version} if api_version else {}) | {"kind": kind, "metadata": metadata}
