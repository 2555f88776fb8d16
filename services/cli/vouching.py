"""Whom a log on this machine may believe, so that its signatures can be checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from bus.event import Event
from services.controller.keyring import Fault, KeyRing
from services.tier.trust import trust_in
from store.api import Entry, KeyRow
from store.verify import Vouch

_WORDS: dict[Fault, str] = {
    "unknown": "nobody has said which key its source has",
    "unsigned": "it has no signature",
    "revoked": "it is signed with a key that was revoked before",
    "forged": "its signature is not that of its source",
}


def voucher(state: Path) -> Vouch | None:
    """What checks the log of the tier on this directory; None if that has no credentials, and no signatures."""
    trust = trust_in(state)
    if trust is None:
        return None

    def vouch(keys: Sequence[KeyRow]) -> Callable[[Entry], str | None]:
        ring = KeyRing(trust.roots)
        ring.load(keys)

        def judge(event: Entry) -> str | None:
            fault = ring.judge(cast("Event", event))
            return None if fault is None else _WORDS[fault]

        return judge

    return vouch
