"""A scenario as `lpm show` tells it: every parameter, and what its arms do, when, to whom, each with its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from lpm import sources
from lpm.catalogue import Listing, Row, Sheet, row_of, shown
from lpm.kernel import declarations
from lpm.scenarios import loader, registries
from lpm.scenarios.measures import LEVERS, Intervention
from lpm.scenarios.schema import LayerTable, Scenario
from lpm.scenarios.values import Range


def sheet(name: str) -> Sheet:
    """Return what a scenario (a built-in name, or the path of a TOML) is made of.

    Raises:
        InputError: The first thing that is wrong with it.
    """
    scenario = loader.load(name)
    rows = tuple(_rows(scenario))
    sentences = [text for text in (scenario.title, scenario.description, *scenario.assumptions) if text]
    sentences.append(
        f"{scenario.steps} steps of {scenario.step}"
        + (f" from {scenario.start}" if scenario.start else "")
        + (f", reported from {scenario.report_from}" if scenario.report_from is not None else "")
        + f", {len(scenario.seeds)} seeds"
        + (f", {scenario.population.size:,} agents" if scenario.population.size else "")
        + f". Arms: {', '.join(arm.name for arm in scenario.arms)}."
    )
    sentences.append(f"Metrics: {', '.join(scenario.metrics) or 'none'}.")
    if not scenario.calibrated:
        kernels = {*(each.name for each in scenario.kernels), "strengths"}
        told = sources.in_words((row.source for row in rows if row.path.split(".")[0] in kernels), scenario.chosen)
        sentences.append(f"Not calibrated. {told}".strip())
    listings = (_interventions(scenario), _arms(scenario), _series(scenario), _observed(scenario))
    return Sheet(f"scenario {scenario.name}", tuple(sentences), rows, tuple(each for each in listings if each.rows))


def _rows(scenario: Scenario) -> Iterator[Row]:
    label, people = scenario.label, scenario.population
    if people.size is not None:
        yield Row("population.size", f"{people.size:,}", "agents", "1 to 2,147,483,647", "number of agents", "")
    if people.people is not None:
        yield Row("population.people", f"{people.people:,.0f}", "people", "", "people that all agents stand for", "")
    if people.generator is not None:
        made = registries.generator(people.generator, f"{label}: population.generator")
        yield from _of("population", people.params, made, "")
    for layer in scenario.networks:
        yield from _of(layer.name, layer.params, registries.builder(layer.builder, f"{label}: networks"), layer.source)
        if layer.scale != LayerTable.model_fields["scale"].default:
            told = layer.source or sources.NO_SOURCE
            yield Row(f"{layer.name}.scale", shown(layer.scale), "1", "0 or more", "factor on its contacts", told)
    kernels = registries.instances_of(scenario)
    for each in scenario.instances:
        yield from _of(each.name, each.params, kernels[each.name], "")


def _of(owner: str, params: Mapping[str, Any], described: Any, source: str) -> Iterator[Row]:
    defaults = {each.name: each.default for each in fields(described.Params)}
    for key, declared in declarations(described.Params).items():
        yield row_of(f"{owner}.{key}", params.get(key), defaults[key], declared, source)


def _interventions(scenario: Scenario) -> Listing:
    """Return every intervention once, with the arms in which it is in force."""
    found: dict[int, tuple[Intervention, list[str]]] = {}
    for arm in scenario.arms:
        for each, _ in scenario.interventions_of(arm):
            found.setdefault(id(each), (each, []))[1].append(arm.name)
    rows: list[tuple[str, ...]] = []
    for each, arms in found.values():
        which = "all" if len(arms) == len(scenario.arms) else ", ".join(arms)
        curves = [v for v in (getattr(each, each.act) or {}).values()] if each.act in LEVERS else []
        told = [each.source, *(scenario.series[v].source for v in curves if isinstance(v, str))]
        source = "; ".join(dict.fromkeys(text for text in told if text)) or sources.NO_SOURCE
        rows.append((each.name, which, _when(each), _whom(each), _does(each), source))
    return Listing("Interventions", ("name", "arms", "when", "whom", "what", "source"), tuple(rows))


def _when(each: Intervention) -> str:
    told = f"from {each.at}" if each.at else "throughout"
    told += f" until {each.until}" if each.until is not None else ""
    if each.when is not None:
        side, level = ("above", each.when.above) if each.when.above is not None else ("below", each.when.below)
        told += f", once {each.when.metric} ({each.when.group}) is {side} {level:g}"
        told += f", released at {each.when.release:g}" if each.when.release is not None else ""
    for word, text in (("every", each.every), ("after", each.delay), ("for", each.duration)):
        told += f", {word} {text}" if text is not None else ""
    return told


def _whom(each: Intervention) -> str:
    told = _filter(each.where) or "everybody"
    if each.neighbours_of is not None:
        told = f"{', '.join(each.neighbours_of.layers)} neighbours of {_filter(each.neighbours_of.where)}"
        told += f", {_filter(each.where)}" if each.where else ""
    if each.top is not None:
        told += f", the {each.top.count:,.0f} with most ties in {each.top.layer}"
    for word, value in (("share", each.share), ("uptake", each.uptake)):
        told += f", {word} {value:g}" if value is not None else ""
    return told + (f", at most {each.capacity:,.0f} people a step" if each.capacity is not None else "")


def _filter(where: Mapping[str, Any] | None) -> str:
    parts: list[str] = []
    for column, rule in (where or {}).items():
        if isinstance(rule, Range):
            low = "" if rule.min is None else f" from {rule.min:g}"
            parts.append(f"{column}{low}{'' if rule.max is None else f' to {rule.max:g}'}")
        else:
            parts.append(f"{column} {' or '.join(map(str, rule))}")
    return ", ".join(parts)


def _does(each: Intervention) -> str:
    act: Any = getattr(each, each.act)
    if isinstance(act, Mapping):
        words = {"scale": "times", "scale_column": "times", "reduce": "reduced by"}.get(each.act, "set to")
        return "; ".join(f"{target} {words} {shown(value)}" for target, value in dict(act).items())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if each.act in ("add_ties", "remove_ties"):
        return f"{act.count:,} ties {'added to' if each.act == 'add_ties' else 'removed from'} {act.layer}"
    return f"{act.amount:g} added to {act.column}"


def _arms(scenario: Scenario) -> Listing:
    rows: list[tuple[str, ...]] = []
    for arm in scenario.arms:
        differs = [f"{label} shifted by {by}" for label, by in arm.shift.items()]
        differs += [f"without {label}" for label in arm.omit] + [f"with {each.name}" for each in arm.interventions]
        rows.append((arm.name, "; ".join(differs) or "the interventions as they stand", arm.description))
    return Listing("Arms", ("name", "what differs", "description"), tuple(rows))


def _series(scenario: Scenario) -> Listing:
    rows = tuple(
        (name, ", ".join(f"{moment}: {value:g}" for moment, value in each.knots), each.source or sources.NO_SOURCE)
        for name, each in scenario.series.items()
    )
    return Listing("Curves (linear between knots)", ("name", "knots", "source"), rows)


def _observed(scenario: Scenario) -> Listing:
    rows = tuple((name, each.file, each.source or sources.NO_SOURCE) for name, each in scenario.data.items())
    return Listing("Observed figures", ("metric", "file", "source"), rows)
