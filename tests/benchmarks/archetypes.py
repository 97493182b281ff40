"""What choice by archetype costs: 1,000,000 agents, 4 actions, 1,000 archetypes, 64 contexts interpolated.

Usage: python tests/benchmarks/archetypes.py [--agents 1000000] [--archetypes 1000] [--repeats 20]

Milliseconds a step of a simulation that does nothing else, on the wall and in CPU time of all threads (the figure to go
by on a machine that is shared), the least of all repeats; the roofline is what memory allows: every column once, one
look at the table an agent.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import polars as pl

from lpm.archetypes.contexts import Contexts, Variable
from lpm.archetypes.table import Table
from lpm.bench.roofline import roofline
from lpm.kernels.decision.archetype_choice import ArchetypeChoice, choice_of, given
from lpm.kernels.decision.sources import Friends, Source
from lpm.metrics import recorder
from lpm.model import Behaviour, Member, Model, World
from lpm.network import layout
from lpm.networks import find
from lpm.ops.neighbours import row_width
from lpm.policy import Arm, plan, policy_data
from lpm.population import Column, Population
from lpm.simulation import Simulation

STEPS, ACTIONS = 10, ("a", "b", "c", "d")


def product(variables: int, anchors: int) -> Contexts:
    """Return so many variables, each with so many anchors between 0 and 1."""
    points = tuple(np.linspace(0, 1, anchors).tolist())
    return Contexts(tuple(Variable(f"x{v}", points, "1", "anything") for v in range(variables)))


def table_of(contexts: Contexts, archetypes: int) -> Table:
    """Return a table of random logits."""
    people = pl.DataFrame({"archetype": range(archetypes), "weight": [1.0] * archetypes, "card": [""] * archetypes})
    logit = np.random.default_rng(1).normal(size=(archetypes, contexts.size, len(ACTIONS)))
    return Table(ACTIONS, contexts, people, logit)


def simulated(kernel: type[ArchetypeChoice], agents: int, archetypes: int, table: Table, friends: bool) -> Any:
    """Return a simulation of this kernel alone: (simulation, members, world, first state)."""
    generator = np.random.default_rng(2)
    own = [Column(name, "float32", "context") for name in table.contexts.names]
    values: dict[str, Any] = {"archetype": generator.integers(0, archetypes, agents).astype(np.uint16)}
    values |= {column.name: generator.random(agents, np.float32) for column in own}
    people = Population.build(agents, (*kernel.columns, *own), values)
    layers: dict[str, Any] = {}
    if friends:
        made = find("erdos-renyi", "benchmark")
        network = made.build(1, made.Params(mean_degree=8.0), people, (0, agents))
        layers["contacts"] = layout(network, width=row_width())
    arms = (Arm("baseline"),)
    policy = plan(arms, tuple(layers))
    behaviour = Behaviour("archetype-choice", kernel, tuple(layers))
    simulation = Simulation(
        Model((behaviour,), recorder((), people.schema), policy, tuple(people.schema.values()), capacity=STEPS)
    )
    params = kernel.Params(beta=np.float32(1), offset=np.zeros(len(ACTIONS), np.float32))
    words: Any = np.array([1, 0], np.uint32)
    one = Member(words, {"archetype-choice": params}, policy_data(arms[0], policy, STEPS))
    batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], one)
    tables = given(table)
    return (
        simulation,
        batch,
        World(simulation.place(layers)),
        simulation.start(simulation.place(dict(people.columns)), batch, tables),
    )


def least(step: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Return the least wall and CPU seconds of a call."""
    walls, spent = [np.inf], [np.inf]
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        jax.block_until_ready(step())
        walls.append(time.perf_counter() - wall)
        spent.append(time.process_time() - cpu)
    return min(walls), min(spent)


def main(agents: int, archetypes: int, repeats: int) -> None:
    """Print a table."""
    print(f"{'contexts':>28} {'table MB':>9} {'wall ms':>8} {'CPU ms':>8} {'prepare ms':>11} {'roofline ms':>12}")
    for variables, anchors, friends in ((3, 4, False), (6, 2, False), (1, 64, False), (3, 4, True)):
        table = table_of(product(variables, anchors), archetypes)
        sources: dict[str, Source] = {"x0": Friends((1, 2, 3))} if friends else {}
        kernel = choice_of(table, sources)
        simulation, batch, world, state = simulated(kernel, agents, archetypes, table, friends)
        keep = [state]

        def steps(simulation: Any = simulation, batch: Any = batch, world: Any = world, keep: Any = keep) -> Any:
            keep[0] = simulation.advance(keep[0], batch, world, 0, STEPS)[0]
            return keep[0]

        jax.block_until_ready(steps())
        wall, cpu = (1e3 * seconds / STEPS for seconds in least(steps, repeats))
        columns = given(table)
        params = kernel.Params(beta=np.float32(1), offset=np.zeros(len(ACTIONS), np.float32))
        ready = jax.jit(lambda columns, kernel=kernel, params=params: kernel.prepare(params, columns, None))
        jax.block_until_ready(ready(columns))
        prepare = 1e3 * least(lambda ready=ready, columns=columns: ready(columns), repeats)[0]
        cells = archetypes * table.contexts.size
        row = np.random.default_rng(3).integers(0, cells, agents).astype(np.int32)
        bytes_of = agents * (
            2 + 4 * len(kernel.contexts.variables) + 4 + 1 + 2
        )  # archetype, contexts, id, there, action
        floor = 1e3 * max(roofline(row, cells, 4), roofline(np.zeros(bytes_of // 4, np.int32), 1, 1))
        told = f"{variables} variables x {anchors}" + (", friends" if friends else "")
        print(
            f"{told:>28} {table.logit.nbytes / 1e6:>9.2f} {wall:>8.1f} {cpu:>8.1f} {prepare:>11.2f} {floor:>12.2f}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, default in (("--agents", 1_000_000), ("--archetypes", 1_000), ("--repeats", 20)):
        parser.add_argument(name, type=int, default=default)
    main(**vars(parser.parse_args()))
