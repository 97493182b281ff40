r"""Contexts: the situations that a table of behaviour covers, and how a value between two anchors is read.

Every context variable (incidence, policy level, price ...) has rising anchor values. The cells of a table are the
product of all anchors, in C order: the last variable runs fastest. A value x between the anchors a and b of a variable
has the fraction

.. math:: f = \frac{t(x) - t(a)}{t(b) - t(a)},\qquad t(x) = x \ \text{or}\ \ln(1 + x),

a value beyond the ends counts as the end. The weight of a corner of the box around a point is the product over all
variables of f (upper anchor) or 1 - f (lower): multilinear interpolation, continuous everywhere, exact at anchors.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from lpm.errors import InputError, unknown
from lpm.types import HostArray

SCALES = ("linear", "log1p")
"""What is linear between two anchors: the value x, or ln(1 + x)."""

MOST_CELLS = 1_000_000
"""Most cells of a table (guess: 4 bytes x actions x archetypes each); beyond it some cells are asked and a
`BehaviourNet` is distilled from them (`lpm.archetypes.sampled`)."""


@dataclass(frozen=True)
class Variable:
    """One thing that behaviour may depend on.

    Attributes:
        name: Its name, also that of the column which holds its value.
        anchors: Values at which the table is known, strictly rising; a single one holds everywhere.
        unit: Unit of the values, "" for codes.
        meaning: One line of documentation.
        words: What a prompt says at each anchor, () = nothing of its own; "" = the number with its unit.
        scale: "linear" or "log1p", see `SCALES`.
    """

    name: str
    anchors: tuple[float, ...]
    unit: str
    meaning: str
    words: tuple[str, ...] = ()
    scale: str = "linear"

    def __post_init__(self) -> None:
        """Take numbers as floats, and refuse what is no scale.

        Raises:
            InputError: No name, no anchors, anchors that are not finite or do not rise (in float32, as the device
                holds them), words that are not one an anchor, an unknown scale, or anchors below 0 on "log1p".
        """
        object.__setattr__(self, "anchors", tuple(float(each) for each in self.anchors))
        object.__setattr__(self, "words", tuple(self.words))
        where = f"context variable '{self.name}'"
        if not self.name.strip():
            raise InputError("context variable: expected a name, got none")
        if not self.anchors or not all(math.isfinite(each) for each in self.anchors):
            raise InputError(f"{where}: anchors: expected finite numbers, got {self.anchors}")
        if self.scale not in SCALES:
            raise unknown(where, "scale", self.scale, SCALES)
        if self.scale == "log1p" and self.anchors[0] < 0:
            raise InputError(f"{where}: anchors: expected 0 or more on the scale log1p, got {self.anchors[0]:g}")
        if (np.diff(self.points) <= 0).any():
            raise InputError(f"{where}: anchors: expected rising numbers, got {', '.join(map(str, self.anchors))}")
        if self.words and len(self.words) != len(self.anchors):
            raise InputError(f"{where}: words: expected one an anchor ({len(self.anchors)}), got {len(self.words)}")

    @property
    def points(self) -> HostArray:
        """The anchors on the scale that is linear between them, float32 [anchors]."""
        values = np.array(self.anchors, np.float64)
        return (np.log1p(values) if self.scale == "log1p" else values).astype(np.float32)

    def said(self, anchor: int) -> str:
        """Return what a prompt says of an anchor: its words, else "name: number unit"."""
        if self.words and self.words[anchor]:
            return self.words[anchor]
        return f"{self.name}: {self.anchors[anchor]:g} {self.unit}".rstrip()

    def place(self, values: Any, xp: Any = np) -> tuple[Any, Any]:
        """Return the lower anchor int32 and the fraction float32 in [0, 1] of values, both of their shape.

        The fraction of NaN is NaN. With JAX it has a derivative by the values, piece by piece.

        Args:
            values: float [...].
            xp: `numpy`, or `jax.numpy` inside a traced function.
        """
        points, x = self.points, xp.asarray(values, np.float32)
        if len(points) == 1:
            return xp.zeros(x.shape, np.int32), xp.where(xp.isnan(x), x, np.float32(0))
        if self.scale == "log1p":
            x = xp.log1p(xp.maximum(x, np.float32(0)))
        x = xp.clip(x, points[0], points[-1])
        low, start, width = xp.zeros(x.shape, np.int32), points[0], points[1] - points[0]
        for each, wide in zip(points[1:-1], np.diff(points)[1:], strict=True):  # few: compared, not looked up
            above = x >= each
            low, start, width = low + above.astype(np.int32), xp.where(above, each, start), xp.where(above, wide, width)
        return low, (x - start) / width


@dataclass(frozen=True)
class Contexts:
    """The product of the anchors of all variables.

    Attributes:
        variables: The variables; none = one cell for everything.
    """

    variables: tuple[Variable, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that occur twice.

        Raises:
            InputError: One does.
        """
        object.__setattr__(self, "variables", tuple(self.variables))
        if len(set(self.names)) != len(self.names):
            raise InputError(f"contexts: expected every variable once, got {', '.join(self.names)}")

    @property
    def size(self) -> int:
        """Number of cells C."""
        return math.prod(self.shape)

    @property
    def tabled(self) -> int:
        """Number of cells C, of a table.

        Raises:
            InputError: More than a table holds.
        """
        if self.size > MOST_CELLS:
            raise InputError(
                f"contexts: expected at most {MOST_CELLS:,} cells of a table, got {self.size:,}; take fewer anchors, "
                "or ask some of them (lpm.archetypes.sampled.build_sampled)"
            )
        return self.size

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of anchors by variable."""
        return tuple(len(each.anchors) for each in self.variables)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables."""
        return tuple(each.name for each in self.variables)

    @property
    def strides(self) -> tuple[int, ...]:
        """Cells from one anchor of a variable to its next."""
        return tuple(math.prod(self.shape[v + 1 :]) for v in range(len(self.shape)))

    def cells(self) -> list[dict[str, float]]:
        """Return the anchor values of every cell by variable, in C order."""
        anchors = (each.anchors for each in self.variables)
        return [dict(zip(self.names, values, strict=True)) for values in itertools.product(*anchors)]

    def anchor(self, cell: int) -> tuple[int, ...]:
        """Return which anchor of each variable a cell is at.

        Raises:
            InputError: There is no such cell.
        """
        if not 0 <= cell < self.size:
            raise InputError(f"contexts: expected a cell 0 to {self.size - 1}, got {cell}")
        return tuple(int(each) for each in np.unravel_index(cell, self.shape)) if self.shape else ()

    def sentences(self, cell: int) -> str:
        """Return what a prompt says of a cell: a sentence a variable, joined by blanks."""
        places = zip(self.variables, self.anchor(cell), strict=True)
        said = (variable.said(anchor).strip() for variable, anchor in places)
        return " ".join(each if each.endswith((".", "!", "?")) else f"{each}." for each in said)

    @property
    def digest(self) -> str:
        """SHA-256 of all that is declared, as 64 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.plain(), sort_keys=True).encode()).hexdigest()

    def plain(self) -> list[dict[str, Any]]:
        """Return the variables as lists and mappings, as a file holds them."""
        return [asdict(each) | {"anchors": list(each.anchors), "words": list(each.words)} for each in self.variables]

    @classmethod
    def of_plain(cls, given: Any, where: str) -> Contexts:
        """Return the contexts that `plain` wrote.

        Raises:
            InputError: It is not what `plain` writes, or a variable is refused.
        """
        fields = ("name", "anchors", "unit", "meaning", "words", "scale")
        if not isinstance(given, list):
            raise InputError(f"{where}: contexts: expected a list of variables, got {type(given).__name__}")
        variables: list[Variable] = []
        for each in cast("list[Any]", given):
            if not isinstance(each, dict) or set(cast("dict[str, Any]", each)) != set(fields):
                raise InputError(f"{where}: contexts: expected variables with {', '.join(fields)}")
            one = cast("dict[str, Any]", each)
            texts = [one[name] for name in ("name", "unit", "meaning", "scale")] + list(one["words"])
            numbers: list[Any] = list(one["anchors"])
            if not all(isinstance(text, str) for text in texts) or not all(type(x) in (int, float) for x in numbers):
                raise InputError(f"{where}: contexts: expected texts, and numbers as anchors, of every variable")
            variables.append(
                Variable(one["name"], tuple(numbers), one["unit"], one["meaning"], tuple(one["words"]), one["scale"])
            )
        return cls(tuple(variables))

    def values(self, columns: Mapping[str, HostArray], where: str = "contexts") -> HostArray:
        """Return the values float64 [N, V] from columns [N] by variable.

        Raises:
            InputError: A variable without a column, columns of different length, or values that are NaN.
        """
        for name in self.names:
            if name not in columns:
                raise unknown(where, "column", name, columns)
        rows = {len(columns[name]) for name in self.names}
        if len(rows) > 1:
            raise InputError(f"{where}: expected columns of one length, got {', '.join(map(str, sorted(rows)))}")
        made = [np.asarray(columns[name], np.float64) for name in self.names]
        for name, column in zip(self.names, made, strict=True):
            if np.isnan(column).any():
                raise InputError(f"{where}: {name}: {int(np.isnan(column).sum())} values are NaN")
        return np.stack(made, -1) if made else np.zeros((0, 0))

    def places(self, values: Any, xp: Any = np) -> tuple[Any, Any]:
        """Return the lower anchors int32 [N, V] and the fractions float32 [N, V] of values [N, V]."""
        found = [variable.place(values[..., v], xp) for v, variable in enumerate(self.variables)]
        if not found:
            return xp.zeros((len(values), 0), np.int32), xp.zeros((len(values), 0), np.float32)
        return xp.stack([low for low, _ in found], -1), xp.stack([fraction for _, fraction in found], -1)


def corners(contexts: Contexts, values: Any, xp: Any = np) -> tuple[Any, Any]:
    """Return the cells around each point and their weights: cell int32 [N, 2^W], weight float32 [N, 2^W].

    W is the number of variables with more than one anchor; the weights of a point sum to 1.
    Values beyond the anchors count as the end.

    Args:
        contexts: The contexts.
        values: float [N, V]; with `numpy` NaN is refused, with JAX it makes weights that are NaN.
        xp: `numpy`, or `jax.numpy` inside a traced function.

    Raises:
        InputError: Another number of variables, or NaN on the host.
    """
    if values.ndim != 2 or values.shape[1] != len(contexts.variables):
        raise InputError(f"contexts: expected values [N, {len(contexts.variables)}], got {list(values.shape)}")
    if xp is np and np.isnan(values).any():
        raise InputError(f"contexts: {int(np.isnan(values).sum())} values are NaN")
    low, fraction = contexts.places(values, xp)
    cell, weight = xp.zeros((values.shape[0], 1), np.int32), xp.ones((values.shape[0], 1), np.float32)
    for v, count in enumerate(contexts.shape):
        start, f = cell + low[:, v : v + 1] * np.int32(contexts.strides[v]), fraction[:, v : v + 1]
        if count == 1:
            cell, weight = start, weight + weight * f  # f is 0, or NaN
            continue
        cell = xp.concatenate([start, start + np.int32(contexts.strides[v])], 1)
        weight = xp.concatenate([weight * (1 - f), weight * f], 1)
    return cell, weight
