"""What a Jacobian costs: `python tests/benchmarks/jacobian.py [agents] [steps]`.

SIR on a random network of ten contacts each: common-random-number differences in (beta, gamma, initial), through the
simulator that `lpm calibrate` uses, beside single forward runs of it. Both in turns, compiled before; the ratio is that
of the medians. 2 P + 1 = 7 runs are what differences need.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from lpm import asking
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.likelihood import Poisson
from lpm.calibration.observation import Observation, Series
from lpm.calibration.problem import Problem
from lpm.fitting import free
from lpm.fitting.simulator import ScenarioSimulator
from lpm.scenarios.assembly import assemble

SCENARIO = """schema = 1
name = "sir-on-a-random-network"
step = "1d"
steps = {steps}
[population]
size = {agents}
[[networks]]
name = "contacts"
builder = "erdos-renyi"
mean_degree = 10
[[kernels]]
kernel = "sir"
beta = {{ value = 0.05, unit = "1/day", source = "arbitrary: R0 near 4" }}
gamma = {{ value = 0.1, unit = "1/day", source = "arbitrary" }}
initial = 0.001
[metrics]
infections = {{ flow = "infectious" }}
"""


def main(agents: int = 1_000_000, steps: int = 100, rounds: int = 3) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sir.toml"
        path.write_text(SCENARIO.format(agents=agents, steps=steps), "utf-8")
        assembly = assemble(asking.chosen(str(path)), 1, lambda *_: None)
    parameters = free.of_paths(assembly, ("sir.beta", "sir.gamma", "sir.initial"))
    simulator = ScenarioSimulator(assembly, assembly.arms[0], parameters, ("infections",), steps)
    days = np.arange(steps)
    seen = Series("infections", np.full(steps, 1000.0), days, days + 1, ("all",) * steps, likelihood=Poisson())
    problem = Problem(free.space_of(assembly, parameters), Observation((seen,)), simulator)
    u, estimator = problem.space.mean, CommonRandomNumbers()
    problem.curves(u[None], np.asarray([0]))
    forward, jacobian = list[float](), list[float]()
    for seed in range(1, rounds + 1):
        begun = time.perf_counter()
        problem.curves(u[None], np.asarray([seed]))
        middle = time.perf_counter()
        estimator.jac(problem, u, np.asarray([seed]))
        jacobian.append(time.perf_counter() - middle)
        forward.append(middle - begun)
    one, many = float(np.median(forward)), float(np.median(jacobian))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{agents:,} agents, {steps} steps, {len(u)} parameters: forward {one:.2f} s, Jacobian {many:.2f} s, "
          f"{many / one:.2f} x (bar 10), peak {peak:.2f} GB (bar 6)")  # fmt: skip


if __name__ == "__main__":
    main(*(int(float(text)) for text in sys.argv[1:]))
