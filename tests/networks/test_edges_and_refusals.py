"""Networks of an edge frame, and what builders refuse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lpm.errors import InputError
from lpm.networks import build_whole, find
from lpm.population import Population

from .conftest import made, neighbours, population


def test_edges_keep_direction_multiplicity_and_columns(tmp_path: Path) -> None:
    people = Population.build(4, [], {"id": np.array([10, 40, 20, 30])})
    frame = pl.DataFrame({"source": [10, 20, 30], "target": [40, 40, 10], "times": [1, 3, 1], "heat": [0.5, 1.5, 2.5]})
    network = made("edges", 1, people, frame=frame, directed=True, multiplicity="times", columns=("heat",))
    assert network.indptr.tolist() == [0, 1, 5, 5, 5] and network.indices.tolist() == [3, 0, 2, 2, 2]
    assert network.columns["heat"].tolist() == [2.5, 0.5, 1.5, 1.5, 1.5] and network.columns["heat"].dtype == np.float32
    path = tmp_path / "ties.parquet"
    frame.write_parquet(path)
    both = made("edges", 1, people, file=str(path))
    assert neighbours(both) == [{1, 3}, {0, 2}, {1}, {0}]
    frame.write_csv(tmp_path / "ties.csv")
    assert neighbours(made("edges", 1, people, file=str(tmp_path / "ties.csv"))) == neighbours(both)


FRAME: Mapping[str, Any] = {"source": [0, 1], "target": [1, 2]}


@pytest.mark.parametrize(
    ("frame", "values", "message"),
    [
        ({"source": [0, 1], "target": [1, 99]}, {}, "edges.frame: column 'target': 1 dangling .* row 1 names 99"),
        ({"source": [0, -1], "target": [1, 2]}, {}, "dangling"),
        ({"source": [0], "to": [1]}, {}, "unknown column 'target'"),
        ({"source": [0.0, math.nan], "target": [1, 2]}, {}, "1 values are NaN"),
        ({"source": [0, None], "target": [1, 2]}, {}, "1 values are missing"),
        ({"source": ["0", "1"], "target": [1, 2]}, {}, "expected numbers, got 2 texts that look like numbers"),
        ({"source": ["0", "b"], "target": [1, 2]}, {}, "expected numbers, got 'b' in row 1"),
        ({"source": [0.5, 1], "target": [1, 2]}, {}, "fractions"),
        ({"source": [0, 1], "target": [1, 1]}, {}, "tie an agent to itself, the first in row 1"),
        ({"source": [0, 1], "target": [1, 0]}, {}, "expected every pair once, row 1"),
        ({**FRAME, "n": [1, 0]}, {"multiplicity": "n"}, "1 to 1,000,000"),
        ({**FRAME, "w": [1.0, math.inf]}, {"columns": ("w",)}, "NaN or infinite"),
        (FRAME, {"columns": ("w",)}, "unknown column 'w'"),
    ],
)
def test_bad_edges_are_refused(frame: Mapping[str, Any], values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made("edges", 1, population(5), frame=pl.DataFrame(frame, strict=False), **values)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("barabasi-albert", {"ties": 5}, "below N"),
        ("configuration", {"degrees": "column", "column": "wanted"}, "unknown column 'wanted'"),
        ("configuration", {"degrees": "column", "column": "degree"}, "whole numbers 0 to N - 1"),
        ("configuration", {"degrees": "gamma"}, "unknown choice 'gamma'"),
        ("configuration", {"degrees": "power-law", "minimum": 9, "maximum": 3}, "at least minimum"),
        ("contact-matrix", {"matrix": "/none.csv"}, "none.csv"),
        ("edges", {}, "one of file and frame"),
        ("edges", {"file": "/none.csv"}, "no file"),
        ("erdos-renyi", {"mean_degree": 10.0}, "at most N - 1 = 4"),
        ("lattice", {"width": 3}, "divisor of N = 5"),
        ("lattice", {"shape": "ring", "neighbours": 5}, "even"),
        ("lattice", {"shape": "cube"}, "ring or torus"),
        ("nearest-in-space", {}, "one of neighbours and radius"),
        ("nearest-in-space", {"neighbours": 5}, "at most N - 1 = 4"),
        ("nearest-in-space", {"neighbours": 2, "x": "z"}, "unknown column 'z'"),
        ("stochastic-block", {"column": "plaice"}, "did you mean 'place'"),
        ("stochastic-block", {"column": "place", "mean_degrees": ((1.0,),)}, "expected 3 x 3 numbers"),
        ("stochastic-block", {"column": "place", "mean_degrees": ((50.0,) * 3,) * 3}, "expected at most"),
        ("watts-strogatz", {"neighbours": 4}, "half of N"),
    ],
)
def test_bad_parameters_are_refused(name: str, values: dict[str, Any], message: str) -> None:
    people = population(5)
    people.columns["degree"][0] = 9
    with pytest.raises(InputError, match=message):
        made(name, 1, people, **values)


def test_contact_matrices_that_do_not_fit_are_refused(matrix_file: str, tmp_path: Path) -> None:
    flat = tmp_path / "flat.csv"
    flat.write_text("1,2,3\n4,5,6\n")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"column": "place", "matrix": matrix_file}, "expected 3 rows"),
        ({"column": "x", "matrix": matrix_file}, "whole numbers"),
        ({"column": "level", "matrix": str(flat)}, "square"),
        ({"column": "level", "matrix": matrix_file, "groups": "x"}, "categorical column"),
        ({"column": "level", "matrix": matrix_file, "mixing": ((1.0,),)}, "the column that mixing"),
        ({"column": "level", "matrix": matrix_file, "groups": "place", "mixing": ((1.0,),)}, "3 x 3"),
    ]
    for values, message in cases:
        with pytest.raises(InputError, match=message):
            made("contact-matrix", 1, population(50), **values)


def test_unknown_builders_and_rows_outside_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'erdos-renyi'"):
        find("erdos-reny", "networks.a")
    with pytest.raises(InputError, match="rows within 0 to 5"):
        find("complete", "").build(1, find("complete", "").Params(), population(5), (0, 6))
    with pytest.raises(InputError, match="at least 1 piece"):
        build_whole("complete", 1, None, population(5), 0)
