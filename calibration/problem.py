"""A problem: which parameters, what was observed, and the simulator that joins the two."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from lpm.calibration.archive import Archive
from lpm.calibration.errors import CalibrationError, NotCommonError, NotFiniteError
from lpm.calibration.observation import Observation
from lpm.calibration.space import Space
from lpm.errors import InputError
from lpm.types import HostArray

T = TypeVar("T")


class Simulator(Protocol):
    """A simulation as a function of its parameters and a seed.

    The same parameters and seed have to give the same series, and a small change of a parameter has to leave the draws
    of everybody whom it does not concern as they were (common random numbers): all of lpm's kernels do.
    """

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """Names of the groups by metric."""
        ...

    def run(self, theta: Mapping[str, HostArray], seeds: HostArray) -> Mapping[str, HostArray]:
        """Return by metric float64 [B, steps, groups] for B parameter sets ([B, ...] each) and seeds [B]."""
        ...


@dataclass(frozen=True)
class Pure:
    """A simulator made of a pure function of JAX, compiled once for each size of a batch.

    Attributes:
        function: (theta, key, static) -> by metric an array [steps, groups]; theta by name, key of `jax.random`.
        groups: Names of the groups by metric.
        static: Population, network and data: arguments of the compiled function, never closures.
        batching: "map" (one after the other, the memory of one) or "vmap" (side by side).
        differentiable: The function's derivative is that of its expectation, so that `Pathwise` may use it.
    """

    function: Callable[[Mapping[str, Any], Any, Any], Mapping[str, Any]]
    groups: Mapping[str, Sequence[str]]
    static: Any = ()
    batching: str = "map"
    differentiable: bool = False

    @functools.cached_property
    def _compiled(self) -> Any:
        @jax.jit
        def many(theta: Any, seeds: Any, static: Any) -> Any:
            def one(given: Any) -> Any:
                values, seed = given
                return dict(self.function(values, jax.random.key(seed), static))

            if self.batching == "vmap":
                return jax.vmap(one)((theta, seeds))
            return jax.lax.map(one, (theta, seeds))

        return many

    def run(self, theta: Mapping[str, HostArray], seeds: HostArray) -> Mapping[str, HostArray]:
        """Return by metric float64 [B, steps, groups]; the batch is filled up to a power of two, to compile rarely."""
        count = len(seeds)
        more = (1 << (count - 1).bit_length()) - count

        def filled(x: Any) -> Any:
            return jnp.asarray(np.concatenate([x, np.repeat(x[:1], more, 0)]) if more else x)

        values = {name: filled(np.asarray(each, np.float32)) for name, each in theta.items()}
        made = self._compiled(values, filled(np.asarray(seeds, np.uint32)), self.static)
        return {name: np.asarray(each, np.float64)[:count] for name, each in made.items()}


@dataclass(frozen=True)
class Problem:
    """A simulator, what is free in it, and what was observed.

    Attributes:
        space: The free parameters.
        observation: The data.
        simulator: What runs.
        archive: Where simulations are kept, so that a fit that was stopped goes on; None = nowhere.
        ran: Number of simulations so far.
    """

    space: Space
    observation: Observation
    simulator: Simulator
    archive: Archive | None = None
    ran: list[int] = field(default_factory=lambda: [0], compare=False)

    @property
    def simulations(self) -> int:
        """Number of simulations so far."""
        return self.ran[0]

    def outputs(self, u: HostArray, seeds: HostArray) -> Mapping[str, HostArray]:
        """Return the simulated series [B, steps, groups] by metric.

        Args:
            u: float [B, P], unconstrained.
            seeds: int [B].

        Raises:
            NotFiniteError: A parameter or a simulated value is NaN or infinite.
        """
        theta = self.theta(u)
        self.ran[0] += len(seeds)
        made = self.simulator.run(theta, np.asarray(seeds))
        for name, values in made.items():
            if not np.isfinite(values).all():
                row = int(np.flatnonzero(~np.isfinite(values).all((1, 2)))[0])
                told = ", ".join(f"{key} = {np.asarray(each[row])}" for key, each in theta.items())
                raise NotFiniteError(f"simulation: {name} is NaN or infinite at {told}, seed {seeds[row]}")
        return made

    def theta(self, u: HostArray) -> dict[str, HostArray]:
        """Return the parameters by name, [B, ...] each, from u [B, P]."""
        if not np.isfinite(u).all():
            raise NotFiniteError("parameters: NaN or infinite unconstrained coordinates")
        return {name: np.asarray(values) for name, values in self.space.constrain(u).items()}

    def expected(self, u: HostArray, seeds: HostArray) -> HostArray:
        """Return the expectations mu [B, D] of the observed values, one simulation each."""

        def run(u: HostArray, seeds: HostArray) -> HostArray:
            made = self.outputs(u, seeds)
            mu = self.observation.expected(made, self.simulator.groups, self.theta(u))
            return np.ascontiguousarray(mu)  # sums over it have one order, kept in an archive or not

        if self.archive is None:
            return run(u, seeds)
        before = self.simulations
        made = self.archive.get(np.asarray(u), np.asarray(seeds), run)
        self.ran[0] = before + len(seeds)  # those that were kept count as well: a fit's budget is the same
        return made

    def curves(self, u: HostArray, seeds: HostArray) -> HostArray:
        """Return g(mu) [B, D], on the scale on which observed values scatter by 1."""
        return np.asarray(self.observation.stabilised(self.expected(u, seeds)))

    def attempted(self, call: Callable[[], T]) -> T | InputError:
        """Return what a call of this problem's simulations returns, or the error by which they refuse its parameters.

        A calibration's own errors (a NaN, for one) and those that the machine has caused are raised.
        """
        before = self.simulations
        try:
            return call()
        except CalibrationError:
            raise
        except InputError as error:
            if isinstance(error.__cause__, OSError):
                raise
            self.ran[0] = before  # what is refused has not run
            return error

    def check_common(self, u: HostArray, seed: int = 0) -> None:
        """Run one parameter set [P] twice with one seed.

        Raises:
            NotCommonError: The two differ.
        """
        points, seeds = np.stack([u, u]), np.asarray([seed, seed])
        theta, made = self.theta(points), self.outputs(points, seeds)
        one, two = np.asarray(self.observation.expected(made, self.simulator.groups, theta))
        if not np.array_equal(one, two):
            raise NotCommonError(
                "simulation: the same parameters and seed gave two different trajectories; draw every random number "
                "from the key that the simulation is given"
            )
