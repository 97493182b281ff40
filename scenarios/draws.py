"""Parameter uncertainty: one draw of the parameters per seed, from priors or from a file of draws.

Priors. The draw of a parameter is a pure function of (seed, path): its uniform number u comes from the stream of
`lpm.random` named (seed, "draws", "seir.beta") and is inverted through the prior's distribution function. It depends
neither on the other parameters nor on the number of seeds. A draw outside the parameter's bounds is drawn again, and a
set that the kernel's `check` refuses is drawn again as a whole, so the priors are those that are declared, given that
the values are allowed and fit together.

A vector parameter (one number per level) has one prior, that of its first level that is not 0; the draw divided by
that level's value is a factor by which all levels move, so the pattern over levels is kept and zeros stay 0.

A prior that the scenario writes holds as it is written; `prior = []`, which `--set` writes too, holds the parameter
fixed. One that only the kernel declares belongs to its default: where
the scenario sets another value, a lognormal prior keeps its spread and takes that value (of the first level that is
not 0) as its median, the other families hold as declared, and a parameter that is 0 everywhere stays 0.

Files. One row a seed, the first row for the first seed; further rows are not used, and fewer are refused. A column is
called "seir.beta", "seir.ihr" (all levels take the number) or "seir.ihr.65-74" (one level).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from scipy.special import betaincinv, ndtri

from lpm.errors import InputError, nearest, unknown
from lpm.kernel import Declaration, declarations
from lpm.random import MASK, ROOT, STREAM_VERSION, TAG_INSTANCE, TAG_PURPOSE, name_words, scalar_bits, scalar_fold
from lpm.scenarios import parameters, registries, tables
from lpm.scenarios.paths import located
from lpm.scenarios.schema import Scenario
from lpm.types import HostArray

TRIES = 1000
"""Draws that are out of bounds or do not fit together are drawn again, so often at most."""

LARGEST = float(np.finfo(np.float32).max)

SOUND = {
    "lognormal": (lambda a, b: a > 0 and b >= 0, "a median above 0 and a standard deviation of the log of at least 0"),
    "normal": (lambda a, b: b >= 0, "a mean and a standard deviation of at least 0"),
    "uniform": (lambda a, b: a <= b, "a lowest and a highest value in ascending order"),
    "beta": (lambda a, b: a > 0 and b > 0, "two shapes above 0"),
}
"""What the two numbers of a prior have to be, by family."""


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
    columns = _columns(scenario, params)
    return [_row(scenario, params, columns, number) for number in range(len(scenario.seeds))]


def check(scenario: Scenario) -> None:
    """Refuse draws that `of_seeds` would refuse, before people and networks are made.

    Raises:
        InputError: As `of_seeds`.
    """
    if scenario.draws is None:
        return
    schema, kernels = registries.all_columns(scenario), registries.kernels_of(scenario)
    params: dict[str, Any] = {}
    for number, instance in enumerate(scenario.kernels):
        where = f"{scenario.label}: kernels[{number}]"
        kind: Any = kernels[instance.name].Params
        built = parameters.build(kind, instance.params, schema, where, aliases=instance.columns)
        values = {each.name: getattr(built, each.name) for each in fields(built)}
        numeric = {n: np.asarray(v, np.float32) for n, v in values.items() if np.asarray(v).dtype.kind in "iuf"}
        params[instance.name] = replace(built, **numeric)
    of_seeds(scenario, params)


def _priors(scenario: Scenario, params: Mapping[str, Any]) -> dict[str, dict[str, tuple[Any, ...]]]:
    """Return the prior by instance and parameter, as the docstring of the module says."""
    for place, given, _ in registries.parametrised(scenario):
        for name, setting in given.items():
            if setting.prior is not None and not place.startswith("kernels"):
                raise InputError(
                    f"{scenario.label}: {place}.{name}.prior: --draws prior draws parameters of kernels; people and "
                    "networks are the same for every seed"
                )
    found: dict[str, dict[str, tuple[Any, ...]]] = {}
    for number, instance in enumerate(scenario.kernels):
        for name, declared in declarations(type(params[instance.name])).items():
            setting = instance.params.get(name)
            own = None if setting is None else setting.prior
            prior = tuple(declared.prior if own is None else own)
            if not prior:
                continue
            where = f"{scenario.label}: kernels[{number}].{name}.prior"
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
    sound, expected = SOUND[family]
    if not sound(a, b):
        raise InputError(f"{where}: {family}: expected {expected}, got {a:g} and {b:g}")


def _drawn(
    scenario: Scenario, params: Mapping[str, Any], priors: Mapping[str, Mapping[str, tuple[Any, ...]]], seed: int
) -> dict[str, Any]:
    """Return the parameters of one seed, drawn from the priors."""
    made, kernels = dict(params), registries.kernels_of(scenario)
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
    low, high = _bounds(params, name)
    value = np.asarray(getattr(params, name), np.float64)
    for attempt in range(TRIES):
        draw = _quantile(prior, _uniform(key, turn, attempt))
        new = value * (draw / _first(value)) if value.ndim else np.asarray(draw)
        if (new >= low).all() and (new <= high).all():
            return new.astype(np.float32)
    raise InputError(f"{where}: {name}: {TRIES} draws of its prior {list(prior)} lie outside {low:g} to {high:g}")


def _bounds(params: Any, name: str) -> tuple[float, float]:
    """Return the declared bounds, those of float32 where they are infinite."""
    low, high = declarations(type(params))[name].bounds
    return max(low, -LARGEST), min(high, LARGEST)


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


@dataclass(frozen=True)
class _Column:
    """A column of a file of draws: which number it sets (level None = all), and float64 [rows]."""

    instance: str
    name: str
    level: int | None
    values: HostArray


def _columns(scenario: Scenario, params: Mapping[str, Any]) -> list[_Column]:
    where = f"{scenario.label}: draws"
    path = located(scenario, str(scenario.draws), "draws")
    frame = tables.read(path, where)
    if not frame.width or frame.height < len(scenario.seeds):
        raise InputError(
            f"{where}: expected a row for each of the {len(scenario.seeds)} seeds, got {frame.height} in {path.name}; "
            "choose as many with --seeds, or give more rows"
        )
    found: list[_Column] = []
    for title in frame.columns:
        place = f"{where}: column '{title}' of {path.name}"
        instance, name, level = _target(scenario, params, title, place)
        values = np.array(tables.numbers(frame, title, f"{where}: {path.name}"), np.float64)
        low, high = _bounds(params[instance], name)
        if values.min() < low or values.max() > high:
            raise InputError(f"{place}: expected {low:g} to {high:g}, got {values.min():g} to {values.max():g}")
        for other in found:
            if (other.instance, other.name) == (instance, name) and (level is None or other.level is None):
                raise InputError(f"{place}: '{instance}.{name}' is set as a whole and by level; leave one of them out")
        found.append(_Column(instance, name, level, values))
    return found


def _target(scenario: Scenario, params: Mapping[str, Any], title: str, where: str) -> tuple[str, str, int | None]:
    """Return the instance, parameter and number of the level that a column's title names."""
    known: dict[str, Declaration] = {
        f"{instance}.{name}": declared
        for instance, each in params.items()
        for name, declared in declarations(type(each)).items()
    }
    instance, name, level = (*title.split(".", 2), "", "")[:3]
    declared = known.get(f"{instance}.{name}")
    if declared is None:
        raise InputError(f"{where}: unknown parameter '{instance}.{name}'{nearest(f'{instance}.{name}', known)}")
    size = np.asarray(getattr(params[instance], name)).size
    if not declared.by:
        if title != f"{instance}.{name}":
            raise InputError(f"{where}: '{instance}.{name}' is one number, it has no level '{level}'")
        return instance, name, None
    if title == f"{instance}.{name}":
        return instance, name, None
    table = next(each for each in scenario.kernels if each.name == instance)
    column = registries.all_columns(scenario)[table.columns.get(declared.by, declared.by)]
    code = column.code(level, where)
    if len(column.levels) != size:
        raise InputError(f"{where}: expected {len(column.levels)} levels of '{column.name}', the people have {size}")
    return instance, name, code


def _row(scenario: Scenario, params: Mapping[str, Any], columns: list[_Column], row: int) -> dict[str, Any]:
    """Return the parameters with one row of draws."""
    made = dict(params)
    for column in columns:
        value = np.array(getattr(made[column.instance], column.name), np.float32)
        value[... if column.level is None else column.level] = column.values[row]
        made[column.instance] = replace(made[column.instance], **{column.name: value})
    kernels = registries.kernels_of(scenario)
    for instance in {column.instance: None for column in columns}:
        kernels[instance].check(made[instance], f"{scenario.label}: draws: row {row}: '{instance}'", scenario.step_days)
    return made
