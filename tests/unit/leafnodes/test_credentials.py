"""Keys, JWTs, and what a credential allows: without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus import subjects
from bus.credential import Credential
from bus.errors import BadRequest, Conflict
from leafnodes.credentials import jwt, keys, scopes
from leafnodes.credentials.keys import KeyPair
from leafnodes.credentials.store import State
from leafnodes.credentials.tier import Credentials


def matches(pattern: str, subject: str) -> bool:
    """As NATS does it."""
    wanted, tokens = pattern.split("."), subject.split(".")
    for place, token in enumerate(wanted):
        if token == ">":
            return len(tokens) > place
        if place >= len(tokens) or token not in ("*", tokens[place]):
            return False
    return len(wanted) == len(tokens)


def filled(patterns: list[str], **tags: list[str]) -> list[str]:
    """The patterns, with the values of the tags, as a server fills them in."""
    for tag, values in tags.items():
        name = f"{{{{tag({tag})}}}}"
        patterns = [p.replace(name, value) for p in patterns for value in (values if name in p else [""])]
    return patterns


def may(permissions: scopes.Permissions, way: str, subject: str, **tags: list[str]) -> bool:
    allowed = any(matches(p, subject) for p in filled(permissions[way].get("allow", []), **tags))
    return allowed and not any(matches(p, subject) for p in filled(permissions[way].get("deny", []), **tags))


@pytest.mark.parametrize("kind", ["operator", "account", "user"])
def test_a_key_is_of_its_kind_and_signs(kind: keys.Kind) -> None:
    pair = KeyPair.make(kind)
    assert pair.public[0] == kind[0].upper()
    assert keys.verify(pair.public, kind, b"said", pair.sign(b"said"))
    assert not keys.verify(pair.public, kind, b"other", pair.sign(b"said"))
    assert pair.seed not in repr(pair)
    other: keys.Kind = "user" if kind == "account" else "account"
    with pytest.raises(BadRequest, match="no public key"):
        keys.raw(pair.public, other)
    for wrong in ("", "é", pair.public[:-1], pair.public[:-1] + ("A" if pair.public[-1] != "A" else "B")):
        with pytest.raises(BadRequest):
            keys.raw(wrong, kind)


def test_an_altered_token_is_none() -> None:
    issuer, user = KeyPair.make("account"), KeyPair.make("user")
    token = jwt.user(issuer, user.public, "x", tags=("n:x",), expires=2e9)
    assert jwt.claims(token)["sub"] == user.public
    assert jwt.claims(token)["exp"] == 2_000_000_000
    head, _, signature = token.split(".")
    other = jwt.user(issuer, user.public, "y").split(".")[1]
    with pytest.raises(BadRequest, match="altered"):
        jwt.claims(f"{head}.{other}.{signature}")
    for wrong in ("", "a.b", "a.b.c", f"{head}.e30.{signature}"):
        with pytest.raises(BadRequest, match="no credential"):
            jwt.claims(wrong)


ME, SIBLING = "root.east.site1", "root.east.site2"
OWN = {"n": ["site1"], "c": ["_"]}


@pytest.mark.parametrize(
    ("subject", "allowed"),
    [
        (subjects.event("ote.command.succeeded.v1", ME), True),
        (subjects.event("ote.command.succeeded.v1", f"{ME}.cell"), True),
        (subjects.event("ote.command.succeeded.v1", SIBLING), False),
        (subjects.event("ote.command.succeeded.v1", "root.east"), False),
        (subjects.heartbeat(ME), True),
        (subjects.heartbeat(SIBLING), False),
        (subjects.sync(1, ME), True),
        (subjects.sync(1, SIBLING), False),
        (subjects.command(f"{ME}.cell"), True),
        (subjects.command(SIBLING), False),
        (subjects.command("root"), False),
        (subjects.under("root.east"), False),
        (subjects.tagged("camera", "root.east"), False),
        (subjects.tagged("camera", ME), True),
        (subjects.ask(SIBLING), False),
        (subjects.pulse("root.east"), False),
        (subjects.wake(SIBLING), False),
        (subjects.join(ME), True),
        (subjects.join(SIBLING), False),
        (subjects.guest("root.east", ME), True),
        (subjects.guest("root.east", SIBLING), False),
        (f"{subjects.inbox('root.east')}.x.1", True),
        (f"{subjects.inbox('root')}.x.1", True),
        (f"{subjects.inbox(SIBLING)}.x.1", False),
        (subjects.local("submit"), False),
        ("$SRV.PING", False),
        ("$SYS.REQ.SERVER.PING", False),
    ],
)
def test_what_a_child_may_say(subject: str, allowed: bool) -> None:
    assert may(scopes.child("root.east", "root.east"), "pub", subject, **OWN) is allowed


@pytest.mark.parametrize(
    ("subject", "allowed"),
    [
        (subjects.command(ME), True),
        (subjects.command(f"{ME}.cell"), True),
        (subjects.command(SIBLING), False),
        (subjects.under("root"), True),
        (subjects.under("root.east"), True),
        (subjects.under(SIBLING), False),
        (subjects.tagged("camera", "root"), True),
        (subjects.ask(ME), True),
        (subjects.ask(SIBLING), False),
        (subjects.ask_under("root.east"), True),
        (subjects.pulse("root.east"), True),
        (subjects.wake(ME), True),
        (subjects.event("ote.command.succeeded.v1", SIBLING), False),
        (f"{subjects.inbox(ME)}.x.1", True),
        (f"{subjects.inbox(f'{ME}.cell')}.x.1", True),
        (f"{subjects.inbox(SIBLING)}.x.1", False),
        (f"{subjects.inbox('root.east')}.x.1", False),
        (subjects.local("submit"), False),
        ("$SRV.PING", False),
    ],
)
def test_what_a_child_hears(subject: str, allowed: bool) -> None:
    assert may(scopes.child("root.east", "root.east"), "sub", subject, **OWN) is allowed


def test_who_carries_the_children_of_a_sibling_does_not_become_the_sibling() -> None:
    host, tags = scopes.child("root", "root"), {"n": ["west"], "c": ["east", "north"]}
    for kind in ("ote.command.succeeded.v1",):
        assert may(host, "pub", subjects.event(kind, ME), **tags)
        assert not may(host, "pub", subjects.event(kind, "root.east"), **tags)
        assert not may(host, "pub", subjects.event(kind, "root.south.site"), **tags)
    assert not may(host, "pub", subjects.command(ME), **tags)
    assert may(host, "sub", subjects.command(ME), **tags)
    assert not may(host, "sub", subjects.command("root.east"), **tags)
    assert may(host, "sub", subjects.under("root.east"), **tags)
    assert may(host, "sub", f"{subjects.inbox(ME)}.x.1", **tags)
    assert not may(host, "sub", f"{subjects.inbox('root.east')}.x.1", **tags)
    assert not may(host, "sub", f"{subjects.inbox('root')}.x.1", **{"n": ["west"], "c": ["_"]})


def test_a_guest_says_what_it_says_at_home_and_asks_its_host() -> None:
    guest = scopes.child("root.west", "root.east")
    assert may(guest, "pub", subjects.event("ote.command.succeeded.v1", ME), n=["site1"])
    assert may(guest, "pub", subjects.guest("root.west", ME), n=["site1"])
    assert not may(guest, "pub", subjects.event("ote.command.succeeded.v1", "root.west.site1"), n=["site1"])
    assert not may(guest, "pub", subjects.join(ME), n=["site1"])
    assert may(guest, "sub", subjects.under("root.east"), n=["site1"])
    assert not may(guest, "sub", subjects.under("root.west"), n=["site1"])


def test_a_token_allows_to_ask_for_admission_and_no_more() -> None:
    newcomer = scopes.newcomer(ME)
    assert newcomer["pub"] == {"allow": [subjects.join(ME)]}
    assert not may(newcomer, "sub", f"{subjects.inbox(ME)}.x.1")


def test_a_client_reads_who_it_is(tmp_path: Path) -> None:
    credentials = Credentials.found(tmp_path, State(path="root"))
    ann = Credential.load(credentials.person("ann"))
    assert (ann.user, ann.tier, ann.free) == ("ann", "root", False)
    assert ann.inbox == "ote.inbox.root.-.ann"
    assert Credential.load(credentials.services_file()).free
    assert credentials.services_file().read_text() == credentials.services_file().read_text()
    with pytest.raises(Conflict):
        Credentials.found(tmp_path, State(path="root"))
    broken = tmp_path / "broken.creds"
    broken.write_text("no credential")
    with pytest.raises(BadRequest, match="no credential"):
        Credential.load(broken)


def test_keys_stay_what_they_are(tmp_path: Path) -> None:
    first = Credentials.found(tmp_path, State(path="root"))
    again = Credentials.load(tmp_path)
    assert again is not None
    assert again.public == first.public
    (tmp_path / "credentials" / "keys.json").write_text("{")
    with pytest.raises(Conflict, match="damaged"):
        Credentials.load(tmp_path)
