"""The parameters of a run as `run.json` and the report tell them: value, unit, meaning and where it is from.

A parameter that is drawn has no one value: its mean and range over the seeds stand there, and what it is drawn from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from lpm.kernel import Declaration, declarations
from lpm.scenarios import draws
from lpm.scenarios.assembly import Assembly
from lpm.scenarios.schema import KernelTable, StrengthTable
from lpm.sources import source_of
from lpm.types import HostArray


def rows(assembly: Assembly) -> Iterator[dict[str, Any]]:
    """Yield a row for every parameter of every kernel instance: path, value, unit, meaning, source.

    One that is drawn has a text as value ("0.031 (0.025 to 0.04 over 4 seeds)"), by level where it has levels, and a
    table `drawn` with `from` and the numbers `mean`, `low` and `high` over the seeds, shaped as a value.
    """
    scenario = assembly.scenario
    origins = draws.origins(scenario, assembly.params)
    made = draws.of_seeds(scenario, assembly.params) if origins else []
    for instance in scenario.instances:
        params = assembly.params[instance.name]
        defaults = {each.name: each.default for each in fields(type(params))}
        for name, declared in declarations(type(params)).items():
            setting = instance.params.get(name)
            source = declared.source
            if setting is not None:
                source = source_of(declared.source, defaults[name], setting.value, setting.source)
            value = np.asarray(getattr(params, name))
            row = {"path": f"{instance.name}.{name}", "unit": declared.unit, "meaning": declared.meaning}
            origin = origins.get((instance.name, name))
            if origin is None:
                numbers = [str(v) if declared.choices else _short(v) for v in value.ravel()]
                yield row | {"value": _shaped(assembly, instance, declared, value, numbers), "source": source}
                continue
            found = np.stack([np.asarray(getattr(each[instance.name], name)).ravel() for each in made])
            told = [_told(column) for column in found.T]
            over = {"mean": found.mean(0, dtype=np.float64), "low": found.min(0), "high": found.max(0)}
            shaped = {
                key: _shaped(assembly, instance, declared, value, [_short(np.float32(v)) for v in numbers])
                for key, numbers in over.items()
            }
            kept = f"; the prior: {source}" if scenario.draws == "prior" else ""
            yield row | {
                "value": _shaped(assembly, instance, declared, value, told),
                "source": f"drawn for each seed from {origin}{kept}",
                "drawn": {"from": origin, **shaped},
            }


def _short(value: Any) -> float:
    """Return the number of the shortest text of a float32: 0.4, not 0.40000001."""
    return float(str(value))


def _told(values: HostArray) -> str:
    """Return the mean and range of a number over the seeds, the number alone where all have the same."""
    low, high, mean = float(values.min()), float(values.max()), float(values.mean(dtype=np.float64))
    return f"{mean:.4g}" if low == high else f"{mean:.4g} ({low:.4g} to {high:.4g} over {len(values)} seeds)"


def _shaped(
    assembly: Assembly, instance: KernelTable | StrengthTable, declared: Declaration, value: HostArray, items: list[Any]
) -> Any:
    """Return one item alone, items by level where the parameter has levels, else the list."""
    if not value.ndim:
        return items[0]
    if not declared.by:
        return items
    column = instance.columns.get(declared.by, declared.by)
    return dict(zip(assembly.population.schema[column].levels, items, strict=True))
