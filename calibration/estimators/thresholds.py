r"""Smooth thresholds with a detached state: hard comparisons, and a derivative by what they compare with.

A rule that asks whether x is below a threshold a, as bounded confidence does, has a derivative of 0 by a, although who
crosses moves everything. Here the comparison stays hard, and its derivative is that of a logistic curve of width tau,

.. math:: y = [x < a], \qquad \frac{\partial y}{\partial a} := \frac{1}{\tau} s (1 - s),\quad
    s = \frac{1}{1 + e^{-(a - x) / \tau}}, \qquad \frac{\partial y}{\partial x} := 0,

by the threshold alone. Left in, the derivative by the state x runs through all later steps and explodes: on bounded
confidence (10,000 agents, 20 steps) the best tau is then off by 58 %, with the state detached by 9 %; the derivative
along the trajectory alone is off by 98 %. It stays biased, as tau smooths what is sharp: too small a tau hears few
agents and is noisy, too large a one hears those who are nowhere near. `lpm.calibration.gradcheck` chooses one.
Straight-through derivatives: Y. Bengio, N. Leonard and A. Courville 2013, arXiv:1308.3432.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from lpm.calibration.errors import CalibrationError, UnusableError
from lpm.calibration.estimators.jacobian import Jacobian
from lpm.calibration.estimators.pathwise import FORWARD, compiled, curve, derivative, jacobian, kept, simulator
from lpm.calibration.problem import Problem, Pure
from lpm.types import Array, HostArray

TAUS = (0.01, 0.03, 0.1)
"""Widths that are worth trying, in the unit of the state where that runs over about 1 (guess: a decade around 0.03)."""

_TAU: Any = jax.make_user_context(default_value=None)  # what was traced under another width is traced anew


@jax.custom_jvp
def _below(x: Array, at: Array, tau: Array) -> Array:
    return (x < at).astype(jnp.float32)


@_below.defjvp
def _(primals: Any, tangents: Any) -> Any:  # pyright: ignore[reportUnusedFunction]
    x, at, tau = primals
    inside = jax.nn.sigmoid((at - x) / tau)
    return _below(x, at, tau), jnp.broadcast_to(inside * (1 - inside) / tau * tangents[1], jnp.shape(inside))


def threshold(x: Any, at: Any, tau: float | None = None) -> Array:
    """Return 1 where x is below a threshold and 0 elsewhere, with a derivative by the threshold only.

    Args:
        x: float32 [...], the state.
        at: float32, broadcast against it.
        tau: Width of the curve whose derivative is taken, in the unit of x; None = what `SmoothThreshold` says, and no
            derivative at all outside of it.
    """
    x, at = jnp.asarray(x, jnp.float32), jnp.asarray(at, jnp.float32)
    x, at = jnp.broadcast_arrays(x, at)
    width = _TAU.value if tau is None else tau
    return (x < at).astype(jnp.float32) if width is None else _below(x, at, jnp.float32(width))


@dataclass(frozen=True)
class SmoothThreshold:
    """Pathwise derivatives of a pure simulator whose hard rules are written with `threshold(x, at)`.

    Attributes:
        tau: Width of the curve, in the unit of what is compared.
    """

    tau: float = 0.03
    biased: bool = True
    compiled: dict[Any, Any] = field(default_factory=dict[Any, Any], compare=False, repr=False)

    def __post_init__(self):
        """Refuse a width that is not above 0."""
        if not self.tau > 0:
            raise CalibrationError(f"smooth threshold: expected tau above 0, got {self.tau}")

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"smooth threshold {self.tau:g}"

    def jac(self, problem: Problem, u: HostArray, seeds: HostArray) -> Jacobian:
        """Return the mean curve and its derivative at u [P], over seeds [S].

        Raises:
            UnusableError: The simulator is no pure function, or has no `threshold`.
        """
        return jacobian(problem, u, seeds, self.compile(problem, u))

    def memory(self, problem: Problem, u: HostArray) -> int:
        """Return the bytes of temporary memory that the derivative of one seed takes."""
        return int(self.compile(problem, u).memory_analysis().temp_size_in_bytes)

    def compile(self, problem: Problem, u: HostArray) -> Any:
        """Return the compiled derivative of one seed, made when it is first asked for."""
        if not isinstance(problem.simulator, Pure):
            kind = type(problem.simulator).__name__
            raise UnusableError(f"{self.name}: needs a pure function of JAX (Pure), the problem has a {kind}")

        def make() -> Any:
            mode = "forward" if len(u) <= FORWARD else "reverse"
            with _TAU(self.tau):
                point, seed = jnp.asarray(u, jnp.float32), jnp.uint32(0)
                run = jax.make_jaxpr(curve(problem))(point, seed, simulator(problem).static)
                if f"name={_below.__name__}" not in str(run):
                    raise UnusableError(f"{self.name}: the simulator has no threshold(x, at) of this module")
                return compiled(problem, u, derivative(problem, mode))

        return kept(self.compiled, problem, "smooth", make)
