"""People in two communities, for scenarios of opinion and homophily that are about nobody in particular."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from lpm import random
from lpm.kernel import parameter
from lpm.population import Column, Population
from lpm.synthesis import register

COMMUNITY = Column("community", "uint8", "community that an agent belongs to", levels=("left", "right"))


@register("communities")
class Communities:
    """Two communities, each agent in one of them by its own draw."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of the two communities."""

        right: float = parameter(
            0.5, unit="1", bounds=(0, 1), meaning="share of the people in the second community", source="guess"
        )

    @staticmethod
    def columns() -> tuple[Column, ...]:
        """Return the declarations of the columns that `generate` makes."""
        return (COMMUNITY,)

    @staticmethod
    def generate(seed: int, params: Params, size: int, people: float | None = None) -> Population:
        """Return the whole population; an agent's community depends on the seed and its id only."""
        key = random.purpose(random.instance(random.root(seed), "population"), "community")
        ids = jnp.arange(size, dtype=jnp.uint32)
        right = random.happens(random.agent_bits(key, ids), random.threshold(float(params.right)))
        made = Population.build(size, (COMMUNITY,), {"community": np.asarray(right).astype(np.uint8)}, "population")
        return made if people is None else made.reweighted(people)
