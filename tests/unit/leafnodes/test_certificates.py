"""Certificates that a tier makes and renews itself."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bus.errors import BadRequest, Conflict
from bus.opening import secured
from leafnodes.certificates import AUTHORITY_LIFE, Certificates, from_words, hosts_of, is_due, read, to_words


@pytest.fixture
def made(tmp_path: Path) -> Certificates:
    certificates = Certificates(tmp_path / "tls", "root.east", ["east.example", "10.0.0.1", "::2"])
    assert certificates.settle()
    return certificates


def speaks(server: Certificates, word: str, host: str = "east.example") -> bool:
    """Whether who knows the authority in this word believes the server to be the host: a handshake in memory."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(server.server_file)
    mine = secured([f"tls://{host}:1#{word}"])
    assert mine is not None
    ways = [ssl.MemoryBIO() for _ in range(2)]
    client = mine.wrap_bio(ways[0], ways[1], server_hostname=host)
    other = theirs.wrap_bio(ways[1], ways[0], server_side=True)
    done = set()
    for _ in range(10):
        for side in (client, other):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return False
    return len(done) == 2


def test_the_server_is_believed_for_its_hosts_by_who_knows_the_authority(made: Certificates, tmp_path: Path) -> None:
    word = to_words(made.authorities()[0])
    for host in ("east.example", "10.0.0.1", "127.0.0.1", "localhost"):
        assert speaks(made, word, host)
    assert not speaks(made, word, "west.example")
    other = Certificates(tmp_path / "other", "root.west")
    other.settle()
    assert not speaks(made, to_words(other.authorities()[0]))


def test_nothing_private_is_for_others(made: Certificates) -> None:
    files = list(made.authority_file.parent.iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(made.authority_file.parent.stat().st_mode) == 0o700
    assert b"PRIVATE" not in made.authority_file.read_bytes()


def test_what_is_good_stays(made: Certificates) -> None:
    before = made.server_file.read_bytes()
    assert not made.settle()
    assert made.server_file.read_bytes() == before


def test_what_ends_soon_is_renewed(made: Certificates) -> None:
    made.renew(timedelta(seconds=1))
    assert is_due(made.server())
    authority = made.authorities()
    assert made.settle() and not is_due(made.server())
    assert made.authorities() == authority


def test_due_is_a_fifth_of_a_life(made: Certificates) -> None:
    server = made.server()
    life = server.not_valid_after_utc - server.not_valid_before_utc
    assert not is_due(server, server.not_valid_after_utc - life * 0.21)
    assert is_due(server, server.not_valid_after_utc - life * 0.19)


def test_new_hosts_need_a_new_certificate(made: Certificates) -> None:
    later = Certificates(made.authority_file.parent, "root.east", ["new.example"])
    assert later.settle()
    assert "new.example" in hosts_of(later.server())
    assert speaks(later, to_words(made.authorities()[-1]), "new.example")


def test_it_is_good_for_those_who_carry_connections_too(made: Certificates) -> None:
    before = made.server().serial_number
    made.also(["relay.example", "2001:DB8::7", "no host", "-", ""])
    assert made.settle() and not made.settle()
    assert {"relay.example", "2001:db8::7"} <= hosts_of(made.server())
    assert speaks(made, to_words(made.authorities()[0]), "relay.example")
    assert made.server().serial_number != before
    made.also([])
    assert not made.settle(), "who is gone for a moment costs nothing"


def test_a_new_authority_is_vouched_for_by_those_before(made: Certificates) -> None:
    words = [to_words(made.authorities()[0])]
    for _ in range(2):
        made.renew_authority()
        words.append(to_words(made.authorities()[0]))
        made.renew()
    assert len(set(words)) == len(made.authorities()) == 3
    assert [speaks(made, word) for word in words] == [True] * 3
    assert made.authorities()[0].not_valid_after_utc - datetime.now(UTC) > AUTHORITY_LIFE - timedelta(days=1)


def test_words_are_certificates(made: Certificates) -> None:
    first = made.authorities()[0]
    assert from_words(to_words(first)).encode() in made.authority_file.read_bytes()
    for wrong in ("", "AAAA", "ü", to_words(first)[:-8]):
        with pytest.raises(BadRequest, match="certificate"):
            from_words(wrong)
    with pytest.raises(BadRequest, match="certificate"):
        secured(["tls://h:1#AAAA"])


def test_what_is_damaged_is_told(made: Certificates, tmp_path: Path) -> None:
    made.authority_file.with_suffix(".key").write_text("nothing")
    with pytest.raises(Conflict, match=r"authority\.key"):
        made.renew()
    made.authority_file.write_text("nothing")
    with pytest.raises(Conflict, match=r"authority\.pem"):
        made.settle()
    with pytest.raises(Conflict, match="not there"):
        read(tmp_path / "none.pem")
