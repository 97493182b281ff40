"""Every network builder: the same graph for any split, simple and symmetric, and decided by its seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from lpm import networks

from .conftest import SIZE, made, population


def parameters(name: str, matrix_file: str, size: int = SIZE) -> dict[str, Any]:
    """Return parameters of a registered builder: its declared defaults, unless it has a line here."""
    pairs = np.random.default_rng(5).choice(size * (size - 1) // 2, 3000, replace=False)
    low = np.floor((1 + np.sqrt(8.0 * pairs + 1)) / 2).astype(np.int64)
    frame = pl.DataFrame({"source": low, "target": pairs - low * (low - 1) // 2, "weight": pairs / 7.0})
    given: dict[str, dict[str, Any]] = {
        "configuration": {"degrees": "negative-binomial", "mean_degree": 6.0, "dispersion": 0.7},
        "contact-matrix": {"column": "level", "matrix": matrix_file, "groups": "place", "contacts_per_arc": 0.5},
        "edges": {"frame": frame, "columns": ("weight",)},
        "lattice": {"neighbours": 8},
        "nearest-in-space": {"neighbours": 6},
        "stochastic-block": {"column": "place", "mean_degrees": ((6.0, 1.0, 2.0), (1.0, 8.0, 1.0), (2.0, 1.0, 4.0))},
        "watts-strogatz": {"rewiring": 0.3},
    }
    return given.get(name, {})


@pytest.mark.parametrize("name", sorted(networks.builders()))
def test_any_split_of_the_rows_gives_the_same_graph(name: str, matrix_file: str) -> None:
    people, values = population(), parameters(name, matrix_file)
    whole = made(name, 7, people, **values)
    for pieces in (3, 7):
        split = made(name, 7, people, pieces, **values)
        assert np.array_equal(whole.indptr, split.indptr) and np.array_equal(whole.indices, split.indices)
        assert whole.complete == split.complete and set(whole.columns) == set(split.columns)
        assert all(np.array_equal(whole.columns[c], split.columns[c]) for c in whole.columns)
    assert whole.indices.dtype == np.int32 and whole.indptr.dtype == np.int64


@pytest.mark.parametrize("name", sorted(networks.builders()))
def test_graphs_are_simple_and_symmetric(name: str, matrix_file: str) -> None:
    network = made(name, 7, population(), **parameters(name, matrix_file))
    rows = np.repeat(np.arange(SIZE), network.degrees())
    arcs = rows * SIZE + network.indices
    assert (rows != network.indices).all(), "no loops"
    assert (np.diff(arcs) > 0).all(), "ascending rows without repeated arcs"
    if not network.facts.get("directed"):
        back = np.argsort(network.indices.astype(np.int64) * SIZE + rows)
        assert np.array_equal(arcs, (network.indices.astype(np.int64) * SIZE + rows)[back])
        assert all(np.array_equal(values, values[back]) for values in network.columns.values())


@pytest.mark.parametrize("name", sorted(networks.builders()))
def test_the_seed_decides(name: str, matrix_file: str) -> None:
    people, values = population(), parameters(name, matrix_file)
    one, again, other = (made(name, seed, people, **values) for seed in (7, 7, 8))
    assert np.array_equal(one.indices, again.indices)
    if name not in ("complete", "edges", "households", "lattice", "nearest-in-space"):
        assert not np.array_equal(one.indices, other.indices)
