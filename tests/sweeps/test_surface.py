"""The surface of a measure: how well it predicts, how sure it is, and where it wants more runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import qmc

from lpm.errors import InputError
from lpm.sweeps import surface
from lpm.sweeps.outcome import Swept, read_outcome
from tests.sweeps import synthetic

PATHS = [synthetic.path("sir.beta", 0.0, 2.0), synthetic.path("sir.gamma", 0.01, 1.0, "log")]
SWEPT = tuple(Swept(name, "linear", 0.0, 1.0, "", "", False) for name in ("x", "y"))


def bowl(v: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A smooth function of both paths, the second by its logarithm."""
    return {"infections.total": np.sin(2 * v[:, 0]) + np.log10(v[:, 1]) ** 2}


def cliff(x: np.ndarray) -> np.ndarray:
    """A threshold that runs across the square: 0 below it, near 1 above."""
    return 1 / (1 + np.exp(-60 * (x[:, 0] + 0.4 * x[:, 1] - 0.75)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """24 points of the square without those in a disc about its upper right corner's third."""
    shares = qmc.Sobol(2, rng=3).random(32)
    shares = shares[np.hypot(*(shares - 0.7).T) > 0.28][:22]
    return synthetic.write(tmp_path_factory.mktemp("hole"), "table", PATHS, synthetic.at(PATHS, shares), bowl, seeds=2)


def test_a_smooth_function_is_predicted(folder):
    outcome = read_outcome(folder)
    found = surface.surface(outcome, "as it is", "infections.total")
    inside = qmc.Sobol(2, rng=9).random(256)
    expected = bowl(synthetic.at(PATHS, inside), np.random.default_rng(0))["infections.total"]
    mean, error = found.predict(inside)
    gap = np.abs(mean - expected)
    assert np.sqrt((gap**2).mean()) < 0.05 * expected.std()
    assert (gap <= 4 * error + 0.01).mean() > 0.95


def test_new_runs_fill_the_hole(folder):
    rows = surface.refine(folder, 3)
    assert rows.columns == ["sir.beta", "sir.gamma"] and rows.equals(surface.refine(folder, 3))
    shares = np.stack([rows["sir.beta"] / 2, np.log10(rows["sir.gamma"] / 0.01) / 2], 1)
    assert ((shares >= 0) & (shares <= 1)).all()
    assert np.hypot(*(shares - 0.7).T).min() < 0.28  # one of them, at least, in the hole


def test_the_variance_falls_wherever_is_run():
    x = qmc.Sobol(2, rng=1).random(16)
    before = surface.fit(x, np.repeat(cliff(x)[:, None], 2, 1), SWEPT)
    points = qmc.Sobol(2, rng=2).random(128)
    chosen = points[surface.least_sure(before, points, 12)]
    more = np.vstack([x, chosen])
    kernel, noise = before.kernel, np.full(len(more), 1e-8)
    factor = np.linalg.cholesky(kernel(more, more) + np.diag(noise))
    after = surface.Surface(SWEPT, more, np.zeros(len(more)), noise, 0.0, before.scale, kernel, factor, 0)
    one, two = before.predict(points)[1], after.predict(points)[1]
    assert (two <= one + 1e-6).all() and two.max() < one.max() and (two**2).mean() < 0.6 * (one**2).mean()


def test_at_a_cliff_it_beats_points_at_random():
    """Root mean square error after two rounds of 8 runs, against 12 draws of as many uniform points.

    The refined design must be below all of the 12 but two. No chance in it: the draws are seeded.
    """
    points, test = qmc.Sobol(2, rng=5).random(512), qmc.Sobol(2, rng=6).random(1024)
    x = qmc.Sobol(2, rng=1).random(16)

    def error(at: np.ndarray) -> float:
        mean, _ = surface.fit(at, np.repeat(cliff(at)[:, None], 2, 1), SWEPT).predict(test)
        return float(np.sqrt(((mean - cliff(test)) ** 2).mean()))

    refined = x
    for _ in range(2):
        found = surface.fit(refined, np.repeat(cliff(refined)[:, None], 2, 1), SWEPT)
        refined = np.vstack([refined, points[surface.least_sure(found, points, 8)]])
    rng = np.random.default_rng(0)
    uniform = [error(np.vstack([x, rng.random((16, 2))])) for _ in range(12)]
    assert (np.array(uniform) > error(refined)).sum() >= 10


def test_the_average_over_a_path_is_the_average_of_the_surface(folder):
    """Of 64 points a curve is the mean; against 4,096 of them it is off by less than its own error and 2 % of range."""
    found = surface.surface(read_outcome(folder), "as it is", "infections.total")
    mean, error = found.curve(0, np.array([0.25, 0.75]))
    line = np.zeros((512, 2))
    for number, share in enumerate((0.25, 0.75)):
        line = np.stack([np.full(512, share), (np.arange(512) + 0.5) / 512], 1)
        assert mean[number] == pytest.approx(found.predict(line)[0].mean(), abs=0.06)
    assert (error < found.predict(line)[1].max() + 1e-9).all()
    table, _ = found.map(0, 1, np.array([0.2, 0.6]))
    assert table[1, 0] == pytest.approx(found.predict(np.array([[0.2, 0.6]]))[0][0])


def test_nothing_is_chosen_beside_a_failed_run(tmp_path):
    shares = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.5, 0.5], [0.3, 0.3], [0.2, 0.6], [0.6, 0.2], [0.9, 0.9]])
    failed = {(7, "as it is", 0): "infections: not finite at step 7"}
    folder = synthetic.write(tmp_path, "table", PATHS, synthetic.at(PATHS, shares), bowl, failed=failed, seeds=2)
    rows = surface.refine(folder, 10)
    at = np.stack([rows["sir.beta"] / 2, np.log10(rows["sir.gamma"] / 0.01) / 2], 1)
    nearest = np.array([np.hypot(*(shares - point).T).argmin() for point in at])
    assert rows.height == 10 and (nearest != 7).all()


def test_whole_numbers_stay_whole(tmp_path):
    paths = [synthetic.path("population.size", 100, 10_000, "log"), PATHS[0]]
    values = synthetic.sobol(paths, 8)
    values[:, 0] = np.round(values[:, 0])
    rule = lambda v, rng: {"infections.total": np.log(v[:, 0]) + rng.normal(0, 0.01, len(v))}  # noqa: E731
    rows = surface.refine(synthetic.write(tmp_path, "sobol", paths, values, rule), 4)
    assert (rows["population.size"] == rows["population.size"].round()).all()
    assert rows["population.size"].is_between(100, 10_000).all()


def test_what_has_no_surface_is_refused(tmp_path, folder):
    with pytest.raises(InputError, match="unknown metric 'infection'; did you mean 'infections'"):
        surface.refine(folder, 2, metric="infection")
    names = synthetic.write(
        tmp_path / "names", "grid", [synthetic.path("policy.name", None, None, "values"), PATHS[0]],
        np.array([[a, b] for a in (0, 1) for b in (0.1, 0.5, 0.9)]), bowl, names={"policy.name": ["none", "masks"]},
    )  # fmt: skip
    with pytest.raises(InputError, match="expected numbers on every path, got names on 'policy.name'"):
        surface.refine(names, 2)
    few = synthetic.write(tmp_path / "few", "grid", PATHS, synthetic.grid(PATHS, (2, 2)), bowl)
    with pytest.raises(InputError, match="expected at least 6 runs in which it is defined, got 4"):
        surface.refine(few, 2)


def test_the_spread_over_seeds_is_the_noise():
    """Noise of the mean of n seeds is s^2 / n; a surface through noise is wider than one without."""
    rng = np.random.default_rng(4)
    x = qmc.Sobol(2, rng=1).random(32)
    clean = x.sum(1)[:, None] + np.zeros((32, 4))
    noisy = clean + rng.normal(0, 0.2, (32, 4))
    spread = surface._spread(noisy)
    # 32 x 3 degrees of freedom: the mean variance has a relative standard error of 14 %; four of them: 6e-5
    assert spread is not None and spread.mean() == pytest.approx(0.01, rel=0.58)
    inside = qmc.Sobol(2, rng=2).random(64)
    wide, narrow = (surface.fit(x, each, SWEPT).predict(inside)[1] for each in (noisy, clean))
    assert wide.mean() > 5 * narrow.mean()


def test_the_intervals_of_a_surface_cover_the_function():
    """A smooth function with chance: 95 % intervals at 64 points, in 6 replicates.

    The points of a replicate hang together, so that there is no exact rate: asked is that 85 % of the 384 are covered,
    which a surface with intervals of half their width (67 % at best) does not reach. The draws are seeded.
    """
    rng = np.random.default_rng(12)
    inside = qmc.Sobol(2, rng=2).random(64)
    covered = 0
    for number in range(6):
        x = qmc.Sobol(2, rng=20 + number).random(32)
        truth = [np.sin(4 * at[:, 0]) + at[:, 1] ** 2 for at in (x, inside)]
        mean, error = surface.fit(x, truth[0][:, None] + rng.normal(0, 0.3, (32, 4)), SWEPT).predict(inside)
        covered += int((np.abs(mean - truth[1]) <= 1.96 * error).sum())
    assert covered >= 0.85 * 384
