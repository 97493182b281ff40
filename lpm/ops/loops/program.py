"""An edge function as a program: traced by JAX on scalars and written down as text.

So one edge function serves every backend, and its numba build (see `emit`) takes the dtype of every operation from JAX,
not from numba's rules. No operation is reordered, contracted or evaluated in higher precision. The text is data: a list
of operations from the table below, never code that is executed.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm.ops.fixed import exact, is_fixed, is_wide

COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
PLAIN = {"add", "sub", "mul", "and", "or", "xor", "shift_left", "shift_right_logical", "shift_right_arithmetic"}
OTHERS = {"select_n", "convert_element_type", "abs", "neg", "sign", "not", "max", "min", "clamp", "round", "square"}
KNOWN = PLAIN | set(COMPARISONS) | OTHERS | {"integer_pow", "div"}
CALLS = {"pjit", "jit", "closed_call", "custom_jvp_call", "custom_vjp_call"}
SILENT = {"copy", "copy_p", "reshape", "broadcast_in_dim", "squeeze", "stop_gradient"}
SIZES = {"bool": 8, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "int64": 64,
         "uint64": 64, "float32": 32}  # fmt: skip
"""Bits in memory of every dtype that a loop can hold."""


class Untranslatable(Exception):
    """A function that does what no loop here can do; it runs on XLA."""


def text_of(
    edge: Callable[..., Any], then: Callable[..., Any] | None, arguments: tuple[Any, Any, Any], own: Any, bits: int
) -> tuple[dict[str, Any], list[Any], Any]:
    """Trace an edge function, and the rule that follows it, on scalars.

    Args:
        edge: The edge function of `lpm.ops.neighbours`.
        then: The rule of the agent, or None.
        arguments: What the edge function is given: values of the influencing agents, a pytree of [agents]; of the
            influenced agents, [rows]; edge columns, [blocks, width].
        own: Values that the rule is given beside the sums, a pytree of [rows].
        bits: Scale of the fixed point of float outputs.

    Returns:
        told: What `emit` reads, as data for JSON.
        operands: The arrays behind the inputs, in their order.
        tree: Structure of what a row ends in.

    Raises:
        Untranslatable: An operation, dtype or shape that is not in the table.
    """
    floats: list[bool] = []

    def terms_of(*values: Any) -> Any:
        terms = edge(*values)
        floats[:] = [is_wide(term) for term in jax.tree.leaves(terms, is_leaf=is_fixed)]
        return jax.tree.map(lambda term: exact(term, bits), terms, is_leaf=is_fixed)

    source, receiver, columns = arguments
    program, operands, tree = _traced(terms_of, [("source", source, 1), ("receiver", receiver, 1), ("arc", columns, 2)])
    program["sums"] = ["float32" if floating else "int32" for floating in floats]
    told = {"edge": program, "then": None, "bits": bits, "results": program["sums"]}
    if then is not None:
        sums = jax.tree.unflatten(tree, [jax.ShapeDtypeStruct((1,), np.dtype(kind)) for kind in program["sums"]])
        rule, more, tree = _traced(then, [("sum", sums, 1), ("receiver", own, 1)])
        told |= {"then": rule, "results": rule["kinds"]}
        operands = [*operands, *more[len(program["sums"]) :]]
    return told, operands, tree


def _traced(function: Callable[..., Any], inputs: list[tuple[str, Any, int]]) -> tuple[dict[str, Any], list[Any], Any]:
    """Return a program of a function of these (place, pytree, dimensions of its leaves), its operands and structure."""
    for place, tree, dimensions in inputs:
        if any(leaf.ndim != dimensions for leaf in jax.tree.leaves(tree)):
            raise Untranslatable(f"a {place} value of more than one dimension")
    leaves, structure = jax.tree.flatten([tree for _, tree, _ in inputs])
    found: list[Any] = []

    def flat(*values: Any) -> list[Any]:
        given, tree = jax.tree.flatten(function(*jax.tree.unflatten(structure, values)))
        found.append(tree)
        return [jnp.asarray(value) for value in given]

    closed = jax.make_jaxpr(flat)(*(jax.ShapeDtypeStruct((), leaf.dtype) for leaf in leaves))
    if any(np.shape(const) != () for const in closed.consts):
        raise Untranslatable("it looks into an array that is not a column")
    consts = [jnp.asarray(const).reshape(1) for const in closed.consts]
    kinds = [[place, str(leaf.dtype)] for place, tree, _ in inputs for leaf in jax.tree.leaves(tree)]
    kinds += [["scalar", str(const.dtype)] for const in consts]
    names: dict[Any, int] = {}
    for var in (*closed.jaxpr.invars, *closed.jaxpr.constvars):
        names[var] = len(names)
    if any(dtype not in SIZES for _, dtype in kinds):
        raise Untranslatable(f"dtypes {kinds}")
    lines: list[Any] = []
    _write(closed.jaxpr, names, lines, len(kinds))
    outputs = [_define(var, names, lines, len(kinds)) for var in closed.jaxpr.outvars]
    kept, lines, outputs = _needed(kinds, lines, outputs)
    told = [str(aval.dtype) for aval in closed.out_avals]
    program = {"inputs": [kinds[i] for i in kept], "lines": lines, "outputs": outputs, "kinds": told}
    operands = [*leaves, *consts]
    return program, [operands[i] for i in kept], found[0]


def _needed(kinds: list[Any], lines: list[Any], outputs: list[int]) -> tuple[list[int], list[Any], list[int]]:
    """Return the numbers of the inputs that an output depends on, and lines and outputs that count only what is needed.

    A loop fetches what is among its inputs for every arc, and XLA computes it: what serves derivatives alone would cost
    both. Sums keep their places, and one input is always left.
    """
    first, needed = len(kinds), {*outputs}
    for number in reversed(range(len(lines))):
        if first + number in needed:
            needed.update(lines[number][2])
    inputs = [i for i in range(first) if i in needed or kinds[i][0] == "sum"] or [0][:first]
    kept = [*inputs, *(number for number in range(first, first + len(lines)) if number in needed)]
    place = {old: new for new, old in enumerate(kept)}
    left = [[name, kind, [place[g] for g in given], number] for name, kind, given, number in
            (lines[i - first] for i in kept[len(inputs) :])]  # fmt: skip
    return inputs, left, [place[i] for i in outputs]


def written(told: dict[str, Any]) -> str:
    """Return a program as text."""
    return json.dumps(told)


@functools.cache
def parsed(text: str) -> dict[str, Any]:
    """Return what `written` wrote; what follows "#" is not part of it."""
    return json.loads(text.rsplit("#", 1)[0])


def packed(whole: dict[str, Any]) -> list[int]:
    """Return the inputs of which a loop keeps a bit an agent."""
    return [which for which, (place, _) in enumerate(whole["edge"]["inputs"]) if place == "packed"]


def _write(jaxpr: Any, names: dict[Any, int], lines: list[Any], first: int) -> None:
    """Append one line per operation: [name, dtype, operands, number]; line k defines value first + k."""
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name in CALLS:
            inner = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
            inner, consts = getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())
            if any(np.shape(const) != () for const in consts):
                raise Untranslatable("it looks into an array that is not a column")
            for var, const in zip(inner.constvars, consts, strict=True):
                names[var] = _append(lines, first, ["constant", str(np.asarray(const).dtype), [], _number(const)])
            for var, outer in zip(inner.invars, equation.invars, strict=True):
                names[var] = _define(outer, names, lines, first)
            _write(inner, names, lines, first)
            for var, outer in zip(equation.outvars, inner.outvars, strict=True):
                names[var] = _define(outer, names, lines, first)
            continue
        if any(var.aval.shape != () for var in equation.outvars):
            raise Untranslatable(f"'{name}' makes an array")
        if name in SILENT:
            names[equation.outvars[0]] = _define(equation.invars[0], names, lines, first)
            continue
        if name not in KNOWN or (name == "round" and int(equation.params["rounding_method"]) != 1):
            raise Untranslatable(f"operation '{name}'")
        if name == "integer_pow" and equation.params["y"] != 2:
            raise Untranslatable(f"power {equation.params['y']}")
        given = [_define(var, names, lines, first) for var in equation.invars]
        (out,) = equation.outvars
        names[out] = _append(lines, first, [name, str(out.aval.dtype), given, None])


def _append(lines: list[Any], first: int, line: list[Any]) -> int:
    if line[1] not in SIZES:
        raise Untranslatable(f"dtype {line[1]}")
    lines.append(line)
    return first + len(lines) - 1


def _define(var: Any, names: dict[Any, int], lines: list[Any], first: int) -> int:
    """Return the number of a value, after a line for it where it is a literal."""
    if hasattr(var, "val"):
        return _append(lines, first, ["constant", str(var.aval.dtype), [], _number(var.val)])
    return names[var]


def _number(value: Any) -> Any:
    scalar = np.asarray(value)
    return float(scalar).hex() if scalar.dtype.kind == "f" else int(scalar)
