"""Tables of declared columns: what is accepted, what is refused, and the way to a frame and back."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from lpm.errors import InputError
from lpm.population import Column, Population

COLUMNS = (
    Column("age", "uint8", "age band", levels=("young", "old")),
    Column("income", "float32", "yearly income", "USD", (0, 1e6)),
    Column("position", "float32", "place", shape=(2,)),
)


def test_round_trip_through_a_frame_keeps_every_value():
    people = Population.build(
        4, COLUMNS[:2], {"age": np.array([0, 1, 1, 0]), "income": np.array([0.5, 1, 2, 3]), "id": [7, 5, 9, 1]}
    ).reweighted(10.0)
    frame = people.to_frame()
    assert frame["age"].to_list() == ["young", "old", "old", "young"]
    assert frame["weight"].sum() == 10.0
    again = Population.from_frame(frame, COLUMNS[:2])
    assert all(np.array_equal(again.columns[name], people.columns[name]) for name in people.columns)


@pytest.mark.parametrize(("people", "size"), [(8_336_817, 1_000), (8_336_817, 999_983), (3, 7), (1e6 / 3, 101)])
def test_weights_add_up_exactly(people: float, size: int):
    made = Population.build(size, (), {}).reweighted(people)
    assert int(made.columns["weight"].sum(dtype=np.uint64)) == round(people * 65_536)
    assert int(made.columns["weight"].max()) - int(made.columns["weight"].min()) <= 1


def test_absent_agents_are_no_people():
    made = Population.build(4, (), {"present": np.array([True, False, True, False])})
    assert made.people == 2


def test_more_people_than_a_weight_holds_are_refused():
    few = Population.build(10, (), {})
    assert few.reweighted(655_350).columns["weight"].max() == 65_535 * 65_536
    for people in (655_351, 1e30, float("inf"), float("nan")):
        with pytest.raises(InputError, match="population.people: expected at most 65,535 people an agent"):
            few.reweighted(people)


DTYPES = ("bool", "uint8", "uint16", "uint32", "int8", "int16", "int32", "float32")


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_declared_value_can_wrap_around(dtype: str):
    kind = np.dtype(dtype)
    info = np.finfo(kind) if kind.kind == "f" else np.iinfo("uint8" if kind.kind == "b" else kind)
    low, high = (0, 1) if kind.kind == "b" else (float(info.min), float(info.max))
    step = 1 if kind.kind != "f" else high
    whole = Column("x", dtype, "", bounds=(low, high))
    assert np.array_equal(whole.check(np.array([low, high]), "t"), np.array([low, high]).astype(dtype))
    for bounds in ((low - step, high), (low, high + step)):
        if np.isfinite(bounds).all():  # an infinite bound of a float is none
            with pytest.raises(InputError, match="column 'x': expected bounds within"):
                Column("x", dtype, "", bounds=bounds)
        for column in (whole, Column("x", dtype, "")):
            with pytest.raises(InputError, match="t.x"):
                column.check(np.array(bounds), "t")
    with pytest.raises(InputError, match="column 'x': expected a default within"):
        Column("x", dtype, "", default=high + step)


def test_more_levels_than_codes_are_refused():
    names = tuple(map(str, range(257)))
    assert Column("x", "uint8", "", levels=names[:256]).limits() == (0, 255)
    with pytest.raises(InputError, match="column 'x': uint8 holds 256 levels, got 257"):
        Column("x", "uint8", "", levels=names)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"age": np.array([0, 2])}, "age: expected 0 to 1, got 0 to 2"),
        ({"age": np.array([0])}, "expected 2 rows"),
        ({"income": np.array([1.0, np.nan])}, "1 values are NaN or infinite, the first in row 1"),
        ({"income": np.array([1.0, -1.0])}, "income: expected 0 to 1e\\+06"),
        ({"age": np.array([0.5, 1])}, "whole numbers"),
        ({"position": np.zeros((2, 3))}, "trailing shape"),
        ({"incme": np.zeros(2)}, "unknown column 'incme'; did you mean 'income'"),
        ({"id": np.array([3, 3])}, "every id once"),
        ({"age": np.array(["a", "b"])}, "expected uint8"),
    ],
)
def test_bad_values_are_refused(values: dict[str, np.ndarray], message: str):
    with pytest.raises(InputError, match=message):
        Population.build(2, COLUMNS, values)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"age": ["young"]}), "expected a column 'income'"),
        (pl.DataFrame({"age": ["yung"], "income": [1.0]}), "unknown level .*'yung'; did you mean 'young'"),
        (pl.DataFrame({"age": ["old"], "income": [None]}, {"age": pl.String, "income": pl.Float64}), "missing"),
        (pl.DataFrame({"age": ["young"], "income": ["rich"]}), "expected float32"),
        (pl.DataFrame({"age": ["old"], "income": [1.0], "weight": [float("nan")]}), "weight: expected 0 to 65,535"),
        (pl.DataFrame({"age": [], "income": []}, {"age": pl.String, "income": pl.Float64}), "at least 1 agent"),
    ],
)
def test_bad_frames_are_refused(frame: pl.DataFrame, message: str):
    with pytest.raises(InputError, match=message):
        Population.from_frame(frame, COLUMNS[:2])
