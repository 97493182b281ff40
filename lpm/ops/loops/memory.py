"""What loops ask of memory: a bit an agent instead of a byte, and elements before they are read."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import extending, types

TOGETHER = 64
"""Words that are looked at in one loop; a shorter one is unrolled, and then not done on vectors."""

ONE, EIGHT = np.uint64(1), np.uint64(8)
intrinsic: Any = extending.intrinsic  # what it decorates is called without the typing context


@numba.njit
def words(count: Any) -> Any:
    """Return how many words of 32 bits hold a bit for each of `count` agents."""
    return (count + 31) // 32


@numba.njit
def top_bits(eight: Any) -> Any:
    """Return eight flags, a byte each, as the bits of one: byte k, worth 2^(8 k), times 2^(56 - 7 k) is bit 56 + k."""
    return eight * np.uint64(0x0102040810204080) >> np.uint64(56)


@numba.njit
def pack(flags: Any, eights: Any, into: Any, low: Any, high: Any) -> None:
    """Write words `low` to `high` of the bits of flags (bytes 0 or 1): an eighth of the memory to gather from.

    Args:
        flags: uint8, the flags.
        eights: The same memory as uint64, eight flags each.
        into: uint32, where bits are written.
        low: First word.
        high: Behind the last.
    """
    whole = max(low, min(high, len(flags) // 32))
    for word in range(np.uint64(low), np.uint64(whole)):  # numbers without a sign: nothing is counted from the end
        at = np.uint64(4) * word
        found = top_bits(eights[at]) | top_bits(eights[at + ONE]) << EIGHT
        found |= (top_bits(eights[at + ONE + ONE]) | top_bits(eights[at + ONE + ONE + ONE]) << EIGHT) << EIGHT + EIGHT
        into[word] = np.uint32(found)
    for word in range(whole, high):
        found = np.uint32(0)
        for k in range(len(flags) - 32 * word):
            found |= np.uint32(flags[32 * word + k]) << np.uint32(k)
        into[word] = found


@numba.njit
def quiet(words: Any, first: Any) -> Any:
    """Return whether `TOGETHER` words from `first` on are all 0, several at a time: no branch, and no short loop."""
    found = words[np.uint64(first)]
    for k in range(1, TOGETHER):
        found |= words[np.uint64(first) + np.uint64(k)]
    return found == 0


@numba.njit
def equal(once: Any, then: Any, first: Any) -> Any:
    """Return whether `TOGETHER` words from `first` on are the same in both."""
    found = once[np.uint64(first)] ^ then[np.uint64(first)]
    for k in range(1, TOGETHER):
        found |= once[np.uint64(first) + np.uint64(k)] ^ then[np.uint64(first) + np.uint64(k)]
    return found == 0


@intrinsic
def fetch(_: Any, values: Any, place: Any) -> Any:
    """Ask memory for an element that will be read soon."""
    signature = types.void(values, place)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        at = context.cast(builder, arguments[1], signature.args[1], types.int64)
        byte = ir.IntType(8).as_pointer()
        kinds = [byte, ir.IntType(32), ir.IntType(32), ir.IntType(32)]
        prefetch = builder.module.declare_intrinsic("llvm.prefetch.p0", (), ir.FunctionType(ir.VoidType(), kinds))
        where = builder.bitcast(builder.gep(data, [at]), byte)
        builder.call(prefetch, [where, *(ir.IntType(32)(flag) for flag in (0, 3, 1))])  # read, keep close, data
        return context.get_dummy_value()

    return signature, codegen
