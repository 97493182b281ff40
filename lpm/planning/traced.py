"""A start and a step of one device, traced from shapes alone: the state, what is exchanged, what is looked up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from lpm.ops.collective import AXIS
from lpm.planning.exchange import Exchange, exchanges
from lpm.planning.shapes import Shapes

PROBED = 2
"""Devices with which a step is traced to see what arcs look up: on one device nothing travels."""


@dataclass(frozen=True)
class Traced:
    """What tracing shows.

    Attributes:
        state: Shapes of one device's state of one run.
        sums: Shapes of the sums of one step.
        exchanges: The collectives of a step.
    """

    state: Any
    sums: Any
    exchanges: tuple[Exchange, ...]


def trace(shapes: Shapes) -> Traced:
    """Return what a start and a step are made of; nothing is computed and no device is needed."""
    import jax
    import jax.numpy as jnp

    from lpm.clock import Clock
    from lpm.ops.dispatch import using
    from lpm.step import begin, step

    model, axis = shapes.model, [(AXIS, shapes.devices)]
    agents, world, member = shapes.sharded["agents"], shapes.sharded["world"], shapes.whole["member"]
    tables, ties = shapes.whole["tables"], shapes.whole["ties"]

    def first(agents: Any, member: Any, tables: Any, ties: Any) -> Any:
        return begin(model, agents, member, tables, ties)

    def one(state: Any, member: Any, world: Any, number: Any) -> Any:
        start = Clock(number, model.dt, model.shards)
        seen = {**state.tables, "agents": state.agents}
        ready = {b.name: model.prepared(b, member.params[b.name], seen, start) for b in model.behaviours}
        return step(model, state, member, world, ready, model.recorder.cell(state.agents), number)

    number = jax.ShapeDtypeStruct((), jnp.int32)
    with using(model.backend):
        state: Any = jax.make_jaxpr(first, axis_env=axis, return_shape=True)(agents, member, tables, ties)[1]
        record: Any = jax.make_jaxpr(one, axis_env=axis, return_shape=True)(state, member, world, number)[1]
        found = exchanges(one, (state, member, world, number), shapes.devices)
    return Traced(state, record[1], found)


def looked_up(exchanged: tuple[Exchange, ...], rows: int) -> int:
    """Return the widest value, in bytes, of an agent that other agents look up; 0 where none does.

    What travels whole to every device is what arcs look up there; a column of bits is looked up as bytes.

    Args:
        exchanged: The collectives of a step on several devices.
        rows: Agents on one of them.
    """
    sizes = [each.operand for each in exchanged if each.kind != "psum" and 8 * each.operand >= rows]
    return max((math.ceil(size / rows) for size in sizes), default=0)
