"""The questions and counts of OpinionQA, and how a model is asked them; `opinionqa.py` scores the answers."""

from __future__ import annotations

import ast
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from lpm.archetypes.answers import Answers
from lpm.archetypes.questions import Provider, Question
from lpm.errors import InputError
from lpm.types import HostArray

Group = tuple[str, str]
"""Attribute and value: ("AGE", "65+"); `EVERYBODY` and `NOBODY` besides."""

EVERYBODY: Group = ("all", "all")
NOBODY: Group = ("none", "none")
"""The content-free prompt, in which person and question are "N/A" (Zhao et al., 2021, arXiv:2102.09690)."""

GROUPS: tuple[Group, ...] = (
    *(("POLPARTY", party) for party in ("Democrat", "Independent", "Republican")),
    *(("AGE", age) for age in ("18-29", "30-49", "50-64", "65+")),
)
"""The groups that are scored and asked as; those without a name of their own ("Other", "Refused") are left out."""

NAMED = {"POLPARTY": "Political party", "AGE": "Age"}
SYSTEM = "You answer as the person described here. Person: {card} Answer with one word."
ASKED = 'Survey question: {question}\nPossible answer: "{option}"\nIs this your answer? Answer {first} or {second}.'
POLICY = "opinionqa yes-no 1"


@dataclass(frozen=True)
class Item:
    """One question.

    Attributes:
        key: Its name in the data.
        wave: Its survey wave.
        text: What was asked.
        options: The answers along the scale.
        scale: Their places, ascending, float64 [K].
        counts: Respondents by option, float64 [K] each, by group; `EVERYBODY` is the sum over both sexes.
    """

    key: str
    wave: str
    text: str
    options: tuple[str, ...]
    scale: HostArray
    counts: Mapping[Group, HostArray]

    def share(self, group: Group) -> HostArray:
        """Return the distribution of a group's answers, [K]."""
        return self.counts[group] / self.counts[group].sum()


def read(folder: Path) -> list[Item]:
    """Return the questions in the order of wave and key.

    Raises:
        InputError: An answer in the counts that the question does not have.
    """
    counted = pl.read_parquet(folder / "opinionqa_group_counts.parquet").with_columns(
        pl.col("key", "attribute", "group", "option").cast(pl.String)
    )
    attributes = {"SEX", *(attribute for attribute, _ in GROUPS)}
    by_key = counted.filter(pl.col("attribute").is_in(attributes)).partition_by("key", as_dict=True)
    made: list[Item] = []
    for row in pl.read_csv(folder / "opinionqa_questions.csv.gz").iter_rows(named=True):
        scale = np.asarray(ast.literal_eval(row["option_ordinal"]), np.float64)  # a literal of numbers
        names = [name for name in ast.literal_eval(row["option_mapping"]).values() if name != "Refused"]
        if len(set(scale)) != len(scale) or len(scale) < 2:
            continue
        order = np.argsort(scale)
        place = {names[old].casefold(): new for new, old in enumerate(order)}
        beyond = {"refused", *(name.casefold() for name in names[len(scale) :])}
        counts = {group: np.zeros(len(scale)) for group in (EVERYBODY, *GROUPS)}
        for each in by_key[(row["key"],)].iter_rows(named=True):
            option, group = each["option"].casefold(), (each["attribute"], each["group"])
            if option in beyond:
                continue
            if option not in place:
                raise InputError(f"opinionqa: {row['key']}: no option '{each['option']}'; there are {', '.join(names)}")
            if each["attribute"] == "SEX":
                counts[EVERYBODY][place[option]] += each["n"]
            elif group in counts:
                counts[group][place[option]] += each["n"]
        options = tuple(names[old] for old in order)
        made.append(Item(row["key"], row["wave"], row["question"], options, scale[order], counts))
    return sorted(made, key=lambda item: (int(item.wave[1:]), item.key))


def halves(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Return the questions to fit and those to score: waves in the order of time, alternately."""
    waves = list(dict.fromkeys(item.wave for item in items))
    fitted = set(waves[::2])
    return [item for item in items if item.wave in fitted], [item for item in items if item.wave not in fitted]


def chosen(items: Sequence[Item], count: int, seed: int) -> list[Item]:
    """Return `count` questions, drawn wave by wave in turn so that every wave has nearly the same number."""
    rng = np.random.default_rng(seed)
    piles = {wave: [item for item in items if item.wave == wave] for wave in dict.fromkeys(i.wave for i in items)}
    shuffled = [[pile[i] for i in rng.permutation(len(pile))] for pile in piles.values()]
    deepest = max(map(len, shuffled), default=0)
    return [pile[depth] for depth in range(deepest) for pile in shuffled if depth < len(pile)][:count]


def card(group: Group) -> str:
    """Return what the model is told of the person."""
    if group == NOBODY:
        return "N/A."
    told = "An adult living in the United States."
    return told if group == EVERYBODY else f"{told} {NAMED[group[0]]}: {group[1]}."


def ask(items: Sequence[Item], provider: Provider, answers: Answers, seconds: float) -> pl.DataFrame:
    """Return a row for every question, person and option: the log odds of yes, their spread over orders, the coverage.

    A question is asked whole or left out: beyond `seconds` no other one is begun. A question with an answer that is no
    use is left out as a whole and said.
    """
    began, rows, new = time.perf_counter(), list[tuple[object, ...]](), 0

    def odds(group: Group, question: str, option: str, first: str, second: str) -> tuple[float, float] | None:
        nonlocal new
        user = ASKED.format(question=question, option=option, first=first, second=second)
        asked = Question(SYSTEM.format(card=card(group)), user, ("yes", "no"), reuse=True)
        answer = answers.find(provider.identity, asked, POLICY)
        if answer is None:
            new += 1
            answer = provider.ask(asked)
            answers.keep(provider.name, provider.identity, asked, POLICY, answer)
        if answer.refused:
            return None
        return answer.logprobs["yes"] - answer.logprobs["no"], answer.coverage

    for number, item in enumerate(items):
        if time.perf_counter() - began > seconds:
            print(f"stopped after {seconds:g} s: {number} of {len(items)} questions asked", flush=True)
            break
        mine: list[tuple[object, ...]] = []
        for group in (EVERYBODY, *GROUPS, NOBODY):
            question = "N/A" if group == NOBODY else item.text
            for position, option in enumerate(item.options):
                two = [odds(group, question, option, *order) for order in (("yes", "no"), ("no", "yes"))]
                if two[0] is None or two[1] is None:
                    print(f"{item.key}: an answer for '{option}' as {group[1]} is no use; the question is left out")
                    break
                (one, covered), (other, also) = two[0], two[1]
                mine.append(
                    (item.key, *group, position, (one + other) / 2, abs(one - other), min(covered, also))
                )  # fmt: skip
        if len(mine) == len(item.options) * (len(GROUPS) + 2):
            rows += mine
        if number % 5 == 4:
            print(f"{number + 1} questions, {new} calls, {time.perf_counter() - began:.0f} s", flush=True)
    columns = ("key", "attribute", "group", "position", "logit", "order_spread", "coverage")
    return pl.DataFrame(rows, schema=columns, orient="row")
