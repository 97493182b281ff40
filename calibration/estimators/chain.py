"""The chain rule between unconstrained coordinates, the course of a contagion, and the curve that is observed.

Estimators differ in how what is simulated moves with the course of the parameters; what is before and behind that is
exact, and differentiated by JAX: u -> theta -> course, and (theta, tallies) -> series -> g(mu).

Shapes: P coordinates, S simulations, T steps, G groups, D observed values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm.calibration.contagion import Contagion, contagion_of
from lpm.calibration.course import Course
from lpm.calibration.problem import Problem
from lpm.types import Array, HostArray

TOGETHER = 4
"""Directions of forward mode that are followed side by side; memory grows with their number."""


@dataclass(frozen=True)
class Chain:
    """The ends of the chain for one problem, compiled once.

    Attributes:
        contagion: What is simulated.
        course: u [P] -> the course, and its derivatives by every coordinate, with a leading axis [P].
        onto_u: (u, a derivative by the course) -> one by u, [P].
        slopes: (u, tallies [S, T, 3, G], their derivatives [P, S, T, 3, G]) -> derivatives of g(mu), [P, S, D].
        onto_tallies: (u, tallies [T, 3, G], weights [D]) -> g(mu) [D] and the derivatives of its product with the
            weights by u, tallies held, and by the tallies.
    """

    contagion: Contagion
    course: Callable[..., tuple[Course, Course]]
    onto_u: Callable[..., Array]
    slopes: Callable[..., Array]
    onto_tallies: Callable[..., tuple[Array, Array, Array]]


def chain_of(problem: Problem, estimator: str) -> Chain:
    """Return the chain of a problem, made when it is first asked for.

    Raises:
        UnusableError: The simulator is no contagion.
    """
    contagion = contagion_of(problem, estimator)
    kept = vars(problem)  # a problem is frozen, and what is compiled for it lives as long as it does
    if "chain" not in kept:
        kept["chain"] = _made(problem, contagion)
    return kept["chain"]


def _made(problem: Problem, contagion: Contagion) -> Chain:
    def course(u: Array) -> Course:
        return contagion.law.course(problem.space.constrain(u))

    def curve(u: Array, tallies: Array) -> Array:
        series = contagion.metrics(tallies)
        mu = problem.observation.expected(series, contagion.groups, problem.space.constrain(u))
        return problem.observation.stabilised(mu)

    def slopes(u: Array, tallies: Array, moved: Array) -> Array:
        def along(direction: Array, moves: Array) -> Array:
            each = jax.vmap(lambda x, move: jax.jvp(curve, (u, x), (direction, move))[1])
            return each(tallies, moves)

        return jax.vmap(along)(jnp.eye(u.shape[0]), moved)

    def onto_tallies(u: Array, tallies: Array, weights: Array) -> tuple[Array, Array, Array]:
        value, back = jax.vjp(curve, u, tallies)
        return (value, *back(weights.astype(value.dtype)))

    def courses(u: Array) -> tuple[Course, Course]:
        value, linear = jax.linearize(course, u)
        return value, jax.vmap(linear)(jnp.eye(u.shape[0]))

    def onto_u(u: Array, pulled: Course) -> Array:
        return jax.vjp(course, u)[1](pulled)[0]

    return Chain(contagion, jax.jit(courses), jax.jit(onto_u), jax.jit(slopes), jax.jit(onto_tallies))


def coordinates(u: HostArray) -> Array:
    """Return u for the compiled ends of the chain."""
    return jnp.asarray(u, jnp.float32)


def observed(problem: Problem, chain: Chain, u: HostArray, tallies: Any, moved: Any) -> tuple[HostArray, HostArray]:
    """Return the curves g(mu) float64 [S, D] and their derivatives [S, D, P].

    Args:
        problem: What is observed.
        chain: Its chain.
        u: The point [P].
        tallies: [S, T, 3, G], in agents.
        moved: [P, S, T, 3, G], how they move with each coordinate.
    """
    series = chain.contagion.metrics(np.asarray(tallies, np.float64))  # in float64, as the problem itself computes it
    theta = {name: np.asarray(value) for name, value in problem.space.constrain(u).items()}
    mu = problem.observation.expected(series, chain.contagion.groups, theta)
    slopes = chain.slopes(coordinates(u), jnp.asarray(tallies, jnp.float32), jnp.asarray(moved, jnp.float32))
    return np.asarray(problem.observation.stabilised(mu)), np.moveaxis(np.asarray(slopes, np.float64), 0, -1)


def pushed(function: Callable[[Course], Array], course: Course, moves: Course) -> tuple[Array, Array]:
    """Return a function of the course, and its derivatives along every move, [P, ...]: forward mode.

    At most `TOGETHER` moves are followed side by side; these share the cost of the function itself.
    """
    count = jax.tree.leaves(moves)[0].shape[0]
    turns = -(-count // TOGETHER)
    width = -(-count // turns)

    def turned(x: Array) -> Array:
        more = jnp.zeros((turns * width - count, *x.shape[1:]), x.dtype)
        return jnp.concatenate([x, more]).reshape(turns, width, *x.shape[1:])

    def together(some: Course) -> tuple[Array, Array]:
        return jax.vmap(lambda move: jax.jvp(function, (course,), (move,)), out_axes=(None, 0))(some)

    value, each = jax.lax.map(together, jax.tree.map(turned, moves))
    return value[0], each.reshape(turns * width, *each.shape[2:])[:count]
