"""What a terminal shows of a table of behaviour, and what it leaves out."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from lpm.archetypes.contexts import Contexts, Variable
from lpm.archetypes.table import Table
from lpm.studies.terminal_table import show_checks, show_table

CONTEXTS = Contexts((Variable("mood", (0.0, 1.0, 2.0), unit="level", meaning="mood"),))
CHANCE = np.array([[[0.9, 0.1], [0.7, 0.3], [0.5, 0.5]], [[0.3, 0.7], [0.1, 0.9], [0.5, 0.5]]])
PEOPLE = pl.DataFrame({"archetype": [0, 1], "weight": [3.0, 1.0], "card": ["First.", "Second."]})


def _table(usable: list[list[bool]]) -> Table:
    logit = np.log(CHANCE).astype(np.float32)
    told = {"provider": "server", "bounded: no was not named": 5}
    return Table(("go", "stay"), CONTEXTS, PEOPLE, logit, usable=np.array(usable), provenance=told)


def _lines(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_means_are_of_what_is_usable_alone(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(_table([[True, True, False], [True, False, False]]), None)
    told = _lines(capsys)
    assert ["0", "75.0%", "First.", "0.80", "0.20"] in told and ["1", "25.0%", "Second.", "0.30", "0.70"] in told
    assert ["0", "0.75", "0.25"] in told  # (3 x 0.9 + 0.3) / 4
    assert ["1", "0.70", "0.30"] in told and ["2", "-", "-"] in told
    show_table(_table([[True, True, False], [True, False, False]]), 1)
    assert ["1", "-", "-"] in _lines(capsys)


def test_checks_count_no_unusable_cell_as_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    show_checks(_table([[True, True, False], [True, True, False]]))
    told = " ".join(capsys.readouterr().out.split())
    # means by context .75, .55: apart by .15 (people 3) and .45 (1); by archetype .8, .2: moved by .1
    assert "between archetypes 0.225, between contexts 0.100" in told
    assert "5 answers: no was not named: its probability is an upper bound" in told
    show_checks(_table([[False] * 3] * 2))
    assert "between archetypes -, between contexts -" in " ".join(capsys.readouterr().out.split())
