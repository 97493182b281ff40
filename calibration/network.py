"""CalibNN: a network from covariates to bounded parameters, which may change with time.

Rows of covariates x (of a region, or of a region's knots in time) become unconstrained coordinates u of its simulation;
`lpm.calibration.panel` trains it through the simulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from lpm.calibration.errors import CalibrationError
from lpm.calibration.space import Space
from lpm.errors import unknown
from lpm.types import Array, HostArray


class CalibNN(nnx.Module):
    """Covariates [..., C] -> unconstrained coordinates [..., K], held within the box of their priors.

    A small network of tanh layers gives v [..., K]; u = middle + half * tanh(s v / half), where middle and half are
    those of the prior's box and s its spread. The last layer begins at 0: every region at the middle of its prior.
    """

    def __init__(self, size: int, space: Space, gives: Sequence[str], rngs: nnx.Rngs, hidden: Sequence[int] = (16, 16)):
        """Make a network.

        Args:
            size: Number of covariates C.
            space: Parameters of one region.
            gives: Names of the K parameters that the network gives, all with the same number M of coordinates: 1, or
                one a knot (the box is that of the first).
            rngs: Where first weights come from.
            hidden: Units of the hidden layers.

        Raises:
            CalibrationError: No parameter, or parameters with different numbers of coordinates.
            InputError: A parameter that the space does not have.
        """
        sizes = [space.sizes[_known(space, name)] for name in gives]
        if not sizes or len(set(sizes)) != 1 or len(set(gives)) != len(gives):
            raise CalibrationError(
                f"network: expected parameters of one size, got {dict(zip(gives, sizes, strict=True))}"
            )
        first = [places(space, name)[0] for name in gives]
        low, high = (end[first] for end in space.box)
        self.gives, self.rows, self.covariates = tuple(gives), sizes[0], size
        self.middle, self.half = tuple((low + high) / 2), tuple((high - low) / 2)
        self.spread = tuple(space.spread[first])
        widths = [size, *hidden]
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairs])
        self.last = nnx.Linear(widths[-1], len(gives), kernel_init=nnx.initializers.zeros_init(), rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Return u [..., K] of covariates [..., C]."""
        for layer in self.layers:
            x = jnp.tanh(layer(x))
        told = self.last(x)
        box = (jnp.asarray(each, jnp.float32) for each in (self.middle, self.half, self.spread))
        middle, half, spread = (jnp.broadcast_to(each, told.shape) for each in box)
        return middle + half * jnp.tanh(spread * told / half)


def coordinates(space: Space, network: CalibNN, shared: Any, x: Any) -> Any:
    """Return u [n, P] of covariates [n, M, C]."""
    table = jnp.swapaxes(network(x), 1, 2).reshape(len(x), -1)  # [n, K M], name by name as in a space
    given = [i for name in network.gives for i in places(space, name)]
    made = jnp.zeros((len(x), space.size), jnp.float32).at[:, np.asarray(given)].set(table)
    own = others(space, network)
    return made.at[:, own].set(jnp.broadcast_to(shared, (len(x), len(own))))


def _known(space: Space, name: str) -> str:
    if name not in space.sizes:
        raise unknown("network", "parameter", name, space.sizes)
    return name


def places(space: Space, name: str) -> list[int]:
    """Return the coordinates of a parameter."""
    names = list(space.sizes)
    begin = sum(space.sizes[each] for each in names[: names.index(name)])
    return list(range(begin, begin + space.sizes[name]))


def firsts(space: Space, network: CalibNN) -> HostArray:
    """Return the first coordinate [K] of every parameter that the network gives."""
    return np.asarray([places(space, name)[0] for name in network.gives])


def others(space: Space, network: CalibNN) -> HostArray:
    """Return the coordinates that the network does not give."""
    return np.asarray([i for name in space.sizes if name not in network.gives for i in places(space, name)], int)
