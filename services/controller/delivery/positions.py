"""Positions and their digests: how two logs find where they differ without listing what they hold.

A position says up to which number something is held without a hole. The digest of a set of positions
is the XOR of a hash of each, kept in buckets by key, so that a set that changed in one place differs in
one bucket, and an unchanged set of 10,000 mailboxes costs eight bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from hashlib import blake2b
from operator import xor
from typing import TypeVar
from zlib import crc32

BUCKETS = 64

Key = tuple[str, ...]
K = TypeVar("K", bound=Key)


def bucket(key: Key) -> int:
    """The bucket of a key, the same in every process."""
    return crc32("\0".join(key).encode()) % BUCKETS


def digests(positions: Mapping[K, int]) -> list[int]:
    """One 64-bit digest for each bucket; equal positions give equal digests."""
    out = [0] * BUCKETS
    for key, held in positions.items():
        out[bucket(key)] ^= _hash(key, held)
    return out


def total(buckets: Iterable[int]) -> int:
    """The digest of the whole set from those of its buckets."""
    return reduce(xor, buckets, 0)


def differing(mine: Iterable[int], theirs: Iterable[int]) -> list[int]:
    """The buckets whose digests differ."""
    return [number for number, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b]


def select(positions: Mapping[K, int], buckets: Iterable[int]) -> dict[K, int]:
    """The positions in these buckets."""
    wanted = frozenset(buckets)
    return {key: held for key, held in positions.items() if bucket(key) in wanted}


def _hash(key: Key, held: int) -> int:
    text = "\0".join((*key, str(held))).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
