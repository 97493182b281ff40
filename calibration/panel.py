"""Regions with covariates, and the training of a network on them through the simulator.

Rows of covariates x (of a region, or of a region's knots in time) become unconstrained coordinates u, and these one
simulation a region. Minimised by an optimiser of optax over the network's weights w, and over the coordinates c that
the network does not give and that all regions share:

    L(w, c) = sum over regions r  |g(y_r) - m_r(u_r)|^2  +  |(c - c0) / s|^2
              +  pull * |(u - u0) / s|^2  +  smooth * sum over knots |(u_{m+1} - u_m) / s|^2.

Its gradient is the network's own, which is exact, chained with the simulator's Jacobian J_r, which an estimator gives:

    dL/dw = sum over regions r  (du_r/dw)' * -2 J_r' (g(y_r) - m_r)  +  that of the penalties.

So J costs 2 P runs a region and step, however many weights there are; a minibatch runs only its own regions. The
idea is of Chopra et al. 2023, "Differentiable agent-based epidemiology" (AAMAS), whose gradients are straight-through.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from lpm import checkpoint
from lpm.calibration.errors import CalibrationError, NotFiniteError, ZeroGradientError
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.jacobian import Estimator, finite
from lpm.calibration.fit import Progress, silent
from lpm.calibration.methods.optimise import Plateau, Regions
from lpm.calibration.network import CalibNN, coordinates, firsts, others
from lpm.calibration.problem import Problem
from lpm.calibration.space import Space
from lpm.types import HostArray


@dataclass(frozen=True)
class Panel:
    """Regions with their data, and what is known about each.

    Attributes:
        problems: One problem a region, of the same space. Regions that meet in one simulation are one problem.
        covariates: float [R, C], or [R, M, C] for M knots in time (see `Knots.averaged`).
        compiled: What was compiled for it.
    """

    problems: tuple[Problem, ...]
    covariates: HostArray
    compiled: dict[Any, Any] = field(default_factory=dict[Any, Any], compare=False, repr=False)

    def __post_init__(self):
        """Refuse spaces that differ, and covariates of another number of regions or with NaN."""
        if not self.problems or np.ndim(self.covariates) not in (2, 3) or len(self.covariates) != len(self.problems):
            expected = f"[{len(self.problems)}, C] or [{len(self.problems)}, M, C]"
            raise CalibrationError(f"panel: expected covariates {expected}, got {np.shape(self.covariates)}")
        if not np.isfinite(self.covariates).all():
            raise NotFiniteError("panel: NaN or infinite covariates")
        if len({each.space.names for each in self.problems}) != 1:
            raise CalibrationError("panel: expected one space for all regions")

    @property
    def space(self) -> Space:
        """The parameters of one region."""
        return self.problems[0].space

    @functools.cached_property
    def standard(self) -> tuple[HostArray, HostArray]:
        """Mean and standard deviation [C] of the covariates, 1 where one does not vary."""
        flat = np.asarray(self.covariates, np.float64).reshape(-1, np.shape(self.covariates)[-1])
        return flat.mean(0), np.where(flat.std(0) > 0, flat.std(0), 1.0)

    def rows(self, covariates: HostArray) -> HostArray:
        """Return standardised covariates float32 [R, M, C]."""
        mean, spread = self.standard
        made = (np.asarray(covariates, np.float64) - mean) / spread
        return (made if made.ndim == 3 else made[:, None]).astype(np.float32)


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        optimiser: Any of optax; Adam with a step of 0.02 by default.
        steps: Most steps.
        seeds: Runs a region that are averaged, the same seeds in all steps.
        estimator: Gives the simulator's Jacobian.
        minibatch: Regions of a step; None = all.
        smooth: Weight of the penalty on changes from knot to knot.
        pull: Weight of the prior of what the network gives.
        patience: Steps whose mean loss is compared with that of as many before.
        tolerance: Share by which it has to be lower.
        every: Steps between two checkpoints.
    """

    optimiser: Any = None
    steps: int = 200
    seeds: int = 1
    estimator: Estimator = field(default_factory=CommonRandomNumbers)
    minibatch: Regions | None = None
    smooth: float = 0.0
    pull: float = 1.0
    patience: int = 20
    tolerance: float = 0.01
    every: int = 10

    def __post_init__(self):
        """Refuse counts below 1 and negative weights."""
        for name in ("steps", "seeds", "patience", "every"):
            if getattr(self, name) < 1:
                raise CalibrationError(f"network: expected {name} of at least 1, got {getattr(self, name)}")
        if self.smooth < 0 or self.pull < 0:
            raise CalibrationError("network: expected weights smooth and pull of at least 0")


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        panel: What it was trained on.
        network: The network.
        shared: float64 [P - K M], the coordinates that all regions share.
        trace: (simulations, loss) by step; the loss of a minibatch is that of its regions times R / n, plus penalties.
    """

    panel: Panel
    network: CalibNN
    shared: HostArray
    trace: tuple[tuple[int, float], ...]

    def u(self, covariates: HostArray | None = None) -> HostArray:
        """Return u [R, P] for covariates [R, C] or [R, M, C]: those of the panel, or of regions it has not seen."""
        x = self.panel.rows(self.panel.covariates if covariates is None else covariates)
        return np.asarray(coordinates(self.panel.space, self.network, jnp.asarray(self.shared, jnp.float32), x), float)

    def theta(self, covariates: HostArray | None = None) -> dict[str, HostArray]:
        """Return the parameters by name, [R, ...] each."""
        return self.panel.problems[0].theta(self.u(covariates))


def train(
    panel: Panel,
    network: CalibNN,
    training: Training | None = None,
    *,
    seed: int = 0,
    progress: Progress = silent,
    folder: Path | None = None,
    name: str = "",
) -> Trained:
    """Return a network trained on a panel; the network that is given stays as it was.

    Args:
        panel: Regions and covariates.
        network: Where it begins.
        training: How.
        seed: Names minibatches and the seeds of all runs.
        progress: Told how far it is.
        folder: Where checkpoints lie; a training that was stopped goes on from there, and ends the same.
        name: Names the training beside its data and seed: a checkpoint of another one is refused.

    Raises:
        ZeroGradientError: Nothing that is observed moves with a parameter, in any region of the first step.
        NotFiniteError: A NaN.
        CheckpointError: What lies in the folder is damaged, or of another training.
    """
    how, space, regions = training or Training(), panel.space, len(panel.problems)
    x = panel.rows(panel.covariates)
    if x.shape[1:] != (network.rows, network.covariates):
        raise CalibrationError(f"network: expected {network.rows} rows of {network.covariates} covariates a region")
    if how.minibatch is not None and how.minibatch.count > regions:
        raise CalibrationError(f"minibatch: expected at most the {regions} regions, got {how.minibatch.count}")
    graph, weights = nnx.split(network, nnx.Param)
    begin = jnp.asarray(space.mean[others(space, network)], jnp.float32)
    optimiser = optax.with_extra_args_support(how.optimiser or optax.adam(0.02))
    fingerprint = f"{_sum(panel):08x} seed {seed} {name}"
    state: Any = ((weights, begin), optimiser.init((weights, begin)))
    trace: list[tuple[int, float]] = []
    ran = 0
    if folder is not None:
        state, trace, ran = _restored(folder, fingerprint, state)
    forward, descend = panel.compiled.setdefault((how, graph), _compiled(space, how, optimiser, graph))
    plateau, seeds = Plateau(how.patience, how.tolerance), 1_000 * seed + np.arange(how.seeds)
    ended = any([plateau.reached(value) for _, value in trace])
    panel.problems[0].check_common(space.mean, int(seeds[0]))
    while not ended and len(trace) < how.steps:
        step = len(trace)
        progress("steps", step, how.steps)
        chosen = np.arange(regions) if how.minibatch is None else how.minibatch.batch(regions, step, seed)
        scale = regions / len(chosen)
        u = np.asarray(forward(state[0], x[chosen]), np.float64)
        misfit, pulls, cost = _simulated(panel, how, u, chosen, seeds, step)
        told = jnp.asarray(pulls, jnp.float32), jnp.float32(misfit), jnp.float32(scale)
        state, found, finite_all = descend(state, x[chosen], *told)
        if not finite_all:
            raise NotFiniteError("network: the loss or its gradient is NaN or infinite")
        loss, ran = float(found), ran + cost
        trace.append((ran, loss))
        ended = plateau.reached(loss)
        if folder is not None and (len(trace) % how.every == 0 or ended or len(trace) == how.steps):
            _save(folder, fingerprint, state, trace)
    progress("steps", how.steps, how.steps)
    weights, shared = state[0]
    return Trained(panel, nnx.merge(graph, weights), np.asarray(shared, np.float64), tuple(trace))


def _simulated(
    panel: Panel, how: Training, u: HostArray, chosen: HostArray, seeds: HostArray, step: int
) -> tuple[float, HostArray, int]:
    """Return the misfit of some regions, its derivative -2 J' r by their u [n, P], and the runs it took."""
    loss, pulls, cost, moves = 0.0, np.zeros_like(u), 0, np.zeros(u.shape[1], bool)
    for row, number in enumerate(chosen):
        problem = panel.problems[number]
        found = finite(how.estimator.jac(problem, u[row], seeds))
        rest = problem.observation.target - found.mean
        loss, cost = loss + float(rest @ rest), cost + found.simulations
        pulls[row] = -2 * found.jacobian.T @ rest
        moves |= found.jacobian.any(0)
    if step == 0 and not moves.all():
        still = ", ".join(name for name, some in zip(panel.space.names, moves, strict=True) if not some)
        raise ZeroGradientError(f"gradient: nothing that is observed moves with {still} in any region; hold it fixed")
    return loss, pulls, cost


def _compiled(space: Space, how: Training, optimiser: Any, graph: Any) -> tuple[Any, Any]:
    """Return the jitted (weights, shared), x -> u, and a step down the gradient."""
    forward = jax.jit(lambda moved, x: coordinates(space, nnx.merge(graph, moved[0]), moved[1], x))
    return forward, jax.jit(functools.partial(_descended, space, how, optimiser, graph))


def _descended(
    space: Space, how: Training, optimiser: Any, graph: Any, state: Any, x: Any, pulls: Any, misfit: Any, scale: Any
) -> Any:
    """Return (weights, shared) and the optimiser's state after a step, the loss, and whether all of it is finite."""
    moved, old = state
    network = nnx.merge(graph, moved[0])
    own, given = others(space, network), firsts(space, network)
    c0, c_spread = jnp.asarray(space.mean[own], jnp.float32), jnp.asarray(space.spread[own], jnp.float32)
    u0, u_spread = jnp.asarray(space.mean[given], jnp.float32), jnp.asarray(space.spread[given], jnp.float32)

    def chained(moved: Any) -> Any:
        made = nnx.merge(graph, moved[0])
        table = made(x)  # [n, M, K]
        scaled = (table - jnp.broadcast_to(u0, table.shape)) / jnp.broadcast_to(u_spread, table.shape)
        far, rough = how.pull * jnp.sum(scaled**2), how.smooth * jnp.sum(jnp.diff(scaled, axis=1) ** 2)
        penalty = scale * (far + rough) + jnp.sum(((moved[1] - c0) / c_spread) ** 2)
        # the derivative of u * pulls by the weights is the chain rule: pulls is that of the misfit by u
        return scale * jnp.sum(coordinates(space, made, moved[1], x) * pulls) + penalty, penalty

    slope, penalty = jax.grad(chained, has_aux=True)(moved)
    loss = scale * misfit + penalty
    change, new = optimiser.update(slope, old, moved, value=loss, grad=slope)
    whole = jnp.all(jnp.stack([jnp.isfinite(each).all() for each in jax.tree.leaves((loss, slope))]))
    return (optax.apply_updates(moved, change), new), loss, whole


def _sum(panel: Panel) -> int:
    """Return one CRC-32 over covariates and data."""
    tables = [np.asarray(panel.covariates, np.float64), *(each.observation.values for each in panel.problems)]
    return functools.reduce(lambda total, table: zlib.crc32(np.ascontiguousarray(table).tobytes(), total), tables, 0)


def _save(folder: Path, fingerprint: str, state: Any, trace: Sequence[tuple[int, float]]) -> None:
    """Write weights, shared coordinates and the optimiser's state as a checkpoint of orbax."""
    leaves = {f"leaf{i:04d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
    arrays = {"state": leaves, "trace": np.asarray(trace, np.float64)}
    checkpoint.save(folder, len(trace), arrays, {"run": fingerprint})


def _restored(folder: Path, fingerprint: str, state: Any) -> tuple[Any, list[tuple[int, float]], int]:
    """Return what a folder holds, or what was given where it holds nothing."""
    leaves, tree = jax.tree.flatten(state)
    like = {"state": {f"leaf{i:04d}": np.asarray(leaf) for i, leaf in enumerate(leaves)}, "trace": np.zeros((0, 2))}
    found = checkpoint.restore(folder, like, fingerprint)
    if found is None:
        return state, [], 0
    kept = [jnp.asarray(found.arrays["state"][name]) for name in sorted(like["state"])]
    if [each.shape for each in kept] != [np.shape(leaf) for leaf in leaves]:
        raise CalibrationError(f"checkpoint {folder}: it is of a network of another shape; {checkpoint.REMEDY}")
    trace = [(int(ran), float(loss)) for ran, loss in found.arrays["trace"]]
    return jax.tree.unflatten(tree, kept), trace, trace[-1][0]
