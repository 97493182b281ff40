"""The contract of a kernel under complete mixing, and on a layer whose ties may move.

The tests are those of the other parts, on whom the kernel meets there. The quick suite tries the cases of QUICK on one
device and backend, `pytest -m full` the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from lpm import random
from lpm.clock import Clock
from lpm.errors import InputError
from lpm.kernel import find, kernels
from lpm.ops.dispatch import using

from . import test_contract_platforms as platforms
from .test_contract_behaviour import test_a_seed_decides_every_bit as test_a_seed_decides_every_bit
from .test_contract_behaviour import (
    test_absent_agents_do_not_change_and_change_nobody as test_absent_agents_do_not_change_and_change_nobody,
)
from .test_contract_behaviour import (
    test_columns_stay_within_their_declaration as test_columns_stay_within_their_declaration,
)
from .test_contract_behaviour import (
    test_relabelled_agents_live_the_same_lives as test_relabelled_agents_live_the_same_lives,
)
from .test_contract_behaviour import test_something_happens as test_something_happens
from .test_contract_behaviour import test_step_is_traced_once as test_step_is_traced_once
from .test_contract_declared import (
    test_step_reads_and_writes_what_it_declares as test_step_reads_and_writes_what_it_declares,
)
from .test_contract_policy import (
    test_weights_decide_nothing_about_an_agent as test_weights_decide_nothing_about_an_agent,
)
from .test_contract_schedules import OTHERS
from .world import DT, PLACES, Bench, bench_for, equal

ALONE = {
    "ants",
    "compliance",
    "crowd",
    "framed-feed",
    "herd-market",
    "importation",
    "information-cascade",
    "music-market",
    "social-voting",
}
"""Kernels that look at no layer."""

REFUSES = {"complete mixing": {"message"}, "moving ties": set[str]()}
"""Kernels that refuse such a layer: a message goes along arcs, to the share of followers that the parameters say."""

QUICK = ("sir, complete mixing", "coevolving-voter, moving ties")
"""One of every place; the second moves its ties."""

ON_TIES = {
    "complex-contagion",
    "deffuant",
    "deffuant, random-sequential",
    "majority, random-sequential",
    "message",
    "q-voter",
    "sir",
    "voter",
    "voter, random-sequential",
}
"""Kernels that stand for the others on several backends and devices where ties may move: at least one of every op."""

EVERY = kernels() | OTHERS
CASES = {
    f"{name}, {place}": (name, place)
    for place in PLACES[1:]
    for name, kernel in EVERY.items()
    if kernel.name not in ALONE | REFUSES[place]
    and (name in kernels() or place == "complete mixing" or name in ON_TIES)
}
"""Every kernel, and under complete mixing each in all its schedules, by a name for both."""

SPREAD = [
    case
    for case, (name, place) in CASES.items()
    if place == "complete mixing" or name in ON_TIES or EVERY[name].rewires
]
PACED = [
    case
    for case, (name, place) in CASES.items()
    if name in kernels() and name not in platforms.TIMELESS and (place == "complete mixing" or EVERY[name].rewires)
]
each = pytest.mark.parametrize("case", SPREAD)


@pytest.fixture(
    scope="module",
    params=[pytest.param(case, marks=() if case in QUICK else (pytest.mark.full,)) for case in CASES],
)
def bench(request: Any) -> Bench:
    """The kernel on such a layer among random people."""
    name, place = CASES[request.param]
    return bench_for(EVERY[name], place)


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests of platforms find these by name."""
    monkeypatch.setattr(platforms, "find", lambda name, where: EVERY[name])

    def made(case: str, make: Any = platforms.made, **more: Any) -> Bench:
        name, place = CASES[case]
        return make(name, place, **more)

    monkeypatch.setattr(platforms, "made", made)


@pytest.mark.full
@each
def test_backends_agree(case: str):
    platforms.test_backends_agree(case)


@pytest.mark.full
@each
@pytest.mark.parametrize("shards", [2, 4])
def test_devices_agree(case: str, shards: int):
    platforms.test_devices_agree(case, shards)


@pytest.mark.full
@each
def test_batches_agree(case: str, monkeypatch: pytest.MonkeyPatch):
    platforms.test_batches_agree(case, monkeypatch)


@pytest.mark.full
@pytest.mark.parametrize("case", PACED)
def test_half_the_step_moves_a_rate_kernel_by_its_order(case: str):
    """Where ties stay as they are, it is what the test on fixed ties says."""
    platforms.test_half_the_step_moves_a_rate_kernel_by_its_order(case)


def lived(name: str, networks: Mapping[str, Any], place: str = "rows") -> None:
    """Trace a step of a kernel on these layers."""
    bench = bench_for(find(name, "test"), place)
    kernel, key, clock = bench.kernel, random.root(1), Clock(jnp.int32(0), DT, 1)

    def one(agents: Any, others: Any, params: Any) -> Any:
        tables = {**others, "agents": agents}
        return kernel.step(key, tables, networks, kernel.prepare(params, tables, clock), clock)

    params = jax.tree.map(lambda leaf: leaf[0], bench.member(1).params[kernel.name])
    with using("xla"):
        jax.eval_shape(one, dict(bench.people.columns), bench.tables, params)


@pytest.mark.parametrize("name", list(kernels()))
def test_kernels_that_look_at_no_layer_are_these(name: str):
    class Watched(dict[str, Any]):
        looked = False

        def __getattribute__(self, name: str) -> Any:
            object.__setattr__(self, "looked", True)
            return super().__getattribute__(name)

        def __iter__(self) -> Any:
            self.looked = True
            return super().__iter__()

        def __len__(self) -> int:
            self.looked = True
            return super().__len__()

        def __getitem__(self, name: str) -> Any:
            self.looked = True
            return super().__getitem__(name)

    networks = Watched(contacts=bench_for(find(name, "test")).seen())
    lived(name, networks)
    assert object.__getattribute__(networks, "looked") == (name not in ALONE)


@pytest.mark.parametrize(("name", "place"), [(name, place) for place in PLACES[1:] for name in REFUSES[place]])
def test_what_a_kernel_cannot_use_it_refuses(name: str, place: str):
    with pytest.raises(InputError, match=place):
        lived(name, {"contacts": bench_for(find(name, "test"), place).seen()}, place)


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name, kernel in kernels().items() if not (kernel.rewires or name in ALONE)])
def test_ties_that_nobody_moves_are_like_fixed_ones(name: str):
    """The same network, as rows and as slots of ties: every bit."""
    fixed, moving = (bench_for(find(name, "test"), place) for place in ("rows", "moving ties"))
    start = dict(fixed.people.columns)
    one, other = fixed.after(start, 5), moving.after(start, 5)
    assert equal(one, {column: values for column, values in other.items() if not column.startswith("ties.")})
