r"""A whole run as one pure function of its parameters, which JAX may compile, batch and differentiate.

`lpm.simulation.Simulation` runs any number of steps, given when it runs; a loop of that kind has no reverse mode. Here
the number of steps is static, every value is the same to the last bit, and reverse mode keeps little: the steps are cut
into spans of about :math:`\sqrt{T / 2}`, the state is kept at the beginning of every span and, while one is gone back
over, with the sums over neighbours at each of its steps; all else is computed again. Kept are about :math:`\sqrt{8 T}`
numbers for each that moves, and what one step needs, where plain reverse mode keeps T of both (A. Griewank and A.
Walther 2000, doi:10.1145/347837.347846, on such trades).

Columns that no step changes are kept once. Exact sums are integers and have no derivative. What a loss is made of are
`amounts`, sums of powers of a column, which do: the derivative is that of the sum before it is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm import levers
from lpm.clock import Clock
from lpm.errors import InputError
from lpm.metric import COUNTED, Metric
from lpm.metrics import Recorder
from lpm.model import Member, Model, State, World
from lpm.ops.dispatch import using
from lpm.ops.groups import amount_by_group, fraction_bits
from lpm.ops.straight import COSTLY
from lpm.population import WEIGHT_UNIT
from lpm.step import begin, step
from lpm.ties import Ties
from lpm.types import Array, Columns, HostArray, Tables

KEPT = jax.checkpoint_policies.save_only_these_names(COSTLY)
"""What reverse mode keeps of every step of the span that it goes back over, beside the state."""

PEOPLE = 2.0**30
"""The most people for whom amounts are summed exactly, where nothing else is said."""

POWERS = {"mean": (1,), "sum": (1,), "variance": (1, 2)}
"""Powers of its column that a metric with a derivative is made of."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Trajectory:
    """What came of a run.

    Attributes:
        state: The last state.
        sums: The exact sums of every step, uint32 limbs [steps, ..., 2], as `Simulation.advance` returns them.
        amounts: float32 [steps, cells], sums over people of (x - c)^k by joint cell of the recorder, by "column^k";
            c is 0 where k is 1, else the middle of the column's bounds, near which squares are told apart best.
    """

    state: State
    sums: dict[str, Array]
    amounts: dict[str, Array]


def trajectory(
    model: Model,
    agents: Columns,
    member: Member,
    world: World,
    steps: int,
    *,
    tables: Tables | None = None,
    ties: Mapping[str, Ties] | None = None,
    people: float = PEOPLE,
    span: int | None = None,
) -> Trajectory:
    """Return a run of `steps` steps from the start.

    Call it inside `jax.jit` with everything but `model` and `steps` as arguments, never closures. For derivatives take
    a model on backend "xla": loops of other backends are differentiated by XLA's function, which is then run beside.

    Args:
        model: What is simulated; on one device.
        agents: Columns of table "agents" as they are given, [rows, ...].
        member: Seed, parameters and policy, without a leading axis.
        world: Networks and ranks.
        steps: Number of steps T, static.
        tables: Columns of the other tables.
        ties: The dynamic layers as they begin.
        people: The most people of all agents together, static; amounts are rounded the finer the fewer.
        span: Steps between states that are kept; None = the square root of T / 2.

    Raises:
        InputError: A model on several devices, or no step.
    """
    if model.shards != 1:
        raise InputError(f"trajectory: expected a model on one device, got {model.shards}; use Simulation")
    if steps < 1 or (span is not None and span < 1):
        raise InputError(f"trajectory: expected at least one step, and spans of one, got {steps} and {span}")
    others = {name: dict(columns) for name, columns in (tables or {}).items()}
    with using(model.backend):
        first = begin(model, agents, member, others, dict(ties or {}))
        return _run(_Run(model, member, world, people), first, steps, span or max(1, math.isqrt(steps // 2)))


@dataclass(frozen=True)
class _Run:
    """What all steps share."""

    model: Model
    member: Member
    world: World
    people: float

    def told(self, ready: Mapping[str, Any], cell: Array, state: State, number: Array) -> tuple[State, Any]:
        """Return the state after a step, its exact sums and its amounts."""
        model, member = self.model, self.member
        after, sums = step(model, state, member, self.world, ready, cell, number)
        clock = Clock(number, model.dt, model.shards)
        view, _ = levers.laid_over(model.lasting, member.policy.agents, after.since, after.agents, model.limits, clock)
        cell = model.recorder.cell(view) if model.moving else cell
        return after, (sums, _amounts(model, view, cell, self.people))


def _run(run: _Run, first: State, steps: int, span: int) -> Trajectory:
    model = run.model
    clock = Clock(jnp.int32(0), model.dt, model.shards)
    tables = {**first.tables, "agents": first.agents}
    ready = {b.name: model.prepared(b, run.member.params[b.name], tables, clock) for b in model.behaviours}
    cell = model.recorder.cell(first.agents)
    leaves, tree = jax.tree.flatten(first)
    fixed = _unmoved(lambda state: run.told(ready, cell, state, jnp.int32(0))[0], first)

    def whole(moving: Sequence[Array]) -> State:
        rest = iter(moving)
        return jax.tree.unflatten(
            tree, [leaf if same else next(rest) for leaf, same in zip(leaves, fixed, strict=True)]
        )

    def moved(state: State) -> list[Array]:
        return [leaf for leaf, same in zip(jax.tree.leaves(state), fixed, strict=True) if not same]

    def one(moving: list[Array], number: Array) -> tuple[list[Array], Any]:
        state, made = run.told(ready, cell, whole(moving), number)
        return moved(state), made

    def several(moving: list[Array], numbers: Array, apart: bool = False) -> tuple[list[Array], Any]:
        """Take the steps; `apart` of what is computed again, where no loop sees to it."""

        def steps_of(moving: list[Array]) -> tuple[list[Array], Any]:
            return jax.lax.scan(jax.checkpoint(one, policy=KEPT, prevent_cse=False), moving, numbers)

        return jax.checkpoint(steps_of, prevent_cse=apart)(moving)

    numbers, spans = jnp.arange(steps, dtype=jnp.int32), steps // span
    moving, made = jax.lax.scan(several, moved(first), numbers[: spans * span].reshape(spans, span))
    made = jax.tree.map(lambda x: x.reshape(spans * span, *x.shape[2:]), made)
    if steps > spans * span:
        moving, rest = several(moving, numbers[spans * span :], apart=True)
        made = jax.tree.map(lambda x, y: jnp.concatenate([x, y]), made, rest)
    return Trajectory(whole(moving), *made)


def _unmoved(one: Callable[[State], State], state: State) -> list[bool]:
    """Return by leaf of a state whether a step hands on what it was given."""
    closed = jax.make_jaxpr(one)(state)
    return [old is new for old, new in zip(closed.jaxpr.invars, closed.jaxpr.outvars, strict=True)]


def _amounts(model: Model, view: Columns, cell: Array, people: float) -> dict[str, Array]:
    recorder, limits = model.recorder, model.limits
    wanted = {(m.column, power) for m in recorder.metrics for power in POWERS.get(m.kind, ())}
    weight = jnp.where(view["present"], view["weight"], 0)
    made: dict[str, Array] = {}
    for column, power in sorted(wanted):
        values, (low, high) = view[column].astype(jnp.float32), limits[column]
        bits = fraction_bits(max(abs(low), abs(high)), people)
        if power == 1:
            bits = dict(recorder.bits).get(column, bits)
        else:
            values, bits = (values - jnp.float32((low + high) / 2)) ** 2, fraction_bits((high - low) ** 2 / 4, people)
        made[f"{column}^{power}"] = amount_by_group(values, weight, cell, recorder.cells, bits)
    return made


def series(model: Model, made: Trajectory) -> dict[str, Array]:
    """Return the model's metrics as float32 [steps, groups], in the groups of `groups_of`.

    Flows and stocks, in people, have no derivative; a mean, sum or variance has, where somebody is in the group.

    Raises:
        InputError: A metric of another kind, which only `Recorder.roll_up` tells.
    """
    recorder, limits, people = model.recorder, model.limits, _people(made.sums["people"])
    told: dict[str, Array] = {}
    for metric in recorder.metrics:
        spread = _spread(recorder, metric)
        if metric.kind in ("flow", "stock"):
            counted = _people(made.sums[f"{metric.kind}:{metric.column}"])[..., list(metric.levels)].sum(-1)
            told[metric.name] = _rolled(counted, spread)
        elif metric.kind == "sum":
            told[metric.name] = _rolled(made.amounts[f"{metric.column}^1"], spread)
        elif metric.kind in POWERS:
            held = jnp.maximum(_rolled(people, spread), 1 / WEIGHT_UNIT)
            powers = [_rolled(made.amounts[f"{metric.column}^{power}"], spread) / held for power in POWERS[metric.kind]]
            centre = jnp.float32(sum(limits[metric.column]) / 2)
            told[metric.name] = powers[0] if metric.kind == "mean" else powers[1] - (powers[0] - centre) ** 2
        elif metric.kind in COUNTED:
            raise InputError(f"trajectory: metric '{metric.name}': expected a flow, stock, mean, sum or variance")
    return told


def groups_of(recorder: Recorder) -> dict[str, tuple[str, ...]]:
    """Return by metric the names of its groups: "all", and every combination of the levels of its `by` columns."""
    return {m.name: tuple(name for name, _ in recorder.groups(m.by)) for m in recorder.metrics if m.kind in COUNTED}


def _people(pair: Array) -> Array:
    """Return float32 people from limbs [..., 2]."""
    with jax.enable_x64(True):
        whole = pair[..., 0].astype(jnp.int64) | (pair[..., 1].astype(jnp.int64) << 32)
        return (whole.astype(jnp.float64) / WEIGHT_UNIT).astype(jnp.float32)


def _spread(recorder: Recorder, metric: Metric) -> HostArray:
    """Return float32 [cells, groups], 1 where a joint cell is in a group."""
    cells = np.arange(recorder.cells).reshape(recorder.sizes)
    columns: list[HostArray] = []
    for _, pick in recorder.groups(metric.by):
        inside = np.zeros(recorder.cells, np.float32)
        inside[cells[tuple(slice(None) if code < 0 else code for code in pick)].reshape(-1)] = 1
        columns.append(inside)
    return np.stack(columns, -1)


def _rolled(cells: Array, spread: HostArray) -> Array:
    """Return [steps, groups] from [steps, cells]."""
    return jnp.matmul(cells, spread, precision="highest")
