"""What the charts of a sweep's page draw: curves, maps, indices and the scaling law, as small tables.

The page's script draws them for the measure, group and arm that are chosen. So that the page stays small, groups are
told in their order until `NUMBERS` figures are reached; the files hold all of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from lpm.errors import InputError
from lpm.report.figures import COLOURS, DASHES
from lpm.report.wording import brief, escaped, label, level, unit_of
from lpm.sweeps import responses, scaling
from lpm.sweeps.outcome import Outcome, Swept
from lpm.sweeps.scaling import Law
from lpm.sweeps.surface import one_thread, surface

NUMBERS = 400_000
"""Most figures of curves and maps in the page, about 3 MB."""

SURFACES = 4
"""Most surfaces fitted for a page, about a second each: of the headline in every arm, then of other measures."""

POINTS, CELLS = 31, 17
"""Points on a surface's curve, and cells along an edge of its map."""

PAIRS = 6
"""Most pairs of paths with a map."""

WIDE = 1.96
"""Half a 95 % interval of a normal distribution, in standard deviations."""

SUMMED = {"total": "total", "peak": "at the peak", "day_of_peak": "day of the peak", "final": "at the end"}
"""What the summaries are called."""


def titled(outcome: Outcome, measure: str) -> str:
    """Return a measure's name for people: "Infections, total"."""
    return f"{outcome.metric(measure)['title']}, {SUMMED[measure.rpartition('.')[2]]}"


def kind(outcome: Outcome, measure: str) -> str:
    """Return the kind by which a measure's figures are written; days of peaks are days."""
    return "days" if measure.endswith(".day_of_peak") else str(outcome.metric(measure)["kind"])


def unit(outcome: Outcome, measure: str) -> str:
    """Return the unit of a measure, "" for pure numbers."""
    return "days" if measure.endswith(".day_of_peak") else unit_of(outcome.metric(measure)["unit"])


def ordered(outcome: Outcome) -> list[str]:
    """Return the measures with the headline first, then the main ones of the other metrics."""
    names = dict.fromkeys(name.rpartition(".")[0] for name in outcome.measures)
    mains = [outcome.headline, *(outcome.main(name) for name in names)]
    return [name for name in dict.fromkeys([*mains, *outcome.measures]) if name is not None]


def data(outcome: Outcome, indices: pl.DataFrame, law: Sequence[Law]) -> dict[str, Any]:
    """Return everything that the page's script reads; all texts in it are escaped for HTML."""
    measures = ordered(outcome)
    over = [responses.cells(outcome, path) for path in outcome.paths]
    pairs = list(itertools.combinations(range(len(over)), 2)) if outcome.kind == "grid" else []
    if len(pairs) > PAIRS:
        pairs = pairs[:PAIRS]
    size = sum(len(each.at) for each in over) + sum(len(over[i].at) * len(over[j].at) for i, j in pairs)
    listed = max(1, NUMBERS // max(3 * size * len(measures) * len(outcome.arms), 1))
    groups = list(outcome.groups[:listed])
    curves: dict[str, Any] = {}
    maps: dict[str, Any] = {}
    for measure, (number, group) in itertools.product(measures, enumerate(groups)):
        told = [outcome.values(arm, measure, group)[outcome.first] for arm in outcome.arms]
        if all(np.isnan(values).all() for values in told):  # not declared for this group
            continue
        curves.setdefault(measure, {})[str(number)] = [
            [_told(responses.response(outcome, values, [each])) for each in over] for values in told
        ]
        if pairs:
            maps.setdefault(measure, {})[str(number)] = [
                [_told(responses.response(outcome, values, [over[i], over[j]])) for i, j in pairs] for values in told
            ]
    smooth = _smooth(outcome, measures, indices)
    return {
        "arms": [escaped(arm) for arm in outcome.arms],
        "colours": [COLOURS[i % len(COLOURS)] for i in range(len(outcome.arms))],
        "dashes": [DASHES[i // len(COLOURS) % len(DASHES)] for i in range(len(outcome.arms))],
        "groups": [escaped(label(group)) for group in groups],
        "measures": {
            name: {
                "title": escaped(titled(outcome, name)),
                "unit": escaped(unit(outcome, name)),
                "kind": kind(outcome, name),
            }
            for name in measures
        },
        "paths": [_path(each) for each in over],
        "curves": curves,
        "pairs": smooth["pairs"] or [list(pair) for pair in pairs],
        "maps": maps,
        "smooth": smooth,
        "indices": _indices(outcome, indices, groups),
        "laws": {f"{one.measure}|{outcome.arms.index(one.arm)}": _law(one) for one in law},
    }


def _told(found: responses.Response) -> list[Any]:
    """Return mean, low and high; tables as rows, None where nothing is told."""
    if found.mean.ndim == 1:
        return [brief(each) for each in (found.mean, found.low, found.high)]
    return [[brief(row) for row in each] for each in (found.mean, found.low, found.high)]


def _path(each: responses.Cells) -> dict[str, Any]:
    path = each.path
    category = path.names or (path.scale == "values" and each.at != tuple(sorted(each.at)))
    shown = [escaped(level(str(value))) for value in each.at] if category else [float(f"{v:.6g}") for v in each.at]
    return {
        "name": escaped(path.path),
        "unit": escaped(unit_of(path.unit)),
        "log": path.log or _spread(each),
        "ends": None if path.names else [path.low, path.high],
        "names": category,
        "at": shown,
    }


def _spread(each: responses.Cells) -> bool:
    """Return whether listed numbers lie so far apart that only a logarithmic axis tells them apart: a guess."""
    return (
        each.path.scale == "values"
        and not each.path.names
        and each.path.low > 0
        and each.path.high > 50 * each.path.low
    )


def _smooth(outcome: Outcome, measures: list[str], indices: pl.DataFrame) -> dict[str, Any]:
    """Return curves and maps of fitted surfaces of designs that are no plain grid, of all people together."""
    rounds = not bool(outcome.first.all())
    if (outcome.kind == "grid" and not rounds) or any(path.names for path in outcome.paths) or not outcome.numeric:
        return {"curves": {}, "maps": {}, "pairs": [], "at": [], "edges": [], "left": 0, "paths": []}
    paths = outcome.numeric
    place = {path.path: number for number, path in enumerate(outcome.paths)}
    pairs = _important(outcome, paths, indices)
    line, edge = np.linspace(0.0, 1.0, POINTS), (np.arange(CELLS) + 0.5) / CELLS
    curves: dict[str, Any] = {}
    maps: dict[str, Any] = {}
    left = 0
    wanted = list(itertools.product(measures, range(len(outcome.arms))))[: max(SURFACES, len(outcome.arms))]
    for measure, arm in wanted:
        try:
            found = surface(outcome, outcome.arms[arm], measure)
        except InputError:  # too few runs in which it is defined; the means of the runs are drawn without it
            continue
        left = max(left, found.left)
        key = f"{measure}|{arm}"
        with one_thread():
            curves[key] = [_banded(found.curve(number, line)) for number in range(len(paths))]
            maps[key] = [_banded(found.map(i, j, edge)) for i, j in pairs]
    return {
        "curves": curves,
        "maps": maps,
        "pairs": [[place[paths[i].path], place[paths[j].path]] for i, j in pairs],
        "at": [brief(path.at(line)) for path in paths],
        "edges": [brief(path.at(edge)) for path in paths],
        "paths": [place[path.path] for path in paths],
        "left": left,
    }


def _banded(told: tuple[np.ndarray, np.ndarray]) -> list[Any]:
    """Return mean, low and high of a mean and its standard deviation."""
    mean, error = told
    rows = (mean, mean - WIDE * error, mean + WIDE * error)
    return [brief(each) if each.ndim == 1 else [brief(row) for row in each] for each in rows]


def _important(outcome: Outcome, paths: Sequence[Swept], indices: pl.DataFrame) -> list[tuple[int, int]]:
    """Return the pairs of the paths that matter most for the headline, or of the first ones."""
    metric, _, summary = (outcome.headline or "").rpartition(".")
    rows = indices.filter(
        pl.col("arm") == outcome.arms[0],
        pl.col("metric") == metric,
        pl.col("summary") == summary,
        pl.col("group") == "all",
        pl.col("index") == ("total" if outcome.kind == "sobol" else "mu_star"),
    ).drop_nulls("value")
    weight = dict(zip(rows["path"], rows["value"], strict=True))
    order = sorted(range(len(paths)), key=lambda number: -weight.get(paths[number].path, 0.0))
    pairs = sorted(itertools.combinations(range(len(order)), 2), key=lambda pair: (pair[0] + pair[1], pair))
    return [(order[i], order[j]) for i, j in pairs[:PAIRS]]


def _indices(outcome: Outcome, indices: pl.DataFrame, groups: Sequence[str]) -> dict[str, Any]:
    """Return value, low and high of each index by measure, group, arm and path."""
    made: dict[str, Any] = {}
    names = [path.path for path in outcome.paths]
    for key, part in indices.partition_by("metric", "summary", "group", "arm", "index", as_dict=True).items():
        metric, summary, group, arm, index = map(str, key)
        if group not in groups:
            continue
        rows = {row["path"]: row for row in part.iter_rows(named=True)}
        told = [brief([rows[name][which] for name in names]) for which in ("value", "low", "high")]
        place = f"{metric}.{summary}|{groups.index(group)}|{outcome.arms.index(arm)}"
        made.setdefault(place, {})[index] = told
    return made


def _law(one: Law) -> dict[str, Any]:
    """Return points, curve and prediction of a scaling law."""
    fit = one.fit
    last = (
        max(one.to, float(fit.sizes[-1]), *(row[0] for row in one.beyond)) if one.beyond else max(one.to, fit.sizes[-1])
    )
    line = np.geomspace(float(fit.sizes[0]), float(last), 41)
    curve = [fit.predict(float(size)) for size in line]
    by = one.to if one.counted else 1.0
    return {
        "counted": one.counted,
        "sizes": brief(fit.sizes),
        "means": _exact(fit.means),
        "errors": _exact(WIDE * fit.errors),
        "beyond": [_exact(row) for row in one.beyond],
        "line": brief(line),
        "curve": [_exact(column) for column in zip(*curve, strict=True)],
        "to": one.to,
        "told": _exact([one.value / by, one.low / by, one.high / by]),
        "most": scaling.MOST,
    }


def _exact(values: Any) -> list[float | None]:
    """Return numbers with seven digits: the differences between sizes are small."""
    return [float(f"{value:.7g}") if math.isfinite(value) else None for value in values]
