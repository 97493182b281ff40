"""Parameter uncertainty: one draw of the parameters per seed, from priors or from a file of draws.

Priors. The draw of a parameter is a pure function of (seed, path): its uniform number u comes from the stream of
`lpm.random` named (seed, "draws", "seir.beta") and is inverted through the prior's distribution function. It depends
neither on the other parameters nor on the number of seeds. A draw outside the parameter's bounds is drawn again, and a
set that the kernel's `check` refuses is drawn again as a whole, so the priors are those that are declared, given that
the values are allowed and fit together.

A vector parameter (one number per level) has one prior, that of its first level that is not 0; the draw divided by
that level's value is a factor by which all levels move, so the pattern over levels is kept and zeros stay 0.

A prior that the scenario writes holds as it is written; `prior = []`, which `--set` writes too, holds the parameter
fixed, whatever the draws are. One that only the kernel declares belongs to its default: where the scenario sets another
value, a lognormal prior keeps its spread and takes that value (of the first level that is not 0) as its median, the
other families hold as declared, and a parameter that is 0 everywhere stays 0.

Files. One row a seed, the first row for the first seed; further rows are not used, and fewer are refused. A column is
called "seir.beta", "seir.ihr" (all levels take the number) or "seir.ihr.65-74" (one level); one of a parameter that is
held fixed is not used, and the run says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
from scipy.special import betaincinv, ndtri

from lpm.errors import InputError, unknown
from lpm.kernel import declarations
from lpm.random import MASK, ROOT, STREAM_VERSION, TAG_INSTANCE, TAG_PURPOSE, name_words, scalar_bits, scalar_fold
from lpm.scenarios import draws_table, parameters, registries, strengths
from lpm.scenarios.priors import SOUND, unsound
from lpm.scenarios.schema import Scenario
from lpm.types import HostArray

TRIES = 1000
"""Draws that are out of bounds or do not fit together are drawn again, so often at most."""


def of_seeds(scenario: Scenario, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of every seed; all arms of a seed share its draw.

    Args:
        scenario: Says where draws come from (`draws`) and which seeds there are.
        params: `Params` by instance, float32 arrays.

    Returns:
        As `params`, one for each seed.

    Raises:
        InputError: A file of draws that does not fit or has fewer rows than there are seeds, nothing that has a prior,
            or values that the kernel's `check` refuses.
    """
    if scenario.draws is None:
        return [dict(params) for _ in scenario.seeds]
    if scenario.draws == "prior":
        priors = _priors(scenario, params)
        return [_drawn(scenario, params, priors, seed) for seed in scenario.seeds]
    columns, _ = draws_table.columns(scenario, params)
    return [draws_table.row(scenario, params, columns, number) for number in range(len(scenario.seeds))]


def origins(scenario: Scenario, params: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return where the draws come from, by instance and parameter, of all that are drawn and not held fixed.

    Raises:
        InputError: As `of_seeds`.
    """
    if scenario.draws is None:
        return {}
    if scenario.draws == "prior":
        return {
            (instance, name): f"its prior, {family} {a:g}, {b:g}"
            for instance, own in _priors(scenario, params).items()
            for name, (family, a, b) in own.items()
        }
    columns, _ = draws_table.columns(scenario, params)
    file = draws_table.file_name(scenario)
    return {(each.instance, each.name): file for each in columns}


def not_used(scenario: Scenario, params: Mapping[str, Any]) -> list[str]:
    """Return the titles of the columns of a file of draws that are not used, as their parameter is held fixed."""
    if scenario.draws in (None, "prior"):
        return []
    return draws_table.columns(scenario, params)[1]


def check(scenario: Scenario) -> None:
    """Refuse draws that `of_seeds` would refuse, before people and networks are made.

    Raises:
        InputError: As `of_seeds`.
    """
    if scenario.draws is None:
        return
    schema, kernels = registries.all_columns(scenario), registries.instances_of(scenario)
    params: dict[str, Any] = {}
    for number, instance in enumerate(scenario.instances):
        where = _place(scenario, number)
        kind: Any = kernels[instance.name].Params
        built = parameters.build(kind, instance.params, schema, where, aliases=instance.columns)
        values = {each.name: getattr(built, each.name) for each in fields(built)}
        numeric = {n: np.asarray(v, np.float32) for n, v in values.items() if np.asarray(v).dtype.kind in "iuf"}
        params[instance.name] = replace(built, **numeric)
    of_seeds(scenario, params)


def _place(scenario: Scenario, number: int) -> str:
    """Return where an instance stands in the file."""
    return f"{scenario.label}: " + (f"kernels[{number}]" if number < len(scenario.kernels) else strengths.NAME)


def _priors(scenario: Scenario, params: Mapping[str, Any]) -> dict[str, dict[str, tuple[Any, ...]]]:
    """Return the prior by instance and parameter, as the docstring of the module says."""
    for place, given, _ in registries.parametrised(scenario):
        for name, setting in given.items():
            if setting.prior is not None and not place.startswith(("kernels", "strengths")):
                raise InputError(
                    f"{scenario.label}: {place}.{name}.prior: --draws prior draws parameters of kernels; people and "
                    "networks are the same for every seed"
                )
    found: dict[str, dict[str, tuple[Any, ...]]] = {}
    for number, instance in enumerate(scenario.instances):
        for name, declared in declarations(type(params[instance.name])).items():
            setting = instance.params.get(name)
            own = None if setting is None else setting.prior
            prior = tuple(declared.prior if own is None else own)
            if not prior:
                continue
            where = f"{_place(scenario, number)}.{name}.prior"
            _check_prior(prior, where)
            value = np.asarray(getattr(params[instance.name], name))
            if value.dtype.kind not in "iuf":
                raise InputError(f"{where}: expected a parameter that is a number")
            if own is None and not value.any():
                continue
            if value.ndim and not value.any():
                raise InputError(f"{where}: expected a level that is not 0; the prior is that of the first such one")
            if own is None and setting is not None and prior[0] == "lognormal":
                prior = ("lognormal", _first(value), prior[2])
            found.setdefault(instance.name, {})[name] = prior
    if not found:
        raise InputError(
            f"{scenario.label}: --draws prior: no parameter of this scenario has a prior (--set holds fixed)"
        )
    return found


def _check_prior(prior: tuple[Any, ...], where: str) -> None:
    family, a, b = prior
    if family not in SOUND:
        raise unknown(where, "family of priors", str(family), SOUND)
    if wrong := unsound(family, a, b):
        raise InputError(f"{where}: {wrong}")


def _drawn(
    scenario: Scenario, params: Mapping[str, Any], priors: Mapping[str, Mapping[str, tuple[Any, ...]]], seed: int
) -> dict[str, Any]:
    """Return the parameters of one seed, drawn from the priors."""
    made, kernels = dict(params), registries.instances_of(scenario)
    for instance, own in priors.items():
        where, refusal = f"{scenario.label}: --draws prior: '{instance}' with seed {seed}", ""
        for turn in range(TRIES):
            values = {
                name: _value(params[instance], name, prior, _stream(seed, f"{instance}.{name}"), turn, where)
                for name, prior in own.items()
            }
            drawn = replace(params[instance], **values)
            try:
                kernels[instance].check(drawn, where, scenario.step_days)
            except InputError as error:
                refusal = str(error)
                continue
            made[instance] = drawn
            break
        else:
            raise InputError(f"{refusal}; so did all {TRIES} draws")
    return made


def _value(
    params: Any, name: str, prior: tuple[Any, ...], key: tuple[int, int, int, int], turn: int, where: str
) -> HostArray:
    """Return float32 of the parameter's shape: its first draw of this turn that is within bounds."""
    low, high = draws_table.bounds(params, name)
    value = np.asarray(getattr(params, name), np.float64)
    for attempt in range(TRIES):
        draw = _quantile(prior, _uniform(key, turn, attempt))
        new = value * (draw / _first(value)) if value.ndim else np.asarray(draw)
        if (new >= low).all() and (new <= high).all():
            return new.astype(np.float32)
    raise InputError(f"{where}: {name}: {TRIES} draws of its prior {list(prior)} lie outside {low:g} to {high:g}")


def _first(value: HostArray) -> float:
    """Return the first number that is not 0, 0 if all are."""
    return float(value.flat[int(np.argmax(value.ravel() != 0))])


def _quantile(prior: tuple[Any, ...], u: float) -> float:
    """Return the number below which a draw of the prior lies with chance u."""
    family, a, b = prior
    if family == "uniform":
        return a + (b - a) * u
    if family == "beta":
        return float(betaincinv(a, b, u))
    z = float(ndtri(u))
    return a * math.exp(min(b * z, 700.0)) if family == "lognormal" else a + b * z


def _stream(seed: int, path: str) -> tuple[int, int, int, int]:
    """Return the words of `purpose(instance(root(seed), "draws"), path)`; no kernel instance can be called "draws"."""
    key = scalar_fold(STREAM_VERSION, *ROOT, seed & MASK, seed >> 32, 0)
    key = scalar_fold(*key, *name_words("draws"), TAG_INSTANCE)
    return scalar_fold(*key, *name_words(path), TAG_PURPOSE)


def _uniform(key: tuple[int, int, int, int], turn: int, attempt: int) -> float:
    """Return a uniform number in (0, 1), an odd multiple of 2^-53: of `bits` of (turn, attempt, 0) and (.., 1)."""
    high, low = (scalar_bits(key, (turn, attempt, half)) for half in (0, 1))
    return ((high << 20 | low >> 12) * 2 + 1) * 2.0**-53
