"""A metric: what is told of every step, in people, and the names of its columns."""

from __future__ import annotations

from dataclasses import dataclass

SUMMED = ("flow", "stock", "mean", "sum")
"""Kinds that are one sum of people or of a column."""

BINNED = ("histogram", "quantiles", "clusters", "esteban_ray", "gini")
"""Kinds that are told from people by bin of a column (a Gini of table rows is not)."""

TIED = ("cross_cutting", "assortativity")
"""Kinds that look at the ties of a layer."""

COUNTED = (*SUMMED, "variance", "bimodality", *BINNED, *TIED)
"""Kinds that are summed inside the scan; "share", "ratio" and "reproduction" are derived from them on the host."""


@dataclass(frozen=True)
class Metric:
    """One declared metric.

    Attributes:
        name: Name of its column in the trajectory.
        kind: "flow" (people who enter the levels in a step), "stock" (people there after it), "mean" or "sum" of a
            numeric column over people, a kind of `lpm.moments`, `lpm.histograms` or `lpm.homophily`, or a derived kind
            ("share", "ratio", "reproduction").
        column: Column that is counted ("" for a derived kind).
        levels: Codes of the levels that a flow or stock counts.
        of: Names of the metrics that a derived one is made of.
        by: Categorical columns by whose levels (and combinations) it is reported.
        title: For people.
        unit: Unit of the values.
        interval: Mean (days) and shape of the generation interval of a "reproduction".
        layer: Layer whose ties are looked at.
        table: Table whose rows' Gini coefficient is told; "" = of a column of agents.
        bins: Bins of a histogram; 0 = as many as `lpm.histograms.FINE`.
        range: Ends of the bins; None = the column's bounds.
        at: Shares at which quantiles are told.
        alpha: Identification in the polarization of Esteban and Ray.
        epsilon: Widest gap within an opinion cluster, in the column's unit.
        mass: Smallest share of people that is a cluster.
        middle: Divides the two sides of a numeric column; None = the middle of its bounds (0 without bounds).
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
    layer: str = ""
    table: str = ""
    bins: int = 0
    range: tuple[float, float] | None = None
    at: tuple[float, ...] = ()
    alpha: float = 1.3
    epsilon: float = 0.0
    mass: float = 0.01
    middle: float | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns in the trajectory: `name`, or `name.bin03`, `name.q05` of a vector."""
        if self.kind == "histogram":
            digits = max(2, len(str(self.bins - 1)))
            return tuple(f"{self.name}.bin{number:0{digits}d}" for number in range(self.bins))
        if self.kind == "quantiles":
            return tuple(f"{self.name}.q{percent(at)}" for at in self.at)
        return (self.name,)


def percent(share: float) -> str:
    """Return a share's decimals: 0.05 -> "05", 0.5 -> "50", 0.025 -> "025", 1 -> "100"."""
    return "100" if share == 1 else f"{share:.12f}".split(".")[1].rstrip("0").ljust(2, "0")
