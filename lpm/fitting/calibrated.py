"""A scenario with the values that a fit found: what `lpm run` goes on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lpm.fitting.free import Free, columns_of, levels_of, params_at
from lpm.fitting.marginals import prior_like
from lpm.fitting.uncertainty import Known
from lpm.kernel import declarations
from lpm.parquet import write_frame
from lpm.scenarios.assembly import Assembly
from lpm.scenarios.draws_table import bounds
from lpm.scenarios.loader import validate
from lpm.scenarios.resolved import document
from lpm.scenarios.schema import Scenario
from lpm.types import HostArray

POSTERIOR = "posterior.parquet"
"""Draws of the fitted parameters, one row a seed, for `lpm run --draws`."""

FITTED = "Parameters were fitted to the observed figures by lpm calibrate; what was held fixed is as in the original."


def scenario_at(assembly: Assembly, free: Sequence[Free], found: Known, about: str) -> Scenario:
    """Return the scenario with the estimates in the place of its values, checked again.

    A fitted parameter's source says what it was fitted to and its 90 % interval. Its prior becomes the one that is most
    like the draws of its posterior (`lpm.fitting.marginals`), each parameter by itself: what they have in common is in
    `posterior.parquet` alone. One prior stands for all levels of a vector, so where single levels were fitted the prior
    that was there stays, moved with the value that it belongs to.

    Args:
        assembly: The scenario as it was fitted.
        free: The free parameters.
        found: The fit, and how sure it is.
        about: What it was fitted to, in words.
    """
    scenario = assembly.scenario
    tables = document(scenario)
    params = params_at(assembly, free, found.fit.theta)
    rows, draws = {str(row["name"]): row for row in found.rows()}, found.marginals()
    sources: dict[tuple[str, str], str] = {}
    for each in free:
        table = _table(tables, scenario, each.instance)
        own = params[each.instance]
        declared = declarations(type(own))[each.name]
        value = np.asarray(getattr(own, each.name), np.float64)
        row, before = rows[each.path], sources.get((each.instance, each.name))
        told = f"fitted to {about}: {row['estimate']:.4g}, 90 % interval {row['low']:.4g} to {row['high']:.4g}"
        if each.level is None:
            prior = prior_like(draws[each.path], bounds(own, each.name), each.family)
        else:
            prior = _moved(assembly, each, value)
            told = f"{levels_of(assembly, each)[each.level]} {told}"
        sources[each.instance, each.name] = told = told if before is None else f"{before}; {told}"
        setting: dict[str, Any] = {"unit": declared.unit, "source": told}
        if prior is not None:
            setting["prior"] = [prior[0], float(f"{prior[1]:.9g}"), float(f"{prior[2]:.9g}")]
        plain = [float(each.within(own, np.asarray(float(f"{v:.9g}")))) for v in np.atleast_1d(value)]
        if value.ndim:
            table[each.name] = {"value": dict(zip(levels_of(assembly, each), plain, strict=True)), **setting}
        else:
            table[each.name] = {"value": plain[0], **setting}
    tables |= {"calibrated": True, "chosen": f"{FITTED} {scenario.chosen}".strip()}
    return validate(tables, scenario.folder, scenario.label)


def _moved(assembly: Assembly, each: Free, value: HostArray) -> tuple[str, float, float] | None:
    """Return the prior that a vector has in the scenario, a lognormal one moved with its first level that is not 0."""
    instance = next(one for one in assembly.scenario.instances if one.name == each.instance)
    setting = instance.params.get(each.name)
    if setting is None or not setting.prior:  # none of its own, or held fixed
        return None
    family, a, b = setting.prior
    before = np.asarray(getattr(assembly.params[each.instance], each.name), np.float64)
    first = int(np.argmax(before != 0))
    return (family, a * float(value[first] / before[first]), b) if family == "lognormal" else (family, a, b)


def _table(tables: dict[str, Any], scenario: Scenario, instance: str) -> dict[str, Any]:
    names = [each.name for each in scenario.kernels]
    return tables["kernels"][names.index(instance)] if instance in names else tables.setdefault(instance, {})


def write_draws(folder: Path, assembly: Assembly, free: Sequence[Free], theta: Mapping[str, Any]) -> Path:
    """Write `posterior.parquet` from draws [n] by path, and return its path."""
    import polars as pl

    return write_frame(folder / POSTERIOR, pl.DataFrame(columns_of(assembly, free, theta)))
