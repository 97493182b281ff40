"""A conditional normalising flow: a density of P numbers given C others, learned from pairs of both.

A chain of layers carries x to standard normal z; each is autoregressive (coordinate i moves by an amount that depends
on coordinates before i and on the condition c), so that its Jacobian is triangular:

    z_i = spline_i((x_i - shift_i) exp(-scale_i)),   log p(x | c) = log N(z; 0, I) + sum_i log dz_i / dx_i.

Shifts, scales and splines (`lpm.calibration.posteriors.spline`) come from one masked network a layer (Germain et al.
2015, "MADE"; Papamakarios et al. 2017, "Masked autoregressive flow"). Layers see the coordinates in turn forwards and
backwards.
Several flows that differ in their first weights and held-out pairs are mixed: members that disagree widen the density
where the pairs are few (Hermans et al. 2022, "A crisis in simulation-based inference?").
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

from lpm.calibration.errors import CalibrationError, NotFiniteError
from lpm.calibration.posteriors.spline import spline
from lpm.types import Array, HostArray

KEPT = 0.01
"""Share of the newest weights in the running mean that is kept: it averages the noise of about 100 steps away."""

FEWEST = 20
"""Pairs below which nothing can be held out."""

STEEPEST = 4.0
"""A layer widens or narrows by a factor of exp(4) = 55 at most: keeps the first steps of training finite."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a flow.

    Attributes:
        size: Coordinates P.
        given: Numbers C that it is conditional on.
        layers: Autoregressive layers.
        hidden: Units of each of a layer's two hidden layers.
        bins: Pieces of the splines; 0 = none, every layer is affine.
        members: Flows that are mixed.
    """

    size: int
    given: int
    layers: int = 4
    hidden: int = 48
    bins: int = 0
    members: int = 4

    def __post_init__(self):
        """Refuse sizes of which no flow can be made."""
        least = {"size": 1, "given": 1, "layers": 1, "hidden": self.size, "members": 1, "bins": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise CalibrationError(f"flow: {name}: expected at least {low}, got {getattr(self, name)}")


class Layer(nnx.Module):
    """One autoregressive layer: the numbers of coordinate i see coordinates before i, and the condition."""

    def __init__(self, shape: Shape, rngs: nnx.Rngs):
        """Name the stages."""
        self.shape = shape
        self.enter = nnx.Linear(shape.size, shape.hidden, use_bias=False, rngs=rngs)
        self.condition = nnx.Linear(shape.given, shape.hidden, rngs=rngs)
        self.middle = nnx.Linear(shape.hidden, shape.hidden, rngs=rngs)
        each = 2 + (3 * shape.bins - 1 if shape.bins else 0)
        self.leave = nnx.Linear(shape.hidden, shape.size * each, rngs=rngs)
        self.direct = nnx.Linear(shape.given, shape.size * each, use_bias=False, rngs=rngs)

    @staticmethod
    def _bias(stage: Any) -> Array:
        return stage.bias[...]

    def __call__(self, x: Array, c: Array) -> Array:
        """Return the numbers [n, P, 2 + 3 bins - 1] of the transforms for x [n, P] and c [n, C]."""
        size, hidden = self.shape.size, self.shape.hidden
        place, seen = np.arange(size), np.arange(hidden) % size  # unit j sees the coordinates before seen[j]
        first = jnp.asarray(place[:, None] < seen[None], jnp.float32)
        second = jnp.asarray(seen[:, None] <= seen[None], jnp.float32)
        last = jnp.asarray(seen[:, None] <= place[None], jnp.float32)
        h = nnx.silu(x @ (self.enter.kernel[...] * first) + self.condition(c))
        h = h + nnx.silu(h @ (self.middle.kernel[...] * second) + jnp.broadcast_to(self._bias(self.middle), h.shape))
        kernel = self.leave.kernel[...].reshape(hidden, size, -1) * last[:, :, None]
        made = jnp.einsum("nh,hpk->npk", h, kernel) + self.direct(c).reshape(len(x), size, -1)
        return made + jnp.broadcast_to(self._bias(self.leave).reshape(1, size, -1), made.shape)


def _scale(numbers: Array) -> Array:
    return STEEPEST * jnp.tanh(numbers[..., 1] / STEEPEST)


@functools.lru_cache(maxsize=32)
def _graph(shape: Shape) -> Any:
    """Return the structure of a layer, without its weights."""
    return nnx.split(nnx.eval_shape(lambda: Layer(shape, nnx.Rngs(0))))[0]


def first_weights(shape: Shape, generator: np.random.Generator) -> Any:
    """Return the weights of untrained flows, every leaf [members, layers, ...]; last stages are 0: the identity."""
    empty = nnx.split(nnx.eval_shape(lambda: Layer(shape, nnx.Rngs(0))))[1]

    def filled(path: Any, leaf: Any) -> Any:
        full = (shape.members, shape.layers, *leaf.shape)
        silent = len(leaf.shape) == 1 or any(getattr(each, "key", "") in ("leave", "direct") for each in path)
        spread = 0.0 if silent else 1 / np.sqrt(leaf.shape[0])
        return jnp.asarray(generator.normal(0, 1, full) * spread, jnp.float32)

    return jax.tree_util.tree_map_with_path(filled, empty)


def density(shape: Shape, weights: Any, x: Array, c: Array) -> Array:
    """Return log p(x | c) [n] of one flow, whose weights are [layers, ...], for x [n, P] and c [n, C]."""
    graph = _graph(shape)

    def through(carry: Any, own: Any) -> Any:
        x, total = carry
        numbers = nnx.merge(graph, own)(x, c)
        scale = _scale(numbers)
        x, total = (x - numbers[..., 0]) * jnp.exp(-scale), total - scale.sum(-1)
        if shape.bins:
            x, slope = spline(x, numbers[..., 2:])
            total = total + slope.sum(-1)
        return (x[:, ::-1], total), None

    (z, total), _ = jax.lax.scan(through, (x, jnp.zeros(len(x))), weights)
    return total - 0.5 * (z**2).sum(-1) - 0.5 * shape.size * float(np.log(2 * np.pi))


def transform(shape: Shape, weights: Any, z: Array, c: Array) -> Array:
    """Return x [n, P] from standard normal z [n, P] and c [n, C]: the inverse, one coordinate after the other."""
    graph = _graph(shape)

    def back(z: Array, own: Any) -> Any:
        layer, z = nnx.merge(graph, own), z[:, ::-1]

        def better(x: Array, _: Any) -> Any:
            numbers = layer(x, c)  # after i rounds the first i coordinates are exact
            inner = spline(z, numbers[..., 2:], inverse=True)[0] if shape.bins else z
            return inner * jnp.exp(_scale(numbers)) + numbers[..., 0], None

        return jax.lax.scan(better, jnp.zeros_like(z), None, shape.size)[0], None

    return jax.lax.scan(back, z, weights, reverse=True)[0]


def _chosen(rows: HostArray, new: Any, old: Any) -> Any:
    """Return the members [M, ...] that are new where `rows` [M] says so."""
    return np.where(rows.reshape(-1, *[1] * (old.ndim - 1)), np.asarray(new), np.asarray(old))


@functools.lru_cache(maxsize=32)
def _compiled(shape: Shape) -> tuple[Any, Any]:
    """Return the jitted densities [members, n] and draws [members, n, P] of all members."""
    every = jax.vmap(functools.partial(density, shape), (0, None, None))
    return jax.jit(every), jax.jit(jax.vmap(functools.partial(transform, shape), (0, 0, None)))


@functools.lru_cache(maxsize=32)
def _trainer(shape: Shape, rate: float) -> tuple[Any, Any, Any]:
    """Return the optimiser, a jitted step of all members, and their jitted losses [members]."""
    optimiser = optax.chain(optax.clip(1.0), optax.adam(rate))  # elementwise: members do not feel each other

    def losses(weights: Any, x: Any, c: Any, rows: Any) -> Any:
        return -jax.vmap(functools.partial(density, shape))(weights, x[rows % len(x)], c[rows]).mean(1)

    @jax.jit
    def step(state: Any, x: Any, c: Any, rows: Any) -> Any:
        weights, mean, moments = state
        slopes = jax.grad(lambda own: losses(own, x, c, rows).sum())(weights)
        change, moments = optimiser.update(slopes, moments, weights)
        weights = optax.apply_updates(weights, change)
        return weights, jax.tree.map(lambda a, b: a + KEPT * (b - a), mean, weights), moments

    return optimiser, step, jax.jit(losses)


@dataclass(frozen=True)
class Trained:
    """A mixture of trained flows, on standardised x and c.

    Attributes:
        shape: Its sizes.
        weights: Weights of all members, every leaf [members, layers, ...].
        epochs: Passes through the pairs.
        loss: Mean of -log p on held-out pairs, by member.
    """

    shape: Shape
    weights: Any
    epochs: int = 0
    loss: tuple[float, ...] = ()

    def log_prob(self, x: Any, c: Any) -> HostArray:
        """Return the log density [n] of x [n, P] given c [n, C]."""
        each = _compiled(self.shape)[0](self.weights, jnp.asarray(x, jnp.float32), jnp.asarray(c, jnp.float32))
        return np.asarray(jax.scipy.special.logsumexp(each, 0) - np.log(self.shape.members), np.float64)

    def draw(self, key: Any, c: Any, count: int) -> HostArray:
        """Return x [B, count, P] given c [B, C]; every member gives as many draws as any other, up to one."""
        c = jnp.asarray(c, jnp.float32)
        members, size = self.shape.members, self.shape.size
        each = -(-count // members)
        z = jax.random.normal(key, (members, len(c) * each, size))
        made = _compiled(self.shape)[1](self.weights, z, jnp.repeat(c, each, 0))
        by_row = np.asarray(made, np.float64).reshape(members, len(c), each, size).transpose(1, 2, 0, 3)
        return by_row.reshape(len(c), each * members, size)[:, :count]  # members alternate


def train(
    shape: Shape,
    x: HostArray,
    c: HostArray,
    seed: int = 0,
    epochs: int = 300,
    patience: int = 25,
    batch: int = 100,
    rate: float = 2e-3,
    held: float = 0.1,
) -> Trained:
    """Return flows trained on pairs by Adam, each member stopped where its held-out pairs are likeliest.

    Args:
        shape: Sizes.
        x: float [n, P], standardised.
        c: float [E, n, C], standardised; E versions of every condition, taken in turn from pass to pass.
        seed: Names first weights, order and held-out pairs.
        epochs: Passes at most.
        patience: Passes without a better held-out loss after which a member is done.
        batch: Pairs a step.
        rate: Step length of Adam; the weights that are kept are a running mean over about 100 steps.
        held: Share of pairs that are held out, others for each member.

    Raises:
        CalibrationError: Too few pairs.
        NotFiniteError: Pairs, or the loss of all passes, that are NaN or infinite.
    """
    n, members = len(x), shape.members
    if n < FEWEST:
        raise CalibrationError(f"flow: expected at least {FEWEST} pairs to learn from, got {n}")
    if not (np.isfinite(x).all() and np.isfinite(c).all()):
        raise NotFiniteError("flow: NaN or infinite pairs")
    out = max(1, round(held * n))
    batch = min(batch, n - out)
    steps = (n - out) // batch
    generator = np.random.default_rng(seed)
    split = np.stack([generator.permutation(n) for _ in range(members)])
    judged = np.concatenate([split[:, :out] + n * version for version in range(min(len(c), 4))], 1)
    told, versions = jnp.asarray(x, jnp.float32), [jnp.asarray(each, jnp.float32) for each in c]
    some = jnp.concatenate(versions[:4])
    optimiser, step, losses = _trainer(shape, rate)
    weights = first_weights(shape, generator)
    state = (weights, weights, optimiser.init(weights))
    best, lowest, since = weights, np.full(members, np.inf), np.zeros(members, int)
    epoch = 0
    while epoch < epochs and (since < patience).any():
        order = generator.permuted(split[:, out:], axis=1)
        for at in range(0, steps * batch, batch):
            state = step(state, told, versions[epoch % len(versions)], order[:, at : at + batch])
        found = np.asarray(losses(state[1], told, some, judged), np.float64)
        better = (found < lowest) & (since < patience)
        best = jax.tree.map(functools.partial(_chosen, better), state[1], best)
        since = np.where(since < patience, np.where(better, 0, since + 1), since)
        lowest = np.where(better, found, lowest)
        epoch += 1
    if not np.isfinite(lowest).all():
        raise NotFiniteError("flow: the loss of held-out pairs is NaN or infinite")
    return Trained(shape, best, epoch, tuple(float(value) for value in lowest))
