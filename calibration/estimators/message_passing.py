r"""Dynamic message passing: the expected course of a contagion on a static network, without any draw.

For every arc k -> i, in the network without i's influence, let q be the chance that k is susceptible and r that k is
infectious, both given that k has passed nothing on to i so far. With :math:`b = 1 - e^{-\beta c \Delta t}`,
:math:`g = 1 - e^{-\gamma \Delta t}`, the hazard of the arc :math:`\delta = -\ln(1 - b r)` and what k meets from
everybody but i, :math:`d = \sum_{l \to k, l \neq i} \delta_{l \to k}`,

.. math:: q' = q\, e^{-d} / (1 - b r), \qquad r' = [(1 - b)(1 - g)\, r + q (1 - e^{-d})] / (1 - b r),

and for an agent with :math:`D = \sum_{l \to k} \delta_{l \to k}`: :math:`S' = S e^{-D}`,
:math:`I' = (1 - g) I + S (1 - e^{-D})`. These are the equations of Karrer & Newman (2010, Physical Review E 82:016101,
10.1103/PhysRevE.82.016101) in the discrete time of Lokhov, Mezard, Ohta & Zdeborova (2014, Physical Review E 90:012801,
10.1103/PhysRevE.90.012801), written for conditional chances so that nothing can underflow. They are exact on trees, and
close on large sparse random graphs: leaving i out keeps an infection from echoing along the arc that it came by. Short
loops let it echo all the same, and on a ring lattice the derivative is useless: a gradient check tells.

`sis` has no such closure. Its messages are r' = (1 - g) r + (1 - r)(1 - e^{-d}) (Shrestha, Scarpino & Moore 2015,
Physical Review E 92:022821, 10.1103/PhysRevE.92.022821), which is an approximation on trees too.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm.calibration.contagion import Contagion
from lpm.calibration.course import Course, Law, Place
from lpm.calibration.errors import UnusableError
from lpm.calibration.estimators.chain import chain_of, coordinates, observed, pushed
from lpm.calibration.estimators.jacobian import Jacobian, checked, covariance_of
from lpm.calibration.problem import Problem
from lpm.kernels.diffusion.contagion import ONE
from lpm.network import Network
from lpm.types import Array, HostArray

MOST = 15.9
"""Largest hazard of an arc in a step, as the kernels have it: a chance that float32 still tells from 1."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Arcs:
    """The A arcs k -> i of the network by k, then i; one without a reverse gets that of no contacts.

    (Cut into blocks of 2, 4 or 8, as `lpm.network.Layer` has them, they took 1.3 to 1.7 times as long: what costs here
    is the arithmetic of a slot, and padding is slots.)

    Attributes:
        owner: int32 [A], the agent k.
        back: int32 [A], where the arc i -> k stands.
        contacts: float32 [A], or [] where all are equal: contacts a day.
    """

    owner: Array
    back: Array
    contacts: Array


def arcs_of(network: Network) -> Arcs:
    """Return the arcs of a network, those that occur several times as one.

    Raises:
        UnusableError: Complete mixing, which has no arcs.
    """
    if network.complete:
        raise UnusableError("message passing: needs a network with arcs, this one is complete mixing")
    size = np.int64(network.size)
    receivers = np.repeat(np.arange(size, dtype=np.int64), network.degrees())
    given = network.columns.get("intensity", np.full(network.arcs, ONE)) / ONE
    others = receivers != network.indices  # nobody infects themselves
    receivers, sources, given = receivers[others], network.indices[others].astype(np.int64), given[others]
    keys, which = np.unique(
        np.concatenate([sources * size + receivers, receivers * size + sources]), return_inverse=True
    )
    contacts = np.bincount(which, np.concatenate([given, np.zeros(len(given))])).astype(np.float32)
    owner, receiver = keys // size, keys % size
    back = np.searchsorted(keys, receiver * size + owner)
    same = len(contacts) > 0 and bool((contacts == contacts[0]).all())
    told = contacts[0] if same else contacts
    return Arcs(jnp.asarray(owner, jnp.int32), jnp.asarray(back, jnp.int32), jnp.asarray(told, jnp.float32))


def crossed(values: Array, back: Array) -> Array:
    """Return what stands on the reverse of every arc."""
    return values.at[back].get(mode="promise_in_bounds", unique_indices=True)


@jax.custom_vjp
def _crossed(values: Array, back: Array) -> Array:
    """Return `crossed`, whose transpose is itself: the reverse of the reverse is the arc. JAX would scatter."""
    return crossed(values, back)


_crossed.defvjp(lambda values, back: (crossed(values, back), back), lambda back, pulled: (crossed(pulled, back), None))


def _step(
    law: Law, reverse: bool, arcs: Arcs, state: tuple[Array, ...], rates: tuple[Array, Array]
) -> tuple[tuple[Array, ...], tuple[Array, Array, Array]]:
    """Return messages and marginals after a step, and the chances (susceptible, infectious, infected now) [N]."""
    beta, gamma = rates
    passed = jnp.exp(-jnp.minimum(beta * law.dt * arcs.contacts, MOST))  # 1 - b
    kept = jnp.exp(-gamma * law.dt)  # 1 - g
    # Forward mode differentiates the plain gather; JAX takes no jvp of a function with a vjp of its own.
    across = _crossed if reverse else crossed
    infectious, susceptible = state[0], state[-2]
    none = passed + (1 - passed) * (1 - infectious)  # never below 1 - b, as it is when k is infectious for certain
    met = across(-jnp.log1p((passed - 1) * infectious), arcs.back)  # by the arc k -> i: what k meets from i
    everybody = jax.ops.segment_sum(met, arcs.owner, susceptible.shape[0], indices_are_sorted=True)
    others = everybody[arcs.owner] - met
    new = susceptible * -jnp.expm1(-everybody)
    ill = kept * state[-1] + new
    if law.kernel == "sis":
        message = (kept * infectious + (1 - infectious) * -jnp.expm1(-others),)
        well = 1 - ill
    else:
        caught = state[1] * -jnp.expm1(-others)
        ill_now = (passed * kept * infectious + caught) / none
        message = (jnp.where(ill_now > 1, 1, ill_now), (state[1] - caught) / none)
        well = susceptible - new
    return (*message, well, ill), (well, ill, new)


def spans(steps: int) -> tuple[int, int]:
    """Return (outer, inner) with outer x inner >= steps, of the least sum, then the least product."""
    found = [(-(-steps // inner), inner) for inner in range(1, steps + 1)]
    return min(found, key=lambda span: (sum(span), span[0] * span[1]))


def expected(law: Law, course: Course, place: Place, arcs: Arcs, reverse: bool = False) -> Array:
    """Return the expected tallies float32 [T, 3, G] in agents; differentiable in the course, in the mode asked for.

    In reverse mode messages are kept at the first step of every span of about sqrt(T) steps, and of one span at every
    step: two levels of `jax.checkpoint`.
    """
    begun = law.chances(course, place)
    message = begun[arcs.owner]
    state = (message,) if law.kernel == "sis" else (message, 1 - message)
    state = (*state, 1 - begun, begun)

    def step(state: Any, rates: Any) -> Any:
        after, chances = _step(law, reverse, arcs, state, rates)
        return after, law.sums(jnp.stack(chances), place)

    if not reverse:
        return jax.lax.scan(step, state, (course.beta, course.gamma))[1]
    outer, inner = spans(law.steps)

    def span(state: Any, rates: Any) -> Any:
        return jax.lax.scan(jax.checkpoint(step, prevent_cse=False), state, rates)

    def by_span(values: Array) -> Array:
        return jnp.concatenate([values, jnp.zeros(outer * inner - law.steps)]).reshape(outer, inner)

    rates = (by_span(course.beta), by_span(course.gamma))
    made = jax.lax.scan(jax.checkpoint(span, prevent_cse=False), state, rates)[1]
    return made.reshape(outer * inner, *made.shape[2:])[: law.steps]


@functools.partial(jax.jit, static_argnums=0)
def _forward(law: Law, course: Course, place: Place, arcs: Arcs) -> Array:
    return expected(law, course, place, arcs)


@functools.partial(jax.jit, static_argnums=0)
def _pushed(law: Law, course: Course, moves: Course, place: Place, arcs: Arcs) -> tuple[Array, Array]:
    """Return the tallies and their derivatives along each of the moves, [P, T, 3, G]."""
    return pushed(lambda c: expected(law, c, place, arcs), course, moves)


@functools.partial(jax.jit, static_argnums=0)
def _pulled(law: Law, course: Course, weights: Array, place: Place, arcs: Arcs) -> Course:
    """Return the derivative of the tallies' sum under weights [T, 3, G] by the course, in reverse mode."""
    return jax.vjp(lambda c: expected(law, c, place, arcs, reverse=True), course)[1](weights)[0]


def _arcs(contagion: Contagion) -> Arcs:
    """Return the arcs of a contagion's network, made once."""
    found = contagion.__dict__.get("_arcs")
    if found is None:
        found = contagion.__dict__["_arcs"] = arcs_of(contagion.network)
    return found


@dataclass(frozen=True)
class MessagePassing:
    """The derivative of the expected course under dynamic message passing; of `si`, `sis` and `sir`.

    It is that of the simulation on trees only, so that it counts as biased; a gradient check tells by how much.

    Attributes:
        simulate: Take the curve and its covariance from the simulations of the seeds, and from message passing the
            derivative alone: a fit then stops where simulations agree with the data. Else the curve is that of message
            passing, without noise, and no seed is used.
    """

    simulate: bool = True
    name: str = "message passing"
    biased: bool = True

    def jac(self, problem: Problem, u: HostArray, seeds: HostArray, curves: HostArray | None = None) -> Jacobian:
        """Return the curve and the derivative of its expectation at u [P].

        Args:
            problem: What is simulated.
            u: The point.
            seeds: The seeds of `simulate`.
            curves: g(mu) [S, D] at u for these seeds, where it is known already.

        Raises:
            UnusableError: The simulator is no contagion on a network with arcs.
        """
        chain, before = chain_of(problem, self.name), problem.simulations
        u, seeds, contagion = np.asarray(u, np.float64), np.asarray(seeds), chain.contagion
        course, moves = chain.course(coordinates(u))
        tallies, moved = _pushed(contagion.law, course, moves, contagion.place, _arcs(contagion))
        expectation, slopes = observed(problem, chain, u, tallies[None], moved[:, None])
        mean, slope = expectation[0], slopes[0]
        covariance = np.zeros((len(mean), len(mean)))
        if self.simulate:
            if curves is None:
                curves = problem.curves(np.repeat(u[None], len(seeds), 0), seeds)
            mean, covariance = curves.mean(0), covariance_of(curves)
        return checked(problem, Jacobian(mean, slope, covariance, slope[None], problem.simulations - before))

    def pull(self, problem: Problem, u: HostArray, weights: HostArray) -> tuple[HostArray, HostArray]:
        """Return g(mu) [D] of message passing at u [P], and its derivative's product with weights [D], [P].

        With weights dL/dg that is the gradient of a loss L(g), in reverse mode: the cost does not grow with P, and
        memory is that of two levels of checkpoints.
        """
        chain, at = chain_of(problem, self.name), coordinates(u)
        law, place, arcs = chain.contagion.law, chain.contagion.place, _arcs(chain.contagion)
        course = chain.course(at)[0]
        tallies = _forward(law, course, place, arcs)
        curve, direct, onto = chain.onto_tallies(at, tallies, jnp.asarray(weights, jnp.float32))
        through = chain.onto_u(at, _pulled(law, course, onto, place, arcs))
        return np.asarray(curve, np.float64), np.asarray(direct + through, np.float64)
