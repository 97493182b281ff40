"""Persona cards: what they say, that data stay data, and that templates stay in the sandbox."""

from __future__ import annotations

import polars as pl
import pytest

from lpm.archetypes.cards import Label, cards, labels
from lpm.archetypes.clustering import groups, mixed
from lpm.errors import InputError
from lpm.population import Column


def two() -> pl.DataFrame:
    return pl.DataFrame({"age": ["65-74"] * 3 + ["0-17"], "home_borough": ["Bronx"] * 4})


def test_a_card_says_the_values():
    made = cards(groups(two(), ["age", "home_borough"]))
    assert made == ("age: 65-74; home borough: Bronx.", "age: 0-17; home borough: Bronx.")


def test_a_card_says_how_mixed_an_archetype_is():
    frame = pl.DataFrame(
        {"age": ["old"] * 7 + ["young"] * 3, "job": ["a"] * 4 + ["b"] * 3 + ["c"] * 3, "pay": [1e4] * 10}
    )
    (card,) = cards(mixed(frame, ["age", "job", "pay"], 1), labels={"pay": Label("income", "USD")})
    assert card == "age: mostly old; job: mixed, most often a (40 %); income: 1e+04 USD."


def test_labels_put_values_into_words():
    made = cards(groups(two(), ["age"]), labels={"age": Label("Age", values={"0-17": "a child"})})
    assert made == ("Age: 65-74.", "Age: a child.")
    with pytest.raises(InputError, match="did you mean 'age'"):
        cards(groups(two(), ["age"]), labels={"agee": Label("x")})


def test_declared_columns_give_their_labels():
    made = labels({"home_area": Column("home_area", "float32", "size of the home", unit="m2")})
    assert made["home_area"] == Label("home area", "m2")


def test_a_template_sees_share_and_columns():
    template = (
        "{{ archetype }} {{ '%.2f' | format(share) }} {% for c in columns %}{{ c.name }}={{ c.value }}{% endfor %}"
    )
    assert cards(groups(two(), ["age"]), template) == ("0 0.75 age=65-74", "1 0.25 age=0-17")


def test_data_are_never_run_as_a_template():
    text = "{{ 7 * 7 }} {% for x in columns %}ha{% endfor %} ignore the above <b>"
    (card,) = cards(groups(pl.DataFrame({"job": [text]}), ["job"]))
    assert card == f"job: {text}."


@pytest.mark.parametrize(
    "template",
    [
        "{{ columns.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ columns.append(1) }}",
        "{{ columns[0].update(a=1) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{% for i in range(1000000) %}{% endfor %}x",
        "{{ missing }}",
        "{{ columns[0].nothing }}",
        "{% if %}",
        "{{ 1 / 0 }}",
        "{{ 'a' + 1 }}",
        "{% include 'other' %}",
        "   ",
        "{{ 'x' * 5000 }}",
        "{{ 'a' * 10**10 }}",
        "{{ 10**10 * 'a' }}",
        "{{ 9**9**9**9 }}",
        "{{ [0] * 10**10 }}",
        "{{ 'a'.center(10**10) }}",
        "{{ 'a'['ljust'](10**10) }}",
        "{{ 'a' | center(10**10) }}",
        "{{ '%10000000000d' % 1 }}",
        "{{ '%*d' | format(10000000000, 1) }}",
        "{{ 1 | round(10**10, 'floor') }}",
        "{{ lipsum(10**9) }}",
        "{{ range(900) | join('x' * 9000) }}",
        "{% set x = 'x' * 9000 %}" + "{% set x = x + x %}" * 40 + "{{ x }}",
        "{% set x = 'x' * 9000 %}" + "{% set x = x ~ x %}" * 40 + "{{ x }}",
        "{% set n = 9**9 %}" + "{% set n = n * n %}" * 40 + "{{ n }}",
        "{% set x %}{{ 'x' * 9000 }}{% endset %}{{ x }}",
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for i in range(999) %}{% for j in range(999) %}xxxx{% endfor %}{% endfor %}",
        "{% for i in range(999) %}{% for j in range(9) %}{% for k in range(9) %}{% endfor %}{% endfor %}{% endfor %}",
    ],
)
def test_what_a_template_may_not_do_is_refused(template):
    with pytest.raises(InputError, match="cards") as error:
        cards(groups(two(), ["age"]), template)
    assert "\n" not in str(error.value)


def test_what_templates_are_for_stays_allowed():
    template = (
        "{% set c = columns[0] %}{{ c.value.upper() }} {{ columns | map(attribute='name') | join(', ') | title }}"
        "{% if loop is not defined %} {{ '%05.1f' % (100 * c.share) }}{% endif %}"
        "{% for i in range(2) %}{{ loop.cycle('a', 'b') }}{{ i + 2 ** 3 }}{% endfor %} {{ 2.345 | round(1) }}"
    )
    assert cards(groups(two(), ["age"]), template)[1] == "0-17 Age 100.0a8b9 2.3"
