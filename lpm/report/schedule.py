"""What an intervention does over time, in plain words: a curve by its turns and their dates, a factor by its number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lpm.report.wording import MINUS

MOST_TURNS = 5
"""Curves with more turns than this are told by their lowest and highest value."""


def number(value: float) -> str:
    """Return a factor with three significant digits."""
    return f"{value:.3g}".replace("-", MINUS)


def share(value: float) -> str:
    """Return a share in per cent with two significant digits."""
    return f"{value * 100:.3g}\u202f%".replace("-", MINUS)


def curve(values: Sequence[float], moments: Sequence[str], told: Callable[[float], str] = number) -> str:
    """Return a series in words: "1 until 8 Mar 2020, falls to 0.35 by 29 Mar 2020 and stays there".

    The series is cut where it turns; flat pieces on the way up or down belong to the way.

    Args:
        values: The value at every step.
        moments: What each step is called (a date).
        told: How a value is written.
    """
    ways = _ways(values)
    if not ways:
        return told(values[0])
    if len(ways) > MOST_TURNS:
        low, high = (values.index(extreme) for extreme in (min(values), max(values)))
        return (
            f"varies from {told(values[low])} (lowest, first on {moments[low]}) to {told(values[high])} "
            f"(highest, first on {moments[high]})"
        )
    first = ways[0][0]
    words = [f"{told(values[0])} {'until' if first else 'on'} {moments[first]}"]
    for start, end in ways:
        verb = "rises" if values[end] > values[start] else "falls"
        words.append(f"{verb} to {told(values[end])} {'on' if end - start == 1 else 'by'} {moments[end]}")
    held = ways[-1][1] < len(values) - 1
    return ", ".join(words) + (" and stays there" if held else "")


def _ways(values: Sequence[float]) -> list[tuple[int, int]]:
    """Return (start, end) of each way up or down: the last step before it begins, the first step at its end."""
    nil = 1e-6 * max(1e-12, max(values) - min(values))
    ways: list[tuple[int, int]] = []
    for step in range(1, len(values)):
        change = values[step] - values[step - 1]
        if abs(change) <= nil:
            continue
        if ways and (values[ways[-1][1]] > values[ways[-1][0]]) == (change > 0):
            ways[-1] = (ways[-1][0], step)
        else:
            ways.append((step - 1, step))
    return ways


def joined(names: Sequence[str]) -> str:
    """Return names as a list in a sentence: "school, work and community"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
