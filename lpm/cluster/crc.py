"""One CRC-32 of a checkpoint, also where several processes hold its rows: the sum of the whole from those of its parts.

A CRC is the remainder of a polynomial over GF(2), the message's bits its coefficients: putting n bytes behind a message
multiplies its polynomial by x^(8 n), so the remainders are put together without looking at the bytes again (the way of
zlib's crc32_combine, M. Adler).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lpm import cluster
from lpm.cluster.pieces import Piece

POLYNOMIAL = 0xEDB88320
"""x^32 + x^26 + ... + 1 of IEEE 802.3, as zlib has it: the highest power in the lowest bit."""


def sum_of(arrays: Mapping[str, Any]) -> int:
    """Return one CRC-32 over paths and bytes of all arrays: a changed byte of a stored column is told, never used.

    Pieces count as the whole arrays that they are of, so the sum is the same however many processes hold them.
    """
    own = [[zlib.crc32(_bytes(piece.values)), piece.values.nbytes] for piece in _pieces_in(arrays)]
    every = iter(zip(*cluster.gathered(own), strict=True))
    return _sum(arrays, lambda: next(every))


def _sum(arrays: Mapping[str, Any], next_piece: Callable[[], Sequence[Sequence[int]]]) -> int:
    total = 0
    for name, value in sorted(arrays.items()):
        if isinstance(value, Mapping):
            if value:  # an empty dict is not stored
                total = zlib.crc32(f"{name}{{{_sum(value, next_piece)}}}".encode(), total)
            continue
        total = zlib.crc32(name.encode(), total)
        if isinstance(value, Piece):
            for part, length in next_piece():
                total = combine(total, part, length)
        else:
            total = zlib.crc32(_bytes(value), total)
    return total


def _pieces_in(arrays: Mapping[str, Any]) -> list[Piece]:
    """Return the pieces in the order in which `_sum` comes to them."""
    found: list[Piece] = []
    for _, value in sorted(arrays.items()):
        found += _pieces_in(value) if isinstance(value, Mapping) else [value] if isinstance(value, Piece) else []
    return found


def _bytes(values: Any) -> memoryview:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data


def combine(first: int, second: int, length: int) -> int:
    """Return the CRC-32 of two messages, one behind the other.

    Args:
        first: CRC-32 of the first.
        second: CRC-32 of the second.
        length: Bytes of the second.
    """
    return _product(_power(8 * length), first) ^ second


def _product(a: int, b: int) -> int:
    """Return the product of two polynomials modulo the CRC's."""
    result = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            result ^= b
        b = b >> 1 ^ (POLYNOMIAL if b & 1 else 0)
    return result


def _power(exponent: int) -> int:
    """Return x^exponent modulo the CRC's polynomial."""
    result, base = 1 << 31, 1 << 30  # 1 and x
    while exponent:
        if exponent & 1:
            result = _product(base, result)
        base, exponent = _product(base, base), exponent >> 1
    return result
