"""Amortised neural posterior: a flow learns p(u | summary of the data) from simulations of the prior.

Parameters u_s are drawn from the prior, each is simulated once to expectations mu_s, and noise is drawn around them by
the observation's own likelihood, several times, as it costs nothing. The flow that maximises the mean log density of
u_s given its noisy data is, in the limit, the posterior (Papamakarios & Murray 2016, "Fast epsilon-free inference of
simulation models with Bayesian conditional density estimation"; Greenberg, Nonnenmacher & Macke 2019). Chance of the
simulator and noise of the data are both in it, and it answers for any data at once, which is what makes checking its
coverage cheap (`lpm.calibration.posteriors.coverage`).

The summary is g(y), on the scale on which values scatter by about 1, in the directions in which the simulations spread
beyond that scatter: a direction is kept if its variance exceeds w (1 + sqrt(D / n))^2 for a noise of variance w, the
most that the largest of D directions of pure noise has in n simulations (Marchenko & Pastur 1967).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lpm.calibration.errors import CalibrationError
from lpm.calibration.posterior import Posterior
from lpm.calibration.posteriors.flow import Shape, Trained, first_weights, train
from lpm.calibration.problem import Problem
from lpm.calibration.space import Space
from lpm.errors import InputError
from lpm.types import HostArray

MOST = 10
"""Coordinates up to which simulations from the prior are dense enough to learn from."""

WIDEST = 32
"""Numbers of a summary at most."""

REACH = 50.0
"""Summaries are cut here: what lies farther away is reported, and must not overflow."""


@dataclass(frozen=True)
class Summary:
    """A linear map of stabilised values to a few numbers of order 1.

    All directions share one scale, that of the widest. A scale of its own for each would make the many directions that
    are mostly chance as loud as the few that speak of parameters (tried on 2,000 epidemics: a held-out loss of 2.00 for
    1.76).

    Attributes:
        centre: float64 [D], mean of the simulations' g(y).
        directions: float64 [D, C], orthonormal columns.
        spread: float64 [C], standard deviation of the simulations along them.
        farthest: Squared distance from the centre that 1 in 1,000 simulations exceeds (or the largest).
        residual: The same of the squared length of what the directions leave out.
    """

    centre: HostArray
    directions: HostArray
    spread: HostArray
    farthest: float
    residual: float

    def __call__(self, curves: HostArray) -> HostArray:
        """Return the summary [..., C] of g(y) [..., D]."""
        return np.clip((curves - self.centre) @ self.directions / self.spread[0], -REACH, REACH)

    def strange(self, curve: HostArray) -> str | None:
        """Return what is unlike every simulation about g(y) [D], None if nothing is."""
        off = curve - self.centre
        along = off @ self.directions
        if float(((along / self.spread) ** 2).sum()) > 1.5 * self.farthest:
            return "the data lie outside of what the prior simulates: the neural posterior extrapolates"
        if float((off**2).sum() - (along**2).sum()) > 1.5 * self.residual:
            return "the data differ from every simulation in a way that the parameters do not produce"
        return None


def summary_of(curves: HostArray, within: HostArray) -> Summary:
    """Return the summary learned from simulations.

    Args:
        curves: float [n, D], g(y) of one noisy observation of each simulation.
        within: float [D], variance of g(y) around its simulation: that of the noise alone.

    Raises:
        CalibrationError: No direction in which the simulations spread beyond the noise.
    """
    count, size = curves.shape
    centre = curves.mean(0)
    off = curves - centre
    _, spread, rows = np.linalg.svd(off, full_matrices=False)
    variance = spread**2 / count
    noise = (rows**2) @ within
    edge = noise * (1 + np.sqrt(size / count)) ** 2
    kept = np.flatnonzero((variance > edge) & (variance > 1e-6 * variance[0]))[:WIDEST]
    if not len(kept) or variance[0] <= 1e-12:
        raise CalibrationError("neural posterior: simulations from the prior do not differ beyond the data's noise")
    directions, scale = rows[kept].T, np.sqrt(variance[kept])
    along = off @ directions
    far, rest = ((along / scale) ** 2).sum(1), (off**2).sum(1) - (along**2).sum(1)
    return Summary(centre, directions, scale, float(np.quantile(far, 0.999)), float(np.quantile(rest, 0.999)) + 1e-9)


@dataclass(frozen=True)
class NeuralPosterior:
    """A trained posterior; it answers for any data of the same observation.

    Attributes:
        problem: What it was trained on.
        summary: What it sees of the data.
        flow: The flow of standardised u given the summary.
        centre: float64 [P], mean of the trained u.
        spread: float64 [P], their standard deviation.
        simulations: How many it has seen.
    """

    problem: Problem
    summary: Summary
    flow: Trained
    centre: HostArray
    spread: HostArray
    simulations: int

    @classmethod
    def fit(cls, problem: Problem, simulations: int = 2000, seed: int = 0, echoes: int = 8, **options: Any) -> Any:
        """Return a posterior learned from simulations of the prior.

        Args:
            problem: Parameters (at most `MOST` coordinates), observation and simulator.
            simulations: Runs of the simulator.
            seed: Names parameters, seeds of the simulations, noise and training.
            echoes: Noisy observations of each simulation.
            options: Sizes of the flow (`flow.Shape`) and of its training (`flow.train`).

        Raises:
            CalibrationError: Too many coordinates, too few simulations, or simulations that do not differ.
        """
        if problem.space.size > MOST:
            raise CalibrationError(
                f"neural posterior: expected at most {MOST} coordinates, got {problem.space.size}; hold some fixed, or "
                "use the synthetic likelihood"
            )
        u = np.asarray(problem.space.draw(jax.random.key(seed), simulations), np.float64)
        generator = np.random.default_rng([seed, 1])
        seeds = generator.choice(2**31, simulations, replace=False)
        return cls.learned(problem, u, problem.expected(u, seeds), seed, echoes, **options)

    @classmethod
    def learned(
        cls, problem: Problem, u: HostArray, mu: HostArray, seed: int = 0, echoes: int = 8, **options: Any
    ) -> NeuralPosterior:
        """Return a posterior learned from simulations that are there: u [n, P], drawn from the prior, and mu [n, D]."""
        generator = np.random.default_rng([seed, 2])
        draw, stabilised = problem.observation.draw, problem.observation.stabilised
        noisy = np.stack([np.asarray(stabilised(draw(generator, mu))) for _ in range(max(2, echoes))])
        summary = summary_of(noisy[0], noisy.var(0, ddof=1).mean(0))
        centre, spread = u.mean(0), u.std(0)
        sizes = {name: options.pop(name) for name in ("layers", "hidden", "bins", "members") if name in options}
        shape = Shape(u.shape[1], len(summary.spread), **sizes)
        flow = train(shape, (u - centre) / spread, summary(noisy), seed, **options)
        return cls(problem, summary, flow, centre, spread, len(u))

    @cached_property
    def space(self) -> Space:
        """The parameters."""
        return self.problem.space

    def _seen(self, values: HostArray) -> HostArray:
        if values.shape[-1] != self.problem.observation.size:
            raise CalibrationError(
                f"neural posterior: expected {self.problem.observation.size} observed values, got {values.shape[-1]}"
            )
        return np.asarray(self.problem.observation.stabilised(np.asarray(values, np.float64)))

    def sample(self, values: HostArray, count: int, seed: int = 0) -> HostArray:
        """Return draws u [B, count, P] for B sets of observed values [B, D]."""
        drawn = self.flow.draw(jax.random.key(seed), self.summary(self._seen(values)), count)
        return self.centre + self.spread * drawn

    def log_prob(self, u: HostArray, values: HostArray) -> HostArray:
        """Return the log posterior density [n] of u [n, P] given one set of observed values [D]."""
        c = np.repeat(self.summary(self._seen(values))[None], len(u), 0)
        return self.flow.log_prob((u - self.centre) / self.spread, c) - np.log(self.spread).sum()

    def posterior(self, count: int = 2000, values: HostArray | None = None, seed: int = 0) -> Posterior:
        """Return the posterior given the problem's own observed values, or others [D]."""
        given = self.problem.observation.values if values is None else np.asarray(values, np.float64)
        u = self.sample(given[None], count, seed)[0]
        strange = self.summary.strange(self._seen(given))
        return Posterior(self.space, u, self.log_prob(u, given), () if strange is None else (strange,))

    def save(self, path: str | Path) -> None:
        """Write weights and summary to a file of numpy (.npz), without pickle; the problem itself is not in it."""
        weights = [np.asarray(leaf) for leaf in jax.tree.leaves(self.flow.weights)]
        said = {
            "shape": asdict(self.flow.shape),
            "names": self.space.names,
            "simulations": self.simulations,
            "epochs": self.flow.epochs,
            "loss": self.flow.loss,
            "farthest": self.summary.farthest,
            "residual": self.summary.residual,
        }
        arrays: dict[str, Any] = {f"weight{i:02d}": leaf for i, leaf in enumerate(weights)}
        for name in ("centre", "directions", "spread"):
            arrays[f"summary_{name}"] = getattr(self.summary, name)
        with Path(path).open("wb") as file:
            np.savez(file, said=np.asarray(json.dumps(said)), centre=self.centre, spread=self.spread, **arrays)

    @classmethod
    def load(cls, path: str | Path, problem: Problem) -> NeuralPosterior:
        """Return what `save` wrote, for a problem of the same parameters and observation.

        Raises:
            InputError: A file that is none of these, or of another problem.
        """
        try:
            with np.load(Path(path), allow_pickle=False) as file:
                held = {name: file[name] for name in file.files}
            said = json.loads(str(held["said"]))
            shape = Shape(**said["shape"])
            empty = first_weights(shape, np.random.default_rng(0))
            leaves = [held[f"weight{i:02d}"] for i in range(len(jax.tree.leaves(empty)))]
            own = {name: held[f"summary_{name}"] for name in ("centre", "directions", "spread")}
            summary = Summary(**own, farthest=float(said["farthest"]), residual=float(said["residual"]))
            flow = Trained(shape, jax.tree.unflatten(jax.tree.structure(empty), leaves), said["epochs"], ())
            made = cls(problem, summary, flow, held["centre"], held["spread"], said["simulations"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: expected a neural posterior that was saved: {error}") from error
        if tuple(said["names"]) != problem.space.names or len(own["centre"]) != problem.observation.size:
            raise InputError(
                f"{path}: expected parameters {', '.join(problem.space.names)} and {problem.observation.size} observed "
                f"values, got {', '.join(said['names'])} and {len(own['centre'])}"
            )
        return made
