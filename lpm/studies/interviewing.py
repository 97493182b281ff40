"""Interviews of a scenario's archetypes, and of its agents or those that a run has left: `lpm archetypes interview`.

The archetypes are those of the scenario's table, numbered as `lpm archetypes show` lists them; a scenario without a
table has those that its people are put into. The agents are the scenario's own, before its first step, or those in
`agents.parquet` of a finished run, at its end. A run's folder is only read, and no file in it is locked: the run is the
same to the last byte, and so is one that is gone on with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lpm.errors import InputError, unknown
from lpm.progress import Told
from lpm.studies.study import Asked, answers_of, policy_of, provider_of, study

if TYPE_CHECKING:
    import polars as pl

    from lpm.archetypes.contexts import Contexts
    from lpm.archetypes.interviews import Inquiry, Respondent
    from lpm.archetypes.questions import Provider
    from lpm.population import Column
    from lpm.scenarios.schema import Scenario

OWN = ("id", "weight", "present", "archetype", "arm", "seed")
"""Columns that are of the simulation, and nothing that a person knows of itself."""

FEW = 5
"""Archetypes that are asked when nobody says which."""


@dataclass(frozen=True)
class Source:
    """Where the people of an interview are from.

    Attributes:
        name: A scenario; "" = that of the run.
        run: Folder of a finished run with `agents.parquet`; None = the people as the scenario begins.
        arm: Arm of the run; None = its first.
        seed: Seed of the run; None = its first.
        agents: Agents of the population, without a run; None = the scenario's number.
        count: Number of clusters, of a scenario without a table.
    """

    name: str = ""
    run: Path | None = None
    arm: str | None = None
    seed: int | None = None
    agents: int | None = None
    count: int | None = None


@dataclass(frozen=True)
class Interview:
    """What was asked of whom, and the answers.

    Attributes:
        frame: The answers, see `lpm.archetypes.interviews.interview`.
        cards: What was told of each archetype that was asked, by its number.
        situation: What was told of the moment; "" = nothing.
        model: Who answered: what identifies the model.
        moment: Which people were asked, in words.
    """

    frame: pl.DataFrame
    cards: Mapping[int, str]
    situation: str
    model: Mapping[str, str]
    moment: str


def interview(
    source: Source,
    asked: Asked,
    inquiries: Sequence[Inquiry],
    who: Sequence[int],
    agents: Sequence[int],
    values: Mapping[str, float],
    time: float | None,
    progress: Told,
    provider: Provider | None = None,
) -> Interview:
    """Return what archetypes, and agents through their archetype and their columns, answer.

    Args:
        source: Where they are from.
        asked: Whom to ask, and within which limits.
        inquiries: The questions.
        who: Archetypes; empty together with `agents` = the five that stand for most people.
        agents: Ids of agents.
        values: Of context variables; the words of the nearest anchor are told, see `said`.
        time: The moment, as it is written into the frame; of a run it is the run's end [d since its start].
        progress: Told how far it is.
        provider: A model, in the place of the one that `asked` names.

    Raises:
        InputError: No such run, archetype, agent or variable, or a provider that is no model.
        Fault: Some questions have no answer.
    """
    from lpm.archetypes.interviews import Respondent
    from lpm.archetypes.interviews import interview as ask
    from lpm.scenarios import archetypes

    scenario = _scenario(source)
    situation = said(archetypes.contexts_of(scenario), values)
    kinds = _kinds(source, scenario)
    cards = kinds["card"].to_list()
    for each in who:
        if not 0 <= each < kinds.height:
            raise InputError(f"--who: expected archetypes 0 to {kinds.height - 1}, got {each}")
    most = np.argsort(-kinds["weight"].to_numpy(), kind="stable")[:FEW].tolist()
    chosen = list(who) or ([] if agents else most)
    people = [Respondent(each, cards[each]) for each in chosen]
    moment = "archetypes, at no moment of their own"
    if source.run is not None:
        if time is not None:
            raise InputError("--time: expected either --run, whose end is the moment, or --time, got both")
        time = scenario.steps * scenario.step_days
        moment = f"the end of {source.run} ({time:g} days after its start)"
    elif agents:
        moment = f"the people of {scenario.label} before the first step"
    if agents:
        people += _persons(_rows(source, scenario, agents), agents, scenario, kinds)
    policy = policy_of(replace(asked, form=None), scenario)
    with answers_of(asked) as answers:
        model = provider_of(asked, scenario, answers) if provider is None else provider
        frame = ask(
            people, inquiries, model, situation=situation, time=time, answers=answers, policy=policy,
            limits=asked.limits, progress=progress,
        )  # fmt: skip
    shown = {each.archetype: each.card for each in people}
    return Interview(frame, shown, situation, {"provider": model.name, **model.identity}, moment)


def said(contexts: Contexts, values: Mapping[str, float]) -> str:
    """Return the sentences of the variables that are given, each at the anchor nearest to its value.

    Nearest is meant on the variable's own scale: of the anchors 1 and 1000 of a log1p variable the one nearest to 100
    is 1000.

    Raises:
        InputError: No such variable, or a value outside its anchors, of which there is nothing to say.
    """
    told: list[str] = []
    for name in values:
        if name not in contexts.names:
            raise unknown("--at", "context variable", name, contexts.names)
    for variable in contexts.variables:
        if variable.name in values:
            value, anchors = values[variable.name], variable.anchors
            if not anchors[0] <= value <= anchors[-1]:
                raise InputError(f"--at: {variable.name}: expected {anchors[0]:g} to {anchors[-1]:g}, got {value:g}")
            place = np.log1p(value) if variable.scale == "log1p" else value
            text = variable.said(int(np.abs(variable.points - place).argmin()))
            told.append(text if text.endswith((".", "!", "?")) else f"{text}.")
    return " ".join(told)


def _scenario(source: Source) -> Scenario:
    """Return the scenario, of a run that which it was made of.

    Raises:
        InputError: There is none, or the folder holds no run with agents, or one of another scenario.
    """
    from lpm import asking

    if source.run is None:
        if not source.name:
            raise InputError("interview: expected a scenario, or --run with the folder of a run")
        return asking.chosen(source.name)
    if not (source.run / "scenario.toml").is_file():
        raise InputError(f"--run {source.run}: expected the folder of a run; it has no scenario.toml")
    if not _file(source.run).is_file():
        raise InputError(f"--run {source.run}: its agents were not kept; run it with --save-agents")
    if source.agents is not None:
        raise InputError("--agents: expected a number of agents without --run; the agents of a run are all there are")
    scenario = asking.chosen(str(source.run / "scenario.toml"))
    if source.name:
        other = asking.chosen(source.name).name
        if other != scenario.name:
            raise InputError(f"--run {source.run}: expected a run of '{other}', got one of '{scenario.name}'")
    return scenario


def _kinds(source: Source, scenario: Scenario) -> pl.DataFrame:
    """Return the archetypes [A]: archetype, weight, card, the columns that they are made of."""
    import polars as pl

    from lpm.scenarios import archetypes

    if archetypes.declared(scenario).table is not None:
        if source.count is not None:
            raise InputError(f"--archetypes: {scenario.label} has a table, which decides how many archetypes there are")
        return archetypes.table_of(scenario).archetypes
    name = str(source.run / "scenario.toml") if source.run is not None else source.name
    made = study(name, source.agents, source.count)
    return made.clusters.archetypes.with_columns(pl.Series("card", list(made.cards)))


def _file(run: Path) -> Path:
    return run / "agents.parquet"  # lpm.scenarios.agents writes it


def _rows(source: Source, scenario: Scenario, agents: Sequence[int]) -> pl.DataFrame:
    """Return the rows of agents by their ids, of those that there are."""
    import polars as pl

    if source.run is None:
        from lpm import asking
        from lpm.scenarios.people import made_people

        if source.agents is not None:
            scenario = asking.chosen(source.name, agents=source.agents)
        made = made_people(scenario).to_frame()
        return made.filter(pl.col("id").is_in(list(agents)))
    path = _file(source.run)
    try:
        whole = pl.scan_parquet(path)
        pairs = whole.select("arm", "seed").unique(maintain_order=True).collect()
        arms, seeds = pairs["arm"].unique(maintain_order=True).to_list(), pairs["seed"].unique(maintain_order=True)
        arm = arms[0] if source.arm is None else source.arm
        if arm not in arms:
            raise unknown(f"--run {source.run}: --arm", "arm", arm, arms)
        seed = seeds[0] if source.seed is None else source.seed
        if not pairs.filter(pl.col("arm") == arm, pl.col("seed") == seed).height:
            raise InputError(f"--run {source.run}: no agents of the seed {seed} in the arm '{arm}'")
        found = whole.filter(pl.col("arm") == arm, pl.col("seed") == seed, pl.col("id").is_in(list(agents)))
        return found.collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None


def _persons(rows: pl.DataFrame, agents: Sequence[int], scenario: Scenario, kinds: pl.DataFrame) -> list[Respondent]:
    """Return agents as respondents: the card of their archetype, and what their own columns say."""
    from lpm.archetypes.interviews import Respondent
    from lpm.archetypes.membership import members
    from lpm.scenarios import archetypes, registries

    by_id = {int(each): place for place, each in enumerate(rows["id"].to_list())}
    for agent in agents:
        if agent not in by_id:
            raise InputError(f"--agent: no agent with the id {agent}")
        if not rows["present"][by_id[agent]]:
            raise InputError(f"--agent: agent {agent} takes no part at that time")
    declared = archetypes.declared(scenario)
    if "archetype" in rows.columns and declared.table is not None:
        own = rows["archetype"].to_numpy()  # what the run itself has put it into at its beginning
    else:
        own = members(rows, kinds, declared.columns, scenario.label)
    schema = {**registries.all_columns(scenario), **registries.population_columns(scenario)}
    titles: Mapping[str, str] = declared.labels
    told: list[Respondent] = []
    for agent in agents:
        row = rows.row(by_id[agent], named=True)
        columns = dict(_told(name, value, schema.get(name), titles) for name, value in row.items() if name not in OWN)
        columns.pop("", None)
        kind = int(own[by_id[agent]])
        told.append(Respondent(kind, kinds["card"][kind], agent, columns))
    return told


def _told(name: str, value: Any, column: Column | None, titles: Mapping[str, str]) -> tuple[str, str]:
    """Return how a column is called and what an agent has in it; ("", "") where it says nothing to a person.

    That is what has several values an agent, what points to other rows (a signed whole number without a unit, such as a
    household's), counts of 1/1024, and what nobody declared.
    """
    if column is None or column.shape or value is None:
        return "", ""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and (column.unit.startswith("1/") or (not column.unit and column.dtype.startswith("int"))):
        return "", ""
    title = titles.get(name, name.replace("_", " "))
    if column.meaning and name not in titles and column.meaning != title:
        title = f"{title} ({column.meaning})"
    if isinstance(value, bool):
        return title, "yes" if value else "no"
    if isinstance(value, int | float):
        unit = "" if column.unit == "1" else column.unit
        return title, f"{value:.4g} {unit}".rstrip() if isinstance(value, float) else f"{value} {unit}".rstrip()
    return title, str(value)
