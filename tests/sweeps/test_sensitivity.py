"""Sobol indices and elementary effects against closed forms, and against SALib's own analysis."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lpm.parquet import read_frame
from lpm.sweeps import sensitivity
from lpm.sweeps.outcome import read_outcome
from tests.sweeps import synthetic

PI = math.pi
CUBE = [synthetic.path(name, -PI, PI) for name in ("a.x", "b.y", "c.z")]
A, B = 7.0, 0.1


def ishigami(x: np.ndarray) -> np.ndarray:
    """T. Ishigami & T. Homma 1990, doi:10.1109/ISUMA.1990.151285."""
    return np.sin(x[:, 0]) + A * np.sin(x[:, 1]) ** 2 + B * x[:, 2] ** 4 * np.sin(x[:, 0])


def ishigami_indices() -> tuple[list[float], list[float]]:
    """Return first-order and total indices in closed form (A. Saltelli et al. 2010, table 2)."""
    one = 0.5 * (1 + B * PI**4 / 5) ** 2
    two, joint = A**2 / 8, B**2 * PI**8 * (1 / 18 - 1 / 50)
    whole = one + two + joint
    return [one / whole, two / whole, 0.0], [(one + joint) / whole, two / whole, joint / whole]


def picked(frame: pl.DataFrame, index: str, **keys: str) -> np.ndarray:
    """Return value, low and high of an index by path."""
    rows = frame.filter(index=index, **{"group": "all", "metric": "infections", "summary": "total", **keys})
    return rows.select("value", "low", "high").to_numpy()


@pytest.fixture(scope="module")
def ishigami_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ishigami")
    design = synthetic.sobol(CUBE, 1024)
    return synthetic.write(folder, "sobol", CUBE, design, lambda x, rng: {"infections.total": ishigami(x)}, base=1024)


def test_indices_of_ishigami_are_those_of_the_closed_form(ishigami_folder):
    """No chance: the design is fixed. Half an interval at N = 1024 is at most 0.11."""
    found = sensitivity.indices(ishigami_folder)
    for index, expected in zip(("first", "total"), ishigami_indices(), strict=True):
        value, low, high = picked(found, index).T
        assert np.abs(value - expected).max() < 0.03
        assert ((low <= expected) & (expected <= high)).all()
    assert read_frame(ishigami_folder / "indices.parquet").equals(found)
    assert found.schema == sensitivity.COLUMNS


def test_indices_and_intervals_are_those_of_salib(ishigami_folder):
    from SALib.analyze import sobol

    outcome = read_outcome(ishigami_folder)
    value = outcome.values("as it is", "infections.total").mean(1)
    oracle = sobol.analyze(synthetic.problem(CUBE), value, calc_second_order=False, seed=sensitivity.SEED)
    found = sensitivity.sensitivity(outcome).frame
    for index, name in (("first", "S1"), ("total", "ST")):
        told = picked(found, index)
        np.testing.assert_allclose(told[:, 0], oracle[name], rtol=1e-9)
        np.testing.assert_allclose(told[:, 2] - told[:, 0], oracle[f"{name}_conf"], rtol=1e-6)


def test_intervals_cover_the_closed_form():
    """40 other designs of 256 points: 95 % intervals of six indices.

    Of 240 intervals, were they independent and right, fewer than 212 would cover with a probability of 1e-5; these are
    dependent and bootstrapped, so less is asked: 85 % (204).
    """
    first, total = (np.array(each) for each in ishigami_indices())
    covered = 0
    for seed in range(40):
        outputs = ishigami(synthetic.sobol(CUBE, 256, seed + 1))[:, None]
        told = sensitivity.sobol(outputs, 3)
        for name, expected in (("first", first), ("total", total)):
            value, error = (each[:, 0] for each in told[name])
            covered += int((np.abs(value - expected) <= 1.96 * error + 1e-12).sum())
    assert covered >= 204


def linear(x: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """F = 3 x - 2 y + 0 z over [0, 1], [0, 2], [1, 4]."""
    return {"infections.total": 3 * x[:, 0] - 2 * x[:, 1] + 0 * x[:, 2] + 10}


BOX = [synthetic.path("a.x", 0.0, 1.0), synthetic.path("b.y", 0.0, 2.0), synthetic.path("c.z", 1.0, 4.0)]


@pytest.mark.parametrize("kind", ["sobol", "morris"])
def test_a_linear_function_has_its_slopes_as_effects(tmp_path, kind):
    """S_i = a_i^2 var_i / sum; mu* = |a_i| by the range, mu = a_i by the range, sigma = 0."""
    design = synthetic.sobol(BOX, 256) if kind == "sobol" else synthetic.morris(BOX, 8)
    found = sensitivity.indices(synthetic.write(tmp_path / kind, kind, BOX, design, linear))
    np.testing.assert_allclose(picked(found, "mu_star")[:, 0], [3, 4, 0], atol=1e-9)
    np.testing.assert_allclose(picked(found, "mu")[:, 0], [3, -4, 0], atol=1e-9)
    np.testing.assert_allclose(picked(found, "sigma"), np.zeros((3, 3)), atol=1e-6)
    if kind == "sobol":
        for index in ("first", "total"):
            np.testing.assert_allclose(picked(found, index)[:, 0], [9 / 25, 16 / 25, 0], atol=0.02)
    else:
        assert set(found["index"]) == {"mu_star", "mu", "sigma"}


def test_elementary_effects_are_those_of_salib(tmp_path):
    from SALib.analyze import morris

    design = synthetic.morris(CUBE, 12)
    folder = synthetic.write(tmp_path, "morris", CUBE, design, lambda x, rng: {"infections.total": ishigami(x)})
    found = sensitivity.indices(folder)
    shares = (design + PI) / (2 * PI)
    oracle = morris.analyze(synthetic.problem(CUBE), shares, ishigami(design), seed=1, num_levels=4)
    for index in ("mu_star", "mu", "sigma"):
        np.testing.assert_allclose(picked(found, index)[:, 0], np.asarray(oracle[index], float), rtol=1e-9, atol=1e-9)
    width = picked(found, "mu_star")[:, 2] - picked(found, "mu_star")[:, 0]
    np.testing.assert_allclose(width, np.asarray(oracle["mu_star_conf"], float), rtol=0.35)  # other resamples, 100 each


def test_a_logarithmic_path_moves_by_its_logarithm(tmp_path):
    """F = log10 x over [0.01, 1]: the effect over the whole range is 2."""
    paths = [synthetic.path("a.x", 0.01, 1.0, "log"), synthetic.path("b.y", 0.0, 1.0)]
    design = synthetic.morris(paths, 6)
    folder = synthetic.write(tmp_path, "morris", paths, design, lambda x, rng: {"infections.total": np.log10(x[:, 0])})
    np.testing.assert_allclose(picked(sensitivity.indices(folder), "mu")[:, 0], [2, 0], atol=1e-9)


def test_seeds_are_averaged_and_arms_and_groups_are_apart(tmp_path):
    def noisy(x: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"infections.total": x[:, 0] + 0.0 * x[:, 1] + rng.normal(0, 0.05, len(x))}

    paths, arms, groups = BOX[:2], ("one", "two"), ("all", "age=0-17")
    folder = synthetic.write(
        tmp_path, "morris", paths, synthetic.morris(paths, 10), noisy, arms=arms, groups=groups, seeds=4
    )
    found = sensitivity.indices(folder)
    assert found.height == 2 * 2 * 2 * 3
    one, two = (picked(found, "mu", arm=arm)[0, 0] for arm in arms)
    # 10 trajectories x 4 seeds: standard error 0.05 sqrt(2) / sqrt(40) / (2 / 3) = 0.017; six of them: 2e-9
    assert one == pytest.approx(1.0, abs=0.1) and two == pytest.approx(1.5, abs=0.15)


def test_refinements_belong_to_no_index(tmp_path):
    design = synthetic.sobol(BOX, 64)
    more = np.vstack([design, np.full((3, 3), 1.0)])
    rounds = [0] * len(design) + [1] * 3
    plain = sensitivity.indices(synthetic.write(tmp_path / "plain", "sobol", BOX, design, linear))
    refined = sensitivity.indices(synthetic.write(tmp_path / "more", "sobol", BOX, more, linear, rounds=rounds))
    assert refined.equals(plain)


def test_a_failed_run_is_told_and_its_arm_left_out(tmp_path):
    design = synthetic.sobol(BOX, 8)
    failed = {(3, "two", 0): "infections: not finite at step 7"}
    folder = synthetic.write(tmp_path, "sobol", BOX, design, linear, arms=("one", "two"), failed=failed)
    found = sensitivity.sensitivity(read_outcome(folder))
    assert set(found.frame["arm"]) == {"one"}
    assert found.remarks == (
        "no indices of arm 'two': 1 of 40 runs failed, and the indices need every run of the design",
    )


def test_undefined_and_constant_outputs_are_told(tmp_path):
    def rule(x: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        day = np.where(x[:, 0] > 0.5, 3.0, np.nan)
        return {**linear(x, rng), "infections.day_of_peak": day, "infections.final": np.full(len(x), 7.0)}

    found = sensitivity.sensitivity(
        read_outcome(synthetic.write(tmp_path, "sobol", BOX, synthetic.sobol(BOX, 8), rule))
    )
    assert set(found.frame["summary"]) == {"total"}
    assert found.remarks == (
        "no indices of infections.day_of_peak in arm 'as it is': it is not defined in every run",
        "no indices of infections.final in arm 'as it is': it is the same in every run",
    )


def test_a_grid_has_no_indices_and_says_so(tmp_path):
    found = sensitivity.sensitivity(
        read_outcome(synthetic.write(tmp_path, "grid", BOX, synthetic.grid(BOX, (2, 2, 2)), linear))
    )
    assert not found.frame.height and "need a design of --sobol or --morris" in found.remarks[0]
