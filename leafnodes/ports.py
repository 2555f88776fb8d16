"""Ports for servers that are given none."""

from __future__ import annotations

import errno
import itertools
import os
import random
import re
import socket

from bus.errors import BadRequest, Unavailable

# Below the ranges from which systems take the ports of outgoing connections and Kubernetes its node
# ports: a server that is down for a moment must find its port free when it comes back.
LOWEST, HIGHEST = 20_000, 29_999
ATTEMPTS = 200
# Counted up from anywhere: what was given last is given again last, for its server may not listen yet, or be down.
_turns = itertools.count(random.randrange(2**16))
#: Trees that share a machine keep apart by it: a port whose server is down for a moment is nobody else's.
RANGE = "OTE_FREE_PORTS"


def free_port(host: str = "127.0.0.1", *, avoid: frozenset[int] = frozenset()) -> int:
    """A port of `host` on which nobody listens now, between LOWEST and HIGHEST or in the range (`21000-21999`) that
    the environment gives. Unavailable if none was found."""
    lowest, highest = _range()
    for _ in range(ATTEMPTS):
        port = lowest + next(_turns) % (highest + 1 - lowest)
        if port not in avoid and is_free(host, port):
            return port
    raise Unavailable(f"no free port between {lowest} and {highest} on {host}", hint="give the ports to listen on")


def _range() -> tuple[int, int]:
    text = os.environ.get(RANGE)
    if text is None:
        return LOWEST, HIGHEST
    found = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text)
    if found is None or not 0 < int(found[1]) <= int(found[2]) < 65536:
        raise BadRequest(f"{text!r} is no range of ports", field=RANGE, hint="it looks like 21000-21999")
    return int(found[1]), int(found[2])


def hold(host: str, port: int) -> socket.socket:
    """Keeps the port while nobody listens on it: only who sets SO_REUSEPORT, as this user, can take it.
    OSError if somebody has it already."""
    held = _socket(host)
    try:
        held.bind((host, port))
    except OSError:
        held.close()
        raise
    # Set only now, so that two do not come to hold one port.
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return held


def _socket(host: str) -> socket.socket:
    """One that may take a port on which connections are still ending."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens there. Unavailable if `host` is not of this machine."""
    with _socket(host) as probe:
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise Unavailable(f"cannot listen on {host}: {error.strerror}", field="host") from None
    return True
