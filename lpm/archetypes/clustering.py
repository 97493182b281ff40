"""Archetypes of a population: agents alike in the columns that matter, as exact groups or as mixed clusters.

`groups` makes one archetype of every combination of values that occurs. `mixed` makes K of columns of any kind by
mini-batch k-means (D. Sculley, 2010, 10.1145/1772690.1772862): numbers are scaled to variance 1, categories become
indicators scaled so that a column's total variance is 1, so that every column weighs the same (the mixture of squared
and matching distance of Z. Huang, 1998, 10.1023/A:1009769707641, with the weight fixed). It is fitted on distinct
profiles of a sample, every one counted with the people it stands for; then every agent goes to its nearest centre.

Archetypes are numbered by the people they stand for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lpm.errors import InputError, unknown
from lpm.fidelity import RARE, tail_coverage
from lpm.types import HostArray

MOST = 5_000
"""Most archetypes: above it, asking about each costs more than asking a model of its own."""

SAMPLE = 100_000
"""Agents that centres are fitted on, or 20 for every archetype where that is more."""

ROUNDS = 20
"""Passes over the sample; a fixed number, so that the last digits of a stopping rule decide nothing."""

TAILS = (0.025, 0.975)
"""Quantiles beyond which a number counts as rare."""

OWN = ("archetype", "weight", "agents")


@dataclass(frozen=True)
class Clusters:
    """Who belongs to which archetype.

    Attributes:
        of_agent: Archetype of each agent, int32 [N].
        archetypes: One row an archetype: archetype, weight (people), agents, and by column its value in all of it; of
            a mixed clustering the most frequent value with its share `column.share`, or the mean with the standard
            deviation `column.sd` of a number.
        columns: The columns that were clustered.
        facts: How it was made: method, asked (K), seed, sample.
    """

    of_agent: HostArray
    archetypes: pl.DataFrame
    columns: tuple[str, ...]
    facts: Mapping[str, str | int]

    @property
    def size(self) -> int:
        """Number of archetypes A."""
        return self.archetypes.height

    def composition(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return what each archetype holds, as weighted shares.

        Args:
            frame: The agents that were clustered.

        Returns:
            Columns archetype, column, value (of a number: "mean", "sd", "least", "most"), amount (a share, or that).
        """
        held = _weighted(frame, self.columns).with_columns(archetype=pl.Series(self.of_agent))
        parts: list[pl.DataFrame] = []
        for name in self.columns:
            if numeric(held[name]):
                mean, weight = pl.col(name).dot("weight") / pl.col("weight").sum(), pl.col("weight")
                told = held.group_by("archetype").agg(
                    mean=mean,
                    sd=((pl.col(name).cast(pl.Float64) - mean).pow(2).dot(weight) / weight.sum()).clip(0).sqrt(),
                    least=pl.col(name).min().cast(pl.Float64),
                    most=pl.col(name).max().cast(pl.Float64),
                )
                long = told.unpivot(index="archetype", variable_name="value", value_name="amount")
            else:
                counted = held.group_by("archetype", value=pl.col(name).cast(pl.String)).agg(pl.col("weight").sum())
                share = pl.col("weight") / pl.col("weight").sum().over("archetype")
                long = counted.select("archetype", "value", amount=share)
            parts.append(long.select("archetype", "value", pl.col("amount").cast(pl.Float64), column=pl.lit(name)))
        made = pl.concat(parts).select("archetype", "column", "value", "amount")
        return made.sort("archetype", "column", "amount", "value", descending=(False, False, True, False))

    def tails(self, frame: pl.DataFrame, rare: float = RARE) -> pl.DataFrame:
        """Return whether what is rare in the population can still be seen in the archetypes' cards.

        With p_s the share of people with value s and q_s the share of people whose archetype shows s (its most
        frequent value, or the place of its mean), the coverage is that of `lpm.fidelity.tail_coverage`: 1 = every rare
        value is shown for as many as have it, 0 = none is left. A number's values are "low", "middle" and "high" at the
        quantiles `TAILS`; the row "all together" is of the categorical columns' combinations.

        Returns:
            Columns column, rare (number of rare values), people (share of them), shown (how many are shown at all),
            coverage (null where nothing is rare).
        """
        held = _weighted(frame, self.columns)
        texts = [name for name in self.columns if not numeric(held[name])]
        shown = self.archetypes
        places: dict[str, tuple[pl.Series, pl.Series]] = {}
        for name in self.columns:
            if name in texts:
                places[name] = (held[name].cast(pl.String), shown[name].cast(pl.String))
            else:
                low, high = _quantiles(held[name], held["weight"])
                places[name] = (_thirds(held[name], low, high), _thirds(shown[name], low, high))
        if len(texts) > 1:
            one, two = (pl.DataFrame([places[name][i].rename(name) for name in texts]) for i in (0, 1))
            joined = pl.concat_str(texts, separator="\x1f")
            places["all together"] = (one.select(joined).to_series(), two.select(joined).to_series())
        rows = [(name, *_tail(a, held["weight"], b, shown["weight"], rare)) for name, (a, b) in places.items()]
        return pl.DataFrame(rows, schema=("column", "rare", "people", "shown", "coverage"), orient="row")


def groups(frame: pl.DataFrame, columns: Sequence[str]) -> Clusters:
    """Return one archetype for every combination of the columns' values that occurs.

    Args:
        frame: One row an agent; `weight` (people) where an agent stands for other than one person.
        columns: Categorical columns (text, categories, whole numbers, booleans).

    Raises:
        InputError: An unknown column, a missing value, a column of fractions, or more than `MOST` combinations.
    """
    held = _weighted(frame, columns)
    for name in columns:
        if held[name].dtype.is_float():
            raise InputError(
                f"archetypes: {name}: expected categories, got numbers; put them into classes, or use mixed"
            )
    found = held.group_by(columns).agg(pl.col("weight").sum(), agents=pl.len())
    if found.height > MOST:
        raise InputError(
            f"archetypes: {found.height:,} combinations of {', '.join(columns)}, at most {MOST:,}; use mixed"
        )
    found = found.sort("weight", *columns, descending=(True, *[False] * len(columns)))
    found = found.with_row_index("archetype").select(pl.col("archetype").cast(pl.Int32), "weight", "agents", *columns)
    of_agent = held.join(found.select("archetype", *columns), on=list(columns), how="left", maintain_order="left")
    facts: dict[str, str | int] = {"method": "groups", "asked": found.height}
    return Clusters(of_agent["archetype"].to_numpy(), found, tuple(columns), facts)


def mixed(frame: pl.DataFrame, columns: Sequence[str], k: int, seed: int = 0) -> Clusters:
    """Return up to K archetypes of columns of any kind; fewer where there are fewer profiles or a centre stays empty.

    Numbers of any kind are distances; cast codes to text to have them as categories. The same frame and seed give the
    same clusters, on any number of threads.

    Args:
        frame: One row an agent; `weight` (people) where an agent stands for other than one person.
        columns: What agents are to be alike in.
        k: Number of archetypes, 1 .. `MOST`.
        seed: Of the sample and of the first centres.

    Raises:
        InputError: An unknown column, a missing or infinite value, or a K that is not allowed.
    """
    if not 1 <= k <= min(MOST, max(frame.height, 1)):
        raise InputError(f"archetypes: expected 1 to {min(MOST, frame.height):,} archetypes, got {k}")
    held = _weighted(frame, columns)
    profiles, row = _profiles(held, columns)
    label = _nearest(_coordinates(profiles, columns), profiles["weight"].to_numpy(), min(k, profiles.height), seed)
    of_agent = label if row is None else label[row]
    total = np.bincount(of_agent, held["weight"].to_numpy())
    kept = np.flatnonzero(np.bincount(of_agent))
    order = kept[np.lexsort((kept, -total[kept]))]
    number = np.full(len(total), -1, np.int32)
    number[order] = np.arange(len(order))
    of_agent = number[of_agent]
    facts: dict[str, str | int] = {
        "method": "mixed", "asked": k, "seed": seed, "sample": min(profiles.height, max(SAMPLE, 20 * k)),
    }  # fmt: skip
    return Clusters(of_agent, _described(held, columns, of_agent), tuple(columns), facts)


def numeric(series: pl.Series) -> bool:
    """Return whether a column holds numbers, not categories."""
    return series.dtype.is_numeric()


def _weighted(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Return the columns and `weight` [people] after checking them."""
    if not columns or len(set(columns)) != len(columns) or frame.height < 1:
        raise InputError(f"archetypes: expected agents and columns with different names, got {list(columns)}")
    for name in columns:
        if name not in frame.columns:
            raise unknown("archetypes", "column", name, frame.columns)
        if name in OWN:
            raise InputError(f"archetypes: '{name}' describes no person; leave it out")
    weight = frame["weight"].cast(pl.Float64) if "weight" in frame.columns else pl.Series(np.ones(frame.height))
    held = frame.select(columns).with_columns(weight.alias("weight"))
    for series in held:
        bad = series.null_count() + (int((~series.is_finite()).sum()) if series.dtype.is_float() else 0)
        if bad:
            raise InputError(f"archetypes: {series.name}: {bad} values are missing, NaN or infinite")
    if (held["weight"] < 0).any() or held["weight"].sum() <= 0:
        raise InputError("archetypes: weight: expected numbers from 0 on, and some people")
    return held


def _profiles(held: pl.DataFrame, columns: Sequence[str]) -> tuple[pl.DataFrame, HostArray | None]:
    """Return the distinct profiles with their people, and the profile of each agent; None = agents as they are."""
    distinct = held.select(pl.struct(columns).hash().n_unique()).item()
    if 2 * distinct > held.height:  # to find the few that are alike would cost more than it saves
        return held, None
    profiles = held.group_by(columns, maintain_order=True).agg(pl.col("weight").sum()).with_row_index("profile")
    row = held.join(profiles.select("profile", *columns), on=list(columns), how="left", maintain_order="left")
    return profiles, row["profile"].to_numpy()


def _coordinates(profiles: pl.DataFrame, columns: Sequence[str]) -> HostArray:
    """Return one row a profile, float32 [P, D]; every column that varies has total variance 1."""
    share = profiles["weight"].to_numpy() / profiles["weight"].sum()
    parts: list[HostArray] = []
    for name in columns:
        if numeric(profiles[name]):
            part = profiles[name].to_numpy().astype(np.float64)[:, None]
        else:
            codes = profiles[name].cast(pl.String).rank("dense").to_numpy().astype(np.int64) - 1
            part = np.eye(codes.max() + 1)[codes]
        part = part - share @ part
        deviation = np.sqrt(float((share @ part**2).sum()))
        parts.append((part / deviation if deviation > 0 else part).astype(np.float32))
    return np.concatenate(parts, 1)


def _nearest(points: HostArray, people: HostArray, k: int, seed: int) -> HostArray:
    """Return the centre of each profile, int [P]."""
    if k == len(points):
        return np.arange(k)
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(seed)
    count = max(SAMPLE, 20 * k)
    if count < len(points):
        chance = people + people.mean()  # half by people, half by profile: a rare profile is not left to luck alone
        rows = np.sort(rng.choice(len(points), count, replace=False, p=chance / chance.sum()))
    else:
        rows = np.arange(len(points))
    passes: dict[str, Any] = {"max_iter": ROUNDS, "tol": 0, "max_no_improvement": None, "n_init": 1}
    passes |= {"reassignment_ratio": 0}  # else small clusters, where what is rare lives, are given up
    model: Any = MiniBatchKMeans(k, batch_size=max(1024, 2 * k), random_state=seed % 2**32, **passes)
    with threadpool_limits(1):  # sums do not depend on the number of threads
        model.fit(points[rows], sample_weight=np.where(people[rows] > 0, people[rows], people.mean() * 1e-6))
        return np.concatenate([model.predict(points[i : i + SAMPLE]) for i in range(0, len(points), SAMPLE)])


def _described(held: pl.DataFrame, columns: Sequence[str], of_agent: HostArray) -> pl.DataFrame:
    marked = held.with_columns(archetype=pl.Series(of_agent))
    made = marked.group_by("archetype").agg(pl.col("weight").sum(), agents=pl.len()).sort("archetype")
    for name in columns:
        if numeric(held[name]):
            value, weight = pl.col(name).cast(pl.Float64), pl.col("weight")
            mean = pl.when(weight.sum() > 0).then(value.dot(weight) / weight.sum()).otherwise(value.mean())
            spread = pl.when(weight.sum() > 0).then((value - mean).pow(2).dot(weight) / weight.sum()).otherwise(0.0)
            told = marked.group_by("archetype").agg(mean.alias(name), spread.clip(0).sqrt().alias(f"{name}.sd"))
        else:
            counted = marked.group_by("archetype", name).agg(pl.col("weight").sum(), agents=pl.len())
            counted = counted.with_columns(text=pl.col(name).cast(pl.String))
            first = counted.sort("archetype", "weight", "agents", "text", descending=(False, True, True, False))
            share = (pl.col("weight").first() / pl.col("weight").sum()).fill_nan(1.0)
            shares = (pl.col(name).first(), share.alias(f"{name}.share"))
            told = first.group_by("archetype", maintain_order=True).agg(*shares)
        made = made.join(told, on="archetype", how="left", maintain_order="left")
    return made.with_columns(pl.col("archetype").cast(pl.Int32))


def _quantiles(values: pl.Series, weight: pl.Series) -> tuple[float, float]:
    order = values.arg_sort()
    sorted_values = values.gather(order).to_numpy().astype(np.float64)
    reached = np.cumsum(weight.gather(order).to_numpy())
    low, high = (sorted_values[np.searchsorted(reached, share * reached[-1])] for share in TAILS)
    return float(low), float(high)


def _thirds(values: pl.Series, low: float, high: float) -> pl.Series:
    numbers = values.to_numpy()
    return pl.Series(np.where(numbers < low, "low", np.where(numbers > high, "high", "middle")))


def _tail(
    real: pl.Series, people: pl.Series, shown: pl.Series, weight: pl.Series, rare: float
) -> tuple[int, float, int, float | None]:
    """Return the number of rare values, the share of people who have one, how many are shown, the coverage."""
    have = pl.DataFrame({"value": real, "p": people}).group_by("value").agg(pl.col("p").sum())
    told = pl.DataFrame({"value": shown, "q": weight}).group_by("value").agg(pl.col("q").sum())
    both = have.join(told, on="value", how="full", coalesce=True).fill_null(0.0).sort("value")
    p, q = (both[name].to_numpy() / both[name].sum() for name in ("p", "q"))
    tail = (p > 0) & (p <= rare)
    if not tail.any():
        return 0, 0.0, 0, None
    return int(tail.sum()), float(p[tail].sum()), int((q[tail] > 0).sum()), tail_coverage(p, q, rare)
