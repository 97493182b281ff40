"""Covariances from few runs against known ones, and weights against what they have to do."""

from __future__ import annotations

import numpy as np

from lpm.calibration.methods.weights import shrunken, whitener
from lpm.types import HostArray

SIZE = 30
SMOOTH = 0.9 ** np.abs(np.subtract.outer(np.arange(SIZE), np.arange(SIZE)))
"""Correlations of a smooth curve."""


def runs(covariance: HostArray, count: int, seed: int) -> HostArray:
    return np.random.default_rng(seed).multivariate_normal(np.zeros(len(covariance)), covariance, count)


def test_the_share_that_is_kept_is_schaefer_and_strimmers():
    curves = runs(SMOOTH, 12, 1) * np.linspace(1, 9, SIZE)
    n = len(curves)
    x = (curves - curves.mean(0)) / curves.std(0, ddof=1)
    noise = signal = 0.0
    for i in range(SIZE):  # their equations (8) and (9), written out
        for j in range(SIZE):
            if i != j:
                w = x[:, i] * x[:, j]
                noise += n / (n - 1) ** 3 * ((w - w.mean()) ** 2).sum()
                signal += (n / (n - 1) * w.mean()) ** 2
    kept = 1 - noise / signal
    sample = np.cov(curves, rowvar=False)
    expected = np.where(np.eye(SIZE, dtype=bool), sample, kept * sample)
    assert 0.3 < kept < 0.95
    np.testing.assert_allclose(shrunken(curves), expected, rtol=1e-9)


def test_few_runs_give_a_covariance_that_is_nearer_to_the_truth_and_can_be_inverted():
    truth, errors = SMOOTH**3, np.zeros((100, 2))
    for seed, row in enumerate(errors):
        curves = runs(truth, 8, seed)
        made, sample = shrunken(curves), np.cov(curves, rowvar=False)
        assert np.linalg.eigvalsh(made).min() > 0 and np.linalg.matrix_rank(sample) == 7
        row[:] = np.linalg.norm(made - truth), np.linalg.norm(sample - truth)
    gain = errors[:, 1] - errors[:, 0]
    assert gain.mean() > 4 * gain.std(ddof=1) / 10  # were neither nearer, a chance of 1e-4
    assert errors[:, 0].mean() < 0.9 * errors[:, 1].mean()


def test_many_runs_give_the_covariance_itself():
    scale = np.linspace(0.5, 4, SIZE)
    truth = SMOOTH * np.outer(scale, scale)
    made = shrunken(runs(truth, 5_000, 3))
    assert np.abs(made / np.outer(scale, scale) - SMOOTH).max() < 0.08  # 5 standard errors: false alarm < 1e-3


def test_noise_without_correlation_keeps_none():
    made = shrunken(runs(np.eye(SIZE), 16, 4))
    assert np.abs(made[~np.eye(SIZE, dtype=bool)]).max() < 0.25


def test_one_run_and_values_that_never_vary_have_no_noise():
    assert not shrunken(np.ones((1, 4))).any()
    curves = runs(np.eye(3), 9, 5)
    curves[:, 1] = 7.0
    made = shrunken(curves)
    assert not made[1].any() and not made[:, 1].any() and made[0, 0] > 0


def test_what_is_whitened_has_unit_variance():
    process = SMOOTH * 25
    weight = whitener(process)
    np.testing.assert_allclose(weight @ (np.eye(SIZE) + process) @ weight.T, np.eye(SIZE), atol=1e-10)
    np.testing.assert_array_equal(whitener(np.zeros((4, 4))), np.eye(4))
