"""The behaviour net learns what a table says, tells its error on cells it did not see, and repeats itself."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from lpm.archetypes.behaviour_net import Distilled, cells_of, distil
from lpm.archetypes.contexts import Contexts, Variable
from lpm.archetypes.table import Table
from lpm.errors import InputError

CONTEXTS = Contexts(
    (Variable("incidence", (0, 10, 100, 1000), "", "", scale="log1p"), Variable("policy", (0, 0.5, 1), "1", ""))
)
ARCHETYPES = 12


@cache
def table(noise: float = 0.0) -> Table:
    """Return logits linear in the scaled context, with slopes of the archetype's own; or pure noise beside."""
    generator = np.random.default_rng(3)
    points = np.array([[np.log1p(c["incidence"]) / np.log1p(1000), c["policy"]] for c in CONTEXTS.cells()])
    slope, base = generator.normal(0, 2, (ARCHETYPES, 2, 3)), generator.normal(size=(ARCHETYPES, 1, 3))
    logit = base + np.einsum("cv,avk->ack", points, slope)
    logit = logit + noise * generator.normal(size=logit.shape)
    people = pl.DataFrame({"archetype": range(ARCHETYPES), "weight": [1.0] * ARCHETYPES, "card": [""] * ARCHETYPES})
    return Table(("yes", "no", "later"), CONTEXTS, people, logit)


@cache
def fitted(seed: int = 0) -> Distilled:
    return distil(CONTEXTS, cells_of(table()), ARCHETYPES, steps=400, batch=96, width=24, embedding=6, seed=seed)


@pytest.mark.full
def test_cells_held_out_are_learned_far_better_than_by_the_mean():
    """Logits that are linear in the context: a tenth of the guess's divergence on the cells seen, a third on others."""
    made = fitted()
    assert made.seen.cells == 115 and made.unseen.cells == 29
    assert made.seen.divergence < 0.1 * made.guess.divergence
    assert made.unseen.divergence < made.guess.divergence / 3 and made.unseen.variation < made.guess.variation / 1.7
    told = str(made)
    assert "held out" in told and f"{made.unseen.divergence:.4f}" in told and f"{made.guess.largest:.4f}" in told


def test_errors_are_those_of_the_chances():
    made, whole = fitted(), cells_of(table())
    order = np.random.default_rng(0).permutation(144)[115:]
    p, q = whole.probability[order], made.probability(whole.archetype[order], whole.values[order])
    assert made.unseen.divergence == pytest.approx((p * np.log(p / q)).sum(-1).mean(), rel=1e-5)
    assert made.unseen.variation == pytest.approx(np.abs(p - q).sum(-1).mean() / 2, rel=1e-5)
    assert made.unseen.largest == pytest.approx(np.abs(p - q).sum(-1).max() / 2, rel=1e-5)


@pytest.mark.full
def test_a_net_becomes_a_table_that_says_so():
    made = fitted().table(table())
    assert np.allclose(made.probability.reshape(-1, 3)[:5], fitted().probability(*at(5)), atol=1e-6)
    assert made.provenance["distilled_kl_held_out"] == fitted().unseen.divergence and made.usable.all()


def at(count: int) -> tuple[Any, Any]:
    cells = cells_of(table())
    return cells.archetype[:count], cells.values[:count]


@pytest.mark.full
def test_logits_have_a_derivative_by_the_context():
    net, point = fitted().net, jnp.array([[30.0, 0.4]])

    @jax.jit
    def first(x: Any) -> Any:
        return net(jnp.array([2]), x)[0, 0]

    slope = np.asarray(jax.jit(jax.grad(first))(point))[0]
    for v, step in enumerate((0.3, 0.01)):
        move = step * jnp.eye(2)[v : v + 1]
        assert slope[v] == pytest.approx(float(first(point + move) - first(point - move)) / (2 * step), rel=2e-2)


@pytest.mark.full
def test_the_same_seed_gives_the_same_net():
    again = distil(CONTEXTS, cells_of(table()), ARCHETYPES, steps=400, batch=96, width=24, embedding=6)
    assert np.array_equal(again.probability(*at(144)), fitted().probability(*at(144)))
    assert not np.array_equal(fitted(1).probability(*at(144)), fitted().probability(*at(144)))


def test_what_cannot_be_distilled_is_refused():
    few = cells_of(table(), 10, seed=4)
    assert len(few.archetype) == 10 and np.array_equal(few.values, cells_of(table(), 10, seed=4).values)
    with pytest.raises(InputError, match="1 to 144"):
        cells_of(table(), 145)
    with pytest.raises(InputError, match="hold out"):
        distil(CONTEXTS, few, ARCHETYPES, held_out=0.01)
    with pytest.raises(InputError, match="archetypes 0 to 1"):
        distil(CONTEXTS, few, 2)
    with pytest.raises(InputError, match="sum to 1"):
        few.at(np.arange(3)).__class__(few.archetype, few.values, few.probability * 2, few.weight)
