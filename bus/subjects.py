"""Every subject of the bus is built and read here, and nowhere else.

A path is names joined by dots, and so is a subject: names are labels, labels are legal tokens, and a
path stands in a subject as it is. What else becomes a token is escaped (`_HH` for a byte outside
`[A-Za-z0-9-]`), and hashed where it is too long, so a subject stays below NATS' practical limits.

Builders check what they are given: BadRequest names the field. Checks of paths seen before are free.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

from bus import paths
from bus.errors import BadMessage, BadRequest
from bus.paths import Path

MAX_TOKEN = 100
"""Longer tokens are cut to this many characters, and end in a hash of the whole."""

_TYPE = re.compile(r"ote\.([a-z][a-z0-9]*)\.([a-z][a-z0-9-]*)\.v[1-9][0-9]*")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,63}")
_ESCAPE = re.compile(rb"[^A-Za-z0-9-]")
_UNIT = re.compile(r"_[0-9A-F]{2}|[A-Za-z0-9-]")
_TOKEN = re.compile(r"(?:_[0-9A-F]{2}|[A-Za-z0-9-])+")
_END = "-"
"""Ends a path within a subject, where more follows: it is no label."""
_HASH_MARK = "__"
_HASH_BYTES = 16

_checked = lru_cache(maxsize=65_536)(paths.parse_path)


# One token ---------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def escape(text: str) -> str:
    """`text` as one token: no two texts share one. `unescape` reads it, unless it had to be hashed."""
    if not text:
        raise BadRequest("a token of a subject cannot be empty", field="subject")
    data = text.encode("utf-8", "surrogatepass")
    token = _ESCAPE.sub(lambda found: b"_%02X" % found[0][0], data).decode()
    return token if len(token) <= MAX_TOKEN else _hashed(token, data)


def _hashed(token: str, data: bytes) -> str:
    digest = blake2b(data, digest_size=_HASH_BYTES).hexdigest()
    room = MAX_TOKEN - len(_HASH_MARK) - len(digest)
    head = ""
    for unit in _UNIT.findall(token):
        if len(head) + len(unit) > room:
            break
        head += unit
    return f"{head}{_HASH_MARK}{digest}"


def unescape(token: str) -> str | None:
    """The text behind a token; None where only its hash is left. BadMessage if `escape` never made it."""
    if _HASH_MARK in token:
        return None
    if not _TOKEN.fullmatch(token):
        raise BadMessage(f"not a token of ours: {paths.shown(token)}")
    raw = re.sub(rb"_([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), token.encode())
    return raw.decode("utf-8", "surrogatepass")


@lru_cache(maxsize=1024)
def type_token(type: str) -> str:
    """`command-submitted` for `ote.command.submitted.v1`: all versions of a type share a subject."""
    found = _TYPE.fullmatch(type)
    if not found:
        raise BadRequest(f"{paths.shown(type)} is no event type: ote.<noun>.<verb>.v1", field="type")
    return escape(f"{found[1]}-{found[2]}")


# What is sent where ------------------------------------------------------------------------------


def command(path: str) -> str:
    """Commands for exactly this cluster."""
    return f"ote.cmd.{_checked(path)}"


def under(scope: str) -> str:
    """Commands for many clusters at or below the scope."""
    return f"ote.under.{_checked(scope)}"


def tagged(tag: str, scope: str) -> str:
    """Commands for many clusters with the tag at or below the scope."""
    return f"ote.tag.{escape(tag)}.{_checked(scope)}"


def event(type: str, path: str) -> str:
    """Events of this type of this cluster, on their way up."""
    return f"ote.evt.{type_token(type)}.{_checked(path)}"


def heartbeat(path: str) -> str:
    """Heartbeats of this cluster."""
    return f"ote.hb.{_checked(path)}"


def pulse(path: str) -> str:
    """What this tier tells those that are attached to it, several times in a heartbeat: it is there."""
    return f"ote.pulse.{_checked(path)}"


def guest(host: str, path: str) -> str:
    """What the cluster `path`, which has lost its own parent, asks of the tier `host`: may it stay?"""
    return f"{guests_of(host).removesuffix('>')}{_checked(path)}"


def join(path: str) -> str:
    """A new cluster asks the parent of this path for admission, and one that is admitted for its next credential."""
    return f"ote.join.{_checked(path)}"


def inbox(path: str, user: str | None = None) -> str:
    """Where answers to this tier come, or to one of the users of its server: "-" is no label, so what begins with one
    cluster's prefix is never another's."""
    prefix = f"ote.inbox.{_checked(path)}.{_END}"
    return prefix if user is None else f"{prefix}.{paths.parse_name(user, 'user')}"


CREDENTIALS = b"credentials"
"""What `wake` says where it is about these, and not about what is in a log."""


def wake(path: str) -> str:
    """Tells a cluster that an ancestor has something for it: it should ask."""
    return f"ote.wake.{_checked(path)}"


def sync(depth: int, path: str) -> str:
    """What this cluster asks its path ancestor at this depth (0 is the root)."""
    if not 0 <= depth < paths.depth(_checked(path)):
        raise BadRequest(f"{path} has no ancestor at depth {depth}", field="depth")
    return f"ote.sync.{depth}.{path}"


def ask(path: str) -> str:
    """Live queries to exactly this cluster."""
    return f"ote.ask.{_checked(path)}"


def ask_under(scope: str) -> str:
    """Live queries to clusters at or below the scope."""
    return f"ote.askunder.{_checked(scope)}"


def ask_tag(tag: str, scope: str) -> str:
    """Live queries to clusters with the tag at or below the scope."""
    return f"ote.asktag.{escape(tag)}.{_checked(scope)}"


def query() -> str:
    """What the shims of this cluster are asked live: the tier's own, as the local API is."""
    return local("query")


def server_events() -> str:
    """What a tier's own NATS server tells of its connections: CONNECT, DISCONNECT and more."""
    return "ote.local.server.>"


def local(name: str) -> str:
    """One endpoint of the tier's own API: it never crosses a leaf link."""
    if not _WORD.fullmatch(name):
        raise BadRequest(f"{paths.shown(name)} is no endpoint", field="subject")
    return f"ote.local.{name}"


def local_as(user: str, name: str) -> str:
    """The same endpoint, asked by a user of the tier's server who can ask in no other name."""
    return f"ote.local.as.{paths.parse_name(user, 'user')}.{local(name).removeprefix('ote.local.')}"


def by_users(subject: str) -> str | None:
    """Where users of the tier's server ask what is asked on `subject`; None if that is no endpoint."""
    name = subject.removeprefix("ote.local.")
    return f"ote.local.as.*.{name}" if _WORD.fullmatch(name) else None


def shim(kind: str, verb: str | None = None) -> str:
    """The shim of this kind in this cluster; `verb` is describe, execute or watch."""
    subject = f"ote.local.shim.{paths.parse_name(kind, 'shim')}"
    return subject if verb is None else f"{subject}.{paths.parse_name(verb, 'verb')}"


# What is subscribed to ---------------------------------------------------------------------------


def commands_below(path: str) -> list[str]:
    """Commands for each cluster strictly below."""
    return [f"{command(path)}.>"]


def scopes_of(path: str) -> list[str]:
    """Commands for many at the scopes in which this cluster is: its own and each above, nearest first."""
    return [under(scope) for scope in _scopes(path)]


def unders_below(path: str) -> list[str]:
    """Commands for many at the scopes strictly below."""
    return [f"{under(path)}.>"]


def tags_of(tag: str, path: str) -> list[str]:
    """Commands for clusters with this tag at the scopes in which this cluster is."""
    return [tagged(tag, scope) for scope in _scopes(path)]


def tags_below(path: str) -> list[str]:
    """Commands for clusters with any tag at the scopes strictly below."""
    return [f"ote.tag.*.{_checked(path)}.>"]


def asks_to(path: str) -> list[str]:
    """Live queries to this cluster alone, and to many at the scopes in which it is."""
    return [ask(path), *(ask_under(scope) for scope in _scopes(path))]


def tag_asks_to(tag: str, path: str) -> list[str]:
    """Live queries to clusters with this tag at the scopes in which this cluster is."""
    return [ask_tag(tag, scope) for scope in _scopes(path)]


def events_below(path: str) -> str:
    """Events of every cluster strictly below."""
    return f"ote.evt.*.{_checked(path)}.>"


def heartbeats_of_children(path: str) -> str:
    """Heartbeats of the clusters one level below."""
    return f"{heartbeat(path)}.*"


def syncs_to(path: str) -> str:
    """What clusters below ask of this one."""
    return f"ote.sync.{paths.depth(path)}.{_checked(path)}.>"


def guests_of(host: str) -> str:
    """What clusters that have lost their parent ask of this tier."""
    return f"ote.guest.{_checked(host)}.{_END}.>"


def joins_below(path: str) -> str:
    """Who asks this tier for admission: its children."""
    return f"ote.join.{_checked(path)}.*"


def _scopes(path: str) -> list[Path]:
    return [_checked(path), *paths.ancestors(path)]


# What a credential allows ------------------------------------------------------------------------
# Here a path may hold a template that a server fills in (`root.{{tag(n)}}`): it is not looked at.

_SAID = ("evt.*", "hb", "pulse", "sync.*")
_SENT = ("cmd", "ask")
_SCOPED = ("under", "tag.*", "askunder", "asktag.*")


def said_by(path: str) -> list[str]:
    """What this cluster says of itself."""
    return [f"ote.{kind}.{path}" for kind in _SAID]


def sent_to(path: str) -> list[str]:
    """Commands and live queries to this cluster alone, or with it as their scope."""
    return [f"ote.{kind}.{path}" for kind in (*_SENT, *_SCOPED)]


def scoped_at(path: str) -> list[str]:
    """Commands and live queries to many, with this scope."""
    return [f"ote.{kind}.{path}" for kind in _SCOPED]


def told(path: str) -> list[str]:
    """That there is something for this cluster."""
    return [f"ote.wake.{path}"]


def answers_to(path: str, user: str | None = None) -> str:
    """All inboxes of this tier, or those of one user of its server."""
    return f"ote.inbox.{path}.{_END}.>" if user is None else f"ote.inbox.{path}.{_END}.{user}.>"


def answers_below(path: str) -> str:
    """All inboxes of this tier and of those below."""
    return f"ote.inbox.{path}.>"


def knocks(host: str, path: str) -> str:
    """This cluster asks that host whether it may stay."""
    return f"ote.guest.{host}.{_END}.{path}"


def joins(path: str) -> str:
    """This cluster asks for admission, or for its next credential."""
    return f"ote.join.{path}"


def below(subjects: Iterable[str]) -> list[str]:
    """The same of all clusters strictly below the one at the end of these subjects."""
    return [f"{subject}.>" for subject in subjects]


def local_by(user: str) -> list[str]:
    """All that a user of the tier's server may ask."""
    return [f"ote.local.as.{paths.parse_name(user, 'user')}.*", "$SRV.>"]


def shims(kind: str) -> list[str]:
    """Where whoever is the shim of this kind listens."""
    return [shim(kind), f"{shim(kind)}.*"]


# Who sent it -------------------------------------------------------------------------------------


def path_of_event(subject: str) -> Path:
    """The cluster whose events go by this subject. BadMessage if it is no event's."""
    return _path_in(subject, "evt", skip=1)


def path_of_sync(subject: str) -> Path:
    """The cluster that asks by this subject. BadMessage if it is no sync's."""
    return _path_in(subject, "sync", skip=1)


def path_of_guest(subject: str, host: str) -> Path:
    """The cluster that asks the tier `host` by this subject. BadMessage if it is no guest's."""
    return _rest(subject, guests_of(host).removesuffix(">"))


def path_of_join(subject: str) -> Path:
    """The cluster that asks for admission by this subject. BadMessage if none does."""
    return _path_in(subject, "join", skip=0)


def user_of(subject: str) -> str | None:
    """The user of the tier's server who asks by this subject; None if it names none."""
    tokens = subject.split(".")
    return tokens[3] if tokens[:3] == ["ote", "local", "as"] and len(tokens) == 5 else None


def path_of_heartbeat(subject: str) -> Path:
    """The cluster whose heartbeats go by this subject. BadMessage if it is no heartbeat's."""
    return _path_in(subject, "hb", skip=0)


def _rest(subject: str, prefix: str) -> Path:
    if subject.startswith(prefix):
        try:
            return _checked(subject.removeprefix(prefix))
        except BadRequest as error:
            raise BadMessage(f"subject {paths.shown(subject)}: {error.message}") from None
    raise BadMessage(f"subject {paths.shown(subject)} is not {prefix}PATH")


def _path_in(subject: str, kind: str, *, skip: int) -> Path:
    tokens = subject.split(".", 2 + skip)
    if len(tokens) == 3 + skip and tokens[0] == "ote" and tokens[1] == kind:
        try:
            return _checked(tokens[-1])
        except BadRequest as error:
            raise BadMessage(f"subject {paths.shown(subject)}: {error.message}") from None
    raise BadMessage(f"subject {paths.shown(subject)} is no ote.{kind} subject")
