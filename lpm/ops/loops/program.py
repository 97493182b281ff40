"""An edge function as machine code: traced by JAX on scalars, written down as text, emitted as LLVM instructions.

So one edge function serves every backend, and its numba build takes the dtype of every operation from JAX, not from
numba's rules. No operation is reordered, contracted or evaluated in higher precision. The text is data: a list of
operations from the table below, never code that is executed.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from llvmlite import ir
from numba import extending, types

intrinsic: Any = extending.intrinsic  # what it decorates is called without the typing context

PLACES = ("source", "receiver", "arc", "scalar")
"""Where an input is found: at the influencing agent, at the agent influenced, at the arc, or at 0."""

COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
PLAIN = {"add", "sub", "mul", "and", "or", "xor", "shift_left", "shift_right_logical", "shift_right_arithmetic"}
OTHERS = {"select_n", "convert_element_type", "abs", "neg", "sign", "not", "max", "min", "clamp", "round", "square"}
KNOWN = PLAIN | set(COMPARISONS) | OTHERS | {"integer_pow", "div"}
CALLS = {"pjit", "jit", "closed_call", "custom_jvp_call", "custom_vjp_call"}
SILENT = {"copy", "reshape", "broadcast_in_dim", "squeeze", "stop_gradient", "copy_p"}


class Untranslatable(Exception):
    """An edge function that does what no loop here can do; it runs on XLA."""


def text_of(edge: Callable[..., Any], inputs: Mapping[str, Any], bits: int) -> tuple[str, list[Any], list[Any], Any]:
    """Trace an edge function on scalars.

    Args:
        edge: The edge function of `lpm.ops.neighbours`.
        inputs: Pytrees of arrays by place ("source", "receiver", "arc").
        bits: Scale of the fixed point of float outputs.

    Returns:
        text: What `emit` reads.
        operands: The arrays behind the inputs, in the order of the text.
        outputs: A dtype per output: int32 for integers, float32 for floats.
        tree: Structure of the edge function's result.

    Raises:
        Untranslatable: An operation, dtype or shape that is not in the table.
    """
    trees = [inputs.get(place) for place in PLACES[:3]]
    leaves, structure = jax.tree.flatten(trees)
    if any(leaf.ndim != (2 if PLACES[place] == "arc" else 1) for place, leaf in _placed(trees)):
        raise Untranslatable("values of more than one dimension")
    scalars = [jax.ShapeDtypeStruct((), leaf.dtype) for leaf in leaves]
    found: list[Any] = []

    def flat(*values: Any) -> list[Any]:
        result = edge(*jax.tree.unflatten(structure, values))
        given, tree = jax.tree.flatten(result)
        found.append(tree)
        return [_exact(jnp.asarray(value), bits) for value in given]

    closed = jax.make_jaxpr(flat)(*scalars)
    if any(np.shape(const) != () for const in closed.consts):
        raise Untranslatable("it looks into an array that is not a column")
    kinds = [[PLACES[place], str(leaf.dtype)] for place, leaf in _placed(trees)]
    kinds += [["scalar", str(np.dtype(jnp.asarray(const).dtype))] for const in closed.consts]
    names: dict[Any, int] = {}
    for var in (*closed.jaxpr.invars, *closed.jaxpr.constvars):
        names[var] = len(names)
    lines: list[Any] = []
    _write(closed.jaxpr, names, lines, len(kinds))
    outputs = [jnp.float32 if kind == "float" else jnp.int32 for kind in _kinds_of(edge, structure, scalars)]
    told = [[_operand(var, names), str(np.dtype(out))] for var, out in zip(closed.jaxpr.outvars, outputs, strict=True)]
    text = json.dumps({"inputs": kinds, "lines": lines, "outputs": told, "bits": bits})
    return text, [*leaves, *(jnp.asarray(const).reshape(1) for const in closed.consts)], outputs, found[0]


def _placed(trees: list[Any]) -> list[tuple[int, Any]]:
    return [(place, leaf) for place, tree in enumerate(trees) for leaf in jax.tree.leaves(tree)]


def _kinds_of(edge: Callable[..., Any], structure: Any, scalars: list[Any]) -> list[str]:
    """Return "float" or "integer" for every output."""
    shaped = jax.eval_shape(lambda *v: edge(*jax.tree.unflatten(structure, v)), *scalars)
    return ["float" if jnp.issubdtype(s.dtype, jnp.floating) else "integer" for s in jax.tree.leaves(shaped)]


def _exact(value: Any, bits: int) -> Any:
    """Return a term of a sum as int32: floats as fixed point, as `lpm.ops.neighbours` has it."""
    if jnp.issubdtype(value.dtype, jnp.floating):
        return jnp.round(value * jnp.float32(2.0**bits)).astype(jnp.int32)
    return value.astype(jnp.int32)


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
    if line[1] not in _TYPES:
        raise Untranslatable(f"dtype {line[1]}")
    lines.append(line)
    return first + len(lines) - 1


def _define(var: Any, names: dict[Any, int], lines: list[Any], first: int) -> int:
    """Return the number of a value, after a line for it where it is a literal."""
    if hasattr(var, "val"):
        return _append(lines, first, ["constant", str(var.aval.dtype), [], _number(var.val)])
    return names[var]


def _operand(var: Any, names: dict[Any, int]) -> Any:
    return ["constant", int(var.val)] if hasattr(var, "val") else names[var]


def _number(value: Any) -> Any:
    scalar = np.asarray(value)
    return float(scalar).hex() if scalar.dtype.kind == "f" else int(scalar)


_TYPES: dict[str, Any] = {
    "bool": ir.IntType(1), "int8": ir.IntType(8), "uint8": ir.IntType(8), "int16": ir.IntType(16),
    "uint16": ir.IntType(16), "int32": ir.IntType(32), "uint32": ir.IntType(32), "float32": ir.FloatType(),
}  # fmt: skip
_SIZES = {"bool": 8, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "float32": 32}


@functools.cache
def parsed(text: str) -> dict[str, Any]:
    """Return a program from its text; what follows "#" is not part of it."""
    return json.loads(text.rsplit("#", 1)[0])


def counts(text: str) -> tuple[int, int]:
    """Return the number of inputs and of outputs."""
    return len(parsed(text)["inputs"]), len(parsed(text)["outputs"])


@intrinsic(prefer_literal=True)
def addresses(_: Any, text: Any, frame: Any, first: Any, load: Any) -> Any:
    """Return where the data of all inputs begin; `load(frame, 0, i)` finds operand i, inputs begin at `first`."""
    count = counts(text.literal_value)[0]
    kind = types.UniTuple(types.uint64, count)
    signature = kind(text, frame, first, load)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        find = types.uint64(types.uint64, types.int64, types.int64)
        base = context.cast(builder, arguments[2], signature.args[2], types.int64)
        found = context.typing_context.resolve_function_type(signature.args[3], find.args, {})
        body = context.get_function(signature.args[3], found)
        where = context.cast(builder, arguments[1], signature.args[1], types.uint64)
        values = [
            body(builder, (where, ir.Constant(ir.IntType(64), 0), builder.add(base, ir.Constant(ir.IntType(64), i))))
            for i in range(count)
        ]
        return context.make_tuple(builder, kind, values)

    return signature, codegen


@intrinsic(prefer_literal=True)
def zeros(_: Any, text: Any) -> Any:
    """Return a sum of nothing for every output."""
    kind = types.UniTuple(types.int64, counts(text.literal_value)[1])

    def codegen(context: Any, builder: Any, __: Any, ___: Any) -> Any:
        return context.make_tuple(builder, kind, [ir.Constant(ir.IntType(64), 0)] * kind.count)

    return kind(text), codegen


@intrinsic(prefer_literal=True)
def accumulate(_: Any, text: Any, inputs: Any, source: Any, receiver: Any, arc: Any, sums: Any) -> Any:
    """Return the sums with the edge function of one arc added."""
    program = parsed(text.literal_value)
    signature = sums(text, inputs, types.int64, types.int64, types.int64, sums)

    def codegen(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        places = dict(zip(PLACES, (*arguments[2:5], ir.Constant(ir.IntType(64), 0)), strict=True))
        values: list[Any] = []
        kinds: list[str] = []
        for i, (place, dtype) in enumerate(program["inputs"]):
            stored = ir.FloatType() if dtype == "float32" else ir.IntType(_SIZES[dtype])
            base = builder.inttoptr(builder.extract_value(arguments[1], i), stored.as_pointer())
            value = builder.load(builder.gep(base, [places[place]]))
            values.append(builder.icmp_unsigned("!=", value, ir.Constant(stored, 0)) if dtype == "bool" else value)
            kinds.append(dtype)
        for name, dtype, given, number in program["lines"]:
            values.append(_emit(builder, name, dtype, [(values[g], kinds[g]) for g in given], number))
            kinds.append(dtype)
        added: list[Any] = []
        long = ir.IntType(64)
        for i, (which, _) in enumerate(program["outputs"]):
            if isinstance(which, list):
                term = ir.Constant(long, which[1])
            else:
                term = builder.sext(values[which], long)
            added.append(builder.add(builder.extract_value(arguments[5], i), term))
        return context.make_tuple(builder, sums, added)

    return signature, codegen


@intrinsic(prefer_literal=True)
def store(_: Any, text: Any, frame: Any, row: Any, sums: Any, load: Any) -> Any:
    """Write the sums of a row into the results: int32, or fixed point as float32."""
    program = parsed(text.literal_value)
    signature = types.void(text, types.uint64, types.int64, sums, load)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        find = types.uint64(types.uint64, types.int64, types.int64)
        found = context.typing_context.resolve_function_type(signature.args[4], find.args, {})
        body = context.get_function(signature.args[4], found)
        long = ir.IntType(64)
        for i, (_, dtype) in enumerate(program["outputs"]):
            where = body(builder, (arguments[1], ir.Constant(long, 1), ir.Constant(long, i)))
            total = builder.extract_value(arguments[3], i)
            if dtype == "float32":
                scale = ir.Constant(ir.FloatType(), 2.0 ** -program["bits"])
                value = builder.fmul(builder.sitofp(total, ir.FloatType()), scale)
            else:
                value = builder.trunc(total, ir.IntType(32))
            builder.store(value, builder.gep(builder.inttoptr(where, value.type.as_pointer()), [arguments[2]]))
        return context.get_dummy_value()

    return signature, codegen


def _emit(builder: Any, name: str, dtype: str, given: list[tuple[Any, str]], number: Any) -> Any:
    """Return the value of one operation."""
    kind = _TYPES[dtype]
    if name == "constant":
        return ir.Constant(kind, float.fromhex(number) if dtype == "float32" else int(number))
    first, of = given[0]
    floating, signed = of == "float32", of.startswith("int")
    second = given[1][0] if len(given) > 1 else None
    if name in COMPARISONS:
        sign = COMPARISONS[name]
        if floating:
            return (builder.fcmp_unordered if name == "ne" else builder.fcmp_ordered)(sign, first, second)
        return (builder.icmp_signed if signed else builder.icmp_unsigned)(sign, first, second)
    if name == "select_n":  # select_n(which, on_false, on_true)
        if of != "bool" or len(given) != 3:
            raise Untranslatable("a choice among more than two")
        return builder.select(first, given[2][0], second)
    if name == "convert_element_type":
        return _converted(builder, first, of, dtype)
    if name in ("max", "min"):
        return _bounded(builder, name, first, second, of)
    if name == "clamp":  # clamp(low, x, high)
        low, x, high = (value for value, _ in given)
        return _bounded(builder, "min", _bounded(builder, "max", x, low, dtype), high, dtype)
    if name == "round":
        return builder.call(_declared(builder, "llvm.roundeven.f32", 1), [first])
    if name == "abs":
        if floating:
            return builder.call(_declared(builder, "llvm.fabs.f32", 1), [first])
        return builder.select(builder.icmp_signed("<", first, ir.Constant(kind, 0)), builder.neg(first), first)
    if name == "neg":
        return builder.fneg(first) if floating else builder.neg(first)
    if name == "not":
        return builder.not_(first)
    if name == "sign":
        zero = ir.Constant(kind, 0)
        if floating:
            up, down = builder.fcmp_ordered(">", first, zero), builder.fcmp_ordered("<", first, zero)
        else:
            up, down = builder.icmp_signed(">", first, zero), builder.icmp_signed("<", first, zero)
        return builder.select(up, ir.Constant(kind, 1), builder.select(down, ir.Constant(kind, -1), zero))
    if name in ("square", "integer_pow"):
        return builder.fmul(first, first) if floating else builder.mul(first, first)
    if name == "div" and not floating:
        raise Untranslatable("division of integers")
    floats = {"add": builder.fadd, "sub": builder.fsub, "mul": builder.fmul, "div": builder.fdiv}
    whole = {"add": builder.add, "sub": builder.sub, "mul": builder.mul, "and": builder.and_, "or": builder.or_,
             "xor": builder.xor, "shift_left": builder.shl, "shift_right_logical": builder.lshr,
             "shift_right_arithmetic": builder.ashr}  # fmt: skip
    return (floats if floating else whole)[name](first, second)


def _declared(builder: Any, name: str, count: int) -> Any:
    single = ir.FloatType()
    return builder.module.declare_intrinsic(name, fnty=ir.FunctionType(single, [single] * count))


def _bounded(builder: Any, name: str, first: Any, second: Any, of: str) -> Any:
    """Return the larger or smaller of two; NaN where either is, as XLA has it."""
    if of == "float32":
        keep = builder.fcmp_ordered(">=" if name == "max" else "<=", first, second)
        picked = builder.select(keep, first, second)
        return builder.select(builder.fcmp_unordered("!=", first, first), first, picked)
    compare = builder.icmp_signed if of.startswith("int") else builder.icmp_unsigned
    return builder.select(compare(">=" if name == "max" else "<=", first, second), first, second)


def _converted(builder: Any, value: Any, of: str, to: str) -> Any:
    kind = _TYPES[to]
    if of == to:
        return value
    if of == "float32":
        if to == "bool":
            return builder.fcmp_unordered("!=", value, ir.Constant(ir.FloatType(), 0))
        wide = builder.fptosi(value, ir.IntType(64))
        return builder.trunc(wide, kind)
    if to == "float32":
        return (builder.sitofp if of.startswith("int") else builder.uitofp)(value, kind)
    if to == "bool":
        return builder.icmp_unsigned("!=", value, ir.Constant(_TYPES[of], 0))
    if kind.width < _TYPES[of].width:
        return builder.trunc(value, kind)
    if kind.width == _TYPES[of].width:
        return value
    return (builder.sext if of.startswith("int") else builder.zext)(value, kind)
