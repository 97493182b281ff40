"""Metrics: what is counted inside the scan, exactly, and rolled up to groups on the host.

Inside the scan only joint cells (every combination of the levels of all `by` columns) are summed, as integers; the
groups of the report are exact sums of cells. Nothing grows with agents x steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from lpm.errors import InputError, unknown
from lpm.ops.groups import fraction_bits, integers_of, people_of, sum_by_group, weighted_sum_by_group
from lpm.population import WEIGHT_UNIT, Column
from lpm.types import Array, Columns, HostArray

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNTED = ("flow", "stock", "mean", "sum")
"""Kinds that are summed inside the scan; "share", "ratio" and "reproduction" are derived from them on the host."""

MOST_CELLS = 65_536
"""Joint cells that are held per step and metric."""


@dataclass(frozen=True)
class Metric:
    """One declared metric.

    Attributes:
        name: Name of its column in the trajectory.
        kind: "flow" (people who enter the levels in a step), "stock" (people there after it), "mean" or "sum" of a
            numeric column over people, or a derived kind ("share", "ratio", "reproduction").
        column: Column that is counted ("" for a derived kind).
        levels: Codes of the levels that a flow or stock counts.
        of: Names of the metrics that a derived one is made of.
        by: Categorical columns by whose levels (and combinations) it is reported.
        title: For people.
        unit: Unit of the values.
        interval: Mean (days) and shape of the generation interval of a "reproduction".
    """

    name: str
    kind: str
    column: str = ""
    levels: tuple[int, ...] = ()
    of: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    title: str = ""
    unit: str = ""
    interval: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Recorder:
    """Counts inside the scan what the declared metrics need.

    Attributes:
        metrics: The declared metrics.
        by: All `by` columns, in declared column order.
        sizes: Number of levels of each.
        names: Names of their levels.
        levels: Number of levels of every counted categorical column.
        bits: Declared fixed-point scale of every summed numeric column.
    """

    metrics: tuple[Metric, ...]
    by: tuple[str, ...]
    sizes: tuple[int, ...]
    names: tuple[tuple[str, ...], ...]
    levels: tuple[tuple[str, int], ...]
    bits: tuple[tuple[str, int], ...]

    @property
    def cells(self) -> int:
        """Number of joint cells."""
        return int(np.prod(self.sizes, dtype=np.int64)) if self.sizes else 1

    def kinds(self, kind: str) -> set[str]:
        """Return the columns that are counted as this kind."""
        return {metric.column for metric in self.metrics if metric.kind == kind}

    def cell(self, agents: Columns) -> Array:
        """Return int32 [rows], the joint cell of every agent."""
        cell = jnp.zeros(agents["id"].shape, jnp.int32)
        for name, size in zip(self.by, self.sizes, strict=True):
            cell = cell * size + agents[name].astype(jnp.int32)
        return cell

    def record(self, before: Columns, after: Columns, cell: Array, shards: int) -> dict[str, Array]:
        """Return the exact sums of one step, as limbs (uint32 [..., 2]).

        Args:
            before: Columns of table "agents" as the step found them.
            after: Columns as it left them.
            cell: What `cell` returned.
            shards: Number of devices.
        """
        weight = jnp.where(after["present"], after["weight"], 0)
        sums = {"people": sum_by_group(weight, cell, self.cells, shards)}
        for column, size in self.levels:
            code = cell * size + after[column].astype(jnp.int32)
            shape = (self.cells, size, 2)
            if column in self.kinds("stock"):
                sums[f"stock:{column}"] = sum_by_group(weight, code, self.cells * size, shards).reshape(shape)
            if column in self.kinds("flow"):
                entered = jnp.where(after[column] != before[column], weight, 0)
                sums[f"flow:{column}"] = sum_by_group(entered, code, self.cells * size, shards).reshape(shape)
        for column, bits in self.bits:
            values = after[column].astype(jnp.float32)
            sums[f"sum:{column}"] = weighted_sum_by_group(values, weight, cell, self.cells, bits, shards)
        return sums

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of everything that `record` returns, by name."""
        told: dict[str, tuple[int, ...]] = {"people": (self.cells, 2)}
        for column, size in self.levels:
            told |= {f"{k}:{column}": (self.cells, size, 2) for k in ("stock", "flow") if column in self.kinds(k)}
        return told | {f"sum:{column}": (self.cells, 2) for column, _ in self.bits}

    def groups(self, by: Sequence[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield every group of these columns as (name, level codes in their order): margins of all subsets first."""
        order = [name for name in self.by if name in by]
        for count in range(len(order) + 1):
            for chosen in itertools.combinations(order, count):
                sizes = [range(self.sizes[self.by.index(name)]) for name in chosen]
                for codes in itertools.product(*sizes):
                    parts = [
                        f"{name}={self.names[self.by.index(name)][code]}"
                        for name, code in zip(chosen, codes, strict=True)
                    ]
                    pick = tuple(codes[chosen.index(name)] if name in chosen else -1 for name in self.by)
                    yield ";".join(parts) or "all", pick

    def roll_up(self, sums: Mapping[str, HostArray]) -> tuple[tuple[str, ...], dict[str, HostArray]]:
        """Return the groups and each counted metric as float64 [steps, groups], NaN where it is not declared.

        Args:
            sums: Limbs of every step, [steps, ...], by the names of `record`.
        """
        every = list(self.groups(self.by))
        names = tuple(name for name, _ in every)
        people = self._by_group(people_of(sums["people"]), [pick for _, pick in every])
        values = {"people": people}
        for metric in self.metrics:
            if metric.kind not in COUNTED:
                continue
            declared = {name for name, _ in self.groups(metric.by)}
            if metric.kind in ("flow", "stock"):
                cells = people_of(sums[f"{metric.kind}:{metric.column}"])[..., list(metric.levels)].sum(-1)
            else:
                unit = float(WEIGHT_UNIT) * 2.0 ** dict(self.bits)[metric.column]
                cells = integers_of(sums[f"sum:{metric.column}"]) / unit
            table = self._by_group(cells, [pick for _, pick in every])
            if metric.kind == "mean":
                table = np.divide(table, people, out=np.full_like(table, np.nan), where=people > 0)
            table[:, [name not in declared for name in names]] = np.nan
            values[metric.name] = table
        return names, values

    def _by_group(self, cells: HostArray, picks: Sequence[tuple[int, ...]]) -> HostArray:
        """Return [steps, groups] from [steps, cells]: sums over the columns that a group leaves open."""
        cube = cells.reshape(cells.shape[0], *self.sizes)
        columns: list[HostArray] = []
        for pick in picks:
            index = (slice(None), *(slice(None) if code < 0 else code for code in pick))
            part = cube[index]
            columns.append(part.reshape(part.shape[0], -1).sum(-1))
        return np.stack(columns, -1)

    def value(self, metric: str, group: str, sums: Mapping[str, Array]) -> Array:
        """Return float32, a counted metric's value (people) for one group from the sums of a step, inside the scan."""
        described = next(m for m in self.metrics if m.name == metric)
        pick = dict(self.groups(described.by))[group]
        pair = sums[f"{described.kind}:{described.column}"][:, jnp.array(described.levels)]
        pair = pair.reshape(*self.sizes, len(described.levels), 2)
        part = pair[tuple(slice(None) if code < 0 else code for code in pick)].reshape(-1, 2)
        with jax.enable_x64(True):
            whole = (part[:, 0].astype(jnp.int64) | (part[:, 1].astype(jnp.int64) << 32)).sum()
            return (whole.astype(jnp.float64) / WEIGHT_UNIT).astype(jnp.float32)


def recorder(
    metrics: Sequence[Metric], schema: Mapping[str, Column], where: str = "metrics", people: float = 2.0**30
) -> Recorder:
    """Return the recorder of these metrics over a table of this schema.

    Args:
        metrics: The counted metrics.
        schema: Columns of table "agents".
        where: Named in errors.
        people: The most people that there are; sums of numeric columns are the finer the fewer.

    Raises:
        InputError: An unknown column or group, a numeric column without bounds, or too many joint cells.
    """
    for metric in metrics:
        for name in metric.by:
            if name not in schema or not schema[name].levels:
                raise unknown(f"{where}.{metric.name}.by", "group", name, [c for c in schema if schema[c].levels])
        if metric.kind in COUNTED and metric.column not in schema:
            raise unknown(f"{where}.{metric.name}", "column", metric.column, schema)
    by = tuple(name for name in schema if any(name in metric.by for metric in metrics))
    counted = {m.column for m in metrics if m.kind in ("flow", "stock")}
    summed = {m.column for m in metrics if m.kind in ("mean", "sum")}
    bits: list[tuple[str, int]] = []
    for name in sorted(summed):
        low, high = schema[name].limits()
        if not np.isfinite([low, high]).all():
            raise InputError(f"{where}: column '{name}' needs bounds to be summed exactly; declare them")
        bits.append((name, fraction_bits(max(abs(low), abs(high)), people)))
    made = Recorder(
        tuple(metrics),
        by,
        tuple(len(schema[name].levels) for name in by),
        tuple(schema[name].levels for name in by),
        tuple((name, len(schema[name].levels)) for name in sorted(counted)),
        tuple(bits),
    )
    if made.cells > MOST_CELLS:
        raise InputError(f"{where}: {made.cells} combinations of {', '.join(by)}; the most is {MOST_CELLS}")
    return made
