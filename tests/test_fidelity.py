"""Fidelity: closed forms, properties, oracles of scipy and of brute force, and intervals that hold what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from lpm.errors import InputError
from lpm.fidelity import (
    activity_ratio,
    by_group,
    conditioning,
    distance_ratio,
    shares,
    simbench,
    spread,
    tail_coverage,
    total_variation,
    valence_shift,
    wasserstein,
)
from lpm.intervals import interval, over_seeds, ratio_gap

RNG = np.random.default_rng(5)


def drawn(rows: int, options: int) -> np.ndarray:
    return RNG.dirichlet(np.ones(options), rows)


def test_total_variation_is_a_metric_between_0_and_1():
    p, q, r = drawn(200, 5), drawn(200, 5), drawn(200, 5)
    far = total_variation(p, q)
    assert far.shape == (200,) and (far >= 0).all() and (far <= 1).all()
    np.testing.assert_array_equal(far, total_variation(q, p))
    assert (far <= total_variation(p, r) + total_variation(r, q) + 1e-12).all()
    assert total_variation([1, 0], [0, 3]) == 1
    assert total_variation([2, 6], [1, 3]) == 0


def test_wasserstein_agrees_with_scipy_on_any_scale():
    for _ in range(50):
        p, q = drawn(2, 4)
        scale = np.sort(RNG.normal(size=4))
        expected = wasserstein_distance(scale, scale, p, q) / (scale[-1] - scale[0])
        assert wasserstein(p, q, scale) == pytest.approx(expected, abs=1e-12)
    assert wasserstein([1, 0, 0], [0, 0, 1]) == 1
    assert wasserstein([1, 0, 0], [0, 1, 0]) == 0.5


@pytest.mark.parametrize("per", ["dataset", "question"])
def test_a_uniform_prediction_scores_exactly_0_and_the_truth_100(per):
    real = [drawn(1, options)[0] for options in (2, 3, 4, 5, 7, 26)]
    for whole in (1.0, 1 / 3, 1000.0):
        found = simbench(real, [np.full(len(p), whole / len(p)) for p in real], per=per)
        assert (found.mean, found.error, found.low, found.high) == (0, 0, 0, 0)
    assert simbench(real, real, per=per).mean == 100


def test_simbench_by_hand():
    """Equation 1 is the mean of ratios, equation 2 the ratio of means: TV 0.1 and 0.2, uniform 0.4 and 0.2."""
    real, said = [[0.9, 0.1], [0.7, 0.3]], [[0.8, 0.2], [0.5, 0.5]]
    assert simbench(real, said).mean == pytest.approx(100 * (1 - 0.3 / 0.6))
    assert simbench(real, said, per="question").mean == pytest.approx(100 * (1 - (0.25 + 1.0) / 2))
    assert simbench([[1, 0], [1, 0]], [[0, 1], [0, 1]]).mean == pytest.approx(-100)
    with pytest.raises(InputError, match="uniformly"):
        simbench([[1, 1], [2, 1]], said, per="question")


def test_interval_over_questions_holds_the_score():
    """400 draws of 40 questions with 3 groups each that move together: the 95 % interval holds 91 to 98 %.

    Binomial(400, 0.95): below 0.91 or above 0.98 with chance 1e-3; the jackknife's own bias is smaller.
    """
    rng = np.random.default_rng(11)
    base = rng.dirichlet(np.ones(4), 2000)
    said = np.array([0.4, 0.3, 0.2, 0.1])
    far, uniform = 0.5 * np.abs(base - said).sum(1), 0.5 * np.abs(base - 0.25).sum(1)
    truth = 100 * (1 - far.mean() / uniform.mean())
    held, found = 0, interval([0.0, 0.0])
    for _ in range(400):
        rows = rng.integers(0, 2000, 40)
        found = ratio_gap(np.repeat(far[rows], 3), np.repeat(uniform[rows], 3), np.repeat(np.arange(40), 3))
        held += found.low <= truth <= found.high
    assert 0.91 < held / 400 < 0.985
    assert found.count == 40


def test_interval_over_seeds_is_students():
    found = interval([1.0, 2.0, 3.0])
    assert (found.mean, found.count) == (2.0, 3)
    assert found.error == pytest.approx(1 / math.sqrt(3))
    assert found.high == pytest.approx(2 + 4.302652729911275 / math.sqrt(3))  # t of 2 degrees of freedom at 97.5 %
    assert over_seeds(lambda run: 2 * run, [1.0, 2.0, 3.0]).mean == 4
    for wrong in ([1.0], [1.0, math.nan], list[float]()):
        with pytest.raises(InputError, match="two finite values"):
            interval(wrong)


def test_activity_ratio_by_hand():
    assert activity_ratio([1, 3], [4, 4, 4]) == 2
    assert activity_ratio([0, 2], [0, 0]) == 0
    with pytest.raises(InputError, match="nobody"):
        activity_ratio([0, 0], [1, 1])


def test_distance_between_people_is_that_of_all_pairs():
    people = drawn(30, 4)
    pairs = [total_variation(people[i], people[j]) for i in range(30) for j in range(i)]
    assert spread(people) == pytest.approx(np.mean(pairs), rel=1e-12)
    middle = people.mean(0)
    assert distance_ratio(people, middle + 0.25 * (people - middle)) == pytest.approx(0.25, rel=1e-12)
    assert distance_ratio(people, people[::-1]) == pytest.approx(1, rel=1e-12)
    with pytest.raises(InputError, match="alike"):
        distance_ratio(np.ones((3, 2)), people)


def test_distance_of_many_people_needs_no_pairs():
    """E |x - y| = 1/3 of two uniform numbers; 200,000 people, standard error about 3e-4, within 5 of them."""
    x = np.random.default_rng(3).random(200_000)
    assert spread(np.stack([x, 1 - x], 1)) == pytest.approx(1 / 3, abs=1.5e-3)


def test_valence_shift_by_hand():
    assert valence_shift([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [-1, 0, 1]) == pytest.approx(0.6)
    assert valence_shift([5, 3, 2], [5, 3, 2], [-1, 0, 1]) == 0
    with pytest.raises(InputError, match="finite value"):
        valence_shift([1, 1], [1, 1], [1.0])


def test_tail_coverage_by_hand():
    real = [0.9, 0.04, 0.03, 0.03, 0.0]
    assert tail_coverage(real, real) == 1
    assert tail_coverage(real, [1, 0, 0, 0, 0]) == 0
    assert tail_coverage(real, [0.5, 0.02, 0.2, 0.0, 0.28]) == pytest.approx(0.05 / 0.1)
    with pytest.raises(InputError, match="nothing is rare"):
        tail_coverage([0.5, 0.5], [0.5, 0.5])


def test_groups_are_told_over_seeds():
    real = {"young": [0.5, 0.5], "old": [0.2, 0.8]}
    runs = [{"young": [0.5 + e, 0.5 - e], "old": [0.2, 0.8]} for e in (0.1, 0.2, 0.3)]
    table = by_group(real, runs)
    row = table.row(0, named=True)
    assert (row["group"], row["measure"], row["seeds"]) == ("young", "total variation", 3)
    assert row["mean"] == pytest.approx(0.2)
    assert table.row(3, named=True)["mean"] == 0
    with pytest.raises(InputError, match="no group 'old'"):
        by_group(real, [{"young": [1, 1]}, {"young": [1, 1]}])


def test_conditioning_tells_help_from_harm():
    """A model that knows each group helps; one that swaps them hurts; the same answer twice cannot be told."""
    rng = np.random.default_rng(21)
    base = rng.dirichlet(3 * np.ones(3), 60)
    lean = np.array([0.12, 0.0, -0.12])
    one, two = (shares(np.clip(base + sign * lean, 0.01, None)) for sign in (1, -1))
    real, groups, units = [*one, *two], ["a"] * 60 + ["b"] * 60, [*range(60), *range(60)]
    pooled = [*base, *base]
    for said, word in ((real, "helps"), ([*two, *one], "hurts"), (pooled, "cannot be told")):
        table = conditioning(real, said, pooled, groups, units)
        assert table["group"].to_list() == ["a", "b", "all"]
        assert table["verdict"].to_list() == [word] * 3
        gap = table["with"] - table["without"]
        np.testing.assert_allclose(table["gain"].to_numpy(), gap.to_numpy(), atol=1e-9)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [([0.5, math.nan], "finite"), ([-0.1, 1.1], "finite"), ([0, 0], "rows of zeros"), ([1.0], "two options")],
)
def test_what_is_no_distribution_is_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        total_variation(wrong, [0.5, 0.5])
    with pytest.raises(InputError):
        simbench([[0.5, 0.4], [0.5, 0.3]], [wrong, [0.5, 0.5]])


def test_scales_and_options_have_to_fit():
    with pytest.raises(InputError, match="same options"):
        total_variation([1, 1], [1, 1, 1])
    with pytest.raises(InputError, match="ascending"):
        wasserstein([1, 1, 1], [1, 1, 2], [1, 3, 2])
    with pytest.raises(InputError, match="'dataset' or 'question'"):
        simbench([[1, 0], [1, 0]], [[1, 0], [1, 0]], per="both")
