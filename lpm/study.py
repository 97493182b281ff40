"""A study of archetypes, from a scenario to its table of behaviour: what the commands `lpm archetypes` do.

The population of the scenario is put into archetypes as its table `[archetypes]` says, a provider is asked about every
archetype in every context, and what comes of it is one parquet file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpm.errors import InputError, unknown
from lpm.progress import Told

if TYPE_CHECKING:
    import polars as pl

    from lpm.archetypes.answers import Answers
    from lpm.archetypes.clustering import Clusters
    from lpm.archetypes.elicitation import Action, Policy
    from lpm.archetypes.estimate import Estimate
    from lpm.archetypes.interviews import Inquiry, Respondent
    from lpm.archetypes.limits import Limits
    from lpm.archetypes.questions import Provider
    from lpm.archetypes.table import Table
    from lpm.scenarios.schema import Scenario

AGENTS = 100_000
"""Agents that archetypes are made of where the scenario has more and nobody asks for another number: a guess at what
shows every kind of people."""


@dataclass(frozen=True)
class Study:
    """Who is asked about, and what.

    Attributes:
        scenario: The scenario.
        people: One row an agent.
        clusters: The archetypes of these people.
        cards: What is told of each, [A].
        actions: What they may do.
    """

    scenario: Scenario
    people: pl.DataFrame
    clusters: Clusters
    cards: tuple[str, ...]
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class Asked:
    """Whom to ask, and within which limits.

    Attributes:
        provider: "embedded", "server", "recorded", "table" or "rule"; "" = recorded where the scenario has a table,
            else embedded.
        url: Of the server.
        model: Name on the server, or a GGUF file.
        file: A table's file for recorded, a file of probabilities for table.
        answers: The file of answers; None = the one in the user's cache.
        form: How to ask; None = as the scenario says.
        samples: Answers drawn where a server tells no probabilities.
        limits: Concurrency, rate, calls.
    """

    provider: str = ""
    url: str = ""
    model: str = ""
    file: Path | None = None
    answers: Path | None = None
    form: str | None = None
    samples: int = 0
    limits: Limits | None = None


def study(name: str, agents: int | None = None, count: int | None = None) -> Study:
    """Return the archetypes of a scenario's people with their cards.

    Args:
        name: A built-in scenario, or the path of a TOML file.
        agents: Agents of the population; None = the scenario's number, at most `AGENTS`.
        count: Number of clusters, in the place of the scenario's.

    Raises:
        InputError: A scenario without `[archetypes]`, or one whose columns do not fit, or a number that is not allowed.
    """
    from lpm import asking
    from lpm.archetypes import cards, clustering
    from lpm.archetypes.elicitation import Action
    from lpm.scenarios import archetypes
    from lpm.scenarios.people import made_people

    scenario = asking.chosen(name)
    size = scenario.population.size
    if agents is not None or (size is not None and size > AGENTS and scenario.population.generator is not None):
        scenario = asking.chosen(name, agents=agents or AGENTS)
    told = archetypes.declared(scenario)
    people = made_people(scenario)
    for column in told.columns:
        if column not in people.columns:
            raise unknown(f"{scenario.label}: archetypes", "column of the people", column, people.columns)
    frame = people.to_frame()
    if told.group and count is not None:
        raise InputError(
            "--archetypes: the archetypes of this scenario are groups of columns; the people decide how many"
        )
    if told.group:
        clusters = clustering.groups(frame, told.group)
    else:
        clusters = clustering.mixed(frame, told.cluster, count or told.count, scenario.population.seed)
    known = cards.labels({c: people.schema[c] for c in told.columns})
    named = {c: replace(label, title=told.labels.get(c, label.title)) for c, label in known.items()}
    text = cards.cards(clusters, told.card, named)
    return Study(scenario, frame, clusters, text, tuple(Action(each.name, each.text) for each in told.actions))


def answers_of(asked: Asked) -> Answers:
    """Return the file of answers: the one that is asked for, or that of the user's cache."""
    from lpm.archetypes.answers import Answers
    from lpm.data import cache

    return Answers(asked.answers or cache() / "answers.sqlite")


def provider_of(asked: Asked, scenario: Scenario, answers: Answers) -> Provider:
    """Return whom to ask.

    Raises:
        InputError: An unknown provider, or one that lacks what it needs.
    """
    from lpm.archetypes import providers
    from lpm.scenarios import archetypes
    from lpm.scenarios.paths import located

    told = archetypes.declared(scenario)
    name = asked.provider or ("recorded" if told.table is not None else "embedded")
    path = asked.file
    if name == "recorded" and path is None and asked.answers is None and told.table is not None:
        path = located(scenario, told.table, "archetypes.table")
    return providers.provider(
        name, model=asked.model, url=asked.url, answers=answers, path=path, formulas=told.formulas or None
    )


def policy_of(asked: Asked, scenario: Scenario) -> Policy:
    """Return how to ask."""
    from lpm.archetypes.elicitation import Policy
    from lpm.scenarios import archetypes

    return Policy(form=asked.form or archetypes.declared(scenario).form, samples=asked.samples)


def estimate(made: Study, asked: Asked, prices: tuple[float, float] | None = None) -> Estimate:
    """Return what a build would cost; nothing is asked."""
    from lpm.archetypes.estimate import estimate as cost

    answers = answers_of(asked)
    who = provider_of(asked, made.scenario, answers)
    policy = policy_of(asked, made.scenario)
    return cost(made.cards, _contexts(made), made.actions, who, answers, policy, asked.limits, prices)


def build(made: Study, asked: Asked, progress: Told) -> Table:
    """Return the table of behaviour that a provider's answers make.

    Raises:
        InputError: Bad input.
        Fault: Some questions have no answer; those that have one are kept.
    """
    from lpm.archetypes.build import build as table

    answers = answers_of(asked)
    who = provider_of(asked, made.scenario, answers)
    policy, people = policy_of(asked, made.scenario), made.clusters.archetypes
    return table(made.cards, _contexts(made), made.actions, who, answers, policy, asked.limits, progress, people)


def table_of(made: Study) -> Table | None:
    """Return the table that the scenario names, None where it names none."""
    from lpm.scenarios import archetypes

    return None if archetypes.declared(made.scenario).table is None else archetypes.table_of(made.scenario)


def check(made: Study, table: Table) -> None:
    """Refuse a table that the people of the study cannot behave by.

    Raises:
        InputError: Some people belong to no archetype of it, or some cells are of no use.
    """
    from lpm.archetypes.membership import members

    members(made.people, table.archetypes, made.clusters.columns, made.scenario.label)
    table.checked(made.scenario.label)


def found(name: str) -> Table:
    """Return a table of behaviour, of a scenario or from a file of its own.

    Raises:
        InputError: There is none.
    """
    from lpm import asking
    from lpm.archetypes import table
    from lpm.scenarios import archetypes

    if name.endswith(".parquet"):
        return table.read(Path(name))
    return archetypes.table_of(asking.chosen(name))


def interview(
    made: Study,
    asked: Asked,
    inquiries: Sequence[Inquiry],
    who: Sequence[int],
    agents: Sequence[int],
    situation: Mapping[str, float],
    time: float | None,
    progress: Told,
) -> pl.DataFrame:
    """Return what archetypes, and agents through their archetype, answer.

    Args:
        made: The study.
        asked: Whom to ask.
        inquiries: The questions.
        who: Archetypes; empty together with `agents` = the five that stand for most people.
        agents: Ids of agents.
        situation: Value of context variables: the words of the nearest anchor are told.
        time: The moment, as it is written into the frame.
        progress: Told how far it is.

    Raises:
        InputError: An archetype, agent or variable that there is not, or a provider that is no model.
    """
    from lpm.archetypes.interviews import interview as ask

    people = [*_kinds(made, who), *_persons(made, agents)] or _kinds(made, range(min(5, made.clusters.size)))
    answers = answers_of(asked)
    provider = provider_of(asked, made.scenario, answers)
    return ask(
        people, inquiries, provider, situation=said(_contexts(made), situation), time=time, answers=answers,
        policy=policy_of(replace(asked, form=None), made.scenario), limits=asked.limits, progress=progress,
    )  # fmt: skip


def said(contexts: Any, values: Mapping[str, float]) -> str:
    """Return the sentences of the variables that are given, each at the anchor nearest to its value."""
    told: list[str] = []
    for name in values:
        if name not in contexts.names:
            raise unknown("--at", "context variable", name, contexts.names)
    for variable in contexts.variables:
        if variable.name in values:
            anchors = variable.anchors
            text = variable.said(min(range(len(anchors)), key=lambda i: abs(anchors[i] - values[variable.name])))
            told.append(text if text.endswith((".", "!", "?")) else f"{text}.")
    return " ".join(told)


def _kinds(made: Study, who: Sequence[int]) -> list[Respondent]:
    from lpm.archetypes.interviews import Respondent

    for each in who:
        if not 0 <= each < made.clusters.size:
            raise InputError(f"--who: expected archetypes 0 to {made.clusters.size - 1}, got {each}")
    return [Respondent(each, made.cards[each]) for each in who]


def _persons(made: Study, agents: Sequence[int]) -> list[Respondent]:
    from lpm.archetypes.interviews import Respondent

    told: list[Respondent] = []
    for agent in agents:
        if not 0 <= agent < made.people.height:
            raise InputError(f"--agent: expected agents 0 to {made.people.height - 1}, got {agent}")
        row = made.people.row(agent, named=True)
        kind = int(made.clusters.of_agent[agent])
        own = {name.replace("_", " "): str(row[name]) for name in row if name in made.clusters.columns}
        told.append(Respondent(kind, made.cards[kind], agent, own))
    return told


def _contexts(made: Study) -> Any:
    from lpm.scenarios import archetypes

    return archetypes.contexts_of(made.scenario)
