"""What a model derives from its description: which columns steps change, and what `prepare` may read of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from lpm.errors import InputError
from lpm.kernel import Kernel
from lpm.levers import bounded, passes
from lpm.metrics import recorder
from lpm.model import Behaviour, Model
from lpm.policy import Arm, Effect, Filter, Intervention, plan
from lpm.population import IDENTITY, Column

SCHEMA = (
    *IDENTITY,
    Column("mood", "float32", "mood", bounds=(0, 1)),
    Column("wealth", "float32", "money"),
    Column("place", "uint8", "place", levels=("a", "b")),
)


class Reader(Kernel):
    """Prepares from the column named by its parameter, and writes `mood`."""

    name = "reader"
    writes = ("mood",)

    @dataclass(frozen=True)
    class Params:
        """Which column is read."""

        column: str

    @classmethod
    def prepare(cls, params: Any, tables: Any, clock: Any) -> Any:
        """Return the column."""
        return tables["agents"][params.column]


def model(*levers: Intervention, **columns: str) -> Model:
    behaviour = Behaviour("reader", Reader, (), tuple(columns.items()))
    return Model((behaviour,), recorder((), {}), plan((Arm("arm", levers),), ()), SCHEMA)


def prepared(made: Model, column: str) -> Any:
    agents: Any = {each.name: np.zeros(3, each.dtype) for each in SCHEMA}
    return made.prepared(made.behaviours[0], Reader.Params(column), {"agents": agents}, None)


def lever(kind: str, target: str) -> Intervention:
    return Intervention(target, (Effect(kind, target, 1.0),))


def test_prepare_reads_columns_that_no_step_changes():
    made = model(lever("set_column", "present"), lever("scale_column", "wealth"))  # laid over for a while: not stored
    assert made.changing == {"mood"}
    for column in ("present", "weight", "wealth", "place"):
        assert prepared(made, column).shape == (3,)


@pytest.mark.parametrize("column", ["mood", "feeling", "elsewhere"])
def test_prepare_is_refused_what_a_kernel_writes(column: str):
    with pytest.raises(InputError, match=f"kernel 'reader': prepare reads column '{column}'"):
        prepared(model(feeling="mood"), column)


def test_prepare_is_refused_what_an_intervention_does_once():
    with pytest.raises(InputError, match="prepare reads column 'wealth'"):
        prepared(model(lever("add_column_once", "wealth")), "wealth")


def test_a_column_written_under_another_name_is_the_one_behind():
    made = model(mood="wealth")
    assert made.changing == {"wealth"} and made.behaviours[0].written == {"wealth"}
    assert sorted(made.behaviours[0].seen({"wealth": jnp.ones(1), "mood": jnp.zeros(1)})) == ["mood", "wealth"]
    with pytest.raises(InputError, match="'mood'"):
        prepared(made, "mood")  # the kernel's name of `wealth`


def test_filters_hold_alike_for_arrays_of_the_host_and_of_the_device():
    generator = np.random.default_rng(1)
    agents: dict[str, Any] = {
        "present": generator.random(500) < 0.9,
        "mood": generator.random(500).astype(np.float32),
        "place": generator.integers(0, 2, 500).astype(np.uint8),
    }
    rules = (Filter("mood", low=0.25, high=float(agents["mood"][7])), Filter("place", (1, 5)))
    mood, wanted = agents["mood"], agents["present"] & (agents["place"] == 1)
    wanted &= (mood >= np.float32(0.25)) & (mood <= mood[7])
    for columns in (agents, {name: jnp.asarray(values) for name, values in agents.items()}):
        assert np.array_equal(np.asarray(passes(rules, columns)), wanted)
    assert np.array_equal(np.asarray(passes((), agents)), agents["present"])


@pytest.mark.parametrize(
    ("kind", "target", "told"),
    [
        ("scale_column", "mood", True),
        ("add_column_once", "mood", True),
        ("set_column", "mood", False),
        ("add_column_once", "wealth", False),
    ],
)
def test_levers_that_can_move_values_past_bounds(kind: str, target: str, told: bool):
    assert bounded(lever(kind, target), model().limits) is told
