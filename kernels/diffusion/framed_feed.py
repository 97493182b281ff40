r"""Framed feed: claims shown one after the other to an agent that, once it accepts a false one, is shown more of them.

.. math:: P(\text{next is false}) = 1 \text{ after a false claim was accepted},\ \pi \text{ otherwise}

Synchronous, a step is a claim. A false claim is accepted with chance b, a true one with chance s. Judging
rightly (accepting a true claim, rejecting a false one) adds 1 to the integrity H, judging wrongly takes 1 away: that is
FrameRef's information health with a confidence of 1 in every judgement; its mean a claim is H / t. The claim shown is
a Markov chain whose long-run share of false claims and mean change of H are

.. math:: x = \frac{\pi}{1 - b (1 - \pi)},\qquad \mathrm{E}\,r = x (1 - 2 b) + (1 - x)(2 s - 1)

Reference: FrameRef, V. De Lima, J. Liu and G. H. Yang, 2026, doi:10.48550/arXiv.2602.15273 (a persona is its b and s;
its search for similar claims stands here as "false again"). Draws are hard: gradients by common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.kernel import Kernel, parameter, register
from lpm.network import Layer
from lpm.population import Column
from lpm.random import ALWAYS, Key, agent_bits, happens, purpose, threshold
from lpm.types import Array, Columns, Tables

MOST = 32_767
"""Integrity is counted up to here."""


@register
class FramedFeed(Kernel):
    """A feed that follows what was accepted; nobody influences anybody else."""

    name = "framed-feed"
    columns = (
        Column("claim", "uint8", "last claim shown", levels=("true", "false")),
        Column("captured", "uint8", "accepted a false claim last", levels=("no", "yes")),
        Column("integrity", "int16", "right less wrong judgements (H)", bounds=(-MOST, MOST)),
    )
    writes = ("claim", "captured", "integrity")
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of the framed feed."""

        false: Any = parameter(
            0.5, unit="1", bounds=(0, 1), meaning="share of false claims among all (pi)", source="guess"
        )
        believe_false: Any = parameter(
            0.5693,
            unit="1",
            bounds=(0, 1),
            meaning="chance of accepting a false claim (b)",
            source="persona without framing (alpha = 1): FrameRef, 2026, doi:10.48550/arXiv.2602.15273",
            prior=("beta", 57, 43),
        )
        believe_true: Any = parameter(
            0.6465,
            unit="1",
            bounds=(0, 1),
            meaning="chance of accepting a true claim (s)",
            source="from b and the balanced accuracy 0.5386: FrameRef, 2026, doi:10.48550/arXiv.2602.15273",
            prior=("beta", 65, 35),
        )

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Columns:
        """Return agents who have been shown nothing."""
        return {name: jnp.zeros_like(tables["agents"][name]) for name in cls.writes}

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the claim shown, whether it captured, and the integrity after one claim each."""
        agents = tables["agents"]
        ids, here, integrity = agents["id"], agents["present"], agents["integrity"]
        base = jnp.where(agents["captured"] == 1, jnp.uint32(ALWAYS), threshold(params.false))
        wrong = happens(agent_bits(purpose(key, "claim"), ids), base)
        belief = jnp.where(wrong, threshold(params.believe_false), threshold(params.believe_true))
        accepted = happens(agent_bits(purpose(key, "judgement"), ids), belief)
        after = jnp.clip(integrity.astype(jnp.int32) + jnp.where(accepted == wrong, -1, 1), -MOST, MOST)
        return {
            "claim": jnp.where(here, wrong.astype(jnp.uint8), agents["claim"]),
            "captured": jnp.where(here, (wrong & accepted).astype(jnp.uint8), agents["captured"]),
            "integrity": jnp.where(here, after.astype(jnp.int16), integrity),
        }
