"""The contract of a kernel, fourth part: derivatives are what it claims, or refused.

A kernel of an "exact" or "between choices" gradient is differentiated through three steps by every parameter and float
column and compared with central differences, on both backends. Everything is deterministic. A difference of steps h and
2 h, extrapolated (Richardson), is off by at most

- 1.5 / h times the rounding of an outcome: 3 steps, each at most 4 roundings of numbers below 1 (2^-25: float32, and
  fixed point of 2^-24) that later steps do not amplify, times the derivative of the loss by the outcome;
- a tenth of D(2 h) - D(h) = h^2 f''' / 2, as long as h^2 f^(5) < 1.5 f''';

and the derivative itself, a sum of N terms in float32, by N 2^-24 of the sum of their sizes.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lpm import catalogue, random
from lpm.clock import Clock
from lpm.errors import InputError
from lpm.kernel import DIFFERENTIABLE, GRADIENTS, Kernel, declarations, find, kernels, register
from lpm.network import layout
from lpm.ops.dispatch import using
from lpm.ops.neighbours import row_width

from .world import DT, SIZE, network, others_of, people_of, values_of

MOVES, H = 3, 0.01
PHRASES = {
    "exact": "exact gradients",
    "between choices": "gradients between choices",
    "common random numbers": "gradients by common random numbers",
    "none": "no gradient",
}
QUICK = ("degroot",)
SMOOTH = [name for name, kernel in kernels().items() if kernel.gradient in DIFFERENTIABLE]
FAR = {
    "deffuant": {"meetings": 1.5, "epsilon": 0.35, "mu": 0.3},
    "hegselmann-krause": {"epsilon": 0.35},
    "persuasion": {"persuasion": 0.02, "reinforcement": 0.02, "diversity": 0.005, "lean": 0.5},
    "repulsion": {"meetings": 1.5, "acceptance": 0.35, "rejection": 1.0, "mu": 0.03},
}
"""Values under which people of the three camps of `people` come near no threshold in three steps."""

OPEN = {"deffuant": {"epsilon": 2.0}, "hegselmann-krause": {"epsilon": 2.0}, "repulsion": {"acceptance": 2.0}}
"""More such values, for people of uniform opinions: everybody listens to everybody."""


def people(kernel: type[Kernel]) -> dict[str, Any]:
    """Return random people: opinions in camps around -0.65, 0 and 0.65 (two, on either side, where the side counts)."""
    columns, generator = dict(people_of(kernel).columns), np.random.default_rng(5)
    centres = (-0.5, 0.5) if kernel.name == "persuasion" else (-0.65, 0.0, 0.65)
    opinion = generator.choice(centres, SIZE) + generator.uniform(-0.05, 0.05, SIZE)
    ranges = {"voice": (0.5, 1.5), "reinforcement": (-0.02, 0.02), "susceptibility": (0.1, 0.9)}
    floats = {name: generator.uniform(*ranges[name], SIZE) for name in sorted(ranges) if name in columns}
    return columns | {name: values.astype(np.float32) for name, values in ({"opinion": opinion} | floats).items()}


def world(name: str, backend: str, place: str = "rows", **more: float) -> tuple[type[Kernel], Any, dict[str, Any], Any]:
    """Return a kernel, its parameters, people and layer; spreads and shares stay away from their bounds."""
    kernel = find(name, "test")
    values = values_of(kernel) | FAR.get(name, {}) | {k: 0.8 for k in ("spread",) if k in values_of(kernel)} | more
    texts = {key for key, each in declarations(kernel.Params).items() if each.choices}
    given = {key: jnp.asarray(value, jnp.float32) for key, value in values.items() if key not in texts}
    with using(backend):
        layer = jax.tree.map(jnp.asarray, layout(network(place), width=row_width()))
    return kernel, replace(kernel.Params(), **given), jax.tree.map(jnp.asarray, people(kernel)), layer


def after(
    kernel: type[Kernel], params: Any, agents: dict[str, Any], layer: Any, begin: bool, more: Any = None
) -> dict[str, Any]:
    """Return the float columns that the kernel writes, after its own start if `begin`, and three steps.

    Args:
        kernel: The kernel.
        params: Its parameters.
        agents: Columns of table "agents".
        layer: Its layer.
        begin: Whether it starts from `init`.
        more: Columns of its other tables; None = drawn at random.
    """
    key = random.instance(random.root(1), kernel.name)
    others = more or jax.tree.map(jnp.asarray, others_of(kernel, np.random.default_rng(4)))
    clock = Clock(jnp.int32(0), DT, 1)

    def parted(new: Any, tables: Any) -> Any:
        mine = {name: new[name] for name in kernel.writes if name in new}
        rest = {table: tables[table] | dict(new.get(table, {})) for table in others}
        return rest | {"agents": tables["agents"] | mine}

    tables = others | {"agents": agents}
    ready = kernel.prepare(params, tables, clock)
    if begin:
        tables = parted(kernel.init(key, tables, ready, clock), tables)

    def one(tables: Any, number: Any) -> Any:
        new = kernel.step(random.at_step(key, number), tables, {"contacts": layer}, ready, Clock(number, DT, 1))
        return parted(new, tables), None

    done, _ = jax.lax.scan(one, tables, jnp.arange(MOVES))
    columns = {name: done["agents"][name] for name in kernel.writes}
    return {name: values for name, values in columns.items() if jnp.issubdtype(values.dtype, jnp.floating)}


WEIGHTS = np.random.default_rng(6).uniform(0.5, 1.5, SIZE).astype(np.float32)


def loss(columns: dict[str, Any]) -> Any:
    """Return sum of c (x + x^2), a smooth functional; of numpy arrays in float64."""
    return sum((WEIGHTS * (x + x * x)).sum() for x in columns.values())


def differences(outcome: Any, size: float) -> tuple[float, float]:
    """Return the extrapolated central difference at 0 of the loss of `outcome(t)`, and how far off it may be."""

    def at(t: float) -> tuple[float, float]:
        columns = {name: np.asarray(x, np.float64) for name, x in outcome(jnp.float32(t)).items()}
        return float(loss(columns)), float(sum((WEIGHTS * np.abs(1 + 2 * x)).sum() for x in columns.values()))

    h = float(np.float32(H * size))
    one, two = ((at(k * h)[0] - at(-k * h)[0]) / (2 * k * h) for k in (1, 2))
    rounding = MOVES * 4 * 2.0**-25 * at(0.0)[1] * max(1.0, size)
    return (4 * one - two) / 3, 1.5 * rounding / h + abs(two - one) / 10


each = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else (pytest.mark.full,)) for name in SMOOTH]
)


@each
@pytest.mark.parametrize("backend", ["xla", "numba"])
@pytest.mark.parametrize("begin", [False, pytest.param(True, marks=pytest.mark.full)], ids=["given", "begun"])
def test_derivatives_are_those_of_differences(name: str, backend: str, begin: bool):
    """Forwards and backwards, by every parameter that is not hard and every float column; from given people, or begun.

    Parameters that act at the start only are tried on people who begin there.
    """
    compared(name, backend, begin)


@pytest.mark.full
@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("begin", [False, True], ids=["given", "begun"])
def test_derivatives_under_complete_mixing_are_those_of_differences(name: str, begin: bool):
    """The same where everybody meets everybody, of which no backend makes loops."""
    compared(name, "xla", begin, "complete mixing")


def compared(name: str, backend: str, begin: bool, place: str = "rows") -> None:
    """Fail where a derivative of a kernel in such a place is not that of its differences."""
    kernel, params, agents, layer = world(name, backend, place, **(OPEN.get(name, {}) if begin else {}))
    declared = declarations(kernel.Params)
    free = [key for key in declared if key not in kernel.hard and not declared[key].choices]
    keys = [key for key in free if declared[key].initial <= begin]
    keys += [] if begin else [f":{column}" for column in kernel.writes if agents[column].dtype == np.float32]
    signs = np.random.default_rng(7).choice([-1, 1], SIZE).astype(np.float32)

    def moved(ways: dict[str, Any], agents: Any, layer: Any) -> Any:
        values = {key: getattr(params, key) + t for key, t in ways.items() if key[0] != ":"}
        columns = {key[1:]: agents[key[1:]] + t * signs for key, t in ways.items() if key[0] == ":"}
        return after(kernel, replace(params, **values), agents | columns, layer, begin)

    @jax.jit
    def run(ways: dict[str, Any], agents: Any, layer: Any) -> Any:
        """Return what came of it, and the derivatives of its loss in reverse and in forward mode."""
        value = lambda t: loss(moved(t, agents, layer))  # noqa: E731
        return moved(ways, agents, layer), jax.grad(value)(ways), jax.jacfwd(value)(ways)

    ways = {key: jnp.float32(0) for key in keys}
    with using(backend):
        _, reverse, forward = run(ways, agents, layer)
        for key in keys:
            size = max(1.0, abs(float(getattr(params, key)))) if key[0] != ":" else 1.0
            expected, off = differences(lambda t, key=key: run(ways | {key: t}, agents, layer)[0], size)
            off += SIZE * 2.0**-24 * abs(expected)
            for mode, found in (("forward", forward), ("reverse", reverse)):
                assert abs(float(found[key]) - expected) <= off, f"{key}, {mode}: {found[key]} - {expected} > {off}"


@pytest.mark.parametrize("name", list(kernels()))
def test_the_rule_is_declared_and_told(name: str):
    kernel = find(name, "test")
    declared = [each for each in kernel.__mro__ if "gradient" in vars(each)][0]
    assert declared is not Kernel and kernel.gradient in GRADIENTS
    told = " ".join((inspect.getdoc(sys.modules[kernel.__module__]) or "").lower().split())
    assert PHRASES[kernel.gradient] in told
    (shown,) = (text for text in catalogue.sheet(name).sentences if text.startswith("Gradient: "))
    assert kernel.gradient in shown and all(key in shown for key in kernel.hard)
    assert set(kernel.hard) <= set(declarations(kernel.Params))


def derivative(name: str, key: str, begin: bool) -> None:
    """Trace the derivative of a kernel's float columns by a parameter, or by a column (":name", "table:name")."""
    kernel, params, agents, layer = world(name, "xla")
    tables = jax.tree.map(jnp.asarray, others_of(kernel, np.random.default_rng(4))) | {"agents": agents}

    def outcome(t: Any) -> Any:
        table, _, column = key.rpartition(":")
        table = table or "agents"
        moved = replace(params, **{key: getattr(params, key) + t}) if ":" not in key else params
        seen = tables if ":" not in key else tables | {table: tables[table] | {column: tables[table][column] + t}}
        return after(kernel, moved, seen.pop("agents"), layer, begin, seen)

    with using("xla"):
        jax.eval_shape(lambda t: jax.jvp(outcome, (t,), (t,)), jnp.float32(1))


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.full)], ids=["one", "every"])
@pytest.mark.parametrize("name", list(kernels()))
def test_what_is_not_claimed_is_refused(name: str, every: bool):
    """By hard parameters, and where draws are hard by every parameter and float column: an error, and never a zero.

    In the quick suite by one parameter and one column of a table.
    """
    kernel = find(name, "test")
    if kernel.gradient in DIFFERENTIABLE:
        keys, names = list(kernel.hard), kernel.hard
    else:
        keys = [key for key, declared in declarations(kernel.Params).items() if not declared.choices]
        names = (f"its gradient rule is '{kernel.gradient}'",)
        tables = {"": kernel.columns, **kernel.tables}
        keys += [f"{table}:{c.name}" for table, columns in tables.items() for c in columns if c.dtype == "float32"]
    if not every:
        keys = list({":" in key: key for key in reversed(keys)}.values())
    for key in keys:
        with pytest.raises(InputError, match="|".join(names)):
            derivative(name, key, begin=":" not in key)


def test_what_is_claimed_is_not_refused():
    derivative("degroot", "weight", begin=True)


def test_a_rule_that_does_not_exist_is_refused():
    """At registration: the rule, and a hard parameter, are looked up."""

    class Vague(find("degroot", "test")):
        name, gradient = "vague", "exakt"

    class Odd(find("degroot", "test")):
        name, gradient, hard = "odd", "exact", ("wieght",)

    for kernel, hint in ((Vague, "did you mean 'exact'"), (Odd, "did you mean 'weight'")):
        with pytest.raises(InputError, match=hint):
            register(kernel)
    assert not {"vague", "odd"} & set(kernels())


@pytest.mark.full
def test_what_a_gradient_between_choices_leaves_out():
    """Deffuant among uniform opinions: pairs that a difference carries over the threshold are not in the derivative.

    The more pairs listen the less people differ: a difference by epsilon sees it, where the derivative along the
    trajectory would be 0 and is refused. One by mu, over 0.1 and 0.2, crosses thresholds too and is another number.
    """
    kernel, params, agents, layer = world("deffuant", "xla", epsilon=0.4)
    uniform = np.random.default_rng(8).uniform(-0.9, 0.9, SIZE).astype(np.float32)

    @jax.jit
    def outcome(epsilon: Any, mu: Any) -> Any:
        moved = replace(params, epsilon=params.epsilon + epsilon, mu=params.mu + mu)
        return after(kernel, moved, agents | {"opinion": jnp.asarray(uniform)}, layer, False)

    zero = jnp.float32(0)
    with using("xla"):
        by_epsilon, off = differences(lambda t: outcome(t, zero), 10.0)
        by_mu, off_mu = differences(lambda t: outcome(zero, t), 10.0)
        along = jax.jvp(lambda t: loss(outcome(zero, t)), (zero,), (jnp.float32(1),))[1]
    assert by_epsilon < -100 * off
    assert abs(float(along) - by_mu) > 10 * off_mu
    with pytest.raises(InputError, match="'epsilon', which acts through draws or thresholds"):
        jax.jvp(lambda t: loss(outcome(t, zero)), (zero,), (jnp.float32(1),))


@pytest.mark.full
def test_pairs_one_after_the_other_are_differentiable_forwards():
    """Events in a number that is drawn: JAX has no reverse mode for them, and says so."""
    kernel, params, agents, layer = world("deffuant", "xla", epsilon=2.0)
    params = replace(params, schedule="random-sequential")

    @jax.jit
    def outcome(t: Any) -> Any:
        return after(kernel, replace(params, mu=params.mu + t), agents, layer, False)

    with using("xla"):
        forward = jax.jit(lambda t: jax.jvp(lambda t: loss(outcome(t)), (t,), (jnp.float32(1),))[1])(jnp.float32(0))
        expected, off = differences(outcome, 1.0)
        assert abs(float(forward) - expected) <= off
        with pytest.raises(ValueError, match="Reverse-mode"):
            jax.grad(lambda t: loss(outcome(t)))(jnp.float32(0))
