"""The contract of a kernel, first part: what it declares, and that it reads and writes no more.

A new kernel is tested by being imported in `kernels/__init__.py`.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lpm import random
from lpm.clock import Clock
from lpm.kernel import Kernel, declarations
from lpm.population import IDENTITY

from .world import DT, Bench, everyone

UNPUBLISHED = "own model, unpublished"
"""What stands in the place of a reference where there is none."""

SCHEDULES = ("synchronous", "random-sequential", "random pairs", "one event")


def test_parameters_are_declared(kernel: type[Kernel]):
    """A frozen dataclass that is a pytree; every field with unit, meaning, source and a default within bounds."""
    params = kernel.Params
    frozen = dataclasses.is_dataclass(params) and params.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert frozen, "Params is not a frozen dataclass"
    declared = declarations(params)
    assert list(declared) == [field.name for field in dataclasses.fields(params)], "a field without parameter(...)"
    for name, each in declared.items():
        assert each.unit and each.meaning and each.source, f"{name}: unit, meaning and source are not all given"
        low, high = each.bounds
        assert low < high, f"{name}: bounds: expected low < high, got {low} and {high}"
        default = getattr(params(), name)
        if each.choices:
            assert default in each.choices, f"{name}: its default '{default}' is none of its choices"
            continue
        assert (np.asarray(default, float) >= low).all() and (np.asarray(default, float) <= high).all(), (
            f"{name}: its default {default} lies outside {low} to {high}"
        )
        assert not each.prior or each.prior[0] in ("lognormal", "normal", "uniform", "beta"), (
            f"{name}: prior: unknown family '{each.prior[0]}'"
        )
    numbers = sum(not each.choices for each in declared.values())
    assert len(jax.tree.leaves(params())) == numbers, (
        "Params is not registered as a pytree whose leaves are its numbers: decorate it as in degroot.py"
    )
    kernel.check(params(), "test")


def test_documentation_tells_schedule_equation_and_reference(kernel: type[Kernel]):
    told = f"{inspect.getdoc(sys.modules[kernel.__module__])}\n{inspect.getdoc(kernel)}"
    assert kernel.schedule in SCHEDULES, f"schedule: expected one of {SCHEDULES}, got '{kernel.schedule}'"
    assert kernel.schedule in told.lower(), f"the docstring does not name the schedule '{kernel.schedule}'"
    assert ":math:" in told or ".. math::" in told, "no equation: expected :math:`...` in the module's docstring"
    assert re.search(r"\b10\.\d{4,9}/\S+", told) or UNPUBLISHED in told, (
        f"no reference: expected author, year and DOI, or the words '{UNPUBLISHED}' and whose it is"
    )
    for what, described in (("class", kernel), ("Params", kernel.Params), ("step", kernel.step)):
        assert inspect.getdoc(described), f"no docstring: {what}"


def test_columns_exist_and_fit_together(kernel: type[Kernel]):
    own = [column.name for column in kernel.columns]
    known = set(everyone()) | {column.name for column in IDENTITY}
    groups = {declared.by for declared in declarations(kernel.Params).values() if declared.by}
    assert len(set(own)) == len(own), "a column is declared twice"
    assert kernel.writes and set(kernel.writes) <= known, "a column is written that no kernel declares"
    assert "agents" not in kernel.tables, "columns of agents belong into `columns`, not into `tables`"
    for columns in kernel.tables.values():
        assert len({column.name for column in columns}) == len(columns) and all(column.meaning for column in columns)
    assert set(kernel.writes) <= set(own) | set(kernel.reads), "a column is written that is neither its own nor read"
    assert groups <= set(kernel.reads), "a parameter follows a column that is not among `reads`"
    lost = set(kernel.reads) - known - groups - {"years", "place"}
    assert not lost, f"reads {lost}, which no kernel declares"
    assert not {"id", "weight", "present"} & set(kernel.writes), "id, weight and present are not for kernels to write"
    for column in kernel.columns:
        assert column.meaning, f"column {column.name}: no meaning"
        assert not column.levels or len(column.levels) <= np.iinfo(column.dtype).max, (
            f"column {column.name}: more levels than {column.dtype} holds"
        )


def test_step_reads_and_writes_what_it_declares(bench: Bench):
    kernel, seen = bench.kernel, set[str]()

    class Watched(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            seen.add(name)
            return super().__getitem__(name)

    def one(agents: Any, others: Any, layer: Any, params: Any) -> Any:
        clock = Clock(jnp.int32(0), DT, 1)
        tables = {**others, "agents": Watched(agents)}
        ready = kernel.prepare(params, tables, clock)
        begun = kernel.init(random.root(1), tables, ready, clock)
        return begun, kernel.step(random.root(1), tables, {"contacts": layer}, ready, clock)

    params = jax.tree.map(lambda leaf: leaf[0], bench.member(1).params[kernel.name])
    layer = bench.seen()
    begun, moved = jax.eval_shape(one, dict(bench.people.columns), bench.tables, layer, params)
    if kernel.rewires and bench.ties:
        assert jax.eval_shape(lambda ties: ties, layer) == moved.pop("ties")["contacts"], "other slots of ties"
    declared = {table: {column.name: column for column in columns} for table, columns in kernel.tables.items()}
    own = set(moved) - set(declared)
    assert own == set(kernel.writes), f"step returns {own}, `writes` says {set(kernel.writes)}"
    more = set(begun) - set(declared) - set(kernel.writes)
    assert not more, f"init returns {more}, which is not among `writes`"
    for made in (begun, moved):
        for table in set(made) & set(declared):
            for name, values in made[table].items():
                rows, column = len(bench.tables[table][name]), declared[table][name]
                assert (values.shape, values.dtype) == ((rows, *column.shape), column.dtype), f"{table}.{name}"
        for name, values in made.items():
            if name in declared:
                continue
            column = bench.people.columns[name]
            assert (values.shape, values.dtype) == (column.shape, column.dtype), name
    allowed = {*kernel.reads, *(c.name for c in kernel.columns), *(c.name for c in IDENTITY)}
    assert seen <= allowed, f"reads {seen - allowed}, which is not among `reads`"
