"""What the tests of herding and decision share: members with texts, runs from given columns and tables, draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm import random
from lpm.policy import policy_data
from lpm.population import Column, Population
from lpm.simulation import Member, State

from ..conftest import Small

Values = np.ndarray[Any, Any]
Tables = Mapping[str, Mapping[str, Values]]


def herd(kernel: str, size: int, steps: int, shards: int = 1, dt: float = 1.0, **columns: Any) -> Small:
    """Return a compiled simulation of one kernel without layers; `columns` are given by the population."""
    from lpm.kernel import find

    people = Population.build(size, find(kernel, "test").columns, columns)
    return Small(kernel, None, size, (), steps=steps, shards=shards, dt=dt, population=people)


def members(small: Small, seeds: Sequence[int], **values: Any) -> Member:
    """Return a batch, one member a seed; texts stay texts."""
    params = small.kernel.Params(**values)
    numbers = {f.name: getattr(params, f.name) for f in fields(params)}
    arrays = {n: np.asarray(v, np.float32) for n, v in numbers.items() if not isinstance(v, str)}
    made: list[Member] = []
    for seed in seeds:
        words: Any = np.array([seed, 0], np.uint32)
        policy = policy_data(small.arms[0], small.plan, small.steps)
        one = Member(words, {small.kernel.name: replace(params, **arrays)}, policy)
        made.append(jax.tree.map(lambda leaf: np.asarray(leaf)[None], one))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *made)


def rows_of(kernel: Any, rows: int, **given: Values) -> dict[str, dict[str, Values]]:
    """Return the kernel's other tables at their defaults, with given columns; "globals" has one row."""

    def values(column: Column, table: str) -> Values:
        size = 1 if table == "globals" else rows
        return given.get(column.name, np.full((size, *column.shape), column.default)).astype(column.dtype)

    return {table: {c.name: values(c, table) for c in columns} for table, columns in kernel.tables.items()}


def begin(small: Small, batch: Member, tables: Tables | None = None) -> State:
    """Return the states before the first step."""
    return small.simulation.start(small.agents, batch, tables)  # type: ignore[arg-type]


def go(small: Small, batch: Member, state: State, first: int, count: int) -> State:
    """Return the states after some steps."""
    return small.simulation.advance(state, batch, small.world, first, count)[0]


def put(state: State, **columns: Values) -> State:
    """Return the states with columns [agents] put in, the same for every member."""
    changed = {
        name: jnp.asarray(np.broadcast_to(values, state.agents[name].shape).astype(state.agents[name].dtype))
        for name, values in columns.items()
    }
    return replace(state, agents={**state.agents, **changed})


def host(state: State) -> dict[str, Values]:
    """Return the columns [members, rows], those of other tables as "table.column"."""
    others = {f"{table}.{name}": v for table, columns in state.tables.items() for name, v in columns.items()}
    return {name: np.asarray(values) for name, values in (state.agents | others).items()}


def key_of(seed: int, kernel: str, step: int | None, purpose: str) -> tuple[int, int, int, int]:
    """Return the words of a stream's key by the scalar formulas; no step = that of the start."""
    key = random.scalar_fold(random.STREAM_VERSION, *random.ROOT, seed, 0, 0)
    key = random.scalar_fold(*key, *random.name_words(kernel), random.TAG_INSTANCE)
    if step is not None:
        key = random.scalar_fold(*key, step, 0, random.TAG_STEP)
    return random.scalar_fold(*key, *random.name_words(purpose), random.TAG_PURPOSE)


def agent_draws(key: tuple[int, int, int, int], size: int) -> Values:
    """Return int64 [size], the draws of agents 0 .. size - 1 by the scalar formulas."""
    return np.array([random.scalar_bits(key, (agent, 0)) for agent in range(size)], np.int64)
