"""Programs as LLVM instructions: what a loop calls for every arc, and for every row."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending, types

from lpm.ops.loops.program import COMPARISONS, SIZES, Untranslatable, packed, parsed

intrinsic: Any = extending.intrinsic  # what it decorates is called without the typing context

LONG = ir.IntType(64)
SOURCES = ("source", "packed", "bits")
"""Places of an influencing agent's values: as they are, as bits that the loop packs, and as bits that it is given."""
TYPES: dict[str, Any] = {
    name: ir.FloatType() if name == "float32" else ir.IntType(1 if name == "bool" else bits)
    for name, bits in SIZES.items()
}


@intrinsic(prefer_literal=True)
def addresses(_: Any, text: Any, frame: Any, first: Any, load: Any) -> Any:
    """Return where the data of all inputs begin; `load(frame, 0, i)` finds operand i, inputs begin at `first`.

    Packed inputs are results after those of the rows, where `pack` writes their bits.
    """
    program = parsed(text.literal_value)
    count = len(stored(program["edge"])) + len(stored(program["then"]))
    bits = {which: len(program["results"]) + k for k, which in enumerate(packed(program))}
    kind = types.UniTuple(types.uint64, count)
    signature = kind(text, frame, first, load)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        find = _found(context, signature.args[3])
        base = context.cast(builder, arguments[2], signature.args[2], types.int64)
        where = context.cast(builder, arguments[1], signature.args[1], types.uint64)
        values = [
            find(
                builder, (where, LONG(1), LONG(bits[i])) if i in bits else (where, LONG(0), builder.add(base, LONG(i)))
            )
            for i in range(count)
        ]
        return context.make_tuple(builder, kind, values)

    return signature, codegen


@intrinsic(prefer_literal=True)
def zeros(_: Any, text: Any) -> Any:
    """Return a sum of nothing for every output of the edge function."""
    kind = types.UniTuple(types.int64, len(parsed(text.literal_value)["edge"]["outputs"]))

    def codegen(context: Any, builder: Any, __: Any, ___: Any) -> Any:
        return context.make_tuple(builder, kind, [LONG(0)] * kind.count)

    return kind(text), codegen


@intrinsic(prefer_literal=True)
def active(_: Any, text: Any, inputs: Any, source: Any) -> Any:
    """Return whether any value of an influencing agent is not 0, bit for bit."""
    program = parsed(text.literal_value)["edge"]
    signature = types.boolean(text, inputs, types.int64)

    def codegen(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        found = ir.Constant(ir.IntType(1), 0)
        for i, (place, dtype) in enumerate(program["inputs"]):
            if place in SOURCES:
                kept = "bool" if dtype == "bool" else f"uint{SIZES[dtype]}"
                value = _load(builder, arguments[1], i, (place, kept), {place: arguments[2]})
                quiet = ir.Constant(value.type, 0)
                found = builder.or_(found, builder.icmp_unsigned("!=", value, quiet))
        return found

    return signature, codegen


@intrinsic(prefer_literal=True)
def accumulate(_: Any, text: Any, inputs: Any, source: Any, receiver: Any, arc: Any, sums: Any) -> Any:
    """Return the sums with the edge function of one arc added."""
    program = parsed(text.literal_value)["edge"]
    signature = sums(text, inputs, types.int64, types.int64, types.int64, sums)

    def codegen(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        source, receiver, arc = arguments[2:5]
        places = {**dict.fromkeys(SOURCES, source), "receiver": receiver, "arc": arc, "scalar": LONG(0)}
        terms = _values(builder, program, [_load(builder, arguments[1], i, p, places)
                                           for i, p in enumerate(program["inputs"])])  # fmt: skip
        added = [
            builder.add(builder.extract_value(arguments[5], i), builder.sext(term, LONG))
            for i, term in enumerate(terms)
        ]
        return context.make_tuple(builder, sums, added)

    return signature, codegen


@intrinsic(prefer_literal=True)
def targets(_: Any, text: Any, frame: Any, load: Any) -> Any:
    """Return where the data of the results of the rows begin."""
    kind = types.UniTuple(types.uint64, len(parsed(text.literal_value)["results"]))
    signature = kind(text, frame, load)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        find = _found(context, signature.args[2])
        where = context.cast(builder, arguments[1], signature.args[1], types.uint64)
        values = [find(builder, (where, LONG(1), LONG(i))) for i in range(kind.count)]
        return context.make_tuple(builder, kind, values)

    return signature, codegen


@intrinsic(prefer_literal=True)
def store(_: Any, text: Any, into: Any, inputs: Any, row: Any, sums: Any) -> Any:
    """Write a row's results: its sums (int32, or fixed point as float32), or the rule of the agent of them."""
    whole = parsed(text.literal_value)
    program, then = whole["edge"], whole["then"]
    signature = types.void(text, into, inputs, types.int64, sums)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        results: list[Any] = []
        for i, dtype in enumerate(program["sums"]):
            total = builder.extract_value(arguments[4], i)
            if dtype == "float32" and whole.get("units"):
                results.append(total)
            elif dtype == "float32":
                scale = ir.Constant(ir.FloatType(), 2.0 ** -whole["bits"])
                results.append(builder.fmul(builder.sitofp(total, ir.FloatType()), scale))
            else:
                results.append(builder.trunc(total, ir.IntType(32)))
        if then:
            places, given, at = {"receiver": arguments[3], "scalar": LONG(0)}, [], len(stored(program))
            for place in then["inputs"]:
                if place[0] == "sum":
                    given.append(results[len(given)])
                else:
                    given.append(_load(builder, arguments[2], at, place, places))
                    at += 1
            results = _values(builder, then, given)
        for i, (value, dtype) in enumerate(zip(results, whole["results"], strict=True)):
            base = builder.inttoptr(builder.extract_value(arguments[1], i), _memory(dtype).as_pointer())
            kept = builder.zext(value, _memory(dtype)) if dtype == "bool" else value
            builder.store(kept, builder.gep(base, [arguments[3]]))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)
def blank(_: Any, text: Any, into: Any, low: Any, high: Any) -> Any:
    """Write zeros as the results of rows `low` to `high`."""
    kinds = parsed(text.literal_value)["results"]
    signature = types.void(text, into, types.int64, types.int64)

    def codegen(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        first, count = arguments[2], builder.sub(arguments[3], arguments[2])
        byte = ir.IntType(8)
        clear = builder.module.declare_intrinsic("llvm.memset", [byte.as_pointer(), LONG])
        for i, dtype in enumerate(kinds):
            size = LONG(SIZES[dtype] // 8)
            base = builder.inttoptr(builder.extract_value(arguments[1], i), byte.as_pointer())
            where = builder.gep(base, [builder.mul(first, size)])
            builder.call(clear, [where, byte(0), builder.mul(count, size), ir.IntType(1)(0)])
        return context.get_dummy_value()

    return signature, codegen


def stored(program: dict[str, Any] | None) -> list[Any]:
    """Return the inputs of a program that are operands of the loop."""
    return [] if program is None else [given for given in program["inputs"] if given[0] != "sum"]


def _found(context: Any, load: Any) -> Any:
    find = types.uint64(types.uint64, types.int64, types.int64)
    return context.get_function(load, context.typing_context.resolve_function_type(load, find.args, {}))


def _memory(dtype: str) -> Any:
    return ir.FloatType() if dtype == "float32" else ir.IntType(SIZES[dtype])


def _load(builder: Any, inputs: Any, number: int, given: Any, places: dict[str, Any]) -> Any:
    """Return input `number`, described as (place, dtype)."""
    place, dtype = given
    if place in ("packed", "bits"):
        kept = ir.IntType(32)
        base = builder.inttoptr(builder.extract_value(inputs, number), kept.as_pointer())
        word = builder.load(builder.gep(base, [builder.lshr(places[place], LONG(5))]))
        return builder.trunc(
            builder.lshr(word, builder.and_(builder.trunc(places[place], kept), kept(31))), TYPES[dtype]
        )
    kept = _memory(dtype)
    base = builder.inttoptr(builder.extract_value(inputs, number), kept.as_pointer())
    value = builder.load(builder.gep(base, [places[place]]))
    return builder.icmp_unsigned("!=", value, ir.Constant(kept, 0)) if dtype == "bool" else value


def _values(builder: Any, program: dict[str, Any], given: list[Any]) -> list[Any]:
    """Return the outputs of a program from its inputs."""
    values = list(given)
    kinds = [dtype for _, dtype in program["inputs"]]
    for name, dtype, operands, number in program["lines"]:
        values.append(_emit(builder, name, dtype, [(values[g], kinds[g]) for g in operands], number))
        kinds.append(dtype)
    return [values[which] for which in program["outputs"]]


def _emit(builder: Any, name: str, dtype: str, given: list[tuple[Any, str]], number: Any) -> Any:
    """Return the value of one operation."""
    kind = TYPES[dtype]
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
    kind = TYPES[to]
    if of == to:
        return value
    if of == "float32":
        if to == "bool":
            return builder.fcmp_unordered("!=", value, ir.Constant(ir.FloatType(), 0))
        wide = builder.fptosi(value, LONG)
        return wide if kind.width == 64 else builder.trunc(wide, kind)
    if to == "float32":
        return (builder.sitofp if of.startswith("int") else builder.uitofp)(value, kind)
    if to == "bool":
        return builder.icmp_unsigned("!=", value, ir.Constant(TYPES[of], 0))
    if kind.width < TYPES[of].width:
        return builder.trunc(value, kind)
    if kind.width == TYPES[of].width:
        return value
    return (builder.sext if of.startswith("int") else builder.zext)(value, kind)
