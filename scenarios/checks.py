"""What a well-formed scenario can still get wrong: names that nothing answers to, bounds, times, cyclic references."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from lpm.errors import InputError, unknown
from lpm.metric import TIED
from lpm.population import MOST, Column
from lpm.scenarios import afterwards, archetypes, draws, paths, registries, resolved, strengths, tables
from lpm.scenarios.check_measures import check_arms, check_surveys, moment
from lpm.scenarios.parameters import build
from lpm.scenarios.schema import Metric, Parametrised, Scenario

SHORTEST_STEP, LONGEST_STEP = 0.001 / 86_400, 36_525.0
"""Days: a millisecond and 100 years. Times have microseconds, and no rate is known for longer. Guesses."""


def check(scenario: Scenario) -> Scenario:
    """Return the scenario when everything that it names exists and fits.

    Raises:
        InputError: The first thing that does not.
    """
    label = scenario.label
    _check_extent(scenario)
    _check_names(scenario)
    population = registries.population_columns(scenario)
    columns = registries.all_columns(scenario)
    _check_parameters(scenario, population, columns)
    if scenario.report_from is not None:
        moment(scenario, scenario.report_from, f"{label}: report_from")
    for name, series in scenario.series.items():
        times = [
            scenario.index(knot[0], f"{label}: series.{name}.knots[{number}]")
            for number, knot in enumerate(series.knots)
        ]
        for number, (before, after) in enumerate(zip(times, times[1:], strict=False)):
            if after <= before:
                raise InputError(
                    f"{label}: series.{name}.knots[{number + 1}]: expected knots in ascending order of time, "
                    f"got {series.knots[number + 1][0]} after {series.knots[number][0]}"
                )
    if scenario.headline is not None and scenario.headline not in scenario.metrics:
        raise unknown(f"{label}: headline", "metric", scenario.headline, scenario.metrics)
    for name, metric in scenario.metrics.items():
        _check_metric(scenario, name, metric, columns)
    archetypes.check(scenario, columns)
    afterwards.check(scenario)
    check_arms(scenario, columns)
    check_surveys(scenario, columns)
    _check_data(scenario, columns)
    for place, file in resolved.files(scenario).items():
        if paths.is_registered(file):
            from lpm import data

            data.entry(file.removeprefix(paths.DATA), f"{label}: {place}")
        else:
            paths.located(scenario, file, place)
    tables.observed(scenario)
    tables.published(scenario)
    return scenario


def _check_extent(scenario: Scenario) -> None:
    """Refuse what no date, and no agent, can hold: a step, a run or a number of people beyond all measure."""
    label, days = scenario.label, scenario.step_days
    if not SHORTEST_STEP <= days <= LONGEST_STEP:
        raise InputError(f"{label}: step: expected 0.001s to 36525d (100 years), got '{scenario.step[:40]}'")
    if scenario.start is not None:
        first = scenario.start
        begin = first if isinstance(first, dt.datetime) else dt.datetime.combine(first, dt.time())
        left = (dt.datetime.max - begin) / dt.timedelta(days=1)
        if scenario.steps * days > left:
            raise InputError(
                f"{label}: start: {scenario.steps} steps of {scenario.step} from {first} end after the year 9999, the "
                f"last that a date can have; expected an earlier start, or at most {int(left / days)} steps"
            )
    size, people = scenario.population.size, scenario.population.people
    made = scenario.population.generator
    if made is not None and size is not None:
        least = getattr(registries.generator(made, f"{label}: population.generator"), "least", 1)
        if size < least:
            raise InputError(
                f"{label}: population.size: expected at least {least:,} agents for a population of '{made}', got "
                f"{size:,}"
            )
    if size is not None and people is not None and people > MOST * size:
        raise InputError(
            f"{label}: population.people: expected at most {MOST:,} people an agent, {MOST * size:,} for {size:,} "
            f"agents, got {people:g}; use more agents"
        )


def check_run(scenario: Scenario) -> None:
    """Refuse what a well-formed scenario cannot be run with once the options have changed it.

    Raises:
        InputError: A run that ends before anything of it is reported, or draws that do not fit the parameters or seeds.
    """
    if scenario.report_from is not None:
        first = scenario.index(scenario.report_from, f"{scenario.label}: report_from")
        if first >= scenario.steps:
            date = f"{scenario.report_from}, " if isinstance(scenario.report_from, dt.date) else ""
            raise InputError(
                f"{scenario.label}: report_from: the run of {scenario.steps} steps ends before the report begins "
                f"({date}step {first}); expected --steps of at least {first + 1}, or an earlier beginning, as in "
                f"--set report_from={scenario.start if date else 0}"
            )
    draws.check(scenario)


def once(names: Iterable[str], where: str, kind: str) -> None:
    """Refuse a name that comes twice.

    Raises:
        InputError: It does.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{where}: two {kind} are called '{name}'; every name must be different")
        seen.add(name)


def _check_names(scenario: Scenario) -> None:
    label = scenario.label
    once((each.name for each in scenario.networks), f"{label}: networks", "layers")
    once((each.name for each in scenario.kernels), f"{label}: kernels", "kernel instances")
    once((each.name for each in scenario.arms), f"{label}: arms", "arms")
    once((each.name for each in scenario.surveys), f"{label}: surveys", "surveys")
    layers = {each.name for each in scenario.networks}
    keys = {field.alias or name for name, field in Scenario.model_fields.items()}
    for number, instance in enumerate(scenario.kernels):
        if instance.name in layers:
            raise InputError(f"{label}: kernels[{number}]: the name '{instance.name}' is already that of a layer")
    for kind, names in (("kernels", [each.name for each in scenario.kernels]), ("networks", list(layers))):
        for name in names:
            if name in keys or "." in name:
                raise InputError(f"{label}: {kind}: the name '{name}' is a key of the scenario or holds a dot")


def _check_parameters(scenario: Scenario, population: Mapping[str, Column], columns: Mapping[str, Column]) -> None:
    label, people = scenario.label, scenario.population
    layers = [each.name for each in scenario.networks]
    kernels = registries.kernels_of(scenario)
    if people.generator is not None:
        made = registries.generator(people.generator, f"{label}: population.generator")
        build(made.Params, people.params, population, f"{label}: population", keys=_keys(people))
    elif people.params:
        name = next(iter(people.params))
        raise unknown(f"{label}: population", "key", name, _keys(people))
    for number, layer in enumerate(scenario.networks):
        where = f"{label}: networks[{number}]"
        made = registries.builder(layer.builder, f"{where}.builder")
        build(made.Params, layer.params, population, where, keys=_keys(layer))
    for number, instance in enumerate(scenario.kernels):
        where = f"{label}: kernels[{number}]"
        kernel = kernels[instance.name]
        for layer in instance.layers:
            if layer not in layers:
                raise unknown(f"{where}.layers", "layer", layer, layers)
        for name, here in instance.columns.items():
            own = [*kernel.reads, *(column.name for column in kernel.columns)]
            if name not in own:
                raise unknown(f"{where}.columns", f"column of kernel '{instance.kernel}'", name, own)
            if here not in columns:
                raise unknown(f"{where}.columns.{name}", "column", here, columns)
        for name in kernel.reads:
            if instance.columns.get(name, name) not in columns:
                raise InputError(
                    f"{where}: kernel '{instance.kernel}' reads the column '{name}'; the population has "
                    f'{", ".join(columns)}; name one with columns = {{ {name} = "..." }}'
                )
        params = build(kernel.Params, instance.params, columns, where, aliases=instance.columns, keys=_keys(instance))
        kernel.check(params, where, scenario.step_days)
    where, made = f"{label}: {strengths.NAME}", registries.instances_of(scenario)[strengths.NAME]
    build(made.Params, scenario.strengths.params, columns, where)


def _keys(table: Parametrised) -> list[str]:
    return [name for name in type(table).model_fields if name != "params"]


def _check_metric(scenario: Scenario, name: str, metric: Metric, columns: Mapping[str, Column]) -> None:
    where, metrics = f"{scenario.label}: metrics.{name}", scenario.metrics
    if "." in name or ":" in name:
        raise InputError(f"{where}: expected a name without dots and colons")
    for by in metric.by:
        if by not in columns:
            raise unknown(f"{where}.by", "column", by, columns)
        if not columns[by].levels:
            raise InputError(f"{where}.by: expected a column with levels, got '{by}', which is a number")
    for levels in (metric.flow, metric.stock):
        for level in levels or ():
            if metric.column not in columns:
                raise unknown(f"{where}.column", "column", metric.column, columns)
            if not columns[metric.column].levels:
                raise InputError(f"{where}.column: expected a column with levels, got '{metric.column}'")
            columns[metric.column].code(level, f"{where}.{metric.kind}")
    _check_column(scenario, where, metric, columns)
    _check_ring(scenario, name, (name,))
    for other in metric.refers:
        if other not in metrics:
            raise unknown(f"{where}.{metric.kind}", "metric", other, metrics)
        wanted = ("flow", "stock") if metric.kind == "share" else ("flow",)
        if metrics[other].kind not in wanted:
            got = f"'{other}', which is a {metrics[other].kind}"
            raise InputError(f"{where}.{metric.kind}: expected a {' or '.join(wanted)}, got {got}")
        for by in metric.by:
            if by not in metrics[other].by:
                raise InputError(f"{where}.by: '{by}' is not among the columns of metric '{other}' that it is made of")


def _check_column(scenario: Scenario, where: str, metric: Metric, columns: Mapping[str, Column]) -> None:
    """Check the column, layer and table that a metric is told of."""
    column, place = metric.of_column, f"{where}.{metric.kind}"
    layers = [layer.name for layer in scenario.networks]
    if metric.layer is not None and metric.layer not in layers:
        raise unknown(f"{where}.layer", "layer", metric.layer, layers)
    if metric.table is not None:
        if metric.table not in scenario.tables:
            raise unknown(f"{where}.table", "table", metric.table, scenario.tables)
        kernels = registries.kernels_of(scenario).values()
        there = [each.name for kernel in kernels for each in kernel.tables.get(metric.table, ())]
        if column is not None and column not in there:
            raise unknown(place, f"column of table '{metric.table}'", column, there)
        return
    if column is None:
        return
    if column not in columns:
        raise unknown(place, "column", column, columns)
    if metric.kind in TIED and columns[column].levels:
        return
    if columns[column].levels:
        raise InputError(f"{place}: expected a column of numbers, got '{column}', which has levels")
    bounded = all(abs(limit) < float("inf") for limit in columns[column].limits())
    placed = metric.kind == "cross_cutting" or (metric.range is not None and metric.kind != "gini")
    if not bounded and not placed:
        raise InputError(f"{place}: declare bounds of column '{column}', to sum it exactly")


def _check_ring(scenario: Scenario, name: str, path: tuple[str, ...]) -> None:
    for other in scenario.metrics[name].refers:
        if other in path:
            ring = " -> ".join((*path[path.index(other) :], other))
            raise InputError(f"{scenario.label}: metrics.{path[0]}: cyclic reference {ring}")
        if other in scenario.metrics:
            _check_ring(scenario, other, (*path, other))


def _check_data(scenario: Scenario, columns: Mapping[str, Column]) -> None:
    for name, observed in scenario.data.items():
        where = f"{scenario.label}: data.{name}"
        if observed.arm is not None and name in scenario.unpredictability:
            continue
        if name not in scenario.metrics:
            raise unknown(where, "metric", name, scenario.metrics)
        if scenario.metrics[name].kind in ("histogram", "quantiles"):
            raise InputError(f"{where}: metric '{name}' is several columns; expected one that is a single number")
        if scenario.start is None and observed.arm is None:
            raise InputError(f"{where}: observed figures have dates; expected a key 'start' in the scenario")
        if observed.group is not None and observed.group not in columns:
            raise unknown(f"{where}.group", "column", observed.group, columns)
        if observed.group is not None and observed.group not in scenario.metrics[name].by:
            raise InputError(f"{where}.group: metric '{name}' is not shown by '{observed.group}'; put it into its 'by'")
