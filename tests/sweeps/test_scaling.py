"""The law of finite sizes: what it predicts from small sizes, and how often its interval is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import lpm
from lpm.errors import InputError
from lpm.sweeps import scaling
from lpm.sweeps.finite_size import fit
from tests.sweeps import synthetic

SIZES = np.array([1e3, 3e3, 1e4, 3e4, 1e5])
SIZE = "population.size"
PATHS = [synthetic.path(SIZE, 1e3, 1e6, "values")]
TO = 1e6


def drawn(rng: np.random.Generator, b: float, c: float, g: float = 1.0, seeds: int = 8) -> np.ndarray:
    """Return a = 0.4 plus b N^-c with a spread over seeds of 0.5 N^(-g / 2), [sizes, seeds]."""
    chance = rng.normal(0, 1, (len(SIZES), seeds)) * 0.5 * SIZES[:, None] ** (-g / 2)
    return 0.4 + b * SIZES[:, None] ** -c + chance


@pytest.mark.full
def test_a_run_of_a_million_is_where_up_to_a_hundred_thousand_predict_it(tmp_path: Path):
    """`mini`, both arms, every measure of everybody; the interval of one run is for 95 %.

    Of 20 independent measures more than 2 would be outside with a probability of 0.075; these go together in part, so
    that it may be twice as much. The seeds are fixed.
    """
    small = lpm.sweep(
        "mini", grid={SIZE: [3_125, 6_250, 12_500, 25_000, 50_000, 100_000]}, seeds=8, out=tmp_path / "small",
        summary=True, quiet=True,
    )  # fmt: skip
    large = lpm.run("mini", agents=1_000_000, seeds=[101], out=tmp_path / "large", quiet=True)
    found = pl.read_parquet(large / "effects.parquet").filter(group="all")
    assert found.height == 20
    outside: list[str] = []
    for row in found.iter_rows(named=True):
        law = scaling.law(small, 1e6, row["arm"], row["metric"], row["summary"])
        low, high = law.one
        assert high - low <= 0.45 * law.value, "an interval that says something"
        if not low <= row["arm_mean"] <= high:
            outside.append(f"{law.arm}, {law.measure}: {row['arm_mean']:g}, expected {low:g} to {high:g}")
    assert len(outside) <= 2, outside


@pytest.mark.parametrize(
    ("b", "c", "g"),
    [(0.0, 1.0, 1.0), (2.0, 0.5, 1.0), (1.0, 1 / 3, 1.0), (-20.0, 1.0, 1.0), (2.0, 0.5, 0.6)],
    ids=["no size effect", "square root", "cube root", "one over N", "wide spread"],
)
def test_the_interval_covers_what_is_at_a_million(b, c, g):
    """200 replicates of five sizes and 8 seeds; the interval is for 95 %.

    If it covers with 95 %, fewer than 179 of 200 do with a probability of 0.0008 a case (binomial), 0.004 for the five.
    The draws are seeded. An interval may cover more (the exponent is averaged over), but must not be empty talk: it is
    asked to be, in the median, at most 3 times as wide as that of one who knows the exponent and the spread.
    """
    rng = np.random.default_rng([6, int(1000 * c), int(10 * g), abs(int(b))])
    truth = 0.4 + b * TO**-c
    covered, widths = 0, []
    for _ in range(200):
        found = fit(SIZES, drawn(rng, b, c, g))
        _, low, high = found.predict(TO)
        covered += int(low <= truth <= high)
        widths.append((high - low) / 2)
    assert covered >= 179
    columns = np.stack([np.ones(5), SIZES**-c], 1) / (0.5 * SIZES[:, None] ** (-g / 2) / np.sqrt(8))
    row = np.array([1.0, TO**-c])
    assert np.median(widths) < 3 * 1.96 * np.sqrt(row @ np.linalg.inv(columns.T @ columns) @ row)


def test_the_interval_of_one_run_covers_one_run():
    """200 replicates; fewer than 179 with a probability of 0.0008."""
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(200):
        _, low, high = fit(SIZES, drawn(rng, 2.0, 0.5)).predict(TO, 1.0)
        covered += int(low <= 0.4 + 2.0 * TO**-0.5 + 0.5 * TO**-0.5 * rng.normal() <= high)
    assert covered >= 179


def test_without_chance_the_law_is_found():
    """With spread of 1e-9 the exponent and the prediction are those of the formula."""
    rng = np.random.default_rng(1)
    values = 0.4 + 3.0 * SIZES[:, None] ** -0.7 + 1e-9 * rng.normal(size=(5, 4))
    found = fit(SIZES, values)
    value, low, high = found.predict(TO)
    assert found.exponent()[0] == pytest.approx(0.7, abs=0.03)
    assert value == pytest.approx(0.4 + 3.0 * TO**-0.7, abs=1e-4) and low <= value <= high


def test_a_law_that_does_not_fit_is_widened():
    """Two steps instead of a power: far outside the errors."""
    rng = np.random.default_rng(2)
    values = np.array([0.2, 0.8, 0.2, 0.8, 0.5])[:, None] + rng.normal(0, 1e-3, (5, 6))
    found = fit(SIZES, values)
    assert found.lack < 1e-6 and found.widened > 100
    assert found.predict(TO)[2] - found.predict(TO)[1] > 0.2


def wave(v: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    n = v[:, 0]
    rate = 0.4 + 2.0 * n**-0.5 + 0.5 * rng.normal(size=len(n)) * n**-0.5
    return {"infections.total": rate * n, "attack_rate.final": rate}


def written(folder: Path, sizes: list[float], **more: Any) -> Path:
    settings: dict[str, Any] = {"seeds": 8, **more}
    return synthetic.write(folder, "grid", PATHS, np.array(sizes)[:, None], wave, **settings)


def test_counts_are_fitted_as_shares_and_told_as_counts(tmp_path):
    folder = written(tmp_path, [*SIZES, 3e5])
    counts, share = scaling.law(folder, TO), scaling.law(folder, TO, metric="attack_rate")
    assert counts.measure == "infections.total" and counts.counted and not share.counted
    assert counts.value == pytest.approx(TO * share.value) and counts.low == pytest.approx(TO * share.low)
    assert [row[0] for row in counts.beyond] == [3e5] and len(counts.fit.sizes) == 5
    truth = TO * (0.4 + 2.0 * TO**-0.5)
    assert counts.one[0] < counts.low < truth < counts.high < counts.one[1]
    fixed = written(tmp_path / "fixed", list(SIZES), people=8_000_000)
    assert not scaling.law(fixed, TO).counted  # a count of people that does not grow with the agents


def test_other_paths_are_averaged_over_or_given(tmp_path):
    paths = [*PATHS, synthetic.path("sir.beta", 0.0, 1.0)]
    values = np.array([[n, b] for n in SIZES for b in (0.0, 1.0)])

    def rule(v: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"attack_rate.final": v[:, 1] + wave(v, rng)["attack_rate.final"]}

    folder = synthetic.write(tmp_path / "all", "grid", paths, values, rule, seeds=4, headline="attack_rate")
    both, one = scaling.law(folder, TO), scaling.law(folder, TO, at={"sir.beta": 1.0})
    assert both.value == pytest.approx(0.9, abs=0.05) and one.value == pytest.approx(1.4, abs=0.05)
    with pytest.raises(InputError, match="no run has sir.beta = 0.5"):
        scaling.law(folder, TO, at={"sir.beta": 0.5})
    with pytest.raises(InputError, match="unknown swept path 'sir.bet'; did you mean 'sir.beta'"):
        scaling.law(folder, TO, at={"sir.bet": 1.0})
    uneven = synthetic.write(tmp_path / "uneven", "table", paths, values[:-1], rule, seeds=4, headline="attack_rate")
    with pytest.raises(InputError, match="sir.beta: not the same at every N"):
        scaling.law(uneven, TO)


def test_what_has_no_law_is_refused(tmp_path):
    other = [synthetic.path("sir.beta", 0.0, 1.0)]
    swept = synthetic.write(tmp_path / "other", "grid", other, np.array([[0.1], [0.9]]), wave, seeds=2)
    with pytest.raises(InputError, match="expected a sweep over population.size, got one over sir.beta"):
        scaling.law(swept, TO)
    with pytest.raises(InputError, match="expected at least 4 sizes up to 100,000, got 3"):
        scaling.law(written(tmp_path / "few", [1e3, 1e4, 1e5, 2e5]), TO)
    with pytest.raises(InputError, match="expected at least 2 seeds"):
        scaling.law(written(tmp_path / "seed", list(SIZES), seeds=1), TO)
    failed = {(2, "as it is", 1): "killed"}
    with pytest.raises(InputError, match="failed or is not defined in 1 of 5 runs"):
        scaling.law(written(tmp_path / "failed", list(SIZES), failed=failed), TO)
    with pytest.raises(InputError, match="to: expected a number of agents, got 0"):
        scaling.law(written(tmp_path / "to", list(SIZES)), 0)
