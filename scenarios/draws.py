"""Parameter uncertainty: one draw of the parameters per seed, from priors or from a file of draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lpm.errors import InputError, unknown
from lpm.kernel import Declaration, declarations
from lpm.random import name_words
from lpm.scenarios.paths import located
from lpm.scenarios.schema import Scenario
from lpm.types import HostArray

TRIES = 1000
"""Draws of a prior outside the parameter's bounds are drawn again, so often at most."""


def of_seeds(scenario: Scenario, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of every seed; all arms of a seed share its draw.

    Args:
        scenario: Says where draws come from (`draws`) and which seeds there are.
        params: `Params` by instance, float32 arrays.

    Raises:
        InputError: A file of draws that does not fit, or nothing that has a prior.
    """
    if scenario.draws is None:
        return [dict(params) for _ in scenario.seeds]
    if scenario.draws == "prior":
        priors = _priors(scenario, params)
        if not priors:
            raise InputError(f"{scenario.label}: --draws prior: no parameter of this scenario has a prior")
        return [_drawn(params, priors, seed) for seed in scenario.seeds]
    table = _table(scenario, params)
    rows = len(next(iter(table.values())))
    return [_set(params, {p: v[i % rows] for p, v in table.items()}) for i, _ in enumerate(scenario.seeds)]


def _priors(scenario: Scenario, params: Mapping[str, Any]) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Return the prior by (instance, parameter): the scenario's, else the declared one."""
    found: dict[tuple[str, str], tuple[Any, ...]] = {}
    for instance in scenario.kernels:
        for name, declared in declarations(type(params[instance.name])).items():
            setting = instance.params.get(name)
            prior = declared.prior if setting is None or setting.prior is None else setting.prior
            if prior:
                found[instance.name, name] = tuple(prior)
    return found


def _drawn(params: Mapping[str, Any], priors: Mapping[tuple[str, str], tuple[Any, ...]], seed: int) -> dict[str, Any]:
    """Return the parameters of a seed; a parameter's draw depends on the seed and its path only.

    A vector keeps its pattern over levels: the prior is that of its first level and moves the others by its factor.
    """
    made = dict(params)
    for (instance, name), prior in priors.items():
        generator = np.random.Generator(np.random.Philox(key=[seed, name_words(f"{instance}.{name}")[0]]))
        declared = declarations(type(params[instance]))[name]
        value = np.asarray(getattr(params[instance], name), np.float64)
        for _ in range(TRIES):
            draw = _sample(generator, prior)
            new = value * (draw / value.flat[0]) if value.ndim and value.flat[0] else np.full_like(value, draw)
            if (new >= declared.bounds[0]).all() and (new <= declared.bounds[1]).all():
                break
        else:
            raise InputError(f"{instance}.{name}: {TRIES} draws of its prior {prior} lie outside its bounds")
        made[instance] = replace(made[instance], **{name: new.astype(np.float32)})
    return made


def _sample(generator: np.random.Generator, prior: tuple[Any, ...]) -> float:
    family, a, b = prior
    if family == "lognormal":
        return float(a * np.exp(b * generator.standard_normal()))
    if family == "normal":
        return float(generator.normal(a, b))
    if family == "uniform":
        return float(generator.uniform(a, b))
    return float(generator.beta(a, b))


def _table(scenario: Scenario, params: Mapping[str, Any]) -> dict[str, HostArray]:
    """Return float64 [rows] by path from the scenario's file of draws."""
    import polars as pl

    where = f"{scenario.label}: draws"
    path = located(scenario, str(scenario.draws), "draws")
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    except Exception as error:  # polars raises several kinds for a damaged file
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{where}: {path.name} cannot be read: {line}") from None
    if frame.height == 0:
        raise InputError(f"{where}: {path.name} has no rows; expected a row of parameters per draw")
    table: dict[str, HostArray] = {}
    for series in frame.iter_columns():
        declared = _declared(series.name, params, where)
        values = series.to_numpy()
        if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
            raise InputError(f"{where}: column '{series.name}' of {path.name} holds missing values or no numbers")
        low, high = declared.bounds
        if values.min() < low or values.max() > high:
            got = f"{values.min():g} to {values.max():g}"
            raise InputError(f"{where}: column '{series.name}': expected {low:g} to {high:g}, got {got}")
        table[series.name] = values.astype(np.float64)
    return table


def _declared(path: str, params: Mapping[str, Any], where: str) -> Declaration:
    instance, _, name = path.partition(".")
    known = {f"{i}.{n}": d for i, p in params.items() for n, d in declarations(type(p)).items()}
    if f"{instance}.{name.partition('.')[0]}" not in known:
        raise unknown(where, "parameter", path, known)
    return known[f"{instance}.{name.partition('.')[0]}"]


def _set(params: Mapping[str, Any], row: Mapping[str, float]) -> dict[str, Any]:
    """Return the parameters with one row of draws; "seir.ihr.3" is the level of that number, "seir.ihr" all levels."""
    made = dict(params)
    for path, number in row.items():
        instance, name, *level = path.split(".", 2)
        value = np.array(getattr(made[instance], name), np.float32)
        if level:
            value[int(level[0])] = number
        else:
            value = np.full_like(value, number)
        made[instance] = replace(made[instance], **{name: value})
    return made
