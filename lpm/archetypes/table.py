r"""The table of behaviour: a logit for every archetype, context and action, how sure it is, and where it comes from.

.. math:: P(k \mid a, c) = \frac{e^{z_{ack}}}{\sum_m e^{z_{acm}}}

One parquet file holds it: a row an archetype, context and action (actions run fastest), and what else is declared as
JSON among the file's metadata; a digest finds every changed byte (`lpm.parquet`). An archetype in a context is a cell.
One that could not be read off an answer is marked as unusable. It is never filled silently: `filled` says how, and the
table's provenance keeps that it was and where.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lpm.archetypes.contexts import Contexts
from lpm.errors import InputError, unknown
from lpm.parquet import read_frame, write_frame
from lpm.types import HostArray

NEVER = -1e4
"""Logit of an action that is never taken: its chance is 0 in float32 beside any logit above -9,000."""

MOST_LOGIT = 1e4
"""Largest size of a logit."""

MOST_ACTIONS = 250
"""Most actions: codes of 8 bits, a few of which mean something else."""

MEASURES = ("coverage", "order_spread", "entropy")
"""What is known of an answer beside its logits."""

FILLS = ("uniform", "archetype mean", "context mean")
"""How an unusable cell may be filled: all actions alike, the mean chances of the same archetype over its usable
contexts, or those of the same context over its usable archetypes by their weights."""

FORMAT = "archetypes-1"
KINDS = {"string": pl.String, "integer": pl.Int64, "number": pl.Float64, "boolean": pl.Boolean}
"""Types of the columns that describe archetypes."""


@dataclass(frozen=True, eq=False)
class Table:
    """What every archetype does in every context.

    Attributes:
        actions: Names of the K actions.
        contexts: The C contexts.
        archetypes: A row an archetype: `archetype` (0, 1, ... A - 1), `weight` [people], `card` (what a prompt says of
            it), and the columns that it groups.
        logit: float32 [A, C, K], finite where a cell is usable.
        coverage: float32 [A, C, K] (an [A, C] array is spread over actions), probability mass that the answer put on
            the labels asked for; NaN where nothing was asked (a formula, given figures, a filled cell).
        order_spread: float32 [A, C, K], difference between the probabilities of one answer by the order of options;
            NaN where a single order was asked.
        entropy: float32 [A, C, K], entropy [nat] of the answer behind an action; NaN where there was none.
        usable: bool [A, C, K]; a cell is usable where all its actions are.
        provenance: Where it comes from: provider, model, model_sha256, runtime, policy, date, calls, licence ...
    """

    actions: tuple[str, ...]
    contexts: Contexts
    archetypes: pl.DataFrame
    logit: HostArray
    coverage: HostArray = field(default_factory=lambda: np.array(np.nan, np.float32))
    order_spread: HostArray = field(default_factory=lambda: np.array(np.nan, np.float32))
    entropy: HostArray = field(default_factory=lambda: np.array(np.nan, np.float32))
    usable: HostArray = field(default_factory=lambda: np.array(True))
    provenance: Mapping[str, str | float | int] = field(default_factory=dict[str, str | float | int])

    def __post_init__(self) -> None:
        """Bring arrays to their shapes, and refuse what does not fit together.

        Raises:
            InputError: Fewer than two actions, one twice, columns of `archetypes` missing or wrong, an array of another
                shape, a usable logit that is not finite or beyond `MOST_LOGIT`, or provenance that no file can hold.
        """
        put = partial(object.__setattr__, self)
        put("actions", tuple(self.actions))
        if not 2 <= len(self.actions) <= MOST_ACTIONS or len(set(self.actions)) != len(self.actions):
            raise InputError(
                f"table: actions: expected 2 to {MOST_ACTIONS} different names, got {', '.join(self.actions)}"
            )
        put("archetypes", _described(self.archetypes))
        put("provenance", dict(self.provenance))
        for name, value in self.provenance.items():
            if isinstance(value, float) and not np.isfinite(value):
                raise InputError(f"table: provenance: {name}: expected a text or a finite number, got {value!r}")
        shape = (self.archetypes.height, self.contexts.tabled, len(self.actions))
        for name in ("logit", *MEASURES, "usable"):
            array = np.asarray(getattr(self, name), np.bool_ if name == "usable" else np.float32)
            array = array[..., None] if array.shape == shape[:2] else array
            if array.shape != shape and (name == "logit" or array.shape not in ((), (*shape[:2], 1))):
                raise InputError(f"table: {name}: expected [archetypes, contexts, actions] {shape}, got {array.shape}")
            put(name, np.array(np.broadcast_to(array, shape)))
        known = self.logit[self.cells_usable]
        if not (np.abs(known) <= MOST_LOGIT).all():
            bad = int((~(np.abs(known) <= MOST_LOGIT)).sum())
            raise InputError(f"table: logit: {bad} of usable cells are NaN, or beyond +-{MOST_LOGIT:g}")

    @classmethod
    def of_probability(
        cls, actions: tuple[str, ...], contexts: Contexts, archetypes: pl.DataFrame, probability: HostArray, **more: Any
    ) -> Table:
        """Return a table from chances [A, C, K] that sum to 1 (to 1e-3; they are divided by their sum).

        Raises:
            InputError: Chances that are NaN, negative, or do not sum to 1; or what a table refuses.
        """
        chances = np.asarray(probability, np.float64)
        if not (chances >= 0).all() or not np.allclose(chances.sum(-1), 1, rtol=0, atol=1e-3):
            raise InputError("table: probability: expected chances of 0 or more that sum to 1 over the actions")
        return cls(actions, contexts, archetypes, _log(chances), **more)

    @property
    def weight(self) -> HostArray:
        """People by archetype, float64 [A]."""
        return self.archetypes["weight"].to_numpy()

    @property
    def cells_usable(self) -> HostArray:
        """Whether all actions of a cell are usable, bool [A, C]."""
        return np.asarray(self.usable.all(-1))

    @property
    def probability(self) -> HostArray:
        """Chances float64 [A, C, K]; NaN in cells that are not usable."""
        scaled = np.where(self.cells_usable[..., None], self.logit, np.float32(0)).astype(np.float64)
        chances = np.exp(scaled - scaled.max(-1, keepdims=True))
        return np.where(self.cells_usable[..., None], chances / chances.sum(-1, keepdims=True), np.nan)

    @property
    def digest(self) -> str:
        """SHA-256 of what decides behaviour: actions, contexts and logits of usable cells; 64 hexadecimal digits."""
        told = json.dumps([list(self.actions), self.contexts.plain()], sort_keys=True).encode()
        known = np.where(self.cells_usable[..., None], self.logit, np.float32(np.nan)).astype("<f4")
        return hashlib.sha256(told + known.tobytes()).hexdigest()

    def checked(self, where: str = "table") -> HostArray:
        """Return the logits float32 [A, C, K] for a simulation.

        Raises:
            InputError: Some cells are not usable: they are counted.
        """
        missing = int((~self.cells_usable).sum())
        if missing:
            raise InputError(
                f"{where}: {missing:,} of {self.cells_usable.size:,} cells are not usable (archetype x context); "
                f"ask again, or fill them by filled(how) with how = {', '.join(FILLS)}"
            )
        return self.logit

    def filled(self, how: str) -> Table:
        """Return the table with chances in place of what is not usable, by one of `FILLS`.

        The measures of a filled cell become NaN; how many cells were filled, how and which are kept in the provenance.

        Raises:
            InputError: There is no such way, or no usable cell to take a mean of.
        """
        if how not in FILLS:
            raise unknown("table: filled", "way", how, FILLS)
        lost = ~self.cells_usable
        if not lost.any():
            return self
        known, chances = self.cells_usable[..., None], np.where(self.cells_usable[..., None], self.probability, 0)
        size, axis = len(self.actions), 1 if how == "archetype mean" else 0
        weight = known * (self.weight[:, None, None] if axis == 0 else 1.0)
        if how == "uniform":
            mean = np.full(self.logit.shape, 1 / size)
        else:
            whole = np.broadcast_to(weight.sum(axis, keepdims=True), (*lost.shape, 1))
            alone = int((whole[lost] <= 0).sum())
            if alone:
                raise InputError(f"table: filled '{how}': {alone} cells have no usable neighbour to take a mean of")
            sums = np.broadcast_to((weight * chances).sum(axis, keepdims=True), self.logit.shape)
            mean = sums / np.where(whole > 0, whole, 1.0)
        blank = {name: np.where(lost[..., None], np.nan, getattr(self, name)) for name in MEASURES}
        which = ",".join(f"{a}:{c}" for a, c in np.argwhere(lost))
        told = {"filled": how, "filled_cells": int(lost.sum()), "filled_which": which}
        logit = np.where(lost[..., None], _log(mean), self.logit)
        usable = np.ones_like(self.logit, bool)
        return replace(self, logit=logit, usable=usable, provenance={**self.provenance, **told}, **blank)

    def frame(self) -> pl.DataFrame:
        """Return a row an archetype, context and action, with the anchors' values; null where nothing is known."""
        there, index = self.cells_usable[..., None], np.indices(self.logit.shape).reshape(3, -1)
        anchors = self.contexts.cells()
        columns: dict[str, pl.Series] = {"archetype": pl.Series(index[0]), "cell": pl.Series(index[1])}
        for name in self.contexts.names:
            columns[f"at.{name}"] = pl.Series(np.array([each[name] for each in anchors])[index[1]], dtype=pl.Float64)
        columns["action"] = pl.Series(list(self.actions), dtype=pl.String).gather(index[2])
        columns["logit"] = pl.Series(self.logit.ravel()).fill_nan(None)
        columns["probability"] = pl.Series(np.where(there, self.probability, np.nan).ravel()).fill_nan(None)
        for name in MEASURES:
            columns[name] = pl.Series(getattr(self, name).ravel()).fill_nan(None)
        columns["usable"] = pl.Series(self.usable.ravel())
        return pl.DataFrame(columns)

    def write(self, path: Path) -> Path:
        """Write the one file, whole or not at all.

        Raises:
            InputError: It cannot be written.
        """
        people = self.archetypes
        kinds = {name: _kind(people[name]) for name in people.columns}
        told = {
            "actions": list(self.actions),
            "contexts": self.contexts.plain(),
            "archetypes": {name: {"kind": kinds[name], "values": people[name].to_list()} for name in people.columns},
            "provenance": dict(self.provenance),
        }
        text = json.dumps(told, ensure_ascii=False, allow_nan=False)
        return write_frame(path, self.frame(), {"format": FORMAT, "table": text})


def read(path: Path) -> Table:
    """Read a table that `Table.write` wrote.

    Raises:
        InputError: No such file, a damaged one, one of another kind, or a table that does not fit together.
    """
    frame = read_frame(path, {"format": FORMAT})
    where = f"{path}"
    try:
        told: Any = json.loads(pl.read_parquet_metadata(path)["table"])
        given: dict[str, Any] = told["archetypes"]
        people = pl.DataFrame([pl.Series(n, c["values"], dtype=KINDS[c["kind"]]) for n, c in given.items()])
        actions, provenance = tuple(told["actions"]), dict(told["provenance"])
        contexts = Contexts.of_plain(told["contexts"], where)
    except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: its metadata are not those of a table of behaviour: {error!r}") from error
    shape = (people.height, contexts.size, len(actions))
    index = np.indices(shape).reshape(3, -1)
    names = np.array(actions)[index[2]]
    if frame.height != index.shape[1] or not (
        np.array_equal(frame["archetype"], index[0])
        and np.array_equal(frame["cell"], index[1])
        and np.array_equal(frame["action"], names)
    ):
        raise InputError(f"{where}: expected a row an archetype, context and action in this order, got others")
    arrays = {name: frame[name].fill_null(np.nan).to_numpy().reshape(shape) for name in ("logit", *MEASURES)}
    usable = frame["usable"].to_numpy().reshape(shape)
    return Table(actions, contexts, people, **arrays, usable=usable, provenance=provenance)


def _log(chances: HostArray) -> HostArray:
    """Return logits float32 of chances; `NEVER` where the chance is 0."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(chances), NEVER).astype(np.float32)


def _kind(series: pl.Series) -> str:
    return next(name for name, kind in KINDS.items() if series.dtype == kind)


def _described(frame: pl.DataFrame) -> pl.DataFrame:
    """Return what describes the archetypes, in the types of `KINDS`.

    Raises:
        InputError: A column missing, with nulls, NaN or of another type, numbers that do not run from 0, or a weight
            below 0.
    """
    for name in ("archetype", "weight", "card"):
        if name not in frame.columns:
            raise InputError(f"table: archetypes: expected a column '{name}', got {', '.join(frame.columns)}")
    made: list[pl.Series] = []
    for series in frame.get_columns():
        kind = series.dtype
        if isinstance(kind, pl.Categorical | pl.Enum):
            series = series.cast(pl.String)
        elif kind.is_integer() and series.name != "weight":
            series = series.cast(pl.Int64)
        elif kind.is_numeric():
            series = series.cast(pl.Float64)
        elif not isinstance(kind, pl.String | pl.Boolean):
            raise InputError(f"table: archetypes: {series.name}: expected text or numbers, got {kind}")
        if series.null_count() or (series.dtype == pl.Float64 and not series.is_finite().all()):
            raise InputError(f"table: archetypes: {series.name}: some values are missing, NaN or infinite")
        made.append(series)
    result = pl.DataFrame(made)
    if not frame.height or result["archetype"].to_list() != list(range(frame.height)):
        raise InputError("table: archetypes: expected the numbers 0, 1, 2 ... in this order in column 'archetype'")
    if result["weight"].dtype != pl.Float64 or result["card"].dtype != pl.String:
        raise InputError("table: archetypes: expected numbers in 'weight' and texts in 'card'")
    if (result["weight"] < 0).any() or not float(result["weight"].sum()) > 0:
        raise InputError("table: archetypes: weight: expected 0 or more, and more than 0 in all")
    return result
