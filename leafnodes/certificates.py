"""The certificates of a tier: its own authority, and what its server shows, both made and renewed here.

A directory holds `authority.pem` (the newest first; private: `authority.key`) and `server.pem`, key and certificate in
one file, so that they change together. A new authority is vouched for by the one before: who knows only that one
follows the server's chain to it, until it ends.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bus.errors import BadRequest, Conflict
from leafnodes.files import write_private

SERVER_LIFE, AUTHORITY_LIFE = timedelta(days=90), timedelta(days=3650)
RENEWED = 0.2
"""What is left of a life when it is renewed."""
_SKEW = timedelta(hours=1)
_ANYBODY = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"[0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?(\.[0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?)*")
MOST_HOSTS = 250
"""So many hosts of others a certificate is good for."""


class Certificates:
    """The certificates of the tier `path` in a directory, good for these hosts."""

    def __init__(self, directory: Path, path: str, hosts: Sequence[str] = ()) -> None:
        self._path = path
        self._hosts = tuple(dict.fromkeys([*_ANYBODY, *hosts]))
        self._others: tuple[str, ...] = ()
        self._directory = directory
        self.authority_file = directory / "authority.pem"
        self.server_file = directory / "server.pem"
        self._authority_key = directory / "authority.key"

    def settle(self) -> bool:
        """Makes what is missing, and renews what is due; whether anything was."""
        if not self.authority_file.exists() or is_due(self.authorities()[0]):
            self.renew_authority()
            return True
        if not self.server_file.exists() or is_due(self.server()) or self._lacks_a_host():
            self.renew()
            return True
        return False

    def also(self, hosts: Iterable[str]) -> None:
        """It is good for these as well, from the next `settle` on: whoever carries connections to this server, byte for
        byte, is dialled in its place. What is no host is left out."""
        self._others = tuple(sorted({found for host in hosts if (found := _host(host))})[:MOST_HOSTS])

    def _lacks_a_host(self) -> bool:
        """Those who carry connections come and go: for their sake nothing is taken back."""
        good = hosts_of(self.server())
        return not good.issuperset([*self._hosts, *self._others])

    def authorities(self) -> list[x509.Certificate]:
        """The newest first."""
        return read(self.authority_file)

    def server(self) -> x509.Certificate:
        """What the server shows."""
        return read(self.server_file)[0]

    def renew(self, life: timedelta = SERVER_LIFE) -> None:
        """A new certificate for the server."""
        authority, signer = self.authorities()[0], self._signer()
        key = ec.generate_private_key(ec.SECP256R1())
        hosts = dict.fromkeys([*self._hosts, *self._others])
        made = _draft(f"ote {self._path}", authority.subject, key.public_key(), life)
        made = made.add_extension(x509.SubjectAlternativeName([_general(host) for host in hosts]), critical=False)
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = made.add_extension(x509.ExtendedKeyUsage(both), critical=False)
        chain = [made.sign(signer, hashes.SHA256()), *read(self._bridge, missing=True)]
        write_private(self.server_file, _key_text(key) + _text(chain))

    def renew_authority(self) -> None:
        """A new authority beside the one before, and a certificate of it for the server."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        before = read(self.authority_file, missing=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = f"ote {self._path} {datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
        made = _draft(name, _name(name), key.public_key(), AUTHORITY_LIFE)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        bridges = []
        if before:
            vouched = _draft(name, before[0].subject, key.public_key(), AUTHORITY_LIFE, before[0].not_valid_after_utc)
            vouched = vouched.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            bridges = [vouched.sign(self._signer(), hashes.SHA256()), *read(self._bridge, missing=True)]
        alive = [each for each in before if each.not_valid_after_utc > datetime.now(UTC)]
        write_private(self._bridge, _text(bridges))
        write_private(self._authority_key, _key_text(key))
        write_private(self.authority_file, _text([made.sign(key, hashes.SHA256()), *alive]))
        self.renew()

    @property
    def _bridge(self) -> Path:
        return self._directory / "bridge.pem"

    def _signer(self) -> ec.EllipticCurvePrivateKey:
        try:
            key = serialization.load_pem_private_key(self._authority_key.read_bytes(), None)
        except (OSError, ValueError):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Conflict(f"{self._authority_key} is damaged, or is not there", hint="bring it back from a backup")
        return key


def read(file: Path, *, missing: bool = False) -> list[x509.Certificate]:
    """The certificates in a file, in order. Conflict if there is none, unless they may be `missing`."""
    try:
        data = file.read_bytes()
        return x509.load_pem_x509_certificates(data) if not missing or b"BEGIN CERT" in data else []
    except FileNotFoundError:
        if missing:
            return []
        raise Conflict(f"{file} is not there", hint="give the certificate's file, or bring it back") from None
    except (OSError, ValueError) as error:
        raise Conflict(f"{file} holds no certificate: {error}", hint="it must be PEM") from None


def is_due(certificate: x509.Certificate, now: datetime | None = None) -> bool:
    """Whether so little is left of its life that it should be renewed."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return end - (now or datetime.now(UTC)) < RENEWED * (end - begin)


def to_words(certificate: x509.Certificate) -> str:
    """The certificate as one word that an URL can end with."""
    return base64.urlsafe_b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode().rstrip("=")


def from_words(words: str) -> str:
    """The certificate in such a word, as PEM. BadRequest if there is none."""
    try:
        data = base64.urlsafe_b64decode(words + "=" * (-len(words) % 4))
        return _text([x509.load_der_x509_certificate(data)])
    except ValueError:
        hint = "copy the address as a whole, with what stands behind #"
        raise BadRequest("the certificate in the address is none", field="parent", hint=hint) from None


def _draft(
    name: str,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    life: timedelta,
    most: datetime | None = None,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    end = min(now + life, most or now + life)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # Clocks of sites are off.
        .not_valid_before(min(now, end) - _SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _host(text: str) -> str | None:
    """As a certificate names it; None if it is none."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text if len(text) <= 253 and _HOST.fullmatch(text) else None


def hosts_of(certificate: x509.Certificate) -> set[str]:
    """For which hosts it is good."""
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in found}


def _text(certificates: Iterable[x509.Certificate]) -> str:
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates)


def _key_text(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
