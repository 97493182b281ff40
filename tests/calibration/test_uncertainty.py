"""What is told while draws are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lpm.calibration.estimators.jacobian import Jacobian
from lpm.calibration.fit import Fit
from lpm.calibration.posterior import Posterior
from lpm.fitting.uncertainty import JACOBIAN_SEEDS, REPLICATES, Known, checked
from lpm.types import HostArray
from tests.calibration.models import Linear, linear


@dataclass(frozen=True)
class Plain:
    """The linear model in numpy, with nothing to compile."""

    model: Linear
    groups: Mapping[str, Sequence[str]] = field(default_factory=lambda: {"y": ["all"]})

    def run(self, theta: Mapping[str, HostArray], seeds: HostArray) -> Mapping[str, HostArray]:
        """Return by metric float64 [B, D, 1]."""
        u = np.stack([theta["x0"], theta["x1"]], -1)
        chance = np.stack([np.random.default_rng(int(s)).normal(size=self.model.b.shape[1]) for s in seeds])
        return {"y": (u @ self.model.a.T + chance @ self.model.b.T)[:, :, None]}


def test_a_diagnosis_tells_how_far_it_is() -> None:
    """The count rises to the end, by no more than ten runs at a time."""
    model = linear()
    _, values = model.drawn(1, 8)
    problem = replace(model.problem(values[0]), simulator=Plain(model))
    mean, width = model.exact(values[0])
    flat = Jacobian(np.zeros(12), model.a, np.eye(12), model.a[None], 1)
    fit = Fit(problem, mean, 0.0, width, flat, np.eye(12), (), simulations=1, seconds=1.0)
    draws = np.random.default_rng(2).multivariate_normal(mean, width, 500)
    said: list[tuple[str, int, int]] = []
    rows = checked(Known(fit, Posterior(problem.space, draws)), lambda *told: said.append(told))
    assert {row["check"] for row in rows} == {"posterior predictive", "spread left of the prior's"}
    done = [each for _, each, _ in said]
    assert {stage for stage, _, _ in said} == {"diagnosis"} and done[0] == 0 and (np.diff(done) >= 0).all()
    assert np.diff(done).max() <= 10 and len(said) > 20
    assert said[-1][1:] == (REPLICATES + JACOBIAN_SEEDS * 6, REPLICATES + JACOBIAN_SEEDS * 6)
