"""A quadratic surrogate of a few summary numbers around a fit, and NUTS on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.diagnostics import split_gelman_rubin
from numpyro.infer.hmc import hmc

from lpm.calibration.space import Space
from lpm.types import HostArray

CHAINS = 2
"""Chains of NUTS, side by side: two that disagree are told."""

AGREE = 1.02
"""Largest split R-hat of chains that are said to agree (Vehtari et al. 2021, Bayesian Analysis 16:667-718, ask 1.01 of
four long ones)."""


def terms(v: Any) -> Any:
    """Return 1, v_i and v_i v_j (i <= j): [..., Q] of v [..., P]."""
    xp: Any = np if isinstance(v, np.ndarray) else jnp
    one = xp.ones((*v.shape[:-1], 1), v.dtype)
    i, j = np.triu_indices(v.shape[-1])
    return xp.concatenate([one, v, v[..., i] * v[..., j]], -1)


@dataclass(frozen=True)
class Surrogate:
    """Numbers t whose mean is quadratic in v, where u = centre + width v.

    Attributes:
        centre: float64 [P].
        width: float64 [P, P], lower triangular.
        mean: float64 [Q, K], coefficients of `terms(v)`.
        target: float64 [K], the observed t.
        covariance: float64 [K, K] of t around its mean.
        gram: float64 [Q, Q], inverse of the sum of products of terms over the simulations: error of the mean.
        reach: Squared length of the farthest simulated v, beyond which the quadratic is a guess.
    """

    centre: HostArray
    width: HostArray
    mean: HostArray
    target: HostArray
    covariance: HostArray
    gram: HostArray
    reach: float

    def arrays(self) -> dict[str, Any]:
        """Return what the density needs, with t in units of its own scatter."""
        root = np.linalg.inv(np.linalg.cholesky(self.covariance))
        made = {"mean": self.mean @ root.T, "target": root @ self.target, "gram": self.gram, "reach": self.reach}
        made |= {"centre": self.centre, "width": self.width}
        return {name: jnp.asarray(value, jnp.float32) for name, value in made.items()}

    def mode(self, prior_mean: HostArray, prior_spread: HostArray, rounds: int = 12) -> HostArray:
        """Return u [P] of the highest density, the prior taken as normal, by damped Gauss-Newton within the reach."""
        inverse, size = np.linalg.inv(self.covariance), len(self.centre)
        prior = self.width.T @ np.diag(prior_spread**-2.0) @ self.width
        steps = 1e-3 * np.eye(size)

        def cost(v: HostArray) -> float:
            off = self.target - terms(v) @ self.mean
            z = (self.centre + self.width @ v - prior_mean) / prior_spread
            return float(off @ inverse @ off + z @ z)

        v = np.zeros(size)
        for _ in range(rounds):
            slope = ((terms(v + steps) - terms(v - steps)) @ self.mean / 2e-3).T
            off = self.target - terms(v) @ self.mean
            pull = self.width.T @ ((self.centre + self.width @ v - prior_mean) / prior_spread**2)
            step = np.linalg.solve(slope.T @ inverse @ slope + prior, slope.T @ inverse @ off - pull)
            share = 1.0
            while share > 1e-3 and (cost(v + share * step) > cost(v) or ((v + share * step) ** 2).sum() > self.reach):
                share /= 2
            if share <= 1e-3:
                break
            v = v + share * step
        return self.centre + self.width @ v


Draws = Callable[[Surrogate, int, int, int], tuple[HostArray, HostArray, tuple[str, ...]]]
"""(surrogate, draws, warm-up, seed) -> u [n, P], log density [n], notes."""


def sampler(space: Space) -> Draws:
    """Return NUTS on surrogates of a space, compiled once for each number of draws."""
    made: dict[tuple[int, int], Any] = {}

    def density(v: Any, held: Any) -> Any:
        """Return log prior + log N(t; m(v), (1 + leverage) S), with a wall where the surrogate is a guess."""
        numbers = terms(v)
        wider = 1 + numbers @ held["gram"] @ numbers
        off = held["target"] - numbers @ held["mean"]
        fit = -0.5 * (off**2).sum() / wider - 0.5 * len(off) * jnp.log(wider)
        beyond = jnp.maximum((v**2).sum() / held["reach"] - 1, 0.0)
        return fit + space.log_prob(held["centre"] + held["width"] @ v) - 50 * beyond**2

    def compiled(each: int, warmup: int) -> Any:
        begin_chain, step = hmc(potential_fn_gen=lambda held: lambda v: -density(v, held), algo="NUTS")

        def chain(key: Any, v: Any, held: Any) -> Any:
            state = begin_chain(v, warmup, dense_mass=True, model_args=(held,), rng_key=key)
            state, _ = jax.lax.scan(lambda state, _: (step(state, (held,)), None), state, None, warmup)

            def kept(state: Any, _: Any) -> Any:
                state = step(state, (held,))
                return state, (state.z, -state.potential_energy, state.diverging)

            return jax.lax.scan(kept, state, None, each)[1]

        return jax.jit(jax.vmap(chain, (0, 0, None)))

    def drawn(surrogate: Surrogate, draws: int, warmup: int, seed: int) -> Any:
        each = -(-draws // CHAINS)
        with jax.numpy_rank_promotion("allow"):  # numpyro's own arithmetic
            if (each, warmup) not in made:
                made[each, warmup] = compiled(each, warmup)
            begin = np.random.default_rng([seed, 5]).normal(0, 0.3, (CHAINS, len(surrogate.centre)))
            keys = jax.random.split(jax.random.key(seed), CHAINS)
            values, densities, diverged = made[each, warmup](keys, jnp.asarray(begin, jnp.float32), surrogate.arrays())
        found = np.asarray(values, np.float64)
        agreed = float(np.max(split_gelman_rubin(found)))
        v = found.reshape(-1, len(surrogate.centre))
        notes: list[str] = []
        far, broken = float(((v**2).sum(1) > surrogate.reach).mean()), int(np.asarray(diverged).sum())
        if far > 0.02:
            notes.append(f"{far:.0%} of the draws lie beyond the simulations: the surrogate is a guess there")
        if broken:
            notes.append(f"{broken} steps of the sampler diverged")
        if agreed > AGREE:
            notes.append(f"the chains disagree (R-hat {agreed:.3f}): draw more")
        u = surrogate.centre + v @ surrogate.width.T
        return u, np.asarray(densities, np.float64).reshape(-1), tuple(notes)

    return drawn
