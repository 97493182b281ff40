"""The free parameters of a scenario: their priors, and a point of their space as the parameters of a run.

A path is `kernel.parameter` ("seir.beta"), `strengths.label` ("strengths.orders"), or `kernel.parameter.level` for one
level of a vector. A vector that is free as a whole keeps its pattern over levels: free is its first level that is not
0, and the others move with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lpm.calibration.space import Space, prior_of
from lpm.errors import InputError, unknown
from lpm.kernel import declarations
from lpm.scenarios import registries
from lpm.scenarios.assembly import Assembly
from lpm.scenarios.draws_table import bounds
from lpm.types import HostArray

SPREAD = 0.5
"""Standard deviation of the log under the prior of a parameter above 0 that nobody gave a prior. A guess."""

NEAR = 1e-6
"""Relative distance from a bound within which a number is at it: what float32 tells apart."""


@dataclass(frozen=True)
class Free:
    """One free parameter.

    Attributes:
        path: What it is called.
        instance: The kernel instance, or "strengths".
        name: The parameter.
        level: Number of its level; None = all of them.
        value: Its value in the scenario (of the first level that is not 0).
        family: Family of its prior.
        a: First number of the prior.
        b: Second number of the prior.
        told: Where the prior comes from.
    """

    path: str
    instance: str
    name: str
    level: int | None
    value: float
    family: str
    a: float
    b: float
    told: str

    def into(self, params: Mapping[str, Any], value: float) -> dict[str, Any]:
        """Return the parameters of a run with this one at `value`, float32, no number of it beyond its bounds."""
        own = params[self.instance]
        now = np.array(getattr(own, self.name), np.float32)
        if self.level is not None:
            now[self.level] = self.within(own, np.asarray(value, np.float64))
        else:
            now = self.within(own, self.moved(own, np.asarray(value, np.float64))).astype(np.float32)
        return {**params, self.instance: replace(own, **{self.name: now})}

    def moved(self, own: Any, value: HostArray) -> HostArray:
        """Return what the whole parameter is at these values [...]: [...] of one number, else [..., levels].

        Args:
            own: The `Params` of the instance, with the pattern over levels that is kept.
            value: Values of the first level that is not 0.
        """
        pattern = np.asarray(getattr(own, self.name), np.float64)
        return value[..., None] * pattern / self.value if pattern.ndim else value

    def within(self, own: Any, value: HostArray) -> HostArray:
        """Return values that are cut off at the parameter's declared bounds."""
        return np.clip(value, *bounds(own, self.name))


def of_paths(assembly: Assembly, paths: Sequence[str], where: str = "--fit") -> tuple[Free, ...]:
    """Return the free parameters of these paths; `where` is said in errors.

    Raises:
        InputError: An unknown path, one that is named twice or as a whole and by level, a parameter that is no number
            or 0, or a prior that does not fit.
    """
    made: list[Free] = []
    for path in paths:
        if path in {each.path for each in made}:
            raise InputError(f"{where}: '{path}' is named twice")
        new = _of_path(assembly, path, where)
        for old in made:
            if (old.instance, old.name) == (new.instance, new.name) and (old.level is None or new.level is None):
                raise InputError(f"{where}: '{new.instance}.{new.name}' is named as a whole and by level; choose one")
        made.append(new)
    if not made:
        raise InputError(f"{where}: expected at least one path, such as seir.beta")
    return tuple(made)


def known(assembly: Assembly) -> list[str]:
    """Return every path that can be fitted: numbers that are not 0."""
    return [
        f"{instance}.{name}"
        for instance, params in assembly.params.items()
        for name, declared in declarations(type(params)).items()
        if not declared.choices and np.asarray(getattr(params, name)).any()
    ]


def _of_path(assembly: Assembly, path: str, where: str) -> Free:
    scenario = assembly.scenario
    instance, name, level = (*path.split(".", 2), "", "")[:3]
    if f"{instance}.{name}" not in known(assembly):
        zero = instance in assembly.params and hasattr(assembly.params[instance], name)
        if zero and np.asarray(getattr(assembly.params[instance], name)).dtype.kind == "f":
            raise InputError(
                f"{where}: {path}: the scenario has it at 0; give it a value first, as in --set {path}=0.1"
            )
        raise unknown(where, "parameter", path, known(assembly))
    params = assembly.params[instance]
    value, at = np.asarray(getattr(params, name), np.float64), None
    declared = declarations(type(params))[name]
    table = next(each for each in scenario.instances if each.name == instance)
    if level:
        if not value.ndim:
            raise InputError(f"{where}: {path}: '{instance}.{name}' is one number, it has no level '{level}'")
        column = registries.all_columns(scenario)[table.columns.get(declared.by, declared.by)]
        at = column.code(level, f"{where}: {path}")
    first = float(value[at] if at is not None else value.flat[int(np.argmax(value.ravel() != 0))])
    if first == 0:
        raise InputError(f"{where}: {path}: the scenario has it at 0; give it a value first")
    setting = table.params.get(name)
    given = setting.prior if setting is not None and setting.prior else declared.prior
    low = bounds(params, name)[0]
    if given:
        family, a, b = given
        own = setting is not None and bool(setting.prior)
        if family == "lognormal" and (not own or at is not None):
            a = first  # the spread of a declared prior, or of another level's, around the value that is here
        return Free(path, instance, name, at, first, family, a, b, f"{family} {a:g}, {b:g}")
    if first < 0 or (low < 0 and math.isfinite(low)):
        raise InputError(f"{where}: {path}: it has no prior; give it one: {name} = {{ value = ..., prior = [...] }}")
    told = f"lognormal {first:g}, {SPREAD:g} (no prior is declared: a guess)"
    return Free(path, instance, name, at, first, "lognormal", first, SPREAD, told)


def space_of(assembly: Assembly, free: Sequence[Free]) -> Space:
    """Return the space of the free parameters, each prior within the parameter's declared bounds."""
    return Space(
        {
            each.path: prior_of(each.family, each.a, each.b, bounds(assembly.params[each.instance], each.name))
            for each in free
        }
    )


def params_at(assembly: Assembly, free: Sequence[Free], theta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a run at one point of the space."""
    params: dict[str, Any] = dict(assembly.params)
    for each in free:
        params = each.into(params, float(theta[each.path]))
    return params


def columns_of(assembly: Assembly, free: Sequence[Free], theta: Mapping[str, HostArray]) -> dict[str, HostArray]:
    """Return draws of the space, [n] by path, as the columns that `lpm run --draws FILE` reads.

    A vector that is free as a whole becomes one column a level.
    """
    made: dict[str, HostArray] = {}
    for each in free:
        params = assembly.params[each.instance]
        value = np.asarray(getattr(params, each.name), np.float64)
        if not value.ndim or each.level is not None:
            made[each.path] = each.within(params, np.asarray(theta[each.path], np.float64))
            continue
        every = each.within(params, each.moved(params, np.asarray(theta[each.path], np.float64)))
        made |= {f"{each.path}.{name}": every[..., i] for i, name in enumerate(levels_of(assembly, each))}
    return made


def levels_of(assembly: Assembly, each: Free) -> tuple[str, ...]:
    """Return the names of the levels of a parameter that has some."""
    declared = declarations(type(assembly.params[each.instance]))[each.name]
    table = next(one for one in assembly.scenario.instances if one.name == each.instance)
    return tuple(assembly.population.schema[table.columns.get(declared.by, declared.by)].levels)


def edges(assembly: Assembly, free: Sequence[Free], theta: Mapping[str, Any]) -> list[str]:
    """Return what is at the edge of its declared bounds at one point of the space, a phrase each.

    That is "seir.ihr.75+ at 1" for a level, at its bound or cut off there.
    """
    told: list[str] = []
    for each in free:
        params = assembly.params[each.instance]
        value = np.asarray(theta[each.path], np.float64)
        pattern = np.asarray(getattr(params, each.name), np.float64)
        whole = each.level is None and pattern.ndim
        values = np.atleast_1d(each.moved(params, value) if whole else value)
        names = [f"{each.path}.{level}" for level in levels_of(assembly, each)] if whole else [each.path]
        for name, number, free_one in zip(names, values, pattern.ravel() != 0 if whole else [True], strict=True):
            for end, beyond in zip(bounds(params, each.name), (-1, 1), strict=True):
                if free_one and beyond * (number - end) >= -NEAR * abs(end):
                    told.append(f"{name} at {end:g}")
    return told
