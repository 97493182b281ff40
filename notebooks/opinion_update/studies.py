"""The data: one row a person and question, split into halves by group, on a common scale.

Files of the folder `social_influence_estimates`: J. Lorenz et al., 2011, doi:10.1073/pnas.1008636108; B. Gurcay,
B. Mellers and J. Baron, 2015, Journal of Behavioral Decision Making; J. Becker, D. Brackbill and D. Centola, 2017,
doi:10.1073/pnas.1615978114; J. Navajas et al., 2018, doi:10.1038/s41562-017-0273-4. They have no licence: they are read
where they lie and never copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from opinion_update.measures import medians

Numbers = np.ndarray[Any, Any]

NONE, MEAN, ALL, TALK = range(4)
"""Levels of the kernel's column `information`."""

NORMAL = 1.4826
"""A median absolute deviation times this is the standard deviation of a normal law."""


@dataclass(frozen=True)
class Condition:
    """One arm of one study.

    Attributes:
        study: First author.
        name: As in the data.
        told: What people were shown, in words.
        information: What they were shown, `NONE` to `TALK`.
        rounds: Number of revisions.
    """

    study: str
    name: str
    told: str
    information: int
    rounds: int

    @property
    def label(self) -> str:
        """Study and name."""
        return f"{self.study} {self.name}"


CONDITIONS = (
    Condition("Lorenz", "no", "nothing", NONE, 4),
    Condition("Lorenz", "aggregated", "the mean of all 12", MEAN, 4),
    Condition("Lorenz", "full", "all 12 estimates", ALL, 4),
    Condition("Gurcay", "C", "nothing", NONE, 1),
    Condition("Gurcay", "I", "a discussion of about 9", TALK, 1),
    Condition("Gurcay", "G", "a discussion of about 9", TALK, 1),
    Condition("Becker", "Solo", "nothing", NONE, 2),
    Condition("Becker", "Decentralized", "the mean of 4 neighbours", MEAN, 2),
    Condition("Becker", "Centralized", "one hub; the hub: the mean of all", MEAN, 2),
    Condition("Navajas", "discussion", "a discussion of 5", TALK, 1),
)
"""Every condition, in the order of all tables and arrays."""

ALONE = "Gurcay C"
"""People who answered alone and have no group: they are split, and drawn anew, one by one."""


def read(folder: Path) -> pl.DataFrame:
    """Return every person's answers: first, after the first revision, and last; those left blank or not above 0 go.

    Args:
        folder: Where the four files lie.

    Returns:
        Columns study, condition, group (who can see each other), unit (what is split and drawn anew), question, truth,
        first, next, last, central (the hub of a star).
    """

    def file(name: str) -> pl.DataFrame:
        return pl.read_csv(folder / f"{name}.csv.gz", null_values="NA", infer_schema_length=None)

    def rows(frame: pl.DataFrame, study: str, **columns: Any) -> pl.DataFrame:
        texts = ("condition", "group", "unit", "question")
        made = frame.select(pl.lit(study).alias("study"), **columns)
        return made.with_columns(
            *(pl.col(name).cast(pl.String) for name in texts),
            *(pl.col(name).cast(pl.Float64) for name in ("truth", "first", "next", "last")),
        )

    c, no = pl.col, pl.lit(False)
    alone = c("condition") == "C"
    whole = pl.concat([
        rows(
            file("lorenz_2011"), "Lorenz", condition=c("Information_Condition"), group=c("Session_Date"),
            unit=c("Session_Date"), question=c("Question"), truth=c("Truth"), first=c("E1"), next=c("E2"),
            last=c("E5"), central=no,
        ),
        rows(
            file("gurcay_2015"), "Gurcay", condition=c("condition"),
            group=pl.when(alone).then(0).otherwise(c("group")),
            unit=pl.when(alone).then(c("subject.no")).otherwise(c("group")), question=c("question.no"),
            truth=c("true values"), first=c("est1"), next=c("est2"), last=c("est2"), central=no,
        ),
        rows(
            file("becker_2017"), "Becker", condition=c("network"), group=c("group_number"), unit=c("group_number"),
            question=c("task"), truth=c("truth"), first=c("response_1"), next=c("response_2"), last=c("response_3"),
            central=c("is_central").fill_null(False),
        ),
        rows(
            file("navajas_2018"), "Navajas", condition=pl.lit("discussion"), group=c("trial"), unit=c("trial"),
            question=c("task"), truth=c("truth"), first=c("pre_influence"), next=c("post_influence"),
            last=c("post_influence"), central=no,
        ),
    ])  # fmt: skip
    answers = ("first", "next", "last")
    return whole.drop_nulls(answers).filter(pl.all_horizontal(c(name) > 0 for name in answers))


def split(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return the frame with a column `fit`: half of the units of every condition, drawn with this seed.

    A sitting of Lorenz has all three conditions, on questions that rotate in three patterns: half of each pattern.
    """
    draws, chosen = np.random.default_rng(seed), list[tuple[str, str, str, bool]]()
    strata: list[tuple[str, Sequence[str], Sequence[str]]] = []
    for (study,), own in frame.sort("study").group_by("study", maintain_order=True):
        if study == "Lorenz":
            sittings = own.filter(pl.col("condition") == "no").group_by("unit").agg(pl.col("question").min())
            for _, part in sittings.sort("question", "unit").group_by("question", maintain_order=True):
                strata.append((study, ("no", "aggregated", "full"), part["unit"].to_list()))
            continue
        for (name,), part in own.sort("condition").group_by("condition", maintain_order=True):
            strata.append((str(study), (str(name),), sorted(part["unit"].unique().to_list())))
    for study, names, units in strata:
        order = draws.permutation(len(units))
        chosen += [(study, n, units[k], place % 2 == 0) for place, k in enumerate(order) for n in names]
    table = pl.DataFrame(chosen, ["study", "condition", "unit", "fit"], orient="row")
    return frame.join(table, ["study", "condition", "unit"], "left", maintain_order="left", validate="m:1")


@dataclass(frozen=True)
class People:
    """Persons with one question each; every array is [N].

    Attributes:
        answers: float64 [N, 3], logarithm of the first, second and last estimate, the question's median taken off.
        truth: The right answer on that scale.
        doubt: Spread of the first answers to the question, as a standard deviation.
        condition: Place in `CONDITIONS`.
        question: Cell of condition and question.
        group: Cell of condition, group and question: who can see each other.
        unit: What is drawn anew by a bootstrap.
        central: Is the hub of a star.
    """

    answers: Numbers
    truth: Numbers
    doubt: Numbers
    condition: Numbers
    question: Numbers
    group: Numbers
    unit: Numbers
    central: Numbers

    @property
    def first(self) -> Numbers:
        """First estimates [N]."""
        return self.answers[:, 0]

    @property
    def later(self) -> Numbers:
        """Estimates after the first and after the last revision [2, N]."""
        return self.answers[:, 1:].T


def people(frame: pl.DataFrame) -> People:
    """Return the persons of a frame on the common scale; medians and spreads are those of its own first answers."""

    def cells(*columns: str) -> Numbers:
        joined = frame.select(pl.concat_str(columns, separator="|")).to_series().to_numpy().astype(str)
        return np.unique(joined, return_inverse=True)[1]

    asked = cells("study", "question")
    logs = np.log(frame.select("first", "next", "last", "truth").to_numpy())
    middle = medians(logs[:, 0], asked)
    logs = (logs - middle[asked][:, None]).astype(np.float32).astype(np.float64)  # as the kernel holds them
    doubt = NORMAL * medians(np.abs(logs[:, 0]), asked)[asked]
    labels = [each.label for each in CONDITIONS]
    condition = [labels.index(f"{s} {c}") for s, c in zip(frame["study"], frame["condition"], strict=True)]
    return People(
        logs[:, :3], logs[:, 3], doubt, np.asarray(condition), cells("study", "condition", "question"),
        cells("study", "condition", "group", "question"), cells("study", "condition", "unit"),
        frame["central"].to_numpy(),
    )  # fmt: skip
