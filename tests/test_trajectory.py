"""A trajectory is the simulation's to the last bit, and its derivative that of differences, in little memory.

Everything is deterministic but the CPU time of the bar, which is the least of three runs.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lpm.errors import InputError
from lpm.kernel import find
from lpm.metrics import Metric
from lpm.network import layout
from lpm.policy import Arm, Effect, Filter, Intervention, Trigger
from lpm.population import Column, Population
from lpm.simulation import Simulation
from lpm.trajectory import Trajectory, groups_of, series, trajectory

from .conftest import SIR_METRICS, Small, graph

STEPS = 11
OPINION = (Metric("opinion", "mean", "opinion"), Metric("spread", "variance", "opinion"))
SPREAD = (Metric("o", "mean", "opinion", by=("region",)), Metric("total", "sum", "opinion", by=("region",)), OPINION[1])


def opinions(name: str, size: int = 400, metrics: Any = OPINION, **more: Any) -> Small:
    """Return a kernel of opinion among people of three regions and several weights, on a random network."""
    generator = np.random.default_rng(2)
    region = Column("region", "uint8", "a group", levels=("a", "b", "c"))
    columns = (*find(name, "test").columns, region)
    values = {"region": generator.integers(0, 3, size), "weight": generator.integers(1, 5 * 65_536, size)}
    people = Population.build(size, columns, values)
    network = graph("erdos-renyi", size, mean_degree=6.0)
    return Small(name, network, size, metrics, steps=more.pop("steps", STEPS), population=people, **more)


def alone(small: Small, **values: Any) -> Any:
    """Return the only member, as arrays without a leading axis."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], small.member(3, **values))


def on(small: Small, backend: str) -> Any:
    return replace(small.simulation.model, backend=backend)


def traced(small: Small, member: Any, model: Any = None, steps: int = STEPS, **more: Any) -> Trajectory:
    """Return the compiled trajectory."""
    model = model or small.simulation.model
    run = jax.jit(lambda a, m, w: trajectory(model, a, m, w, steps, **more))
    return run(small.agents, member, small.world)


def same(small: Small, backend: str = "auto", arm: int = 0, **more: Any) -> Trajectory:
    """Fail where the trajectory has another bit than the simulation, in chunks, of the same member."""
    member = small.member(3, arm=arm)
    small.simulation = Simulation(on(small, backend))
    state, sums = small.run(member, stops=(4,))
    made = traced(small, jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], member), steps=small.steps, **more)
    assert made.sums.keys() == sums[0].keys()
    for name, values in sums[0].items():
        assert np.array_equal(made.sums[name], values), name
    for name, values in state.agents.items():
        assert np.array_equal(made.state.agents[name], np.asarray(values)[0]), name
    return made


@pytest.mark.parametrize(
    ("kernel", "backend"),
    [
        ("degroot", "auto"),
        ("deffuant", "xla"),
        *(
            pytest.param(name, backend, marks=pytest.mark.full)
            for name in (
                "degroot",
                "friedkin-johnsen",
                "hegselmann-krause",
                "repulsion",
                "persuasion",
                "biased-assimilation",
            )
            for backend in ("xla", "auto")
            if (name, backend) != ("degroot", "auto")
        ),
    ],
)
def test_it_is_the_simulation_to_the_last_bit(kernel: str, backend: str):
    same(opinions(kernel), backend)


@pytest.mark.full
def test_an_epidemic_under_policy_is_too():
    """Hard draws, a trigger and a lever that happens once; and a span that does not divide the steps."""
    cut = Intervention(
        "cut", (Effect("scale", "contacts", 0.3),), trigger=Trigger("prevalence", "all", 2.0, release=1.0)
    )
    ill = (Filter("state", (1,)),)
    heal = Intervention("heal", (Effect("set_column_once", "state", 2),), start=4, where=ill, share=0.5)
    arms, network = (Arm("base"), Arm("acts", (cut, heal))), graph("erdos-renyi", 500, mean_degree=8.0)
    small = Small("sir", network, 500, SIR_METRICS, arms, steps=STEPS)
    made = same(small, arm=1, span=4)
    assert np.asarray(made.sums["on:cut"])[:, 0].any() and np.asarray(made.sums["reached:heal"])[:, 0].any()


def test_series_are_the_recorders():
    """Means, sums and a variance by group against exact sums on the host: 2^-16 of rounding, then float32."""
    small = opinions("degroot", metrics=SPREAD)
    made = traced(small, alone(small))
    told, model = series(small.simulation.model, made), small.simulation.model
    names, exact = small.recorder.roll_up({k: np.asarray(v) for k, v in made.sums.items()})
    for metric, groups in groups_of(model.recorder).items():
        expected = exact[metric][:, [names.index(group) for group in groups]]
        scale = max(1.0, np.abs(expected).max())
        assert np.abs(np.asarray(told[metric]) - expected).max() < 3e-6 * scale, metric
    assert groups_of(model.recorder)["o"] == ("all", "region=a", "region=b", "region=c")


def test_flows_and_stocks_are_people():
    small = Small("sir", graph("erdos-renyi", 300, mean_degree=8.0), 300, SIR_METRICS, steps=STEPS)
    made = traced(small, alone(small))
    _, exact = small.recorder.roll_up({k: np.asarray(v) for k, v in made.sums.items()})
    told = series(small.simulation.model, made)
    assert all(np.array_equal(told[name][:, 0], exact[name][:, 0]) for name in told)


def by_weight(small: Small, model: Any, member: Any, span: int | None) -> Any:
    """Return the compiled (weight, agents, world) -> a smooth loss on means and variances."""
    name = small.kernel.name
    c = jnp.linspace(0.5, 1.5, STEPS)

    def loss(weight: Any, agents: Any, world: Any) -> Any:
        own = replace(member, params={name: replace(member.params[name], weight=weight)})
        told = series(model, trajectory(model, agents, own, world, STEPS, people=2_000, span=span))
        return sum((c * x[:, 0]).sum() + (c * x[:, 0] ** 2).sum() for x in told.values())

    return loss


@pytest.mark.parametrize(
    "span", [None, pytest.param(1, marks=pytest.mark.full), pytest.param(STEPS, marks=pytest.mark.full)]
)
def test_reverse_forward_and_differences_agree(span: int | None):
    """Friedkin-Johnsen by its weight: Richardson differences of steps 0.02 and 0.04.

    A loss of about 3 is rounded by 1e-6 (22 float32 numbers): differences are off by 1e-6 / 0.02 = 5e-5 and their own
    order h^4, below 1e-5 as two extrapolations show; 3e-4 of a derivative around 1 is allowed.
    """
    small = opinions("friedkin-johnsen")
    member = alone(small, weight=0.4)
    loss = by_weight(small, on(small, "xla"), member, span)
    value, w = jax.jit(loss), jnp.float32(0.4)
    reverse = jax.jit(jax.grad(loss))(w, small.agents, small.world)
    forward = jax.jit(jax.jacfwd(loss))(w, small.agents, small.world)
    at = lambda h: float(value(w + jnp.float32(h), small.agents, small.world))  # noqa: E731
    one, two = ((at(h) - at(-h)) / (2 * h) for h in (0.02, 0.04))
    assert float(reverse) == pytest.approx(float(forward), rel=1e-4)
    assert float(reverse) == pytest.approx((4 * one - two) / 3, abs=3e-4)


def test_seeds_side_by_side_are_those_alone():
    small = opinions("degroot")
    model, member = on(small, "xla"), alone(small)
    words = jnp.asarray([[1, 0], [2, 0], [9, 1]], jnp.uint32)

    def spread(seed: Any, agents: Any, world: Any) -> Any:
        return trajectory(model, agents, replace(member, seed=seed), world, STEPS).amounts["opinion^2"]

    together = jax.jit(jax.vmap(spread, in_axes=(0, None, None)))(words, small.agents, small.world)
    each = [jax.jit(spread)(seed, small.agents, small.world) for seed in words]
    assert np.array_equal(together, np.stack(each)) and not np.array_equal(each[0], each[1])


def test_devices_and_steps_are_refused():
    small = opinions("degroot")
    several = replace(small.simulation.model, shards=2)
    with pytest.raises(InputError, match="one device, got 2"):
        trajectory(several, small.agents, alone(small), small.world, 3)
    with pytest.raises(InputError, match="at least one step"):
        trajectory(small.simulation.model, small.agents, alone(small), small.world, 0)
    odd = opinions("degroot", metrics=(Metric("poles", "bimodality", "opinion"),))
    model = odd.simulation.model
    with pytest.raises(InputError, match="'poles': expected a flow"):
        jax.eval_shape(lambda: series(model, trajectory(model, odd.agents, alone(odd), odd.world, 1)))


@pytest.mark.full
@pytest.mark.parametrize("kernel", ["degroot", "friedkin-johnsen"])
def test_reverse_mode_of_fifty_steps_is_small_and_quick(kernel: str):
    """100,000 agents of 10 neighbours: at most 250 bytes an agent of temporary memory, 4.5 times the forward run."""
    size, steps = 100_000, 50
    small = Small(kernel, graph("watts-strogatz", size, neighbours=10, rewiring=1.0), size, OPINION, steps=steps)
    network = graph("watts-strogatz", size, neighbours=10, rewiring=1.0)
    world = replace(small.world, layers={"contacts": jax.tree.map(jnp.asarray, layout(network))})
    model, member = on(small, "xla"), alone(small)

    def loss(weight: Any, agents: Any, world: Any) -> Any:
        own = replace(member, params={kernel: replace(member.params[kernel], weight=weight)})
        return sum((x**2).sum() for x in series(model, trajectory(model, agents, own, world, steps)).values())

    def cost(function: Any) -> tuple[float, float]:
        made = jax.jit(function).lower(jnp.float32(0.4), small.agents, world).compile()
        seconds: list[float] = []
        for _ in range(3):
            begun = time.process_time()
            jax.block_until_ready(made(jnp.float32(0.4), small.agents, world))
            seconds.append(time.process_time() - begun)
        memory: Any = made.memory_analysis()
        return memory.temp_size_in_bytes / size, min(seconds)

    (_, run), (memory, back) = cost(loss), cost(jax.grad(loss))
    assert memory <= 250 and back <= 4.5 * run, (memory, back / run)
