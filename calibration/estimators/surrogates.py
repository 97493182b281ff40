r"""Surrogate gradients of contagion: the hard simulation, with a derivative put on its draws that they do not have.

An event B = 1[u < p] is given the derivative :math:`dB = w\,dp` with, for draw u and temperature tau,

- straight through: :math:`w = 1` (Bengio, Leonard & Courville 2013, 10.48550/arXiv.1308.3432),
- Gumbel-softmax, hard: :math:`w = d\sigma(z)/dp`, :math:`z = (\mathrm{logit}\,p - \mathrm{logit}\,u) / \tau` (Jang,
  Gu & Poole 2017, 10.48550/arXiv.1611.01144; Maddison, Mnih & Teh 2017, 10.48550/arXiv.1611.00712),
- smoothed stochastic triple: :math:`w = B / 2p + (1 - B) / 2(1 - p)` (after Arya, Schauer, Schaefer & Rackauckas 2022,
  10.48550/arXiv.2210.08572).

All three are right for one event and wrong for a simulation: the derivative follows one hard path, on which an
infinitesimal infection neither uses up its own susceptibility nor ends, so that it echoes along reciprocal arcs. On SIR
their size was found off by 15 % to 2,400 %. They are here to be compared, are marked as biased and never a default.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm.calibration.course import Course, Law, Place, words
from lpm.calibration.errors import CalibrationError
from lpm.calibration.estimators.chain import chain_of, coordinates, observed, pushed
from lpm.calibration.estimators.jacobian import Jacobian, checked, covariance_of
from lpm.calibration.problem import Problem
from lpm.ops.straight import straight
from lpm.types import Array, HostArray

LEAST = 1e-6
"""Chances are held this far from 0 and 1 where a weight divides by them."""


@dataclass(frozen=True)
class Surrogate:
    """What the three estimators share."""

    biased: bool = True
    name: str = "surrogate"

    def weight(self, draws: Array, chance: Array) -> Array:
        """Return w [N] of events with these draws (float32 in (0, 1)) and chances."""
        raise CalibrationError("surrogate: use StraightThrough, GumbelSoftmax or SmoothedTriple")

    def moved(self, draws: Array, there: Array, chance: Array) -> Array:
        """Return how many of `there` (0 or 1, float32 [N]) an event befalls; its derivative is the surrogate's."""
        fixed = jax.lax.stop_gradient(chance)
        event = (draws < fixed).astype(jnp.float32)
        return there * straight(event, self.weight(draws, fixed) * chance)

    def jac(self, problem: Problem, u: HostArray, seeds: HostArray) -> Jacobian:
        """Return the mean curve of the hard simulations and its surrogate derivative at u [P], over seeds [S].

        Raises:
            UnusableError: The simulator is no contagion.
        """
        chain, u = chain_of(problem, self.name), np.asarray(u, np.float64)
        law, place = chain.contagion.law, chain.contagion.place
        course, moves = chain.course(coordinates(u))
        tallies, moved = _followed(law, self, course, moves, jnp.asarray(words(seeds)), place)
        problem.ran[0] += len(seeds)
        curves, each = observed(problem, chain, u, tallies, jnp.moveaxis(moved, 1, 0))
        return checked(problem, Jacobian(curves.mean(0), each.mean(0), covariance_of(curves), each, len(seeds)))


@dataclass(frozen=True)
class StraightThrough(Surrogate):
    """The derivative of an event is that of its chance; of S p as one product, as the field writes it."""

    name: str = "straight through"

    def weight(self, draws: Array, chance: Array) -> Array:
        """Return 1."""
        return jnp.ones_like(chance)

    def moved(self, draws: Array, there: Array, chance: Array) -> Array:
        """Return an event of chance `there` x `chance`."""
        return straight((draws < jax.lax.stop_gradient(chance)) * jax.lax.stop_gradient(there), there * chance)


@dataclass(frozen=True)
class GumbelSoftmax(Surrogate):
    """The derivative of an event is that of a smooth step of width `temperature` in the logit of its chance."""

    temperature: float = 0.5
    name: str = "Gumbel-softmax"

    def __post_init__(self):
        """Refuse a temperature that is not above 0."""
        if not self.temperature > 0:
            raise CalibrationError(f"Gumbel-softmax: expected a temperature above 0, got {self.temperature}")

    def weight(self, draws: Array, chance: Array) -> Array:
        """Return the derivative of the smooth step by the chance."""
        p = jnp.clip(chance, LEAST, 1 - LEAST)
        z = (jnp.log(p) - jnp.log1p(-p) - jnp.log(draws) + jnp.log1p(-draws)) / self.temperature
        slope = jax.nn.sigmoid(z) * jax.nn.sigmoid(-z) / (self.temperature * p * (1 - p))
        return jnp.where(p == chance, slope, 0)  # as logits of clipped chances have it: who meets nobody has no slope


@dataclass(frozen=True)
class SmoothedTriple(Surrogate):
    """The derivative of an event weights both of its outcomes by half of their chances' inverse."""

    name: str = "smoothed triple"

    def weight(self, draws: Array, chance: Array) -> Array:
        """Return 1/2p where the event happens, 1/2(1 - p) where not."""
        p = jnp.clip(chance, LEAST, 1 - LEAST)
        return jnp.where(draws < chance, 0.5 / p, 0.5 / (1 - p))


def simulated(law: Law, rule: Surrogate, seed: Array, course: Course, place: Place) -> Array:
    """Return the tallies float32 [T, 3, G] of one hard simulation, with the derivative of a surrogate."""
    key, held = law.key(seed), jax.lax.stop_gradient(course)

    def events(drawn: Array, there: Array, chance: Array, happened: Array) -> Array:
        unit = (drawn.astype(jnp.float32) + 0.5) * jnp.float32(2.0**-32)  # inside (0, 1), rounding aside
        soft = rule.moved(jnp.clip(unit, LEAST * 2.0**-8, 1 - 2.0**-24), there, chance)
        return straight(happened.astype(jnp.float32), soft)  # what happens is the kernel's, whatever rounding says

    state = law.start(key, held, place)
    chances = law.chances(course, place)
    ill = events(law.first_draws(key, place), jnp.ones_like(chances), chances, state == 1)

    def step(carry: Any, number: Array) -> Any:
        state, well, ill = carry
        after, drawn = law.step(key, held, place, state, number), law.draws(key, place, number)
        pressure = course.beta[number] * law.dt * law.met(ill, place)
        new = events(drawn, well, -jnp.expm1(-pressure), (state == 0) & (after == 1))
        healed = jnp.zeros_like(ill)
        if law.kernel != "si":
            chance = jnp.broadcast_to(-jnp.expm1(-course.gamma[number] * law.dt), ill.shape)
            healed = events(drawn, ill, chance, (state == 1) & (after != 1))
        well = well - new + (healed if law.kernel == "sis" else 0)
        ill = ill + new - healed
        exact = law.counts(state, after, place).astype(jnp.float32)
        return (after, well, ill), straight(exact, law.sums(jnp.stack([well, ill, new]), place))

    return jax.lax.scan(step, (state, 1 - ill, ill), jnp.arange(law.steps, dtype=jnp.int32))[1]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _followed(
    law: Law, rule: Surrogate, course: Course, moves: Course, seeds: Array, place: Place
) -> tuple[Array, Array]:
    """Return the tallies [S, T, 3, G] and their derivatives along each of the moves, [S, P, T, 3, G]."""

    def one(seed: Array) -> tuple[Array, Array]:
        return pushed(lambda c: simulated(law, rule, seed, c, place), course, moves)

    return jax.lax.map(one, seeds)
