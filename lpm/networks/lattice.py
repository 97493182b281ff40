"""Regular lattices: a ring, or a two-dimensional torus with 4 (von Neumann) or 8 (Moore) neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lpm.errors import InputError
from lpm.kernel import parameter
from lpm.network import Network
from lpm.networks import builder
from lpm.networks.rows import span
from lpm.population import Population
from lpm.types import HostArray


@builder("lattice")
class Lattice:
    """Ring: agent v is tied to v - k/2 .. v + k/2. Torus: agent v stands at row v // width, column v % width."""

    @dataclass(frozen=True)
    class Params:
        """Parameters of a lattice."""

        shape: str = parameter("torus", unit="1", meaning="ring or torus", choices=("ring", "torus"))
        neighbours: int = parameter(4, unit="1", meaning="ring: any even number; torus: 4 or 8", bounds=(2, 1024))
        width: int = parameter(
            0, unit="1", meaning="columns of the torus; 0 = as square as N allows", bounds=(0, 2**31 - 1)
        )

    @staticmethod
    def build(seed: int, params: Params, population: Population, rows: tuple[int, int]) -> Network:
        """Return the rows; see `lpm.networks.Builder.build`."""
        size = population.size
        low, high = span(rows, size, "lattice")
        agents = np.arange(low, high, dtype=np.int64)[:, None]
        if params.shape == "ring":
            near = _ring(agents, size, int(params.neighbours))
        elif params.shape == "torus":
            near = _torus(agents, size, int(params.neighbours), int(params.width))
        else:
            raise InputError(f"lattice.shape: expected ring or torus, got '{params.shape}'")
        indices = np.sort(near.astype(np.int32), axis=1)
        indptr = np.arange(high - low + 1, dtype=np.int64) * indices.shape[1]
        return Network(size, indptr, indices.reshape(-1), low)


def _ring(agents: HostArray, size: int, near: int) -> HostArray:
    if near < 2 or near % 2 or near >= size:
        raise InputError(f"lattice.neighbours: expected an even number from 2 to {size - 1} (below N), got {near}")
    steps = np.arange(1, near // 2 + 1)
    return (agents + np.concatenate([-steps, steps])[None, :]) % size


def _torus(agents: HostArray, size: int, near: int, width: int) -> HostArray:
    if near not in (4, 8):
        raise InputError(f"lattice.neighbours: expected 4 or 8 on a torus, got {near}")
    if width == 0:
        width = next(w for w in range(math.isqrt(size), 0, -1) if size % w == 0)
    if size % width or min(width, size // width) < 3:
        raise InputError(
            f"lattice.width: expected a divisor of N = {size} that leaves at least 3 rows and 3 columns, got {width}"
        )
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0) and (near == 8 or i * j == 0)]
    down, right = np.array(steps).T
    return ((agents // width + down) % (size // width)) * width + (agents % width + right) % width
