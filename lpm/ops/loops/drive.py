"""Driving a loop: over the parts of its stages, and over the members of a batch.

Under `jax.vmap` (method "expand_dims") every operand and result of a call has one leading dimension for each level of
it: the number of members, or 1 for an operand that all share, which is not copied. A loop knows nothing of it: it is
given a frame of its own, whose buffers lack these dimensions and begin where a member's rows do. Members are
independent of each other; a stage of a member follows the stage before it.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import extending, types

from lpm.ops.loops.frame import DATA, DIMS, OPERAND_COUNT, OPERANDS, RANK, RESULT_COUNT, RESULTS, item, word

intrinsic: Any = extending.intrinsic  # what it decorates is called without the typing context

FRAME, BUFFER = 15, 6
"""Words of a member's frame as far as its results, and of a buffer; the others are not read by loops."""

SMALL = 2_048
"""Rows of all members together up to which one thread does not wake the others: some 15 us of work, of which two would
save half and cost a third on an idle machine, and many times that on a busy one."""

DENSE = 16
"""Elements of the second operand, arcs where it is a network, that count as a row."""


@intrinsic
def _call(_: Any, loop: Any, frame: Any, stage: Any, part: Any, parts: Any) -> Any:
    """Call the compiled loop at address `loop`."""
    from llvmlite import ir

    def codegen(__: Any, builder: Any, ___: Any, arguments: Any) -> Any:
        long = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [long] * 4)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return ir.Constant(long, 0)

    given = (types.uint64, types.uint64, types.int64, types.int64, types.int64)
    return types.int64(*given), codegen


@numba.njit
def depth(frame: Any, rank: Any) -> Any:
    """Return how many levels of batches a call is for: 0 = it is no batch."""
    return np.int64(word(word(word(frame + RESULTS)) + RANK)) - rank


@numba.njit
def extent(buffer: Any, axis: Any) -> Any:
    """Return the length of an axis of an `XLA_FFI_Buffer`."""
    return np.int64(word(word(buffer + DIMS) + np.uint64(8 * axis)))


@numba.njit
def members_of(frame: Any, levels: Any) -> Any:
    """Return the number of members over all levels."""
    first, count = word(word(frame + RESULTS)), np.int64(1)
    for axis in range(levels):
        count *= extent(first, axis)
    return count


@numba.njit
def rows_of(frame: Any, levels: Any) -> Any:
    """Return how many rows one member is worth: every loop has one an element of its first operand."""
    rows = np.int64(0)
    for which in range(min(np.int64(word(frame + OPERAND_COUNT)), 2)):
        buffer, count = word(word(frame + OPERANDS) + np.uint64(8 * which)), np.int64(1)
        for axis in range(levels, np.int64(word(buffer + RANK))):
            count *= extent(buffer, axis)
        rows = max(rows, count // DENSE if which else count)
    return rows


@numba.njit
def buffers_of(frame: Any) -> Any:
    """Return the numbers of operands and of results."""
    return np.int64(word(frame + OPERAND_COUNT)), np.int64(word(frame + RESULT_COUNT))


@numba.njit
def buffer_of(frame: Any, operands: Any, which: Any) -> Any:
    """Return the address of a buffer; results are counted after the operands."""
    if which < operands:
        return word(word(frame + OPERANDS) + np.uint64(8 * which))
    return word(word(frame + RESULTS) + np.uint64(8 * (which - operands)))


@numba.njit
def words_of(frame: Any) -> Any:
    """Return the size of a member's frame: itself, pointers to its buffers, and these."""
    operands, results = buffers_of(frame)
    return FRAME + (1 + BUFFER) * (operands + results)


@numba.njit
def line_up(shadow: Any, frame: Any, levels: Any) -> None:
    """Write a member's frame but for where its data begin: the call's without the leading dimensions.

    The first word of a buffer, which loops do not read, holds the bytes of one member of it.
    """
    operands, results = buffers_of(frame)
    begin, first = np.int64(shadow.ctypes.data), FRAME + operands + results
    shadow[OPERANDS // 8] = np.uint64(begin + 8 * FRAME)
    shadow[RESULTS // 8] = np.uint64(begin + 8 * (FRAME + operands))
    for which in range(operands + results):
        whole, at = buffer_of(frame, operands, which), first + BUFFER * which
        rank, size = np.int64(word(whole + RANK)), np.int64(item(whole))
        for axis in range(levels, rank):
            size *= extent(whole, axis)
        shadow[FRAME + which] = np.uint64(begin + 8 * at)
        shadow[at] = np.uint64(size)
        shadow[at + RANK // 8] = np.uint64(rank - levels)
        shadow[at + DIMS // 8] = word(whole + DIMS) + np.uint64(8 * levels)


@numba.njit
def aim(shadow: Any, frame: Any, levels: Any, member: Any) -> None:
    """Point the buffers of a frame at the data of a member; what all share stays where it is."""
    operands, results = buffers_of(frame)
    first, counts = FRAME + operands + results, word(word(frame + RESULTS))
    for which in range(operands + results):
        whole, at, rest = buffer_of(frame, operands, which), first + BUFFER * which, member
        step, away = np.int64(shadow[at]), np.int64(0)
        for axis in range(levels - 1, -1, -1):
            count, own = extent(counts, axis), extent(whole, axis)
            if own > 1:
                away += rest % count * step
            rest, step = rest // count, step * own
        shadow[at + DATA // 8] = word(whole + DATA) + np.uint64(away)


@numba.njit
def run(loop: Any, shadow: Any, stage: Any, part: Any, parts: Any) -> None:
    """Run a part of a stage on a member's frame."""
    _call(loop, shadow.ctypes.data, stage, part, parts)


@numba.njit
def alone(loop: Any, frame: Any, stages: Any, levels: Any, low: Any, high: Any) -> None:
    """Run a loop for the members from `low` to `high` one after the other, every stage in one part."""
    if levels == 0:
        for stage in range(stages):
            _call(loop, frame, np.int64(stage), np.int64(0), np.int64(1))
    elif low < high:
        shadow = np.empty(words_of(frame), np.uint64)
        line_up(shadow, frame, levels)
        for member in range(low, high):
            aim(shadow, frame, levels, member)
            for stage in range(stages):
                run(loop, shadow, np.int64(stage), np.int64(0), np.int64(1))


@numba.njit("void(uint64, uint64, int64, int64, int64)", parallel=True, cache=True)
def together(loop: Any, frame: Any, stages: Any, parts: Any, rank: Any) -> None:
    """Run a loop on several threads.

    Args:
        loop: Its address.
        frame: Address of the `XLA_FFI_CallFrame`.
        stages: Number of stages.
        parts: Into how many parts a stage is cut at most.
        rank: Dimensions of the first result of one member.
    """
    levels = depth(frame, rank)
    members = members_of(frame, levels)
    if rows_of(frame, levels) * members <= SMALL:
        alone(loop, frame, stages, levels, 0, members)
    elif levels == 0:
        for stage in range(stages):
            for part in numba.prange(parts):
                _call(loop, frame, np.int64(stage), np.int64(part), parts)
    elif members >= parts:
        for share in numba.prange(parts):
            place = np.int64(share)
            alone(loop, frame, stages, levels, members * place // parts, members * (place + 1) // parts)
    else:
        shadows = np.empty((members, words_of(frame)), np.uint64)
        for member in range(members):
            line_up(shadows[member], frame, levels)
            aim(shadows[member], frame, levels, member)
        each = (parts + members - 1) // members
        for stage in range(stages):
            for unit in numba.prange(members * each):
                place = np.int64(unit)
                run(loop, shadows[place // each], np.int64(stage), place % each, each)


@numba.njit("void(uint64, uint64, int64, int64, int64)", cache=True)
def in_turn(loop: Any, frame: Any, stages: Any, parts: Any, rank: Any) -> None:
    """Run a loop on one thread; the arguments are those of `together`."""
    levels = depth(frame, rank)
    alone(loop, frame, stages, levels, 0, members_of(frame, levels))
