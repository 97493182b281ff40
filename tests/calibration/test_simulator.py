"""A scenario as a simulator: what has no value is refused where it is looked at, and nowhere taken for 0."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpm.calibration.likelihood import Normal
from lpm.calibration.observation import Observation, Series
from lpm.errors import InputError
from lpm.fitting import free
from lpm.fitting.simulator import ScenarioSimulator, looked_at
from lpm.scenarios import loader
from lpm.scenarios.assembly import assemble
from tests.inputs import GOOD, write

STEPS = 6


def fatality(begin: list[int], **options: Any) -> Observation:
    """Return figures of everybody, of one step each."""
    steps = np.asarray(begin)
    groups = ("all",) * len(begin)
    series = Series("fatality", np.full(len(begin), 0.5), steps, steps + 1, groups, likelihood=Normal(0.1), **options)
    return Observation((series,))


def test_what_is_looked_at_is_intervals_and_their_delays() -> None:
    told = looked_at(fatality([4, 5], delay=(0.5, 0.0, 0.5)), STEPS)
    assert {name: list(groups) for name, groups in told.items()} == {"fatality": ["all"]}
    assert told["fatality"]["all"].tolist() == [False, False, True, True, True, True]
    assert looked_at(fatality([0], delay=(0, 0, 1)), STEPS)["fatality"]["all"].sum() == 0


def simulator(observation: Observation) -> ScenarioSimulator:
    """Return a simulator that has told its groups."""
    nothing: Any = None
    looked = looked_at(observation, STEPS)
    return ScenarioSimulator(nothing, nothing, (), ("fatality",), STEPS, looked, {"fatality": ("all", "age=old")})


def test_what_has_no_value_is_0_where_nobody_looks_and_refused_elsewhere() -> None:
    values = np.full((STEPS, 2), 0.25)
    values[:3, 0], values[:, 1] = np.nan, np.inf
    told = simulator(fatality([3, 5])).defined("fatality", values, {}, 3)
    assert told[:, 0].tolist() == [0, 0, 0, 0.25, 0.25, 0.25] and (told[:, 1] == 0).all()
    with pytest.raises(InputError, match="'fatality' of 'all' is observed in step 2, where .*: sir.beta = 0.1, seed 3"):
        simulator(fatality([2, 5])).defined("fatality", values, {"sir.beta": 0.1}, 3)
    everywhere = replace(simulator(fatality([3])), observed={})
    with pytest.raises(InputError, match="in step 0"):
        everywhere.defined("fatality", values, {}, 3)


@pytest.mark.full
def test_a_ratio_of_nobody_is_refused_where_it_is_observed(tmp_path: Path) -> None:
    """Nobody is infected at a rate of 1e-9: deaths by infection have no value, and were taken for 0."""
    tables = copy.deepcopy(GOOD)
    tables["metrics"] = {
        "infections": {"flow": "infectious"},
        "ends": {"flow": "recovered"},
        "fatality": {"ratio": ["ends", "infections"]},
    }
    assembly = assemble(loader.load(write(tmp_path, tables)), 1, lambda what, done, of: None)
    parameters = free.of_paths(assembly, ["sir.beta"])

    def run(beta: float, observation: Observation) -> Any:
        looked = looked_at(observation, STEPS)
        simulator = ScenarioSimulator(assembly, assembly.arms[0], parameters, ("fatality",), STEPS, looked)
        return simulator.run({"sir.beta": np.asarray([beta])}, np.asarray([3]))["fatality"]

    with pytest.raises(
        InputError, match="'fatality' of 'all' is observed in step 4, where .* sir.beta = 1e-09, seed 3"
    ):
        run(1e-9, fatality([4]))
    assert (run(1e-9, fatality([0], delay=(0, 0, 1))) == 0).all()  # looked at nowhere
    assert run(5.0, fatality([4]))[0, 4] > 0
