r"""Who reached whom: a contagion that keeps, for every agent, the neighbour that passed it on and the step.

.. math:: P(j \text{ reached } i \mid i \text{ was reached}) = \frac{x_{ji}}{\sum_k x_{ki}},\qquad
    x_{ji} \propto s_l\, c_{ji}\, [j \text{ active}]

with x the hazard of the arc j -> i in this step, s what policy leaves of its layer and c its contacts. Where an arc
transmits at rate x within a step, that is the law of who was first. Where every arc is a try of its own, as in the
independent cascade, it is the law of one of the successful tries taken at random: given how many of m tries with equal
chances succeed, every one of them is as likely as another to be among them and then to be taken, 1 / m; an arc with
c contacts is c such tries. The layer is drawn first, then the neighbour in it, laid end to end by ascending outside id.

A kernel that records draws nothing else and changes nothing else: what it does is that of the plain one, to the bit.
An agent whom no active neighbour reached (the start, imported cases, interventions) is a root. Of several infections
of one agent (`sis`) the first is kept. Attribution of tries: D. Kempe, J. Kleinberg and E. Tardos, 2003,
doi:10.1145/956750.956769, whose live-edge view this is; first of competing hazards: D. R. Cox, 1959, Journal of the
Royal Statistical Society B 21, 411-421.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from lpm.errors import InputError
from lpm.kernel import Kernel
from lpm.network import Layer
from lpm.ops.collective import look_up
from lpm.ops.pick import pick_neighbour
from lpm.population import Column
from lpm.random import Key, agent_bits, purpose, uniform
from lpm.types import Array, Tables

BY, AT = "reached_by", "reached_at"
NEVER = -1

COLUMNS = (
    Column(BY, "uint32", "id of who passed it on; the own id where nobody did"),
    Column(AT, "int32", "steps after which it was reached; -1 = it was not", unit="step", bounds=(NEVER, 2**31 - 1),
           default=NEVER),
)  # fmt: skip
"""What a kernel that records has beside its own columns."""


@dataclass(frozen=True)
class Spread:
    """How a kernel passes on: level 0 of `column` can be reached, level `active` passes on, at one hazard a contact."""

    column: str
    active: int


SPREADS = {
    "independent-cascade": Spread("activation", 1),
    "si": Spread("state", 1),
    "sir": Spread("state", 1),
    "sis": Spread("state", 1),
}
"""The kernels that can record: those in which every active neighbour counts by its contacts alone."""


@functools.cache
def recorded(kernel: type[Kernel], where: str) -> type[Kernel]:
    """Return the kernel with the columns of `COLUMNS` added.

    Args:
        kernel: One of `SPREADS`.
        where: Named in errors.

    Raises:
        InputError: A kernel that does not tell who passes it on.
    """
    if kernel.name not in SPREADS:
        raise InputError(
            f"{where}: kernel '{kernel.name}' does not tell who reached whom; cascades are kept of {', '.join(SPREADS)}"
        )
    spread = SPREADS[kernel.name]

    class Recorded(kernel):
        __doc__ = f"{kernel.__doc__} Keeps who reached whom."
        columns = (*kernel.columns, *COLUMNS)
        writes = (*kernel.writes, BY, AT)

        @classmethod
        def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Mapping[str, Any]:
            new, agents = super().init(key, tables, params, clock), tables["agents"]
            begun = (new[spread.column] != 0) & agents["present"]
            return {**new, BY: agents["id"], AT: jnp.where(begun, 0, NEVER).astype(jnp.int32)}

        @classmethod
        def step(
            cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
        ) -> Mapping[str, Any]:
            new, agents = super().step(key, tables, networks, params, clock), tables["agents"]
            before, after = agents[spread.column], new[spread.column]
            first = agents["present"] & (agents[AT] == NEVER)
            entered, reached = first & (before != 0), first & (before == 0) & (after != 0)
            active = (before == spread.active) & agents["present"]
            parent = sources(networks, active, reached, key, agents["id"], clock.shards)
            at = jnp.where(reached, clock.step + 1, jnp.where(entered, clock.step, agents[AT])).astype(jnp.int32)
            by = jnp.where(reached, parent, jnp.where(entered, agents["id"], agents[BY]))
            return {**new, BY: by, AT: at}

    return Recorded


def sources(networks: Mapping[str, Layer], active: Array, where: Array, key: Key, ids: Array, shards: int) -> Array:
    """Return uint32 [rows], the id of an active neighbour of each agent of `where`, its own id where there is none.

    Args:
        networks: The layers as the contagion saw them.
        active: bool [rows], who passed it on in this step.
        where: bool [rows], who was reached; none of them is active.
        key: Of the kernel and step; the draws are for the purposes "source" and "source layer".
        ids: uint32 [rows], outside ids.
        shards: Number of devices.
    """
    draws = agent_bits(purpose(key, "source"), ids)
    parent, hazard = ids, jnp.zeros(ids.shape, jnp.float32)
    place = uniform(purpose(key, "source layer"), ids)
    found: list[tuple[Array, Array]] = []
    for layer in networks.values():
        picked, sums = pick_neighbour(layer, active.astype(jnp.uint8), draws, where, ids)
        scale = layer.scale.reshape(()) * jnp.float32(1 / 64 if "intensity" in layer.columns else 1)
        if layer.complete:
            scale = scale * layer.columns["rate"].reshape(())
        hazard = hazard + sums.astype(jnp.float32) * scale
        theirs = look_up(ids, jnp.minimum(picked, layer.size - 1), shards)
        found.append((jnp.where(sums > 0, theirs, ids), hazard))
    drawn, taken = place * hazard, jnp.zeros(ids.shape, bool)
    for theirs, upto in found:  # the last layer's end is all of the hazard, and a draw is below it
        here = ~taken & (drawn < upto)
        parent, taken = jnp.where(here, theirs, parent), taken | here
    return parent
