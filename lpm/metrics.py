"""Counting: what the metrics need is counted inside the scan, exactly, and rolled up to groups on the host.

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
from lpm.histograms import histogram
from lpm.homophily import mixing
from lpm.inequality import Items
from lpm.metric import BINNED, COUNTED, SUMMED, TIED
from lpm.metric import Metric as Metric
from lpm.moments import moments
from lpm.network import Layer
from lpm.ops.groups import fraction_bits, integers_of, people_of, sum_by_group, weighted_sum_by_group
from lpm.ops.moves import changed_limbs, moves_between_levels
from lpm.population import WEIGHT_UNIT, Column
from lpm.statistic import Seen, Statistic, room_of
from lpm.types import Array, Columns, HostArray, Tables

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CELLS = 65_536
"""Joint cells that are held per step and metric."""

MOST_NUMBERS = 1 << 20
"""Sums that are held per step and statistic: cells times bins, or times sums."""


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
        statistics: What other metrics are made of, by the metric's name.
    """

    metrics: tuple[Metric, ...]
    by: tuple[str, ...]
    sizes: tuple[int, ...]
    names: tuple[tuple[str, ...], ...]
    levels: tuple[tuple[str, int], ...]
    bits: tuple[tuple[str, int], ...]
    statistics: tuple[tuple[str, Statistic], ...] = ()

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

    @property
    def sums(self) -> dict[str, Statistic]:
        """The statistics, each once, by the name of their sums."""
        return {statistic.name: statistic for _, statistic in self.statistics}

    def record(
        self,
        before: Columns,
        after: Columns,
        cell: Array,
        shards: int,
        layers: Mapping[str, Layer] | None = None,
        tables: Tables | None = None,
        last: Mapping[str, Array] | None = None,
    ) -> dict[str, Array]:
        """Return the exact sums of one step, as limbs (uint32 [..., 2]).

        Args:
            before: Columns of table "agents" as the step found them.
            after: Columns as it left them.
            cell: What `cell` returned.
            shards: Number of devices.
            layers: The networks of the step; None = only what conditions of interventions look at.
            tables: Columns of the tables beside "agents" as it left them.
            last: What this returned for `before`, where nobody comes, goes or changes weight or cell: people are then
                those of before, and a stock is that of before and what moved; integers, so the same to the last bit.
        """
        weight = jnp.where(after["present"], after["weight"], 0)
        sums = {"people": sum_by_group(weight, cell, self.cells, shards) if last is None else last["people"]}
        for column, size in self.levels:
            stock, codes = f"stock:{column}", (before[column], after[column])
            entered, left = moves_between_levels(
                *codes, after["weight"], after["present"], cell, self.cells, size, shards
            )
            if column in self.kinds("flow"):
                sums[f"flow:{column}"] = entered
            if column in self.kinds("stock") and last is not None:
                sums[stock] = changed_limbs(last[stock], entered, left)
            elif column in self.kinds("stock"):
                code = cell * size + after[column].astype(jnp.int32)
                sums[stock] = sum_by_group(weight, code, self.cells * size, shards).reshape(self.cells, size, 2)
        for column, bits in self.bits:
            values = after[column].astype(jnp.float32)
            sums[f"sum:{column}"] = weighted_sum_by_group(values, weight, cell, self.cells, bits, shards)
        if layers is None:
            return sums
        seen = Seen(after, weight, cell, self.cells, shards, layers, tables or {})
        return sums | {name: statistic.record(seen) for name, statistic in self.sums.items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of everything that `record` returns, by name."""
        told: dict[str, tuple[int, ...]] = {"people": (self.cells, 2)}
        for column, size in self.levels:
            told |= {f"{k}:{column}": (self.cells, size, 2) for k in ("stock", "flow") if column in self.kinds(k)}
        told |= {f"sum:{column}": (self.cells, 2) for column, _ in self.bits}
        return told | {name: statistic.shape(self.cells) for name, statistic in self.sums.items()}

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
        names, picks = tuple(name for name, _ in every), [pick for _, pick in every]
        weight = self._by_group(integers_of(sums["people"]), picks)
        values = {"people": weight.astype(np.float64) / WEIGHT_UNIT}
        for metric in self.metrics:
            if metric.kind not in COUNTED:
                continue
            declared = {name for name, _ in self.groups(metric.by)}
            other = [name not in declared for name in names]
            for column, table in zip(metric.columns, self._told(metric, sums, picks, weight), strict=True):
                table[:, other] = np.nan
                values[column] = table
        return names, values

    def _told(
        self, metric: Metric, sums: Mapping[str, HostArray], picks: Sequence[tuple[int, ...]], weight: HostArray
    ) -> list[HostArray]:
        """Return a counted metric's columns, [steps, groups] each."""
        statistic = dict(self.statistics).get(metric.name)
        if statistic is not None:
            whole = integers_of(sums[statistic.name])
            if statistic.by_cell:
                return statistic.told(metric, self._by_group(whole, picks), weight)
            only = statistic.told(metric, whole, weight)  # for everybody
            return [np.concatenate([x, np.full((len(x), len(picks) - 1), np.nan)], axis=1) for x in only]
        if metric.kind in ("flow", "stock"):
            cells = people_of(sums[f"{metric.kind}:{metric.column}"])[..., list(metric.levels)].sum(-1)
            return [self._by_group(cells, picks)]
        unit = float(WEIGHT_UNIT) * 2.0 ** dict(self.bits)[metric.column]
        table = self._by_group(integers_of(sums[f"sum:{metric.column}"]) / unit, picks)
        if metric.kind == "mean":
            people = weight / WEIGHT_UNIT
            table = np.divide(table, people, out=np.full_like(table, np.nan), where=people > 0)
        return [table]

    def _by_group(self, cells: HostArray, picks: Sequence[tuple[int, ...]]) -> HostArray:
        """Return [steps, groups, ...] from [steps, cells, ...]: sums over the columns that a group leaves open."""
        steps, rest = cells.shape[0], cells.shape[2:]
        cube = cells.reshape(steps, *self.sizes, *rest)
        columns: list[HostArray] = []
        for pick in picks:
            index = (slice(None), *(slice(None) if code < 0 else code for code in pick))
            columns.append(cube[index].reshape(steps, -1, *rest).sum(1))
        return np.stack(columns, 1)

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
        if metric.kind in COUNTED and not metric.table and metric.column not in schema:
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
        tuple(
            (metric.name, statistic_of(metric, schema, people, f"{where}.{metric.name}"))
            for metric in metrics
            if metric.kind in COUNTED and metric.kind not in SUMMED
        ),
    )
    if made.cells > MOST_CELLS:
        raise InputError(f"{where}: {made.cells} combinations of {', '.join(by)}; the most is {MOST_CELLS}")
    for name, statistic in made.statistics:
        numbers = int(np.prod(statistic.shape(made.cells), dtype=np.int64)) // 2
        if numbers > MOST_NUMBERS:
            raise InputError(
                f"{where}.{name}: {numbers} numbers a step in {made.cells} combinations of groups; the most is "
                f"{MOST_NUMBERS}; declare fewer bins or groups"
            )
    return made


def statistic_of(metric: Metric, schema: Mapping[str, Column], people: float, where: str) -> Statistic:
    """Return what a metric that is no plain sum is made of.

    Raises:
        InputError: A column, range or number of bins that does not suit it.
    """
    if metric.table:
        if metric.kind != "gini" or metric.by:
            raise InputError(f"{where}: rows of table '{metric.table}' have a Gini coefficient only, and no groups")
        return Items(metric.table, metric.column)
    column, room = schema[metric.column], room_of(people)
    if metric.kind in TIED:
        return mixing(metric, column, room, where)
    if metric.kind in BINNED:
        return histogram(metric, column, people, where)
    return moments(column, 2 if metric.kind == "variance" else 4, room, where)
