"""A contagion as a simulator: the engine's own trajectories, parameters by step and by group, what it refuses."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
import pytest

from lpm.calibration.contagion import Contagion, contagion_of
from lpm.calibration.course import words
from lpm.calibration.errors import CalibrationError, UnusableError
from lpm.calibration.likelihood import Normal
from lpm.calibration.observation import Observation, Series
from lpm.calibration.problem import Problem
from lpm.calibration.space import Space
from lpm.errors import InputError
from lpm.metrics import Metric
from lpm.network import Network

from ..conftest import Small, graph
from ..kernels.spreading import of_pairs
from .chains import TREE, contacts_of, tallies

SIZE, STEPS = 500, 12
PAIR = np.array([[0, 1]])


FULL = pytest.mark.full


@pytest.mark.parametrize("kernel", ["sir", pytest.param("si", marks=FULL), pytest.param("sis", marks=FULL)])
def test_trajectories_are_those_of_the_engine(kernel):
    """Every figure of every step, for three seeds and two parameter sets, with contacts that differ by arc."""
    plain = graph("erdos-renyi", SIZE, mean_degree=6.0)
    intensity = np.random.default_rng(1).integers(1, 200, plain.arcs).astype(np.uint16)
    network = Network(SIZE, plain.indptr, plain.indices, columns={"intensity": intensity})
    counted = (Metric("prevalence", "stock", "state", (1,)), Metric("susceptible", "stock", "state", (0,)))
    engine = Small(kernel, network, SIZE, (*counted, Metric("incidence", "flow", "state", (1,))), steps=STEPS, dt=0.5)
    given = [(0.2, 0.3, 0.05, 3), (0.2, 0.3, 0.05, 2**40 + 1), (0.9, 0.1, 0.3, 7)]
    names = ("beta", "gamma", "initial") if kernel != "si" else ("beta", "initial")
    simulator = Contagion(kernel, network, STEPS, dt=0.5)
    theta = {name: np.array([row[k] for row in given]) for k, name in enumerate(("beta", "gamma", "initial"))}
    found = simulator.run({name: theta[name] for name in names}, np.array([row[3] for row in given]))
    for i, row in enumerate(given):
        curves = engine.curves(engine.member(row[3], 0, **{name: float(theta[name][i]) for name in names}))
        for metric in ("prevalence", "susceptible", "incidence"):
            assert np.array_equal(found[metric][i, :, 0], curves[metric]), metric
    assert set(found) == set(simulator.groups)


def test_metrics_add_up_in_people_by_group():
    group = np.arange(SIZE) % 3
    simulator = Contagion(
        "sir", graph("erdos-renyi", SIZE, mean_degree=6.0), STEPS, group=group, names=("a", "b", "c"), people=8.5
    )
    found = simulator.run({"beta": np.full(2, 0.1), "gamma": np.full(2, 0.2), "initial": np.full(2, 0.1)}, np.arange(2))
    assert simulator.groups["incidence"] == ("all", "a", "b", "c")
    for values in found.values():
        assert np.array_equal(values[..., 0], values[..., 1:].sum(-1))
    sizes = 8.5 * np.array([SIZE, *np.bincount(group)])
    assert np.array_equal(found["susceptible"] + found["infected"], np.broadcast_to(sizes, found["infected"].shape))
    assert np.array_equal(found["infected"], found["prevalence"] + found["recovered"])
    assert np.array_equal(-np.diff(found["susceptible"], axis=1), found["incidence"][:, 1:])


def test_vectors_are_shares_by_group_and_values_by_step():
    """Group b starts at 0 and nobody passes anything on in the first half: only then is b infected."""
    group = np.arange(SIZE) % 2
    network = graph("erdos-renyi", SIZE, mean_degree=6.0)
    simulator = Contagion("si", network, STEPS, group=group, names=("a", "b"))
    theta = {"beta": np.array([[0.0, 2.0]]), "initial": np.array([[0.5, 0.0]])}
    found = simulator.run(theta, np.arange(1))["prevalence"][0]
    half = STEPS // 2
    assert (found[:half, 2] == 0).all() and found[half, 2] > 50
    assert (found[:half, 1] == found[0, 1]).all() and abs(found[0, 1] - 125) < 5 * np.sqrt(62.5)


def test_expectations_are_those_of_the_markov_chain():
    """Means of 4,000 seeds on a tree: none of 45 lies 5 standard errors off, but for 1 in 40,000 sets of seeds."""
    weight = np.array([0.9, 0.1, 0.3, 0.0, 0.2])
    simulator = Contagion(
        "sir", of_pairs(5, TREE), 3, beta=0.6, gamma=0.4, group=np.arange(5), names=tuple("abcde"), weight=weight
    )
    found = simulator.run({"initial": np.full(4_000, 0.8)}, np.arange(4_000))
    exact = tallies("sir", contacts_of(5, TREE), np.full(3, 0.6), np.full(3, 0.4), 0.8 * weight)
    for k, metric in enumerate(("susceptible", "prevalence", "incidence")):
        values = found[metric][..., 1:]
        error = np.sqrt(exact[:, k] * (1 - exact[:, k]) / len(values))
        assert (np.abs(values.mean(0) - exact[:, k]) <= 5 * error + 1e-9).all(), metric


@pytest.mark.full
def test_no_parameter_of_the_space_is_needed_where_numbers_are_given():
    simulator = Contagion("sir", of_pairs(2, PAIR), 2, initial=1.0)
    same = Contagion("sir", of_pairs(2, PAIR), 2, beta=0.5, gamma=0.5)
    theta = {"beta": np.full(8, 0.5), "gamma": np.full(8, 0.5), "other": np.zeros(8)}
    one, two = simulator.run(theta, np.arange(8)), same.run({"initial": np.ones(8)}, np.arange(8))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_seeds_are_words():
    assert words(np.array([5, 2**32 + 7])).tolist() == [[5, 0], [7, 1]]
    with pytest.raises(CalibrationError, match="at least 0"):
        words(np.array([-1]))


def test_bad_descriptions_are_refused():
    network = of_pairs(2, PAIR)
    bad: dict[str, dict[str, Any]] = {
        "unknown kernel 'sri'": {"kernel": "sri"},
        "at least one step": {"steps": 0},
        "both group and names": {"names": ("a",)},
        "positions in names": {"names": ("a",), "group": np.array([0, 1])},
        "finite numbers of at least 0": {"weight": np.array([1.0, np.nan])},
    }
    for told, given in bad.items():
        whole: dict[str, Any] = {"kernel": "sir", "network": network, "steps": 2} | given
        with pytest.raises(InputError, match=told):
            Contagion(**whole)
    simulator, values = Contagion("sir", network, 2), {"beta": np.ones(1), "gamma": np.ones(1)}
    with pytest.raises(InputError, match="unknown parameter 'initial'"):
        simulator.run(values, np.arange(1))
    with pytest.raises(CalibrationError, match="expected 1 or 1 shares, got 2"):
        simulator.run(values | {"initial": np.ones((1, 2))}, np.arange(1))
    with pytest.raises(CalibrationError, match="at most 2 values"):
        simulator.run(values | {"beta": np.ones((1, 3)), "initial": np.ones(1)}, np.arange(1))


def test_another_simulator_is_told_what_is_needed():
    class Other:
        groups = {"x": ("all",)}

        def run(self, theta: Any, seeds: Any) -> Any:
            return {"x": np.zeros((len(seeds), 1, 1))}

    at = np.arange(1)
    observation = Observation((Series("x", np.zeros(1), at, at + 1, ("all",), likelihood=Normal(1.0)),))
    with pytest.raises(UnusableError, match="some estimator: needs .* has a Other; use common random numbers"):
        contagion_of(Problem(Space({"x": dist.Normal(0.0, 1.0)}), observation, Other()), "some estimator")


def test_networks_are_arguments_and_no_constants():
    """What is compiled holds no array of agents or arcs."""
    from lpm.calibration.contagion import _many

    simulator = Contagion("sir", graph("erdos-renyi", SIZE, mean_degree=6.0), STEPS, beta=0.1, gamma=0.1)
    given = ({"initial": np.full(1, 0.1, np.float32)}, words(np.arange(1)), simulator.place)
    closed = jax.make_jaxpr(_many, static_argnums=0)(simulator.law, *given)
    assert all(np.size(const) < 100 for const in closed.consts)
