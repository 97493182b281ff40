"""What devices exchange in a step, read off the traced program at its full size.

A step is traced (nothing is computed, no device is needed) with an axis of as many devices as are planned for, and the
collectives in it are added up: which columns of which dtype travel is what the program says, not what somebody wrote
down here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lpm.ops.collective import AXIS

SENT: Mapping[str, Callable[[int, int], float]] = {
    "all_gather": lambda devices, size: (devices - 1) * size,
    "psum": lambda devices, size: 2 * (devices - 1) / devices * size,
    "pmax": lambda devices, size: 2 * (devices - 1) / devices * size,
    "pmin": lambda devices, size: 2 * (devices - 1) / devices * size,
    "reduce_scatter": lambda devices, size: (devices - 1) / devices * size,
    "all_to_all": lambda devices, size: (devices - 1) / devices * size,
    "ppermute": lambda devices, size: float(size),
}
"""Bytes that each device sends for an operand of `size` bytes, by ring algorithms (P. Patarasuk and X. Yuan 2009,
doi:10.1016/j.jpdc.2008.09.002, for the sums)."""


@dataclass(frozen=True)
class Exchange:
    """One collective of a step.

    Attributes:
        kind: "all_gather", "psum", "ppermute", "all_to_all", ...
        dtype: Of the values that travel.
        shape: Of one device's operand.
        operand: Its bytes.
        times: How often it is done in a step.
        sent: Bytes that each device sends in a step.
        held: Bytes of its result on a device.
    """

    kind: str
    dtype: str
    shape: tuple[int, ...]
    operand: int
    times: int
    sent: float
    held: int


def exchanges(function: Callable[..., Any], arguments: tuple[Any, ...], devices: int) -> tuple[Exchange, ...]:
    """Return the collectives of a function of one device's arrays.

    Args:
        function: What one device does; `AXIS` is bound while it is traced.
        arguments: Pytrees of arrays, or of what has a shape and a dtype.
        devices: Number of devices on the axis.
    """
    import jax

    traced: Any = jax.make_jaxpr(function, axis_env=[(AXIS, devices)])(*arguments)
    found: dict[tuple[Any, ...], Exchange] = {}
    program = _walk(traced.jaxpr, [True] * len(traced.jaxpr.outvars), 1, devices)[1]
    for kind, operand, result, times in program:
        shape, dtype = tuple(int(each) for each in operand.shape), operand.dtype
        size = math.prod(shape) * dtype.itemsize
        held = math.prod(result.shape) * dtype.itemsize
        more = Exchange(kind, dtype.name, shape, size, times, times * SENT[kind](devices, size), held)
        key = (kind, dtype.name, shape)
        old = found.get(key)
        found[key] = more if old is None else replace(more, times=old.times + times, sent=old.sent + more.sent)
    return tuple(sorted(found.values(), key=lambda each: -each.sent))


Found = list[tuple[str, Any, Any, int]]
"""Kind, operand, result and number of every collective."""


def _walk(jaxpr: Any, wanted: Sequence[bool], times: int, devices: int) -> tuple[list[bool], Found]:
    """Return which arguments of a program are needed for the results that are wanted, and its collectives.

    What nothing needs, such as the makings of derivatives, is left out, as compilers leave it out. The same collective
    of the same operand counts once: compilers share it. Of a choice the costliest branch counts.

    Args:
        jaxpr: The program.
        wanted: Of its results.
        times: How often it runs in a step.
        devices: Number of devices.
    """
    needed = {id(v) for v, want in zip(jaxpr.outvars, wanted, strict=True) if want}
    found: Found = []
    seen: set[tuple[str, int, str]] = set()
    for equation in reversed(jaxpr.eqns):
        outs = [id(v) in needed for v in equation.outvars]
        if not any(outs) and not equation.effects:
            continue
        kind = _kind(equation.primitive.name)
        ins, inner = [True] * len(equation.invars), Found()
        if kind is not None:
            rest = str(sorted((k, str(v)) for k, v in equation.params.items()))
            for operand, result, want in zip(equation.invars, equation.outvars, outs, strict=True):
                if want and (kind, id(operand), rest) not in seen:
                    seen.add((kind, id(operand), rest))
                    inner.append((kind, operand.aval, result.aval, times))
            ins = outs
        elif any(parts := [each for value in equation.params.values() for each in _inner(value)]):
            ins, inner = _within(equation, parts, outs, times, devices)
        found += inner
        needed |= {id(v) for v, need in zip(equation.invars, ins, strict=True) if need}
    return [id(v) in needed for v in jaxpr.invars], found


def _within(equation: Any, parts: list[Any], outs: list[bool], times: int, devices: int) -> tuple[list[bool], Found]:
    """Return which operands of an equation that holds programs are needed, and its collectives."""
    name, many = equation.primitive.name, len(equation.invars)
    if name == "cond":
        each = [_walk(part, outs, times, devices) for part in parts]
        ins = [any(column) for column in zip(*(need for need, _ in each), strict=True)]
        return [True, *ins], max((found for _, found in each), key=lambda found: _sent(found, devices))
    if name == "scan":
        (body,), consts, carried = parts, equation.params["num_consts"], equation.params["num_carry"]
        wanted = list(outs)
        while True:
            need, found = _walk(body, wanted, times * int(equation.params["length"]), devices)
            more = [a or b for a, b in zip(wanted[:carried], need[consts : consts + carried], strict=True)]
            if more == wanted[:carried]:
                return need, found
            wanted[:carried] = more
    if len(parts) == 1 and len(parts[0].invars) == many and len(parts[0].outvars) == len(outs):
        return _walk(parts[0], outs, times, devices)
    every = Found()
    for part in parts:
        every += _walk(part, [True] * len(part.outvars), times, devices)[1]
    return [True] * many, every


def _sent(found: Found, devices: int) -> float:
    return sum(
        times * SENT[kind](devices, math.prod(operand.shape) * operand.dtype.itemsize)
        for kind, operand, _, times in found
    )


def _kind(primitive: str) -> str | None:
    """Return the collective that a primitive is ("psum_invariant" is a psum), None where it is none."""
    for kind in SENT:
        if primitive == kind or primitive in (f"{kind}2", f"{kind}_invariant", f"{kind}_reduced"):
            return kind
    return None


def _inner(value: Any) -> Iterator[Any]:
    """Yield the programs within a parameter of an equation."""
    if hasattr(value, "eqns"):
        yield value
    elif hasattr(value, "jaxpr"):
        yield from _inner(value.jaxpr)
    elif isinstance(value, tuple | list):
        for each in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _inner(each)
