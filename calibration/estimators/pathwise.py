r"""Pathwise derivatives: JAX differentiates the simulation itself, seed by seed.

.. math:: J_p = \frac{1}{S} \sum_s \frac{\partial}{\partial u_p} g(\mu(u, s))

It is unbiased where the trajectory is a smooth function of its parameters while its draws are held: kernels whose
gradient rule is "exact". Where choices are made at thresholds ("between choices") it leaves out that they move: biased,
and to be asked for. Where outcomes are drawn against chances it is zero, and refused. Pathwise (infinitesimal
perturbation) derivatives and when they are unbiased: P. Glasserman 1991, "Gradient estimation via perturbation
analysis", Kluwer.

Forward mode carries directions beside the run, `TOGETHER` at a time, and costs about as many runs as there are
coordinates. Reverse mode goes back over the run once for each of the values that are asked for, whatever the number of
coordinates; `gradient`, of one number, is what it is for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm.calibration.engine import Engine
from lpm.calibration.errors import CalibrationError, UnusableError
from lpm.calibration.estimators.jacobian import Jacobian, checked, covariance_of
from lpm.calibration.problem import Problem, Pure
from lpm.errors import InputError
from lpm.kernel import GRADIENTS, kernels
from lpm.types import HostArray

FORWARD = 8
"""Most coordinates for which forward mode is taken where nothing is said."""

TOGETHER = 4
"""Directions of forward mode that are followed side by side: they share the run, and each needs the memory of one."""

MODES = ("auto", "forward", "reverse")


@dataclass(frozen=True)
class Pathwise:
    """Derivatives by JAX.

    Attributes:
        between_choices: Take kernels of the rule "between choices" too; the result is then marked biased.
        mode: "auto" (forward for at most `FORWARD` coordinates), "forward" or "reverse".
    """

    between_choices: bool = False
    mode: str = "auto"
    compiled: dict[Any, Any] = field(default_factory=dict[Any, Any], compare=False, repr=False)

    def __post_init__(self):
        """Refuse a mode that does not exist."""
        if self.mode not in MODES:
            raise CalibrationError(f"pathwise: expected mode {', '.join(MODES)}, got '{self.mode}'")

    @property
    def name(self) -> str:
        """What tables call it."""
        return "pathwise between choices" if self.between_choices else "pathwise"

    @property
    def biased(self) -> bool:
        """Whether choices may move that it holds."""
        return self.between_choices

    def jac(self, problem: Problem, u: HostArray, seeds: HostArray) -> Jacobian:
        """Return the mean curve and its derivative at u [P], over seeds [S].

        Raises:
            UnusableError: A simulator or kernel that has no such derivative.
        """
        return jacobian(problem, u, seeds, self.compile(problem, u))

    def gradient(self, problem: Problem, u: HostArray, seeds: HostArray, weights: HostArray) -> HostArray:
        """Return the derivative [P] of weights [D] times the mean curve: one run back a seed in reverse mode."""
        if self._forward(len(u)):
            return np.asarray(weights) @ self.jac(problem, u, seeds).jacobian
        pulled = self._kept(problem, u, "pull", lambda: compiled(problem, u, pull(problem)))
        problem.ran[0] += len(seeds)
        w = np.asarray(weights, np.float32)
        given = np.asarray(u, np.float32), np.asarray(seeds, np.uint32)
        each = [np.asarray(pulled(given[0], s, w, simulator(problem).static), np.float64) for s in given[1]]
        return np.mean(each, 0)

    def memory(self, problem: Problem, u: HostArray) -> int:
        """Return the bytes of temporary memory that the derivative of one seed takes."""
        return int(self.compile(problem, u).memory_analysis().temp_size_in_bytes)

    def compile(self, problem: Problem, u: HostArray) -> Any:
        """Return the compiled derivative of one seed, made when it is first asked for."""
        rows = "forward" if self._forward(len(u)) else "reverse"
        return self._kept(problem, u, rows, lambda: compiled(problem, u, derivative(problem, rows)))

    def _forward(self, size: int) -> bool:
        return self.mode == "forward" or (self.mode == "auto" and size <= FORWARD)

    def _kept(self, problem: Problem, u: HostArray, what: str, make: Callable[[], Any]) -> Any:
        usable(problem, self.name, self.between_choices)
        return kept(self.compiled, problem, what, make)


def simulator(problem: Problem) -> Pure:
    """Return the pure function that a problem simulates."""
    assert isinstance(problem.simulator, Pure)
    return problem.simulator


def usable(problem: Problem, name: str, between_choices: bool) -> None:
    """Refuse a simulator whose derivative along a trajectory is not claimed to be that of its expectation.

    Raises:
        UnusableError: It is no pure function, does not say that it is differentiable, or has a kernel of another rule.
    """
    made = problem.simulator
    known = made.rules if isinstance(made, Engine) else ()
    single = getattr(made, "kernel", "")
    if single in kernels():
        known = ((single, kernels()[single].gradient),)
    for kernel, rule in known:
        if rule == "exact" or (rule == "between choices" and between_choices):
            continue
        more = "; Pathwise(between_choices=True) takes it all the same" if rule == "between choices" else ""
        raise UnusableError(f"{name}: kernel '{kernel}' has the gradient rule '{rule}' ({GRADIENTS[rule]}){more}")
    if not isinstance(made, Pure):
        raise UnusableError(f"{name}: needs a pure function of JAX (Pure), the problem has a {type(made).__name__}")
    if not known and not made.differentiable:
        raise UnusableError(f"{name}: the simulator does not say that it is differentiable (Pure.differentiable)")


def kept(cache: dict[Any, Any], problem: Problem, what: Any, make: Callable[[], Any]) -> Any:
    """Return what was made for a problem, which is made once."""
    parts = (problem.space, problem.observation, problem.simulator)
    key = (what, *map(id, parts))
    if key not in cache:
        cache[key] = (make(), parts)  # holds the parts, so that their ids are not given to others
    return cache[key][0]


def curve(problem: Problem) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Return (u, seed, static) -> the curve g(mu) [D] in float32, and the series by metric that it is made of."""
    made = simulator(problem)

    def function(u: Any, seed: Any, static: Any) -> tuple[Any, Any]:
        theta = problem.space.constrain(u)
        outputs = dict(made.function(theta, jax.random.key(seed), static))
        mu = problem.observation.expected(outputs, made.groups, theta)
        return problem.observation.stabilised(mu), outputs

    return function


def derivative(problem: Problem, mode: str) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Return (u, seed, static) -> the derivative [D, P] of one seed's curve, and its series."""
    function = curve(problem)

    def forward(u: Any, seed: Any, static: Any) -> tuple[Any, Any]:
        def along(direction: Any) -> Any:
            return jax.jvp(lambda x: function(x, seed, static), (u,), (direction,), has_aux=True)[1:]

        columns, outputs = jax.lax.map(along, jnp.eye(u.shape[0]), batch_size=TOGETHER)
        return columns.T, jax.tree.map(lambda x: x[0], outputs)

    def reverse(u: Any, seed: Any, static: Any) -> tuple[Any, Any]:
        value, back, outputs = jax.vjp(lambda x: function(x, seed, static), u, has_aux=True)
        return jax.lax.map(lambda row: back(row)[0], jnp.eye(value.shape[0])), outputs

    return forward if mode == "forward" else reverse


def pull(problem: Problem) -> Callable[..., Any]:
    """Return (u, seed, weights, static) -> the derivative [P] of weights [D] times one seed's curve."""
    function = curve(problem)

    def back(u: Any, seed: Any, weights: Any, static: Any) -> Any:
        return jax.vjp(lambda x: function(x, seed, static)[0], u)[1](weights)[0]

    return back


def compiled(problem: Problem, u: HostArray, function: Callable[..., Any], context: Any = None) -> Any:
    """Return a function of (u, seed, static) or (u, seed, weights, static), compiled for a problem.

    Args:
        problem: What it is compiled for.
        u: A point, for its shape.
        function: The function.
        context: What it is traced in.

    Raises:
        UnusableError: A kernel refuses the derivative.
    """
    point, seed = jnp.asarray(u, jnp.float32), jnp.uint32(0)
    weights = () if function.__name__ != "back" else (jnp.zeros(len(problem.observation.target), jnp.float32),)
    around: AbstractContextManager[Any] = context or nullcontext()
    try:
        with around:
            lowered = jax.jit(function).lower(point, seed, *weights, simulator(problem).static)
    except InputError as told:
        raise UnusableError(f"pathwise: {told}") from None
    return lowered.compile()


def jacobian(problem: Problem, u: HostArray, seeds: HostArray, made: Any) -> Jacobian:
    """Return what a compiled derivative gives over seeds [S], one after the other."""
    point, static = np.asarray(u, np.float32), simulator(problem).static
    found = [made(point, np.uint32(seed), static) for seed in np.asarray(seeds)]
    problem.ran[0] += len(found)
    each = np.stack([np.asarray(matrix, np.float64) for matrix, _ in found])
    outputs = {name: np.stack([np.asarray(o[name], np.float64) for _, o in found]) for name in found[0][1]}
    theta = problem.theta(np.repeat(np.asarray(u, np.float64)[None], len(found), 0))
    mu = problem.observation.expected(outputs, problem.simulator.groups, theta)  # in float64, as a problem computes it
    curves = np.asarray(problem.observation.stabilised(np.asarray(mu)))
    return checked(problem, Jacobian(curves.mean(0), each.mean(0), covariance_of(curves), each, len(found)))
