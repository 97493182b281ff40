r"""Revisions of the kernels of votes: who revises in a step, all at once or one agent after the other.

Synchronous: every agent revises with chance :math:`r_{\Delta t} = 1 - (1 - r)^{\Delta t}` and sees the votes of the
step before. Random-sequential: :math:`N r \Delta t` events follow each other, each of one agent drawn uniformly, which
sees what the events before it left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import parameter
from lpm.kernels.polarization.opinions import share_of_step
from lpm.network import Layer
from lpm.ops.sequences import refuse_endless
from lpm.random import Key, agent_bits, happens, purpose, threshold
from lpm.types import Array, Columns

SCHEDULES = ("synchronous", "random-sequential")
MEANING = (
    "synchronous: chance a day that an agent revises its vote, 1 = everybody at every step; "
    "random-sequential: expected revisions of an agent"
)
"""What `revision` means."""


@partial(jax.tree_util.register_dataclass, data_fields=["initial"], meta_fields=["schedule"])
@dataclass(frozen=True)
class Revisions:
    """The parameters of every kernel of votes, beside `revision`, of which each has its own default."""

    schedule: str = parameter(
        "synchronous",
        unit="1",
        choices=SCHEDULES,
        meaning="synchronous: all who revise at once; random-sequential: one agent after the other",
        source="the papers revise one agent at a time (random-sequential); all at once is the faster one",
        initial=True,
    )
    initial: Any = parameter(
        0.5, unit="1", bounds=(0, 1), meaning="share 'for' at the start", source="guess", initial=True
    )


def in_turn(params: Any) -> bool:
    """Return whether agents revise one after the other."""
    return params.schedule == "random-sequential"


def check_revisions(params: Any, where: str, dt: float) -> None:
    """Raise `InputError` where a step would hold an endless sequence of revisions."""
    if in_turn(params):
        refuse_endless(params.revision, f"{where}.revision", dt)


def who_revises(key: Key, agents: Columns, revision: Array, dt: float, layer: Layer) -> Array:
    """Return bool [rows], which of the present agents revise when all do so at once."""
    chance = threshold(share_of_step(revision, dt, layer))
    return agents["present"] & happens(agent_bits(purpose(key, "revise"), agents["id"]), chance)


def revisions_of_step(revision: Array, dt: float, layer: Layer) -> Array:
    """Return float32, the expected revisions of an agent in a step when one follows the other."""
    return revision * (jnp.float32(dt) * layer.scale.reshape(()))
