"""How far a fit is from its data, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lpm.calibration.forecasting.misfit import misfit, remarks
from lpm.calibration.likelihood import NegativeBinomial, Poisson
from lpm.calibration.methods.estimate import Fit
from lpm.calibration.observation import Observation
from tests.calibration.models import linear, series

SEEDS = np.arange(400)


def found(off: float, chance: float) -> list[dict[str, Any]]:
    """Return the misfit at x = 0 of data that lie `off` standard deviations from a model of 600 values at 0."""
    model = replace(linear(600, 2), b=np.zeros((600, 2)))
    problem = model.problem(np.full(600, off * np.sqrt(1 + chance * (1 + 1 / len(SEEDS)))))
    return misfit(Fit(problem, np.zeros(2), 0, np.eye(2), None, chance * np.eye(600), (), 0, 0), SEEDS)  # type: ignore[arg-type]


@pytest.mark.parametrize("chance", [0.0, 3.0])
def test_q_is_the_mean_square_of_residuals_by_their_own_scatter(chance: float) -> None:
    """Data's scatter and the run's own chance both count."""
    (row,) = found(2.5, chance)
    assert row == {"series": "y", "figures": 600, "q": pytest.approx(6.25), "concentration": None, "at_limit": False}


def test_each_series_has_its_own() -> None:
    model = linear(5, 1)
    values = np.asarray([0.0, 0, 0, 0, 0])
    problem = model.problem(values)
    counts = series("y", np.full(5, 8.0), likelihood=NegativeBinomial(0.5))
    problem = replace(problem, observation=Observation((counts, series("y", np.full(5, 8.0), likelihood=Poisson()))))
    fit: Any = Fit(problem, np.zeros(1), 0, np.eye(1), None, np.zeros((10, 10)), (), 0, 0)  # type: ignore[arg-type]
    wide, narrow = misfit(fit, np.arange(2))
    assert wide["at_limit"] and wide["concentration"] == 0.5 and narrow["concentration"] is None
    assert narrow["q"] > wide["q"]


def test_a_reader_is_told_of_a_model_that_misses() -> None:
    good = {"series": "deaths", "figures": 4, "q": 1.2, "concentration": 9.0, "at_limit": False, "origin": "all data"}
    assert remarks([good]) == []
    poor = good | {"q": 7.25, "origin": "2020-03-29"}
    wide = good | {"series": "admissions", "concentration": 0.5, "at_limit": True}
    missed, scattered = remarks([good, poor, wide])
    assert "misses what was observed of deaths" in missed and "Q 7.2, known until 2020-03-29" in missed
    assert "Figures of admissions scatter" in scattered and "limit of 0.5, a standard deviation of 141 %" in scattered
