"""A study of archetypes, from a scenario to its table of behaviour: what the commands `lpm archetypes` do.

The population of the scenario is put into archetypes as its table `[archetypes]` says, a provider is asked about every
archetype in every context, and what comes of it is one parquet file.
"""

from __future__ import annotations

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
        whole: Agents that the scenario has; these may be fewer.
    """

    scenario: Scenario
    people: pl.DataFrame
    clusters: Clusters
    cards: tuple[str, ...]
    actions: tuple[Action, ...]
    whole: int


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
    actions = tuple(Action(each.name, each.text) for each in told.actions)
    return Study(scenario, frame, clusters, text, actions, size or people.size)


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

    told, name = archetypes.declared(scenario), _named(asked, scenario)
    path = asked.file
    if name == "recorded" and path is None and asked.answers is None and told.table is not None:
        path = located(scenario, told.table, "archetypes.table")
    return providers.provider(
        name, model=asked.model, url=asked.url, answers=answers, path=path, formulas=told.formulas or None
    )


def _named(asked: Asked, scenario: Scenario) -> str:
    from lpm.scenarios import archetypes

    recorded = archetypes.declared(scenario).table is not None
    return asked.provider or ("recorded" if recorded else "embedded")


def policy_of(asked: Asked, scenario: Scenario) -> Policy:
    """Return how to ask."""
    from lpm.archetypes.elicitation import Policy
    from lpm.scenarios import archetypes

    return Policy(form=asked.form or archetypes.declared(scenario).form, samples=asked.samples)


def estimate(made: Study, asked: Asked, prices: tuple[float, float] | None = None) -> Estimate:
    """Return what a build would cost; nothing is asked."""
    from lpm.archetypes.estimate import Unloaded
    from lpm.archetypes.estimate import estimate as cost

    with answers_of(asked) as answers:
        embedded = _named(asked, made.scenario) == "embedded"
        who = Unloaded(asked.model) if embedded else provider_of(asked, made.scenario, answers)
        policy = policy_of(asked, made.scenario)
        return cost(made.cards, _contexts(made), made.actions, who, answers, policy, asked.limits, prices)


def build(made: Study, asked: Asked, progress: Told) -> Table:
    """Return the table of behaviour that a provider's answers make.

    Raises:
        InputError: Bad input.
        Fault: Some questions have no answer; those that have one are kept.
    """
    from lpm.archetypes.build import build as table

    with answers_of(asked) as answers:
        who = provider_of(asked, made.scenario, answers)
        policy, people = policy_of(asked, made.scenario), made.clusters.archetypes
        got = table(made.cards, _contexts(made), made.actions, who, answers, policy, asked.limits, progress, people)
    of = {"agents": made.people.height, "people": round(float(people["weight"].sum())),
          "seed": made.scenario.population.seed}  # fmt: skip
    return replace(got, provenance={**got.provenance, **of})


def table_of(made: Study) -> Table | None:
    """Return the table that the scenario names, None where it names none."""
    from lpm.scenarios import archetypes

    return None if archetypes.declared(made.scenario).table is None else archetypes.table_of(made.scenario)


def check(made: Study, table: Table) -> None:
    """Refuse a table that the people of the study cannot behave by.

    Raises:
        InputError: Some people belong to no archetype of it, some archetypes are of several groups where a kernel
            needs them to be of one, or some cells are of no use.
    """
    from lpm.archetypes.membership import members
    from lpm.scenarios import archetypes
    from lpm.scenarios.people import people_of

    if archetypes.chosen_by(made.scenario):
        people_of(made.scenario)  # as a run makes them, with the checks of its kernels
    else:
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


def _contexts(made: Study) -> Any:
    from lpm.scenarios import archetypes

    return archetypes.contexts_of(made.scenario)
