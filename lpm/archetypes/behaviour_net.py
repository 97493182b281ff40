r"""Behaviour net: a small network that stands for a table whose product of contexts is too large to ask.

.. math:: z_{a}(x) = W_3\,\sigma(W_2\,\sigma(W_1\,[e_a, s(x)])),\qquad P(k \mid a, x) = \text{softmax}_k(z_a(x))

with an embedding e_a of the archetype, s(x) every context variable scaled to [-1, 1] between its first and last anchor
(on the variable's own scale, clipped), and sigma the GELU. It is distilled: fitted to the chances p of sampled cells by
the mean of KL(p || P), weighted by the archetypes' people. Cells that it has not seen tell how far to trust it: the
report sets its error on them beside that of the plain guess, the archetype's mean chances over its seen cells. A net
that does not beat this guess has learned nothing of the contexts.

Source: distillation, G. Hinton, O. Vinyals and J. Dean, 2015, arXiv:1503.02531; sizes and rates are guesses that were
tried on tables of up to 200 archetypes.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from lpm.archetypes.contexts import Contexts
from lpm.archetypes.table import Table
from lpm.errors import InputError
from lpm.types import Array, HostArray

LEAST = 1e-12
"""A chance below it counts as this in a logarithm."""


@dataclass(frozen=True)
class Cells:
    """Sampled cells: what some archetypes do in some contexts.

    Attributes:
        archetype: int [S].
        values: float64 [S, V], the context variables.
        probability: float64 [S, K], sums to 1.
        weight: float64 [S], how much a cell counts.
    """

    archetype: HostArray
    values: HostArray
    probability: HostArray
    weight: HostArray

    def __post_init__(self) -> None:
        """Refuse what does not fit together.

        Raises:
            InputError: Arrays of different length, numbers that are not finite, or chances that do not sum to 1.
        """
        rows = {len(each) for each in (self.archetype, self.values, self.probability, self.weight)}
        if len(rows) > 1:
            raise InputError(f"cells: expected arrays of one length, got {', '.join(map(str, sorted(rows)))}")
        if not np.isfinite(self.values).all() or not (np.isfinite(self.weight) & (self.weight >= 0)).all():
            raise InputError("cells: expected finite values, and weights of 0 or more")
        if not (self.probability >= 0).all() or not np.allclose(self.probability.sum(-1), 1, rtol=0, atol=1e-3):
            raise InputError("cells: expected chances of 0 or more that sum to 1 over the actions")

    def at(self, rows: HostArray) -> Cells:
        """Return some of the cells."""
        return Cells(self.archetype[rows], self.values[rows], self.probability[rows], self.weight[rows])


def cells_of(table: Table, count: int | None = None, seed: int = 0) -> Cells:
    """Return the usable cells of a table, or `count` of them drawn without replacement.

    Raises:
        InputError: Fewer usable cells than asked for.
    """
    rows = np.argwhere(table.cells_usable)
    if count is not None:
        if not 1 <= count <= len(rows):
            raise InputError(f"cells: expected 1 to {len(rows)} (the usable ones), got {count}")
        rows = rows[np.sort(np.random.default_rng(seed).choice(len(rows), count, replace=False))]
    anchors = np.array([[each[name] for name in table.contexts.names] for each in table.contexts.cells()], np.float64)
    values = anchors.reshape(table.contexts.size, -1)[rows[:, 1]]
    return Cells(rows[:, 0], values, table.probability[rows[:, 0], rows[:, 1]], table.weight[rows[:, 0]])


class BehaviourNet(nnx.Module):
    """Logits of K actions from an archetype and its context."""

    def __init__(self, contexts: Contexts, archetypes: int, actions: int, width: int, embedding: int, key: Array):
        """Draw the first weights.

        Args:
            contexts: The context variables; a net has no use for their product, only for ends and scales.
            archetypes: Number of archetypes A.
            actions: Number of actions K.
            width: Neurons of either hidden layer.
            embedding: Length of an archetype's embedding.
            key: Of the first weights, of `jax.random`.
        """
        rngs = nnx.Rngs(key)
        ends = [(each.points[0], max(float(each.points[-1] - each.points[0]), 1e-30)) for each in contexts.variables]
        self.ends: tuple[tuple[float, float], ...] = tuple((float(first), wide) for first, wide in ends)
        self.logs: tuple[bool, ...] = tuple(each.scale == "log1p" for each in contexts.variables)
        self.embedding = nnx.Embed(archetypes, embedding, rngs=rngs)
        self.first = nnx.Linear(embedding + len(ends), width, rngs=rngs)
        self.second = nnx.Linear(width, width, rngs=rngs)
        self.last = nnx.Linear(width, actions, rngs=rngs)

    def __call__(self, archetype: Array, values: Array) -> Array:
        """Return the logits float32 [N, K] of archetypes int [N] in contexts [N, V], differentiable by the contexts."""
        parts: list[Array] = [self.embedding(archetype)]
        for v, ((first, wide), log) in enumerate(zip(self.ends, self.logs, strict=True)):
            x = jnp.log1p(jnp.maximum(values[:, v], 0)) if log else values[:, v]
            parts.append((2 * jnp.clip((x - first) / wide, 0, 1) - 1)[:, None])
        hidden = jax.nn.gelu(self.first(jnp.concatenate(parts, -1)))
        return self.last(jax.nn.gelu(self.second(hidden)))


@dataclass(frozen=True)
class Errors:
    """How far chances are from those of cells, weighted means.

    Attributes:
        cells: Number of cells.
        divergence: Mean of KL(p || P) [nat].
        variation: Mean total variation, half the sum over actions of |p - P|.
        largest: Largest total variation of a cell.
    """

    cells: int
    divergence: float
    variation: float
    largest: float


@dataclass(frozen=True)
class Distilled:
    """A net and how good it is.

    Attributes:
        net: The net.
        seen: Its errors on the cells that it was fitted to.
        unseen: Its errors on those held out.
        guess: The errors, on those held out, of the archetype's mean chances over its seen cells.
    """

    net: BehaviourNet
    seen: Errors
    unseen: Errors
    guess: Errors

    def __str__(self) -> str:
        """Return the errors as lines of text."""
        rows = (("net, cells seen", self.seen), ("net, held out", self.unseen), ("archetype's mean", self.guess))
        lines = [f"{'':18}{'cells':>8}{'KL nat':>10}{'TV mean':>10}{'TV max':>10}"]
        for name, e in rows:
            lines.append(f"{name:18}{e.cells:>8}{e.divergence:>10.4f}{e.variation:>10.4f}{e.largest:>10.4f}")
        return "\n".join(lines)

    def probability(self, archetype: HostArray, values: HostArray) -> HostArray:
        """Return the chances float64 [N, K]."""
        return _chances(self.net, archetype, values)

    def table(self, like: Table) -> Table:
        """Return the net's chances as a table of the actions, archetypes and contexts of another.

        Its provenance says that it is distilled, and the errors on cells held out.
        """
        cells = like.contexts.cells()
        anchors = np.array([[each[name] for name in like.contexts.names] for each in cells]).reshape(len(cells), -1)
        size = like.archetypes.height
        made = self.probability(np.repeat(np.arange(size), len(cells)), np.tile(anchors, (size, 1)))
        told: dict[str, str | float | int] = {
            "distilled_seen_cells": self.seen.cells,
            "distilled_kl_held_out": self.unseen.divergence,
            "distilled_tv_held_out": self.unseen.variation,
        }
        chances = made.reshape(size, len(cells), -1)
        provenance = {**like.provenance, **told}
        return Table.of_probability(like.actions, like.contexts, like.archetypes, chances, provenance=provenance)


def distil(
    contexts: Contexts,
    cells: Cells,
    archetypes: int,
    *,
    held_out: float = 0.2,
    width: int = 48,
    embedding: int = 16,
    steps: int = 1500,
    batch: int = 512,
    rate: float = 5e-3,
    seed: int = 0,
) -> Distilled:
    """Return a net fitted to cells, and its errors on those that it did not see; the same numbers for the same seed.

    Args:
        contexts: The context variables.
        cells: What is known.
        archetypes: Number of archetypes A.
        held_out: Share of the cells that the net does not see.
        width: Neurons of either hidden layer.
        embedding: Length of an archetype's embedding.
        steps: Steps of the optimiser (AdamW, cosine decay).
        batch: Cells a step.
        rate: First learning rate.
        seed: Of the split, the first weights and the batches.

    Raises:
        InputError: Too few cells to hold any out, archetypes or values that do not fit, or a fit that ends in NaN.
    """
    count = len(cells.archetype)
    kept = count - round(held_out * count)
    if not 0 < held_out < 1 or not 0 < kept < count:
        raise InputError(f"behaviour net: expected cells to see and cells to hold out, got {kept} and {count - kept}")
    if count and not 0 <= int(cells.archetype.min()) <= int(cells.archetype.max()) < archetypes:
        raise InputError(f"behaviour net: expected archetypes 0 to {archetypes - 1}, got {int(cells.archetype.max())}")
    if cells.values.shape[1] != len(contexts.variables):
        raise InputError(f"behaviour net: expected {len(contexts.variables)} values, got {cells.values.shape[1]}")
    order = np.random.default_rng(seed).permutation(count)
    seen, unseen = cells.at(order[:kept]), cells.at(order[kept:])
    sizes = (archetypes, cells.probability.shape[1], width, embedding)
    make = functools.partial(BehaviourNet, contexts, *sizes)
    graph = nnx.split(nnx.eval_shape(lambda: make(jax.random.key(0))))[0]
    data = tuple(jnp.asarray(x, t) for x, t in zip(_arrays(seen), (jnp.int32, *3 * (jnp.float32,)), strict=True))
    net: BehaviourNet = nnx.merge(graph, _fit(contexts, sizes, data, steps, min(batch, kept), rate, seed))
    found = _chances(net, cells.archetype[order], cells.values[order])
    errors = _errors(seen, found[:kept]), _errors(unseen, found[kept:])
    if not np.isfinite([errors[0].divergence, errors[1].divergence]).all():
        raise InputError(f"behaviour net: the fit ended in NaN; take a smaller rate than {rate:g}")
    return Distilled(net, errors[0], errors[1], _errors(unseen, _guess(seen, unseen.archetype, archetypes)))


def _arrays(cells: Cells) -> tuple[HostArray, ...]:
    return cells.archetype, cells.values, cells.probability, cells.weight / cells.weight.mean()


@functools.partial(jax.jit, static_argnums=(0, 1, 3, 4, 5))
def _fit(
    contexts: Contexts,
    sizes: tuple[int, int, int, int],
    data: tuple[Array, ...],
    steps: int,
    batch: int,
    rate: float,
    seed: int,
) -> Any:
    """Return the weights after all steps; first weights and batches are drawn here, so that all is compiled at once."""
    archetype, values, probability, weight = data
    first, later = jax.random.split(jax.random.key(seed))
    graph, weights = nnx.split(BehaviourNet(contexts, *sizes, first))
    optimiser = optax.adamw(optax.cosine_decay_schedule(rate, steps), weight_decay=1e-4)

    def loss(weights: Any, rows: Array) -> Array:
        logits = nnx.merge(graph, weights)(archetype[rows], values[rows])
        cross = -(probability[rows] * jax.nn.log_softmax(logits)).sum(-1)  # KL but for the entropy of p, a constant
        return (weight[rows] * cross).mean()

    def step(carry: Any, key: Array) -> Any:
        weights, state = carry
        rows = jax.random.randint(key, (batch,), 0, archetype.shape[0])
        moves, state = optimiser.update(jax.grad(loss)(weights, rows), state, weights)
        return (optax.apply_updates(weights, moves), state), None

    keys = jax.random.split(later, steps)
    return jax.lax.scan(step, (weights, optimiser.init(weights)), keys)[0][0]


def _chances(net: BehaviourNet, archetype: HostArray, values: HostArray) -> HostArray:
    graph, weights = nnx.split(net)
    given = jnp.asarray(archetype, jnp.int32), jnp.asarray(values, jnp.float32)
    logits = np.asarray(_logits(graph, weights, *given), np.float64)
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


@functools.partial(jax.jit, static_argnums=0)
def _logits(graph: Any, weights: Any, archetype: Array, values: Array) -> Array:
    return nnx.merge(graph, weights)(archetype, values)


def _guess(seen: Cells, archetype: HostArray, archetypes: int) -> HostArray:
    """Return the mean chances of archetypes over seen cells; of an archetype without any, those of all."""
    sums, counts = np.zeros((archetypes, seen.probability.shape[1])), np.bincount(seen.archetype, minlength=archetypes)
    np.add.at(sums, seen.archetype, seen.probability)
    means = sums / np.maximum(counts, 1)[:, None]
    return np.where(counts[:, None] > 0, means, seen.probability.mean(0))[archetype]


def _errors(cells: Cells, chances: HostArray) -> Errors:
    p, q, weight = cells.probability, np.maximum(chances, LEAST), cells.weight / cells.weight.sum()
    divergence = np.where(p > 0, p * (np.log(np.maximum(p, LEAST)) - np.log(q)), 0).sum(-1)
    variation = np.abs(p - chances).sum(-1) / 2
    return Errors(len(p), float(weight @ divergence), float(weight @ variation), float(variation.max()))
