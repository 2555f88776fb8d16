"""Names that the cluster makes: short, of letters that make no words, the same for the same text."""

from __future__ import annotations

from typing import Final
from uuid import UUID

_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
"""Of the letters and digits those that can not make a bad word, as Kubernetes has them."""


def hash_name(text: str) -> str:
    """Up to ten letters for any text: FNV-1a, as the API server writes it."""
    number = 0x811C9DC5
    for byte in text.encode():
        number = (number ^ byte) * 0x01000193 & 0xFFFFFFFF
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(number))


def suffix_of(uid: str) -> str:
    """Five letters for the object with this uid."""
    number = UUID(uid).int
    letters = []
    for _ in range(5):
        number, rest = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[rest])
    return "".join(letters)
