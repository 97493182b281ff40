"""The contract of a kernel, second part: bounds, seeds, labels and absent agents.

A kernel is put on a small random network among people whose columns are drawn at random from the declared bounds, so
that every state occurs. Everything here is exact; seeds are fixed.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

from .world import SIZE, STEPS, Bench, drawn, equal, every_column, schema_of

STALE = "what absent agents last had reaches others: mask it (jnp.where(present, ...)) before sum_neighbours"


def test_step_is_traced_once(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    """Other steps, seeds and values of the parameters compile nothing."""
    bench.after(bench.people.columns, 1)
    traced = len(bench.traces)
    bench.after(bench.people.columns, 2, first=STEPS // 2, count=STEPS // 2)
    member = bench.member(3)
    halved = jax.tree.map(lambda leaf: leaf * np.float32(0.5) if leaf.dtype == np.float32 else leaf, member.params)
    monkeypatch.setattr(Bench, "member", lambda self, seed: replace(member, params=halved))
    bench.after(bench.people.columns, 3, first=1, count=2)
    assert traced and len(bench.traces) == traced, (
        "step was compiled again for other numbers: a parameter, step or state is used as a Python value"
    )


def test_columns_stay_within_their_declaration(bench: Bench):
    """From any state of the schema and from its own start: right dtypes, in bounds, finite; other columns untouched."""
    for start in (dict(bench.people.columns), bench.init(5)):
        after = bench.after(start, 5)
        for name, column in bench.people.schema.items():
            assert after[name].dtype == np.dtype(column.dtype), f"{name}: {after[name].dtype}, not {column.dtype}"
            column.check(after[name], bench.kernel.name)
            if name not in bench.kernel.writes:
                assert np.array_equal(after[name], start[name]), f"{name} changed and is not among `writes`"
        for name in bench.ties:
            first = every_column(bench.begun(bench.member(5)))[f"ties.{name}"]
            kept = np.array_equal(first, after[f"ties.{name}"])
            assert kept != bench.kernel.rewires, "ties move where the kernel `rewires`, and nowhere else"
        for table, columns in bench.kernel.tables.items():
            for column in columns:
                column.check(after[f"{table}.{column.name}"], f"{bench.kernel.name}: {table}")


def test_something_happens(bench: Bench):
    """If this fails, the kernel does nothing under its defaults: give it a line in LIVELY."""
    after = bench.after(bench.people.columns, 6)
    assert any((after[name] != bench.people.columns[name]).any() for name in bench.kernel.writes), (
        "nothing changes under the defaults: give the kernel a line in LIVELY of tests/contract/world.py"
    )


def test_a_seed_decides_every_bit(bench: Bench):
    """The same seed, the same bits; another seed, others: from its own start, or from one start for all.

    After a step or after all of them: the end of a wave that takes everybody is the same for all seeds.
    """
    same = True
    for starts in ((bench.init(7), bench.init(8)), (dict(bench.people.columns),) * 2):
        once, again = bench.after(starts[0], 7), bench.after(starts[0], 7)
        assert equal(once, again), "the same seed gives other bits: something draws without the key"
        same &= equal(once, bench.after(starts[1], 8))
        same &= equal(bench.after(starts[0], 7, count=1), bench.after(starts[1], 8, count=1))
    assert equal(bench.init(7), bench.init(7)), "init gives other bits for the same seed"
    assert not same, "another seed gives the same bits: nothing is drawn with the key"


def test_relabelled_agents_live_the_same_lives(bench: Bench):
    """Agents in another order, with their ids and their rows: the trajectory by id is the same to the last bit."""
    order = np.random.default_rng(2).permutation(SIZE)
    agents = bench.people.columns
    straight = bench.after(agents, 9)
    other = bench.relabelled(order).after({name: column[order] for name, column in agents.items()}, 9)
    assert equal({name: v if "." in name else v[order] for name, v in straight.items()}, other), (
        "agents in another order live other lives: a draw goes by row and not by id, or a sum depends on order"
    )


def test_absent_agents_do_not_change_and_change_nobody(bench: Bench):
    generator = np.random.default_rng(3)
    absent = generator.random(SIZE) < 0.3
    agents = {**bench.people.columns, "present": ~absent}
    after = bench.after(agents, 10)
    for name in bench.kernel.writes:
        assert np.array_equal(after[name][absent], agents[name][absent]), f"{name}: absent agents change"
    other = dict(agents)
    for name, column in schema_of(bench.kernel).items():
        apart = absent.reshape(SIZE, *(1 for _ in column.shape))
        other[name] = np.where(apart, drawn(column, SIZE, generator), agents[name])
    again = bench.after(other, 10)
    for name in after:
        if "." in name:
            assert np.array_equal(after[name], again[name]), f"{name}: {STALE}"
        elif name in bench.kernel.writes:
            assert np.array_equal(after[name][~absent], again[name][~absent]), f"{name}: {STALE}"
