"""What follows from a fit is told of the arm that was fitted."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from lpm.fitting import consequences
from lpm.scenarios import loader
from tests.calibration.test_consequences import trajectory
from tests.inputs import GOOD, write


@pytest.mark.parametrize(("arm", "told"), [(None, 100.0), ("as it is", 100.0), ("earlier", 40.0)])
def test_levels_are_of_the_fitted_arm(arm: str | None, told: float, tmp_path: Path) -> None:
    tables = copy.deepcopy(GOOD) | {"seeds": 12}
    tables["calibration"] = {"fit": ["sir.beta"]} | ({} if arm is None else {"arm": arm})
    scenario = loader.load(write(tmp_path, tables))
    (row,) = consequences.levels(trajectory(np.full(12, 300.0), np.full(12, 120.0)), scenario)
    assert row["name"].startswith("attack_rate") and row["estimate"] == pytest.approx(told)
