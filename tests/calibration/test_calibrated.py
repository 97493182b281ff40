"""A scenario with what a fit found: values within bounds, and priors that are like the draws."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lpm.calibration.estimators.jacobian import Jacobian
from lpm.calibration.fit import Fit
from lpm.calibration.observation import Observation
from lpm.calibration.posterior import Posterior
from lpm.calibration.problem import Problem, Pure
from lpm.errors import InputError
from lpm.fitting import calibrated, free, notes
from lpm.fitting.marginals import prior_like
from lpm.fitting.uncertainty import Known
from lpm.scenarios import loader
from lpm.scenarios.assembly import Assembly, assemble
from lpm.types import HostArray
from tests.calibration.models import series
from tests.inputs import GOOD, write

CLINICAL = {"young": 0.3, "old": 0.8}


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """Return a scenario with a vector of shares, one of them near 1, and a strength that may reach from 0 to 10."""
    tables: dict[str, Any] = copy.deepcopy(GOOD)
    clinical = {"value": dict(CLINICAL), "unit": "1", "source": "guess", "prior": ["lognormal", 0.3, 0.2]}
    tables["kernels"] = [{"kernel": "seir", "clinical": clinical, "ihr": 0.01}]
    tables["metrics"] = {"infections": {"flow": "exposed"}}
    tables["interventions"] = [{"label": "orders", "at": 10, "reduce": {"community": 0.3}}]
    tables["arms"] = [{"name": "as it is"}]
    tables["strengths"] = {"orders": {"value": 1, "prior": ["lognormal", 3, 0.5]}}
    tables["population"]["size"] = 50
    del tables["series"]
    path = write(tmp_path_factory.mktemp("calibrated"), tables)
    return assemble(loader.load(path), 1, lambda *_: None)


def found(assembly: Assembly, paths: Sequence[str], theta: Mapping[str, float], spread: float = 0.3) -> Known:
    """Return a fit of these parameters at these values, with the same standard error of every coordinate."""
    space = free.space_of(assembly, free.of_paths(assembly, paths))
    problem = Problem(space, Observation((series("x", np.ones(3)),)), Pure(lambda theta, key, static: {}, {}))
    size = space.size
    flat = Jacobian(np.zeros(1), np.zeros((1, size)), np.eye(1), np.zeros((1, 1, size)), 1)
    u = np.asarray(space.unconstrain({name: np.float32(value) for name, value in theta.items()}), np.float64)
    made = Fit(problem, u, 0.0, spread**2 * np.eye(size), flat, np.eye(1), (), simulations=1, seconds=1.0)
    return Known(made)


def test_a_vector_stays_within_its_bounds_as_a_number_does(assembly: Assembly) -> None:
    """Young people at 0.6 would put the old at 1.6: they are held at 1, in a fit, in a file of draws and in words."""
    parameters = free.of_paths(assembly, ["seir.clinical", "strengths.orders"])
    theta = {"seir.clinical": 0.6, "strengths.orders": 12.0}
    params = free.params_at(assembly, parameters, theta)
    np.testing.assert_allclose(params["seir"].clinical, [0.6, 1.0], rtol=1e-6)
    assert params["seir"].clinical.dtype == np.float32 and params["seir"].clinical.max() == 1
    assert float(params["strengths"].orders) == 10
    columns = free.columns_of(assembly, parameters, {name: np.full(3, value) for name, value in theta.items()})
    assert columns["seir.clinical.old"].max() == 1 and columns["strengths.orders"].max() == 10
    assert free.edges(assembly, parameters, theta) == ["seir.clinical.old at 1", "strengths.orders at 10"]
    assert free.edges(assembly, parameters, {"seir.clinical": 0.3, "strengths.orders": 3.0}) == []


def test_a_fit_and_a_file_of_draws_have_the_same_numbers_to_the_bit(assembly: Assembly) -> None:
    parameters = free.of_paths(assembly, ["seir.clinical"])
    values = np.random.default_rng(2).uniform(0.05, 0.5, 50)
    columns = free.columns_of(assembly, parameters, {"seir.clinical": values})
    for row, value in enumerate(values):
        levels = [np.float32(columns[f"seir.clinical.{level}"][row]) for level in CLINICAL]
        assert free.params_at(assembly, parameters, {"seir.clinical": value})["seir"].clinical.tolist() == levels


def test_a_vector_is_not_free_twice(assembly: Assembly) -> None:
    with pytest.raises(InputError, match="'seir.clinical' is named as a whole and by level"):
        free.of_paths(assembly, ["seir.clinical", "seir.clinical.old"])


@pytest.mark.full
def test_the_prior_of_a_bounded_parameter_has_the_spread_of_its_draws(assembly: Assembly) -> None:
    """A strength of 4, of at most 10, with 0.3 of logit spread has 0.6 * 0.3 of log spread, and the fit's interval."""
    paths = ["strengths.orders"]
    known = found(assembly, paths, {"strengths.orders": 4.0})
    made = calibrated.scenario_at(assembly, free.of_paths(assembly, paths), known, "infections")
    setting, exact = made.instances[-1].params["orders"], known.marginals()["strengths.orders"]
    assert setting.prior is not None and setting.prior[0] == "lognormal"
    _, median, spread = setting.prior
    assert known.fit.spread[0] == pytest.approx(0.3) and spread == pytest.approx(0.6 * 0.3, rel=0.05)  # d log x / du
    again = stats.lognorm(spread, scale=median).ppf((0.05, 0.5, 0.95))
    np.testing.assert_allclose(again, np.quantile(exact, (0.05, 0.5, 0.95)), rtol=0.03)
    low, high = known.fit.interval()
    np.testing.assert_allclose(again[[0, 2]], [low["strengths.orders"], high["strengths.orders"]], rtol=0.03)


def test_what_is_written_is_of_the_posteriors_draws(assembly: Assembly) -> None:
    """The posterior lies elsewhere than the normal approximation, and is wider."""
    paths = ["strengths.orders"]
    normal = found(assembly, paths, {"strengths.orders": 1.0}, spread=0.05)
    space = normal.fit.problem.space
    theta = np.random.default_rng(3).lognormal(np.log(2.0), 0.3, 3_000).clip(0.01, 9.9)
    u = np.asarray(space.unconstrain({"strengths.orders": theta}), np.float64)
    known = Known(normal.fit, Posterior(space, u))
    (row,) = known.rows()
    low, high = np.quantile(theta, (0.05, 0.95))
    assert (row["low"], row["high"]) == (pytest.approx(low, rel=1e-4), pytest.approx(high, rel=1e-4))
    assert row["estimate"] == pytest.approx(1.0) and "outside of the 90 % interval" in known.notes[-1]
    wide = np.random.default_rng(4).normal(space.mean[0], space.spread[0], (3_000, 1))
    assert not Known(normal.fit, Posterior(space, wide)).rows()[0]["identified"]
    assert row["identified"]
    setting = (
        calibrated.scenario_at(assembly, free.of_paths(assembly, paths), known, "deaths").instances[-1].params["orders"]
    )
    assert setting.source == f"fitted to deaths: 1, 90 % interval {low:.4g} to {high:.4g}"
    assert setting.prior is not None and setting.prior[0] == "lognormal"
    assert setting.prior[1:] == (pytest.approx(2.0, rel=0.02), pytest.approx(0.3, rel=0.05))


def test_levels_that_were_fitted_keep_the_prior_that_all_have(assembly: Assembly) -> None:
    paths = ["seir.clinical.young", "seir.clinical.old"]
    known = found(assembly, paths, {"seir.clinical.young": 0.2, "seir.clinical.old": 0.9})
    setting = calibrated.scenario_at(assembly, free.of_paths(assembly, paths), known, "x").kernels[0].params["clinical"]
    assert setting.prior == ("lognormal", pytest.approx(0.2, rel=1e-4), 0.2)
    assert setting.source is not None and setting.source.startswith("young fitted to x: 0.2, ")
    assert "; old fitted to x: 0.9, " in setting.source
    assert dict(setting.value) == {"young": pytest.approx(0.2), "old": pytest.approx(0.9)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("draws", "bounds", "own", "expected"),
    [
        (np.random.default_rng(0).lognormal(0.0, 0.5, 4_000), (0.0, np.inf), "", ("lognormal", 1.0, 0.5)),
        (np.random.default_rng(0).normal(1.0, 0.5, 4_000), (-np.inf, np.inf), "lognormal", ("normal", 1.0, 0.5)),
        (np.random.default_rng(0).beta(6, 0.8, 4_000), (0.0, 1.0), "lognormal", ("beta", 6.0, 0.8)),
        (np.random.default_rng(0).lognormal(0.0, 0.02, 4_000), (0.0, np.inf), "normal", ("normal", 1.0, 0.02)),
        (np.full(100, 0.25), (0.0, 1.0), "beta", ("normal", 0.25, 0.0)),
    ],
    ids=["skew", "both signs", "near 1", "own", "one value"],
)
def test_the_family_is_that_of_the_draws(
    draws: HostArray, bounds: tuple[float, float], own: str, expected: tuple[str, float, float]
) -> None:
    """Moments of 4,000 draws: the numbers within 5 %, 4 standard errors of the least certain."""
    family, a, b = prior_like(draws, bounds, own)
    assert family == expected[0] and (a, b) == (
        pytest.approx(expected[1], rel=0.05),
        pytest.approx(expected[2], rel=0.05),
    )


def test_what_is_at_a_bound_before_and_after_a_fit_is_told(assembly: Assembly) -> None:
    paths = ["seir.clinical", "strengths.orders"]
    parameters = free.of_paths(assembly, paths)
    known = found(assembly, paths, {"seir.clinical": 0.375, "strengths.orders": 3.0})  # 0.8 / 0.3 times that is 1
    rows = [{**row, "origin": origin} for origin in ("2020-02-20", "all data") for row in known.rows()]
    rows = [{**row, "at_bound": row["name"] == "strengths.orders", "identified": True} for row in rows]
    told = notes.of(known, "normal", assembly, parameters, rows)
    assert any(
        line.endswith("allows: strengths.orders (2020-02-20, all data). The model asks for more.") for line in told
    )
    assert "At or beyond a declared bound, where it is held: seir.clinical.old at 1." in told
    assert not any("began at its declared bound" in line for line in told)
    begun = (parameters[0], replace(parameters[1], value=10.0))
    assert "What is free began at its declared bound in the scenario: strengths.orders at 10." in notes.of(
        known, "normal", assembly, begun, rows
    )


def test_a_path_that_the_scenario_marks_wrongly_is_said_to_be_the_scenarios(assembly: Assembly) -> None:
    with pytest.raises(InputError, match=r"^small: calibration.fit: unknown parameter 'seir.bta'; did you mean"):
        free.of_paths(assembly, ["seir.bta"], "small: calibration.fit")
