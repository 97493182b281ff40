"""What the tests of network builders share: people, a contact matrix, and a network as sets of neighbours."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lpm.network import Network
from lpm.networks import build_whole, find
from lpm.population import Column, Population

SIZE = 1001
RARE = 1e-5
"""False-alarm rate of each statistical check; the seeds are fixed, so a check that passes once passes again."""
LEVELS = ("a", "b", "c", "d", "e", "f")
MATRIX = 0.4 + 3.0 * np.exp(-np.abs(np.subtract.outer(np.arange(6), np.arange(6))) / 1.5)


def population(size: int = SIZE, seed: int = 0) -> Population:
    draw = np.random.default_rng(seed)
    columns = (
        Column("level", "uint8", "level of the contact matrix", levels=LEVELS),
        Column("place", "uint8", "group", levels=("north", "south", "west")),
        Column("household", "uint32", "household"),
        Column("degree", "uint16", "wanted degree"),
        Column("x", "float32", "first coordinate"),
        Column("y", "float32", "second coordinate"),
    )
    values = {
        "level": draw.choice(6, size, p=[0.1, 0.2, 0.25, 0.2, 0.15, 0.1]),
        "place": draw.choice(3, size, p=[0.5, 0.3, 0.2]),
        "household": draw.integers(0, max(size // 2, 1), size),
        "degree": draw.integers(0, 9, size),
        "x": draw.random(size),
        "y": 2 * draw.random(size),
    }
    return Population.build(size, columns, values)


@pytest.fixture(scope="module")
def matrix_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("contacts") / "matrix.csv"
    np.savetxt(path, MATRIX, delimiter=",")
    return str(path)


def made(name: str, seed: int, people: Population, pieces: int = 1, **values: Any) -> Network:
    return build_whole(name, seed, find(name, "test").Params(**values), people, pieces)


def neighbours(network: Network) -> list[set[int]]:
    ends, indices = network.indptr.tolist(), network.indices.tolist()
    return [set(indices[a:b]) for a, b in itertools.pairwise(ends)]


def chi_square(counts: Any, wanted: Any) -> float:
    """Return the p-value of counts against expectations, classes below 8 pooled into the last."""
    counts, wanted = np.asarray(counts, float), np.asarray(wanted, float)
    large = wanted >= 8
    counts = np.append(counts[large], counts[~large].sum())
    wanted = np.append(wanted[large], wanted[~large].sum())
    keep = wanted > 1
    return float(stats.chi2.sf(((counts - wanted)[keep] ** 2 / wanted[keep]).sum(), keep.sum() - 1))
