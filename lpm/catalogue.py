"""What there is: scenarios, kernels, network builders, generators, ready-made interventions, and their parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lpm.errors import unknown
from lpm.sources import source_of


@dataclass(frozen=True)
class Entry:
    """One line of `lpm list`."""

    kind: str
    name: str
    summary: str


@dataclass(frozen=True)
class Row:
    """One parameter: its path, value, unit, bounds, meaning, source and prior ("" = none)."""

    path: str
    value: str
    unit: str
    bounds: str
    meaning: str
    source: str
    prior: str = ""


@dataclass(frozen=True)
class Listing:
    """A further table below the parameters; the last column may be "source"."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Sheet:
    """What `lpm show` tells: a title, sentences, the parameters, and further tables."""

    title: str
    sentences: tuple[str, ...]
    rows: tuple[Row, ...]
    listings: tuple[Listing, ...] = ()


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
        from lpm.scenarios import sheet as of_scenario

        return of_scenario.sheet(name)
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
    rows = tuple(row_of(key, None, defaults[key], declared) for key, declared in declarations(described.Params).items())
    sentences = [_first_line(described)]
    if kind == "kernel":
        sentences += [f"Schedule: {described.schedule}.", _gradient(described)]
        for column in described.columns:
            levels = f": {', '.join(column.levels)}" if column.levels else ""
            sentences.append(f"Column {column.name} ({column.dtype}), {column.meaning}{levels}.")
        if described.reads:
            sentences.append(f"Reads the columns {', '.join(described.reads)}.")
    return Sheet(f"{kind} {name}", tuple(sentences), rows)


def _gradient(kernel: Any) -> str:
    from lpm.kernel import GRADIENTS

    told = f"Gradient: {kernel.gradient} ({GRADIENTS[kernel.gradient]})"
    return f"{told}; refused by {', '.join(kernel.hard)}." if kernel.hard else f"{told}."


def _of_intervention(name: str) -> Sheet:
    """Return the keys of a ready-made intervention; a key of the file's tables is told by its path."""
    from lpm.scenarios import described, loader
    from lpm.scenarios.measures import Intervention
    from lpm.scenarios.values import table_of

    file = loader.library_file(name)
    tables, meanings = loader.read(file, name), described.attributes(Intervention)
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
            rows.append(Row(path, shown(each), unit, "", meanings.get(key, ""), source))
    return Sheet(f"intervention {name}", (str(tables.get("description", "")), use), tuple(rows))


UNITS = {"share": "1", "uptake": "1", "capacity": "people"}
"""Units of those keys that have one; durations are written with theirs."""


def row_of(path: str, setting: Any, default: Any, declared: Any, table: str = "") -> Row:
    """Return the row of a declared parameter.

    Args:
        path: What it is called.
        setting: What the scenario sets, None = nothing.
        default: Its value otherwise.
        declared: Its declaration.
        table: Source of the table that a scenario sets it in.
    """
    low, high = declared.bounds
    bounds = ", ".join(declared.choices)
    if not declared.choices and (low, high) != (float("-inf"), float("inf")):
        bounds = f"{low:g} to {high:g}"
    value, given = (default, None) if setting is None else (setting.value, setting.source)
    source = source_of(declared.source, default, None if setting is None else value, given, table)
    return Row(path, shown(value), declared.unit, bounds, declared.meaning, source, _prior(setting, declared))


def _prior(setting: Any, declared: Any) -> str:
    """Return the prior as `--draws prior` takes it: "lognormal 0.18, 0.1"."""
    from lpm.scenarios.values import list_of, table_of

    own = None if setting is None else setting.prior
    prior = tuple(declared.prior if own is None else own)
    if not prior:
        return "" if own is None else "held fixed"
    family, a, b = prior
    if own is None and setting is not None and family == "lognormal":  # the scenario's value is the median
        levels = table_of(setting.value)
        numbers = list_of(setting.value) or ([setting.value] if levels is None else [*levels.values()])
        a = next((number for number in numbers if number), a)
    return f"{family} {a:g}, {b:g}"


def shown(value: Any) -> str:
    """Return a parameter's value for a table."""
    from lpm.scenarios.values import list_of, table_of

    levels, items = table_of(value), list_of(value)
    if levels is not None:
        return ", ".join(f"{level}: {shown(each)}" for level, each in levels.items())
    if items is not None:
        return ", ".join(shown(each) for each in items)
    return f"{value:g}" if isinstance(value, float) else str(value)
