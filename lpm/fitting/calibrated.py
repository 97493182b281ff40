"""A scenario with the values that a fit found: what `lpm run` goes on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lpm.calibration.fit import Fit
from lpm.fitting.free import Free, columns_of, params_at
from lpm.kernel import declarations
from lpm.parquet import write_frame
from lpm.scenarios.assembly import Assembly
from lpm.scenarios.loader import validate
from lpm.scenarios.resolved import document
from lpm.scenarios.schema import Scenario

POSTERIOR = "posterior.parquet"
"""Draws of the fitted parameters, one row a seed, for `lpm run --draws`."""

FITTED = "Parameters were fitted to the observed figures by lpm calibrate; what was held fixed is as in the original."


def scenario_at(assembly: Assembly, free: Sequence[Free], fit: Fit, about: str) -> Scenario:
    """Return the scenario with the estimates in the place of its values, checked again.

    A fitted parameter's source says what it was fitted to and its 90 % interval; its prior becomes its own spread.

    Args:
        assembly: The scenario as it was fitted.
        free: The free parameters.
        fit: What was found.
        about: What it was fitted to, in words.
    """
    scenario = assembly.scenario
    tables = document(scenario)
    params = params_at(assembly, free, fit.theta)
    low, high = fit.interval()
    for each, spread in zip(free, fit.spread, strict=True):
        table = _table(tables, scenario, each.instance)
        declared = declarations(type(params[each.instance]))[each.name]
        value = np.asarray(getattr(params[each.instance], each.name), np.float64)
        estimate = float(fit.theta[each.path])
        span = f"{float(low[each.path]):.4g} to {float(high[each.path]):.4g}"
        told = f"fitted to {about}: {estimate:.4g}, 90 % interval {span}"
        plain = [float(f"{v:.9g}") for v in np.atleast_1d(value)]
        setting: dict[str, Any] = {"unit": declared.unit, "source": told}
        if each.family == "lognormal" and each.level is None and spread > 0:
            setting["prior"] = ["lognormal", float(f"{estimate:.9g}"), float(f"{spread:.4g}")]
        if value.ndim:
            own = next(one for one in scenario.instances if one.name == each.instance)
            levels = assembly.population.schema[own.columns.get(declared.by, declared.by)].levels
            table[each.name] = {"value": dict(zip(levels, plain, strict=True)), **setting}
        else:
            table[each.name] = {"value": plain[0], **setting}
    tables |= {"calibrated": True, "chosen": f"{FITTED} {scenario.chosen}".strip()}
    return validate(tables, scenario.folder, scenario.label)


def _table(tables: dict[str, Any], scenario: Scenario, instance: str) -> dict[str, Any]:
    names = [each.name for each in scenario.kernels]
    return tables["kernels"][names.index(instance)] if instance in names else tables.setdefault(instance, {})


def write_draws(folder: Path, assembly: Assembly, free: Sequence[Free], theta: Mapping[str, Any]) -> Path:
    """Write `posterior.parquet` from draws [n] by path, and return its path."""
    import polars as pl

    return write_frame(folder / POSTERIOR, pl.DataFrame(columns_of(assembly, free, theta)))
