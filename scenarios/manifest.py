"""What a run leaves behind beside the finished pairs: trajectory, effects, observed figures, run.json, the report."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lpm import __version__, cluster, derived, effects, results, score
from lpm.memory import peak_memory_mb
from lpm.metrics import Metric
from lpm.ops import dispatch
from lpm.policy import SCALAR
from lpm.report import changes
from lpm.scenarios import accounts, afterwards, agents, notes, parameter_table, tables
from lpm.scenarios.assembly import Assembly
from lpm.scenarios.layers import NetworkFacts
from lpm.scenarios.levers import CONSTANT
from lpm.scenarios.measures import Intervention
from lpm.scenarios.schema import Scenario
from lpm.types import HostArray

DEGREE_BINS = (*range(41), 50, 60, 80, 100, 200, 500, 1_000, 10_000, 100_000, 10**9)
"""Edges of the bins of the degree distribution; one bin a degree where most agents are."""


def versions() -> dict[str, str]:
    """Return the versions that a trajectory's last bits, and its files, depend on."""
    names = ("jax", "jaxlib", "numpy", "polars", "numba")
    found = {name: importlib.metadata.version(name) for name in names}
    return {"lpm": __version__, **found, "python": platform.python_version()}


def with_derived(assembly: Assembly, groups: tuple[str, ...], values: Mapping[str, HostArray]) -> dict[str, Any]:
    """Return the metrics in declared order, derived ones computed, "people" first."""
    dt, people = assembly.scenario.step_days, values["people"]
    weight = assembly.population.people / assembly.population.size
    made: dict[str, HostArray] = {"people": people}
    counted: dict[str, HostArray] = dict(values)
    kinds = {metric.name: metric.kind for metric in assembly.metrics}

    def told(metric: Metric) -> HostArray:
        first = counted[metric.of[0]]
        if metric.kind == "share" and kinds[metric.of[0]] == "stock":
            new = derived.present_share(first, people)
        elif metric.kind == "share":
            new = derived.share(first, people)
        elif metric.kind == "ratio":
            new = derived.ratio(first, counted[metric.of[1]])
        else:
            new = derived.reproduction(first, *metric.interval, dt=dt, least=derived.LEAST_EXPECTED * weight)
        declared = {name for name, _ in assembly.model.recorder.groups(metric.by)}
        new[:, [name not in declared for name in groups]] = np.nan
        return new

    for metric in assembly.metrics:
        made |= {name: values[name] if name in values else told(metric) for name in metric.columns}
    return made


def write(
    assembly: Assembly,
    folder: Path,
    seconds: Mapping[str, float],
    tallies: Mapping[tuple[str, int], Mapping[str, HostArray]],
    interrupted: bool,
) -> None:
    """Write everything that a run's folder holds beside the finished pairs.

    Args:
        assembly: The run.
        folder: Its folder.
        seconds: Time of compiling, of running, and in total.
        tallies: People reached, in effect and held at a bound, by (arm, seed) and intervention.
        interrupted: Pairs are missing.

    Raises:
        InputError: A file cannot be written (its cause is an OSError), or the observed figures do not fit.
        Fault: `agents.parquet` cannot be written.
    """
    scenario = assembly.scenario
    arms = [arm.name for arm in assembly.arms]
    trajectory = results.join_finished(folder, arms, scenario.seeds)
    results.write_frame(folder / "trajectory.parquet", trajectory)
    pairs = [(index, seed) for index in range(len(arms)) for seed in scenario.seeds]
    agents.write(folder, [pair for pair in pairs if results.finished_path(folder, *pair).exists()])
    kinds = {metric.name: metric.kind for metric in assembly.metrics}
    since = scenario.report_from
    table = effects.effects(trajectory, kinds, since, scenario.draws, scenario.step_days)
    results.write_frame(folder / "effects.parquet", table)
    seen = tables.observed(scenario)
    scores: list[dict[str, Any]] = []
    if seen is not None:
        results.write_frame(folder / "observed.parquet", seen)
        scores = score.score(effects.reported(trajectory, since), seen, kinds)
    afterwards.write(assembly, folder)
    facts = _facts(assembly, seconds, interrupted) | {
        "notes": [*notes.of(assembly), *notes.clipped(assembly, tallies)],
        "score": scores,
        "costs": accounts.costs(assembly, tallies),
    }
    results.write_bytes(folder / "run.json", json.dumps(facts, indent=1, default=_plain).encode())
    from lpm.report import write_report

    write_report(folder)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return str(value)


def _facts(assembly: Assembly, seconds: Mapping[str, float], interrupted: bool) -> dict[str, Any]:
    scenario, population = assembly.scenario, assembly.population
    steps = max(seconds["steps"], 1.0)
    backends: dict[str, str] = {}
    with dispatch.using(scenario.backend):
        for op in dispatch.table():
            name, why = dispatch.chosen(op)
            backends[op] = f"{name} ({why})"
    build = sum(assembly.seconds.values())
    return {
        "name": scenario.name,
        "title": scenario.title or scenario.name,
        "description": scenario.description,
        "assumptions": list(scenario.assumptions),
        "chosen": scenario.chosen,
        "calibrated": scenario.calibrated,
        "headline": scenario.headline,
        "start": scenario.start,
        "step": scenario.step,
        "steps": scenario.steps,
        "report_from": scenario.report_from,
        "draws": scenario.draws,
        "seeds": list(scenario.seeds),
        "versions": versions(),
        "devices": [str(device) for device in cluster.devices(assembly.model.shards)],
        "processes": cluster.count(),
        "backend": backends,
        "agents": population.size,
        "people": population.people,
        "weight": population.people / population.size,
        "arcs": {name: layer.arcs for name, layer in assembly.networks.items()},
        "seconds": {
            "build": build,
            **{name: value for name, value in assembly.seconds.items()},
            "compile": seconds["compile"],
            "run": seconds["run"],
            "between chunks": seconds["host"],
            "per_step": seconds["run"] / steps,
            "total": seconds["total"],
        },
        "peak_memory_mb": peak_memory_mb(),
        "interrupted": interrupted,
        "arms": [_arm(assembly, number) for number in range(len(assembly.arms))],
        "metrics": {
            m.name: {"title": m.title, "unit": m.unit, "kind": m.kind, "by": list(m.by), "of": list(m.of)}
            for m in assembly.metrics
        },
        "unpredictability": {name: {"title": each.title or name} for name, each in scenario.unpredictability.items()},
        "groups": dict(zip(assembly.model.recorder.by, map(list, assembly.model.recorder.names), strict=True)),
        "layers": {name: _layer(assembly, name, layer) for name, layer in assembly.networks.items()},
        "population": _population(population.facts),
        "parameters": list(parameter_table.rows(assembly)),
        "sources": _sources(assembly),
    }


def _population(facts: Mapping[str, Any]) -> dict[str, Any]:
    told_elsewhere = ("marginals", "sources", "agents", "people")
    return {
        "facts": {k: v for k, v in facts.items() if k not in told_elsewhere},
        "marginals": facts.get("marginals", []),
        "sources": [str(source) for source in facts.get("sources", [])],
    }


def _arm(assembly: Assembly, number: int) -> dict[str, Any]:
    """Return an arm as its account has it, with the curves of its interventions in words and all their sources."""
    scenario = assembly.scenario
    account = accounts.arm_in_words(assembly, assembly.arms[number])
    tables = [table for table, _ in scenario.interventions_of(scenario.arms[number])]
    made = [each for each in assembly.arms[number].interventions if not each.name.startswith(CONSTANT)]
    names = [changes.moment(step, scenario.start, scenario.step_days) for step in range(scenario.steps)]
    return account | {
        "interventions": [
            entry
            | {
                "what": changes.in_words(each, assembly.networks, assembly.population.schema, names),
                "when": entry["when"] + changes.ends(each, scenario.steps, scenario.start, scenario.step_days),
                "whom": entry["whom"] if each.on_agents else "everybody",
                "source": _source(table, scenario),
            }
            for entry, table, each in zip(account["interventions"], tables, made, strict=True)
        ]
    }


def _source(table: Intervention, scenario: Scenario) -> str:
    """Return where an intervention and the curves that it follows come from."""
    given: Mapping[str, Any] = getattr(table, table.act) if table.act in SCALAR else {}
    curves = list(dict.fromkeys(v for v in given.values() if isinstance(v, str) and scenario.series[v].source))
    if table.source and curves:  # the curves' own stand, by name, among the sources of the run
        return f"{table.source}; curves: {', '.join(curves)} (see Data and sources)"
    return table.source or "; ".join(dict.fromkeys(scenario.series[name].source for name in curves))


def _layer(assembly: Assembly, name: str, layer: NetworkFacts) -> dict[str, Any]:
    counts, _ = np.histogram(layer.degrees, DEGREE_BINS)
    used = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else 1
    told: dict[str, Any] = {
        "arcs": layer.arcs,
        "mean_degree": float(layer.degrees.mean()),
        "degree_bins": DEGREE_BINS[: used + 1],
        "degree_counts": counts[:used],
        "source": layer.source,
        "facts": {name: value for name, value in layer.facts.items() if name != "mixing"},
    }
    if layer.mixing is not None:
        levels = assembly.population.schema["age"].levels
        told["mixing"] = {"levels": list(levels), "generated": layer.mixing}
        if layer.published is not None:
            told["mixing"]["published"] = layer.published
    return told


def _sources(assembly: Assembly) -> list[str]:
    scenario = assembly.scenario
    told = [f"{name}: {series.source}" for name, series in scenario.series.items() if series.source]
    told += [f"{layer.name} contacts: {layer.source}" for layer in scenario.networks if layer.source]
    told += [f"observed {name}: {data.source}" for name, data in scenario.data.items() if data.source]
    return list(dict.fromkeys([*told, *(str(s) for s in assembly.population.facts.get("sources", []))]))


def write_tallies(folder: Path, index: int, seed: int, tallies: Mapping[str, HostArray]) -> None:
    """Keep the people (per step) reached by each intervention beside a finished pair, for a run that is resumed."""
    results.write_frame(_tallies(folder, index, seed), pl.DataFrame(dict(tallies)))


def read_tallies(folder: Path, index: int, seed: int) -> dict[str, HostArray]:
    """Return what `write_tallies` wrote."""
    frame = results.read_frame(_tallies(folder, index, seed))
    return {series.name: series.to_numpy() for series in frame.iter_columns()}


def _tallies(folder: Path, index: int, seed: int) -> Path:
    return results.finished_path(folder, index, seed).with_suffix(".tallies.parquet")
