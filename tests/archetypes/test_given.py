"""Tables and formulas of the user's own, and the small language that formulas are written in."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from lpm.archetypes.build import build
from lpm.archetypes.contexts import Contexts, Variable
from lpm.archetypes.elicitation import Action
from lpm.archetypes.providers import NAMES, provider
from lpm.archetypes.providers.expression import Expression
from lpm.archetypes.providers.given import Given
from lpm.archetypes.providers.rule import Rule
from lpm.errors import Fault, InputError

CONTEXTS = Contexts((Variable("incidence", (0.0, 10.0), unit="cases", meaning="new cases"),))
ACTIONS = Action("mask", ""), Action("none", "")
CARDS = ["Old.", "Young."]
PEOPLE = pl.DataFrame({"weight": [1.0, 3.0], "age": ["65+", "18-24"]})


def test_a_formula_fills_the_table_exactly() -> None:
    rule = Rule({"mask": "0.5 + 2 * log1p(incidence) + where(age == '65+', 1, -incidence / 10)", "none": "0"})
    table = build(CARDS, CONTEXTS, ACTIONS, rule, archetypes=PEOPLE)
    z = np.array([[1.5, 1.5 + 2 * math.log(11)], [0.5, -0.5 + 2 * math.log(11)]])
    assert np.abs(table.logit[..., 0] - table.logit[..., 1] - z).max() < 1e-5
    assert table.usable.all() and np.isnan(table.coverage).all() and table.provenance["provider"] == "rule"


def test_given_probabilities_come_out_as_they_went_in() -> None:
    rows = [("65+", 0, 0.2), ("65+", 10, 0.9), ("18-24", 0, 0.0), ("18-24", 10, 0.4)]
    frame = pl.DataFrame(
        [(a, c, k, p if k == "mask" else 1 - p) for a, c, p in rows for k in ("mask", "none")],
        schema=["age", "incidence", "action", "probability"],
        orient="row",
    )
    table = build(CARDS, CONTEXTS, ACTIONS, Given(frame), archetypes=PEOPLE)
    assert np.abs(table.probability[..., 0] - np.array([[0.2, 0.9], [0.0, 0.4]])).max() < 1e-6
    with pytest.raises(Fault, match=r"1 of 4 cells have no row \(no row with age=18-24, incidence=10"):
        build(CARDS, CONTEXTS, ACTIONS, Given(frame[:-2]), archetypes=PEOPLE)
    with pytest.raises(InputError, match="unknown column 'age'"):
        build(CARDS, CONTEXTS, ACTIONS, Given(frame))
    with pytest.raises(InputError, match="unknown action 'none'; did you mean"):
        build(CARDS, CONTEXTS, (ACTIONS[0], Action("nones", "")), Given(frame), archetypes=PEOPLE)
    for wrong, match in (
        (pl.concat([frame, frame[:1]]), "row 9: 'mask' stands twice at age=65"),
        (frame.with_columns(probability=pl.col("probability") * 0.9), "add up to 1 at age=65"),
        (frame.with_columns(probability=pl.lit(math.nan)), "row 1: expected an action and its probability"),
        (frame.with_columns(incidence=pl.lit(None)), "row 1, incidence: expected a text or a finite number"),
        (frame.drop("action"), "unknown column 'action'"),
        (frame[:0], "expected rows"),
    ):
        with pytest.raises(InputError, match=match):
            Given(wrong)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3 ** 2", 19),
        ("-x / 4", -2),
        ("min(x, 3) + max(x, 3) + abs(-1)", 12),
        ("exp(log(x)) + sqrt(x * 2) + log1p(0)", 12),
        ("where(x > 3 and not name == 'b', 1, 2)", 1),
        ("where(0 < x <= 3 or name != 'a', 1, 2)", 2),
        ("where(x > 0, 1, log(0))", 1),  # the other branch is not computed
        ("True + 1", 2),
        ("1e3", 1000),
    ],
)
def test_formulas_are_computed(text: str, value: float) -> None:
    assert Expression.parse(text, "x").value({"x": 8.0, "name": "a"}) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "", "1 +", "x.real", "x[0]", "__import__('os')", "exp(*x)", "exp(x=1)", "lambda: 1", "[x for x in y]", "(1, 2)",
        "f'{x}'", "x if x else 1", "x := 1", "print(1)", "x @ x", "x // 2", "x << 9", "x is x", "x in y", "None", "1j",
        "b'a'", "exp(1, 2)", "exp", "'a'", "'a' + 1", "'a' < 1", "1 / 0", "log(0)", "9.0 ** 9 ** 9", "exp(1000)",
        "y", "-'a'", "(" * 300 + "1" + ")" * 300, "1 +" * 400 + "1", "...", "1;2", "exp(exp)", "\x00",
    ],
)  # fmt: skip
def test_what_is_no_formula_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError) as error:
        Expression.parse(text, "rule for 'mask'").value({"x": 8.0, "name": "a"})
    assert str(error.value).startswith("rule for 'mask': ") and "\n" not in str(error.value)


def test_providers_are_made_by_their_names() -> None:
    assert set(NAMES) == {"embedded", "server", "recorded", "table", "rule"}
    assert provider("rule", formulas={"a": "1"}).name == "rule"
    assert provider("server", url="http://127.0.0.1:1/v1", model="m").name == "server"
    for name, match in (
        ("server", "--url"),
        ("table", "a file"),
        ("recorded", "a table or"),
        ("serve", "did you mean"),
    ):
        with pytest.raises(InputError, match=match):
            provider(name)
