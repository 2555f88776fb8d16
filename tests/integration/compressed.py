"""Frames of S2, as a compressed leaf link carries them, written by hand: blocks of zeros are small on the wire, and
large behind it."""

from __future__ import annotations

import struct

BEGIN = b"\xff\x06\x00\x00sNaPpY"
_BLOCK, _PLAIN = 0, 1
#: Of the table of CRC-32C, the bits turned around; and what the format adds to a sum.
_POLYNOMIAL, _MASK = 0x82F63B78, 0xA282EAD8
#: The most that one copy repeats.
_COPY = 64


def _row(number: int) -> int:
    for _ in range(8):
        number = number >> 1 ^ (_POLYNOMIAL if number & 1 else 0)
    return number


_TABLE = [_row(number) for number in range(256)]


def _sum(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF)


def _frame(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + struct.pack("<I", len(body))[:3] + body


def plain(data: bytes) -> bytes:
    """A frame that is not compressed."""
    return _frame(_PLAIN, _sum(data) + data)


def zeros(size: int, *, says: int | None = None) -> bytes:
    """A frame of so many zeros, a twentieth of it on the wire; or one that only says to hold so many."""
    body = bytearray(_number(says or size) + b"\x00\x00")
    left = size - 1
    while left:
        count = min(_COPY, left)
        # Go back by one byte, and repeat it.
        body += bytes([count - 1 << 2 | 2, 1, 0])
        left -= count
    return _frame(_BLOCK, _sum(bytes(size)) + body)


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
