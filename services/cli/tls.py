"""`ote tls`: the certificates of a tier's server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cryptography import x509
from cyclopts import App, Parameter

from bus.errors import NotFound
from bus.event import format_time
from leafnodes.certificates import Certificates, hosts_of, read
from services.cli.options import Form
from services.cli.printing import note, show, show_data, show_names
from services.cli.render import table

app = App(name="tls", help="The certificates of a tier's server: shows and renews them.")

Output = Annotated[Form, Parameter(name=["--output", "-o"], show_default=True)]
#: Below the state directory.
DIRECTORY = "tls"


@app.command(name="show")
def show_certificates(*, state: Path, output: Output = "table") -> None:
    """Shows which certificates a tier has made for itself, and until when they are good.

    For example:

        ote tls show --state /var/lib/ote/root

    Parameters
    ----------
    state
        The directory of the tier.
    output
        Tables for people; json, yaml or name for programs.
    """
    _print(_found(state), output)


@app.command
def renew(*, state: Path, authority: bool = False, output: Output = "table") -> None:
    """Makes a new certificate for a tier's server.

    The tier may be running: its server takes it within a second, and no link ends. It does so by itself when a fifth of
    a certificate's life is left.

    A new authority is vouched for by the one before, so that who knows only that one goes on until it ends. From then
    on addresses end with the new one (ote tier prints it): new children take that.

    For example:

        ote tls renew --state /var/lib/ote/root
        ote tls renew --state /var/lib/ote/root --authority

    Parameters
    ----------
    state
        The directory of the tier.
    authority
        Also a new authority.
    output
        Tables for people; json, yaml or name for programs.
    """
    found = _found(state)
    certificates = Certificates(state.resolve() / DIRECTORY, _path_of(found.server()), sorted(hosts_of(found.server())))
    if authority:
        certificates.renew_authority()
    else:
        certificates.renew()
    _print(certificates, output)
    if output == "table":
        note("a running tier takes it by itself")


def _found(state: Path) -> Certificates:
    certificates = Certificates(state.resolve() / DIRECTORY, "")
    if not certificates.server_file.exists():
        hint = "a tier makes them when its ports speak TLS: ote tier --tls on"
        raise NotFound(f"no certificates were made in {state}", field="--state", hint=hint)
    return certificates


def _path_of(server: x509.Certificate) -> str:
    return server.subject.rfc4514_string().removeprefix("CN=").removeprefix("ote ")


def _print(certificates: Certificates, output: Form) -> None:
    rows: list[dict[str, Any]] = [_row("server", certificates.server(), certificates.server_file)]
    rows += [_row("authority", each, certificates.authority_file) for each in read(certificates.authority_file)]
    if output == "name":
        show_names(row["file"] for row in rows)
    elif output in ("json", "yaml"):
        show_data({"certificates": rows}, output)
    else:
        cells = [[row["kind"], row["until"][:19] + "Z", f"{row['days']} days", row["serial"]] for row in rows]
        show(table(["KIND", "UNTIL", "LEFT", "SERIAL"], cells))


def _row(kind: str, certificate: x509.Certificate, file: Path) -> dict[str, Any]:
    end = certificate.not_valid_after_utc
    return {
        "kind": kind,
        "until": format_time(end),
        "days": (end - datetime.now(UTC)).days,
        "serial": f"{certificate.serial_number:x}"[:16],
        "file": str(file),
    }
