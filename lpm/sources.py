"""Where the value of a parameter is from: one rule for `lpm show`, `run.json` and the report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

NO_SOURCE = "no source given"
"""What stands in the place of a source that nobody gave."""

GIVEN = "set on the command line"
"""Source of a parameter that `--set` changed."""

_GUESS = re.compile(r"\bguess", re.IGNORECASE)


def source_of(declared: str, default: Any, value: Any = None, given: str | None = None, table: str = "") -> str:
    """Return the source of a parameter's value.

    What is given beside the value holds; a value that nobody set, or that equals the default, has the default's source;
    any other has that of the table which it stands in (a network layer has one), else `NO_SOURCE`.

    Args:
        declared: Source of the default.
        default: Value where the scenario sets none.
        value: What the scenario sets, None = nothing.
        given: The source beside it.
        table: Source of the table that the value stands in.
    """
    if value is not None and given:
        return given
    if value is None or _same(value, default):
        return declared
    return table or NO_SOURCE


def _same(value: Any, default: Any) -> bool:
    """Return whether a value is the default; numbers by level are, where each of them is."""
    if isinstance(value, Mapping):
        levels = cast("Mapping[str, Any]", value)
        return not isinstance(default, list | tuple) and all(each == default for each in levels.values())
    if isinstance(value, list | tuple) and isinstance(default, list | tuple):
        one, other = cast("list[Any]", value), cast("list[Any]", default)
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    return bool(value == default)


def in_words(sources: Iterable[str], chosen: str = "") -> str:
    """Return what is true of the values of a run that nobody calibrated, in one or two sentences.

    Args:
        sources: One for each parameter, "" counts as none.
        chosen: What the scenario itself says of how its values were chosen; it stands first.
    """
    every = list(sources)
    missing = sum(not each or each.startswith(NO_SOURCE) for each in every)
    changed = sum(GIVEN in each for each in every)
    guessed = sum(bool(_GUESS.search(each)) for each in every)
    parts = [
        f"{count} {one if count == 1 else many}"
        for count, one, many in (
            (guessed, "is a guess or rests on one", "are guesses or rest on one"),
            (missing, "has no source", "have no source"),
            (changed, f"was {GIVEN}", f"were {GIVEN}"),
        )
        if count
    ]
    told = [chosen.rstrip(". ") + "."] if chosen else []
    if parts:
        listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
        told.append(f"Of {len(every)} parameter{'s' * (len(every) != 1)} {listed}.")
    elif every:
        told.append("Each parameter cites its source.")
    return " ".join(told)
