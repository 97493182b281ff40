"""Strengths of interventions: parameters by label that are set, drawn and told like those of kernels."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import lpm
from lpm.errors import InputError
from lpm.policy import Arm, Effect, Intervention
from lpm.scenarios import strengths
from tests.inputs import GOOD, write


def arm() -> Arm:
    parts = (
        Intervention("shops", (Effect("reduce", "work", (0.1, 0.4)), Effect("scale", "sir.beta", 0.8)), label="orders"),
        Intervention("more buses", (Effect("scale", "work", 1.5),), label="orders"),
        Intervention("fear", (Effect("reduce", "work", 0.3),), label="voluntary"),
        Intervention("vaccine", (Effect("set_column", "state", 2.0),), label="orders"),
    )
    return Arm("as it is", parts)


@pytest.mark.parametrize(("strength", "factors"), [(0.0, (0, 1, 1)), (0.5, (0.5, 0.9, 1.25)), (6.0, (6, 0, 4))])
def test_a_strength_is_a_factor_on_what_changes(strength: float, factors: tuple[float, float, float]) -> None:
    """Share s r is taken away; the factor is max(0, 1 + s (f - 1)); other labels and acts on agents stay."""
    params = strengths.kernel_of(("orders", "voluntary")).Params(orders=strength)
    shops, buses, fear, vaccine = strengths.strengthened(arm(), params).interventions
    assert shops.effects[0].value == pytest.approx((0.1 * factors[0], 0.4 * factors[0]))
    assert shops.effects[1].value == pytest.approx(factors[1]) and buses.effects[0].value == pytest.approx(factors[2])
    assert (fear, vaccine) == arm().interventions[2:]


def scenario(folder: Path, **strength: Any) -> Path:
    tables: dict[str, Any] = copy.deepcopy(GOOD)
    tables |= {"steps": 20, "arms": [{"name": "as it is"}]} | ({"strengths": strength} if strength else {})
    tables["interventions"] = [{"label": "orders", "at": 2, "reduce": {"community": 0.4}}]
    return write(folder, tables)


def run(path: Path, out: Path, **asked: Any) -> pl.DataFrame:
    folder = lpm.run(path, out=out, quiet=True, arms="as it is", **asked)
    return pl.read_parquet(folder / "trajectory.parquet")


def test_a_strength_gives_the_run_of_the_intervention_so_written(tmp_path: Path) -> None:
    """Strength 1.5 of a reduction by 0.4 is a reduction by 0.6, to the bit; strength 0 is no intervention."""
    path = scenario(tmp_path)
    strong = run(path, tmp_path / "strong", set={"strengths.orders": 1.5})
    tables = copy.deepcopy(GOOD) | {"steps": 20, "arms": [{"name": "as it is"}]}
    written = [{"label": "orders", "at": 2, "reduce": {"community": float(np.float32(1.5) * np.float64(0.4))}}]
    (tmp_path / "b").mkdir()
    assert strong.equals(run(write(tmp_path / "b", tables | {"interventions": written}), tmp_path / "written"))
    none = run(path, tmp_path / "none", set={"strengths.orders": 0})
    (tmp_path / "c").mkdir()
    other = tables | {"interventions": []}
    assert none.equals(run(write(tmp_path / "c", other), tmp_path / "bare")) and not none.equals(strong)


def test_a_strength_is_drawn_by_seed_and_held_by_set(tmp_path: Path) -> None:
    path = scenario(tmp_path, orders={"value": 1.0, "prior": ["uniform", 0.0, 2.0], "source": "guess"})
    drawn = run(path, tmp_path / "drawn", draws="prior", seeds=3)
    draws = pl.DataFrame({"strengths.orders": [0.3, 1.7]})
    draws.write_csv(tmp_path / "draws.csv")
    two = run(path, tmp_path / "two", draws=tmp_path / "draws.csv", seeds=2, set={"sir.beta": 0.2})
    alone = run(path, tmp_path / "alone", seeds=[1], set={"strengths.orders": 1.7, "sir.beta": 0.2})
    assert two.filter(pl.col("seed") == 1).equals(alone) and drawn["seed"].n_unique() == 3


@pytest.mark.parametrize(
    ("strength", "told"),
    [
        ({"oders": 1.0}, "strengths: unknown key 'oders'; did you mean 'orders'?"),
        ({"orders": -0.5}, "strengths.orders: expected 0 to 10"),
        ({"orders": "much"}, "strengths.orders: expected a number"),
    ],
)
def test_what_does_not_fit_is_refused(strength: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told.replace("?", r"\?")):
        lpm.run(scenario(tmp_path, **strength), out=tmp_path / "out", quiet=True)
