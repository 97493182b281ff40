"""What the tests of choice by archetype share: a small table, people, and a run of one kernel."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from lpm.archetypes.contexts import Contexts, Variable
from lpm.archetypes.table import Table
from lpm.kernels.decision.archetype_choice import ArchetypeChoice, choice_of, given
from lpm.kernels.decision.sources import Source
from lpm.metrics import Metric
from lpm.network import Network
from lpm.population import Column, Population
from lpm.simulation import Simulation

from ..conftest import Small
from .herds import Values, begin, go, host

ACTIONS = ("wear", "carry", "neither")
CONTEXTS = Contexts((Variable("price", (0, 1, 3), "dollars", ""), Variable("orders", (0, 1), "1", "")))
ARCHETYPES = 5


@functools.cache
def table(archetypes: int = ARCHETYPES, contexts: Contexts = CONTEXTS, seed: int = 1) -> Table:
    people = pl.DataFrame({"archetype": range(archetypes), "weight": [1.0] * archetypes, "card": [""] * archetypes})
    logit = np.random.default_rng(seed).normal(0, 1.5, (archetypes, contexts.size, len(ACTIONS)))
    return Table(ACTIONS, contexts, people, logit)


def small(
    kernel: type[ArchetypeChoice],
    columns: Mapping[str, Any],
    steps: int = 1,
    shards: int = 1,
    network: Network | None = None,
    backend: str = "auto",
    metrics: tuple[Metric, ...] = (),
) -> Small:
    """Return a compiled simulation of the kernel among people with these columns."""
    own = {column.name for column in kernel.columns}
    kinds = {name: np.asarray(values).dtype.name for name, values in columns.items() if name not in own}
    more = [
        Column(name, kind, "a number", levels=("a", "b", "c") if kind == "uint8" else ())
        for name, kind in kinds.items()
        if name not in ("id", "weight", "present")
    ]  # fmt: skip
    size = len(columns["archetype"])
    people = Population.build(size, (*kernel.columns, *more), columns)
    made = Small("archetype-choice", network, size, metrics, steps=steps, shards=shards, population=people)
    model = made.simulation.model
    behaviour = replace(model.behaviours[0], kernel=kernel)
    made.simulation = Simulation(replace(model, behaviours=(behaviour,), backend=backend))
    return made


def acted(
    columns: Mapping[str, Any],
    sources: Mapping[str, Source] | None = None,
    known: Table | None = None,
    steps: int = 1,
    common: Mapping[str, float] | None = None,
    seed: int = 3,
    beta: float = 1.0,
    **more: Any,
) -> Values:
    """Return the actions uint8 [agents] after some steps."""
    known = known or table()
    made = small(choice_of(known, sources), columns, steps, **more)
    tables: Any = given(known)
    if common:
        tables["globals"] = {name: np.array([value], np.float32) for name, value in common.items()}
    batch = made.member(seed, beta=beta)
    return host(go(made, batch, begin(made, batch, tables), 0, steps))["action"][0, : len(columns["archetype"])]


def people(size: int, seed: int = 2) -> dict[str, Values]:
    """Return archetypes (one beyond the table's among them) and contexts within and beyond the anchors."""
    generator = np.random.default_rng(seed)
    return {
        "archetype": generator.integers(0, ARCHETYPES + 1, size).astype(np.uint16),
        "price": generator.uniform(-0.5, 3.5, size).astype(np.float32),
        "orders": generator.choice([0.0, 0.25, 0.5, 1.0], size).astype(np.float32),
    }
