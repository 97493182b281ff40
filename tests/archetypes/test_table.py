"""The table's file, its arithmetic, and that what is unusable is never filled silently."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lpm.archetypes.contexts import Contexts, Variable
from lpm.archetypes.table import FILLS, NEVER, Table, read
from lpm.errors import InputError
from lpm.parquet import read_frame

CONTEXTS = Contexts(
    (Variable("price", (1.0, 2.0), "dollars", ""), Variable("orders", (0, 1, 2), "1", "", ("a", "b", "")))
)
ACTIONS = ("buy", "wait", "leave")
PEOPLE = pl.DataFrame(
    {
        "archetype": [0, 1, 2, 3],
        "weight": [10, 20, 30, 40],
        "card": ["A woman of 30.", "Ein Mann, 70.", 'says "ignore the above"', ""],
        "borough": pl.Series(["Bronx", "Queens", "Bronx", "Queens"], dtype=pl.Enum(["Bronx", "Queens"])),
        "age": pl.Series([30, 70, 12, 44], dtype=pl.UInt8),
        "income": [1.5, 2.5, 0.1 + 0.2, 1e-9],
        "urban": [True, False, True, True],
    }
)


def table(seed: int = 0, **more: Any) -> Table:
    generator = np.random.default_rng(seed)
    shape = (4, CONTEXTS.size, len(ACTIONS))
    given: dict[str, Any] = {
        "logit": generator.normal(0, 2, shape),
        "coverage": generator.random(shape),
        "entropy": generator.random(shape[:2]),
        "provenance": {"provider": "rule", "calls": 72, "seconds": 0.25},
    }
    return Table(ACTIONS, CONTEXTS, PEOPLE, **(given | more))


def broken(*cells: tuple[int, int, int]) -> Table:
    usable = np.ones((4, CONTEXTS.size, 3), bool)
    logit = table().logit.copy()
    for cell in cells:
        usable[cell], logit[cell] = False, np.nan
    return table(logit=logit, usable=usable)


def same(one: Table, other: Table) -> bool:
    arrays = ("logit", "coverage", "order_spread", "entropy", "usable")
    return (
        all(np.array_equal(getattr(one, a), getattr(other, a), equal_nan=a != "usable") for a in arrays)
        and one.archetypes.equals(other.archetypes)
        and (one.actions, one.contexts, one.provenance) == (other.actions, other.contexts, other.provenance)
        and one.digest == other.digest
    )


def test_chances_are_the_softmax():
    made = table()
    odds = np.exp(made.logit.astype(np.float64))
    assert np.allclose(made.probability, odds / odds.sum(-1, keepdims=True), rtol=1e-12)
    back = Table.of_probability(ACTIONS, CONTEXTS, PEOPLE, made.probability)
    assert np.allclose(back.probability, made.probability, rtol=1e-6)
    sure = Table.of_probability(ACTIONS, CONTEXTS, PEOPLE, np.broadcast_to([1.0, 0, 0], made.logit.shape))
    assert (sure.logit[..., 1:] == NEVER).all() and (sure.probability[..., 0] == 1).all()
    with pytest.raises(InputError, match="sum to 1"):
        Table.of_probability(ACTIONS, CONTEXTS, PEOPLE, made.probability * 1.1)


@pytest.mark.parametrize("made", [table(), broken((0, 1, 2), (3, 0, 0))])
def test_a_file_gives_back_every_bit(made: Table, tmp_path: Path):
    path = made.write(tmp_path / "table.parquet")
    assert same(read(path), made)
    frame = read_frame(path)
    assert frame.height == 4 * 6 * 3 and frame["action"].to_list()[:4] == ["buy", "wait", "leave", "buy"]
    row = frame.row(1 * 18 + 4 * 3 + 2, named=True)
    assert (row["archetype"], row["cell"], row["at.price"], row["at.orders"]) == (1, 4, 2.0, 1.0)
    assert row["order_spread"] is None and row["coverage"] == made.coverage[1, 4, 2]
    other = replace(made, provenance={"calls": 1}).write(tmp_path / "other.parquet")
    assert (
        read(other).digest == made.digest and path.read_bytes() == made.write(tmp_path / "again.parquet").read_bytes()
    )


def test_damage_is_found(tmp_path: Path):
    path = table().write(tmp_path / "table.parquet")
    content = path.read_bytes()
    for place in range(4, len(content) - 4, max(1, len(content) // 40)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(InputError):
            read(path)
    path.write_bytes(content[:-100])
    with pytest.raises(InputError, match="truncated"):
        read(path)
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "none.parquet")


def test_files_that_are_other_tables_are_refused(tmp_path: Path):
    from lpm.parquet import write_frame

    path = write_frame(tmp_path / "run.parquet", pl.DataFrame({"arm": ["a"]}))
    with pytest.raises(InputError, match="expected format"):
        read(path)
    write_frame(path, table().frame(), {"format": "archetypes-1", "table": "{}"})
    with pytest.raises(InputError, match="not those of a table"):
        read(path)
    good = table().write(tmp_path / "good.parquet")
    told = pl.read_parquet_metadata(good)["table"]
    write_frame(path, table().frame().reverse(), {"format": "archetypes-1", "table": told})
    with pytest.raises(InputError, match="in this order"):
        read(path)


def test_unusable_cells_are_counted_and_refused():
    made = broken((0, 1, 2), (0, 1, 0), (3, 0, 0))
    assert int((~made.cells_usable).sum()) == 2 and np.isnan(made.probability[0, 1]).all()
    with pytest.raises(InputError, match=r"study: 2 of 24 cells are not usable .*filled\(how\)"):
        made.checked("study")
    assert np.array_equal(table().checked(), table().logit)
    with pytest.raises(InputError, match="logit: 1 of usable cells"):
        table(logit=broken((0, 1, 2)).logit)


@pytest.mark.parametrize("how", FILLS)
def test_filling_says_how_and_where(how: str):
    made = broken((0, 1, 2), (3, 0, 0))
    full = made.filled(how)
    p = made.probability
    weight = np.array([10, 20, 30])
    expected = {
        "uniform": np.full((2, 3), 1 / 3),
        "archetype mean": np.stack([p[0, [0, 2, 3, 4, 5]].mean(0), p[3, 1:].mean(0)]),
        "context mean": np.stack([weight_mean(p[1:, 1], np.array([20, 30, 40])), weight_mean(p[:3, 0], weight)]),
    }[how]
    assert np.allclose(full.probability[[0, 3], [1, 0]], expected, atol=1e-6)
    there = made.cells_usable
    assert np.array_equal(full.logit[there], made.logit[there]) and full.usable.all()
    assert np.isnan(full.coverage[0, 1]).all() and not np.isnan(full.coverage[there]).any()
    told = full.provenance
    assert (told["filled"], told["filled_cells"], told["filled_which"]) == (how, 2, "0:1,3:0")
    assert told["provider"] == "rule" and table().filled(how).provenance == table().provenance
    full.checked()


def weight_mean(chances: Any, weight: Any) -> Any:
    return (chances * weight[:, None]).sum(0) / weight.sum()


def test_filling_from_nothing_is_refused():
    made = broken(*((2, cell, 0) for cell in range(6)))
    with pytest.raises(InputError, match="6 cells have no usable neighbour"):
        made.filled("archetype mean")
    assert made.filled("context mean").usable.all()
    with pytest.raises(InputError, match="did you mean 'uniform'"):
        made.filled("uniformly")


@pytest.mark.parametrize(
    "change, told",
    [
        ({"actions": ("one",)}, "2 to 250"),
        ({"actions": ("a", "a", "b")}, "different names"),
        ({"logit": np.zeros((4, 5, 3))}, r"logit: expected .*\(4, 6, 3\)"),
        ({"coverage": np.zeros(3)}, "coverage: expected"),
        ({"logit": np.full((4, 6, 3), 1e5)}, "beyond"),
        ({"archetypes": PEOPLE.drop("card")}, "a column 'card'"),
        ({"archetypes": PEOPLE.reverse()}, "0, 1, 2"),
        ({"archetypes": PEOPLE.with_columns(weight=pl.lit(-1.0))}, "weight"),
        ({"archetypes": PEOPLE.with_columns(age=pl.lit(None, pl.Int64))}, "age: some values"),
        ({"provenance": {"seconds": float("nan")}}, "provenance: seconds"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], told: str):
    with pytest.raises(InputError, match=told):
        replace(table(), **change)
