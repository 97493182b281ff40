"""What there is: scenarios, kernels, network builders, generators, ready-made interventions, and their parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lpm.errors import unknown


@dataclass(frozen=True)
class Entry:
    """One line of `lpm list`."""

    kind: str
    name: str
    summary: str


@dataclass(frozen=True)
class Row:
    """One parameter: its path, value, unit, bounds, meaning and source."""

    path: str
    value: str
    unit: str
    bounds: str
    meaning: str
    source: str


@dataclass(frozen=True)
class Sheet:
    """What `lpm show` tells: a title, sentences and the parameters."""

    title: str
    sentences: tuple[str, ...]
    rows: tuple[Row, ...]


def everything() -> list[Entry]:
    """Return every scenario, kernel, builder, generator and ready-made intervention."""
    from lpm.kernel import kernels
    from lpm.scenarios import loader, registries

    found: list[Entry] = []
    for name in loader.names():
        tables = loader.read(*loader.locate(name))
        found.append(Entry("scenario", name, str(tables.get("title") or tables.get("description") or "")))
    found += [Entry("kernel", name, _first_line(kernel)) for name, kernel in kernels().items()]
    found += [Entry("network builder", name, _first_line(made)) for name, made in _builders().items()]
    found += [Entry("population", name, _first_line(made)) for name, made in sorted(registries.generators().items())]
    for name in loader.library():
        tables = loader.read(loader.library_file(name), name)
        found.append(Entry("intervention", name, str(tables.get("description", ""))))
    return found


def _builders() -> Mapping[str, Any]:
    from lpm import networks

    return networks.builders()


def _first_line(described: Any) -> str:
    text = (described.__doc__ or "").strip()
    return " ".join(text.split("\n\n")[0].split())


def sheet(name: str) -> Sheet:
    """Return the parameters of a scenario (by name or TOML file), kernel, builder, generator or intervention.

    Raises:
        InputError: Nothing of that name; the nearest is suggested.
    """
    from lpm.kernel import kernels
    from lpm.scenarios import loader, registries

    if name in loader.names() or name.endswith(".toml"):
        return _of_scenario(name)
    for kind, known in (
        ("kernel", kernels()),
        ("network builder", _builders()),
        ("population generator", registries.generators()),
    ):
        if name in known:
            return _of_class(kind, name, known[name])
    if name in loader.library():
        return _of_intervention(name)
    known = [*loader.names(), *kernels(), *_builders(), *registries.generators(), *loader.library()]
    raise unknown("show", "scenario, kernel or intervention", name, known)


def _of_class(kind: str, name: str, described: Any) -> Sheet:
    from lpm.kernel import declarations

    defaults = {each.name: each.default for each in dataclasses.fields(described.Params)}
    rows = tuple(_row(key, None, defaults[key], declared) for key, declared in declarations(described.Params).items())
    sentences = [_first_line(described)]
    if kind == "kernel":
        sentences.append(f"Schedule: {described.schedule}.")
        for column in described.columns:
            levels = f": {', '.join(column.levels)}" if column.levels else ""
            sentences.append(f"Column {column.name} ({column.dtype}), {column.meaning}{levels}.")
        if described.reads:
            sentences.append(f"Reads the columns {', '.join(described.reads)}.")
    return Sheet(f"{kind} {name}", tuple(sentences), rows)


def _of_intervention(name: str) -> Sheet:
    """Return the keys of a ready-made intervention; a key of the file's tables is told by its path."""
    from lpm.scenarios import loader
    from lpm.scenarios.values import table_of

    file = loader.library_file(name)
    tables = loader.read(file, name)
    comments = [line.removeprefix("#").strip() for line in file.read_text(encoding="utf-8").splitlines()]
    use = comments[0] if comments and comments[0].startswith("Use:") else f'Use: [[interventions]] use = "{name}"'
    rows: list[Row] = []
    for key, value in tables.items():
        if key in ("name", "label", "description", "source"):
            continue
        inner = table_of(value)
        told = {key: value} if inner is None else {f"{key}.{name}": each for name, each in inner.items()}
        for path, each in told.items():
            if path.endswith((".unit", ".source")):
                continue
            unit = str((inner or {}).get("unit", "")) if key == "cost" else UNITS.get(path, "")
            source = str((inner or tables).get("source", tables.get("source", "")))
            rows.append(Row(path, shown(each), unit, "", MEANINGS.get(key, ""), source))
    return Sheet(f"intervention {name}", (str(tables.get("description", "")), use), tuple(rows))


MEANINGS = {
    "at": "when it begins (a date or step); absent = at once",
    "until": "when it ends",
    "when": "the metric that starts and ends it",
    "where": "whom: the agents with these values",
    "share": "share of them who are singled out",
    "top": "only those with the most neighbours",
    "neighbours_of": "whom: those with a tie to these",
    "every": "how often people are reached",
    "uptake": "chance that a person who is reached takes part",
    "delay": "from being reached to the effect",
    "duration": "how long the effect lasts",
    "capacity": "most people who are reached in a step",
    "scale": "factor on a layer or parameter",
    "set": "value of a parameter",
    "reduce": "share of contacts that is taken away",
    "scale_column": "factor on a column of those reached",
    "set_column": "value of a column of those reached",
    "cost": "what it costs",
}
"""What the keys of an intervention mean, in few words; `lpm.policy` has the rules."""

UNITS = {"share": "1", "uptake": "1", "capacity": "people"}
"""Units of those keys that have one; durations are written with theirs."""


def _of_scenario(name: str) -> Sheet:
    from lpm.scenarios import loader, registries

    scenario = loader.load(name)
    rows: list[Row] = []
    label = scenario.label
    tables: list[tuple[str, Mapping[str, Any], Any]] = []
    if scenario.population.generator is not None:
        made = registries.generator(scenario.population.generator, f"{label}: population.generator")
        tables.append(("population", scenario.population.params, made))
    for layer in scenario.networks:
        tables.append((layer.name, layer.params, registries.builder(layer.builder, f"{label}: networks")))
    kernels = registries.kernels_of(scenario)
    tables += [(each.name, each.params, kernels[each.name]) for each in scenario.kernels]
    from lpm.kernel import declarations

    for owner, params, made in tables:
        defaults = {each.name: each.default for each in dataclasses.fields(made.Params)}
        for key, declared in declarations(made.Params).items():
            rows.append(_row(f"{owner}.{key}", params.get(key), defaults[key], declared))
    sentences = [text for text in (scenario.title, scenario.description, *scenario.assumptions) if text]
    sentences.append(
        f"{scenario.steps} steps of {scenario.step}"
        + (f" from {scenario.start}" if scenario.start else "")
        + f", {len(scenario.seeds)} seeds"
        + (f", {scenario.population.size:,} agents" if scenario.population.size else "")
        + f". Arms: {', '.join(arm.name for arm in scenario.arms)}."
    )
    sentences.append(f"Metrics: {', '.join(scenario.metrics) or 'none'}.")
    if not scenario.calibrated:
        sentences.append("Not calibrated: parameters are literature values or guesses.")
    return Sheet(f"scenario {scenario.name}", tuple(sentences), tuple(rows))


def _row(path: str, setting: Any, default: Any, declared: Any) -> Row:
    low, high = declared.bounds
    bounds = ", ".join(declared.choices)
    if not declared.choices and (low, high) != (float("-inf"), float("inf")):
        bounds = f"{low:g} to {high:g}"
    value, source = default, declared.source
    if setting is not None:
        value = setting.value
        source = setting.source or (declared.source if value == default else "")
    return Row(path, shown(value), declared.unit, bounds, declared.meaning, source)


def shown(value: Any) -> str:
    """Return a parameter's value for a table."""
    from lpm.scenarios.values import list_of, table_of

    levels, items = table_of(value), list_of(value)
    if levels is not None:
        return ", ".join(f"{level}: {shown(each)}" for level, each in levels.items())
    if items is not None:
        return ", ".join(shown(each) for each in items)
    return f"{value:g}" if isinstance(value, float) else str(value)
