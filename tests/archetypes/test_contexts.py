"""Contexts: what is refused, the order of cells, and interpolation against closed forms, on host and device."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lpm.archetypes.contexts import Contexts, Variable, corners
from lpm.errors import InputError

INCIDENCE = Variable(
    "incidence", (0, 10, 100), "cases in 100,000", "new cases a week", ("no cases", "", "many cases."), "log1p"
)
POLICY = Variable("policy", (0, 1), "1", "orders in force")
PRICE = Variable("price", (1, 2, 3, 5), "dollars", "price of a mask")
PLAIN: dict[str, Any] = {"name": "x", "anchors": (0.0, 1.0), "unit": "1", "meaning": "anything"}
THREE = Contexts((INCIDENCE, POLICY, PRICE))


@pytest.mark.parametrize(
    "given, told",
    [
        ({"anchors": (0.0, 0.0)}, "rising"),
        ({"anchors": (1.0, 1.0 + 1e-12)}, "rising"),  # equal in float32
        ({"anchors": ()}, "finite numbers"),
        ({"anchors": (0.0, float("nan"))}, "finite numbers"),
        ({"anchors": (-1.0, 1.0), "scale": "log1p"}, "0 or more"),
        ({"scale": "log"}, "did you mean 'log1p'"),
        ({"words": ("low",)}, "one an anchor"),
        ({"name": " "}, "a name"),
    ],
)
def test_what_is_no_scale_is_refused(given: dict[str, Any], told: str):
    with pytest.raises(InputError, match=told):
        Variable(**(PLAIN | given))


def test_products_and_names_are_checked():
    with pytest.raises(InputError, match="once"):
        Contexts((POLICY, POLICY))
    wide = Variable("x", tuple(range(1_001)), "", "")
    with pytest.raises(InputError, match="fewer anchors"):
        _ = Contexts((wide, Variable("y", wide.anchors, "", ""))).tabled
    with pytest.raises(InputError, match="a cell 0 to 23"):
        THREE.anchor(24)


def test_cells_are_in_c_order():
    cells = THREE.cells()
    expected = list(itertools.product(INCIDENCE.anchors, POLICY.anchors, PRICE.anchors))
    assert THREE.size == len(cells) == 24 and [tuple(cell.values()) for cell in cells] == expected
    assert THREE.strides == (8, 4, 1) and THREE.anchor(23) == (2, 1, 3)
    assert Contexts().size == 1 and Contexts().cells() == [{}] and Contexts().anchor(0) == ()


def test_sentences_are_words_or_numbers_with_units():
    assert THREE.sentences(0) == "no cases. policy: 0 1. price: 1 dollars."
    assert THREE.sentences(23) == "many cases. policy: 1 1. price: 5 dollars."
    assert THREE.sentences(8).startswith("incidence: 10 cases in 100,000. ")


def test_digest_and_plain_form_hold_everything():
    assert Contexts.of_plain(THREE.plain(), "test") == THREE
    others = [Contexts((INCIDENCE, PRICE, POLICY)), Contexts((INCIDENCE, POLICY))]
    assert len({each.digest for each in (THREE, *others)}) == 3
    with pytest.raises(InputError, match="expected variables with"):
        Contexts.of_plain([{"name": "x"}], "test")
    with pytest.raises(InputError, match="numbers as anchors"):
        Contexts.of_plain([THREE.plain()[0] | {"anchors": ["0", "1"]}], "test")


def test_at_anchors_one_cell_has_all_weight():
    cells = THREE.cells()
    values = np.array([[cell[name] for name in THREE.names] for cell in cells])
    cell, weight = corners(THREE, values)
    for c in range(THREE.size):
        assert cell[c][weight[c] == 1].tolist() == [c] and weight[c].sum() == 1


def test_between_anchors_weights_reproduce_multilinear_functions():
    """f(x) = product of (1 + a t(x)) is multilinear: corners give it back (float32, 3 products: 1e-5)."""
    generator = np.random.default_rng(1)
    for c in (Contexts((PRICE, POLICY)), THREE):
        low, high = (np.array([each.anchors[i] for each in c.variables]) for i in (0, -1))
        values = generator.uniform(low, high, (500, len(c.variables)))
        cell, weight = corners(c, values)
        assert cell.shape == weight.shape == (500, 2 ** len(c.variables))

        def scaled(points: Any, c: Contexts = c) -> Any:
            return np.stack(
                [np.log1p(x) if v.scale == "log1p" else x for v, x in zip(c.variables, points.T, strict=True)], -1
            )

        anchors = np.array([[one[name] for name in c.names] for one in c.cells()])
        # a function of each scaled variable that is linear between anchors, and through all of them
        table = np.prod([np.sin(scaled(anchors)[:, v]) + 2 for v in range(len(c.variables))], 0)
        exact = np.ones(len(values))
        for v, each in enumerate(c.variables):
            at = np.log1p(each.anchors) if each.scale == "log1p" else np.array(each.anchors)
            exact *= np.interp(scaled(values)[:, v], at, np.sin(at) + 2)
        assert np.allclose((table[cell] * weight).sum(1), exact, rtol=1e-5)
        assert np.allclose(weight.sum(1), 1, atol=1e-6) and (weight >= 0).all()


def test_beyond_the_ends_counts_the_end_and_single_anchors_hold_everywhere():
    values = np.array([[-5.0, -1.0, 0.0], [1e6, 9.0, 99.0]])
    cell, weight = corners(THREE, values)
    assert cell[0][weight[0] == 1] == [0] and cell[1][weight[1] == 1] == [23]
    single = Contexts((POLICY, Variable("here", (3,), "", "")))
    cell, weight = corners(single, np.array([[0.25, -7.0]]))
    assert cell.tolist() == [[0, 1]] and weight.tolist() == [[0.75, 0.25]]


def test_nan_is_refused_on_the_host_and_marked_on_the_device():
    with pytest.raises(InputError, match="1 values are NaN"):
        corners(THREE, np.array([[np.nan, 0, 1]]))
    with pytest.raises(InputError, match=r"policy: 1 values are NaN"):
        THREE.values({"incidence": np.zeros(2), "policy": np.array([0, np.nan]), "price": np.ones(2)})
    with pytest.raises(InputError, match="did you mean 'prize'"):
        Contexts((PRICE,)).values({"prize": np.zeros(1)})
    values = np.ones((3, 3), np.float32)
    values[np.arange(3), np.arange(3)] = np.nan
    assert np.isnan(device(values)[1]).all()


@jax.jit
def device(values: Any) -> Any:
    return corners(THREE, values, jnp)


def test_host_and_device_agree_and_the_derivative_is_the_slope():
    """To 2e-6 (their log1p differ in the last bit); the slope against differences inside of a box."""
    generator = np.random.default_rng(2)
    values = generator.uniform((0, 0, 1), (100, 1, 5), (200, 3)).astype(np.float32)
    there = device(values)
    here = corners(THREE, values)
    assert np.array_equal(here[0], there[0]) and np.allclose(here[1], there[1], atol=2e-6)
    table = jnp.asarray(generator.normal(size=24), jnp.float32)

    @jax.jit
    @jax.value_and_grad
    def value(x: Any) -> Any:
        cell, weight = corners(THREE, x[None], jnp)
        return (table[cell] * weight).sum()

    point, step = np.array([30.0, 0.4, 2.6], np.float32), np.float32(0.02)
    slope = np.asarray(value(point)[1])
    for v, move in enumerate(np.eye(3, dtype=np.float32) * step):
        rise = float(value(point + move)[0] - value(point - move)[0]) / (2 * float(step))
        assert float(slope[v]) == pytest.approx(rise, rel=1e-2, abs=1e-4)
