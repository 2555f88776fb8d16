"""Ports for servers that are given none."""

from __future__ import annotations

import errno
import random
import socket

from bus.errors import Unavailable

# Below the ranges from which systems take the ports of outgoing connections and Kubernetes its node
# ports: a server that is down for a moment must find its port free when it comes back.
LOWEST, HIGHEST = 20_000, 29_999
ATTEMPTS = 200


def free_port(host: str = "127.0.0.1", *, avoid: frozenset[int] = frozenset()) -> int:
    """A port of `host` on which nobody listens now. Unavailable if none was found."""
    for _ in range(ATTEMPTS):
        port = random.randint(LOWEST, HIGHEST)
        if port not in avoid and _is_free(host, port):
            return port
    raise Unavailable(f"no free port between {LOWEST} and {HIGHEST} on {host}", hint="give the ports to listen on")


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


def _is_free(host: str, port: int) -> bool:
    with _socket(host) as probe:
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise Unavailable(f"cannot listen on {host}: {error.strerror}", field="host") from None
    return True
