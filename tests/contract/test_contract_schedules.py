"""The contract of a kernel under the schedules that it offers beside its default one.

The tests are those of the other parts, on a class whose parameter `schedule` has another default. All of it belongs to
the full suite.
"""

from __future__ import annotations

from typing import Any

import pytest

from lpm.kernel import Kernel, declarations, kernels

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
from .world import Bench, bench_for

pytestmark = pytest.mark.full


class Defaults:
    """A class of parameters in all but the default of its schedule."""

    def __init__(self, params: type[Any], schedule: str):
        """Hold both."""
        self._params, self._schedule = params, schedule

    def __call__(self, **values: Any) -> Any:
        """Return parameters."""
        return self._params(**{"schedule": self._schedule, **values})

    def __getattr__(self, name: str) -> Any:
        """Return what the class has."""
        return getattr(self._params, name)


def variants() -> dict[str, type[Kernel]]:
    """Return every kernel under every schedule that is not its default, by a name for both."""
    found: dict[str, type[Kernel]] = {}
    for name, kernel in kernels().items():
        declared = declarations(kernel.Params).get("schedule")
        for schedule in declared.choices if declared else ():
            if schedule != kernel.Params().schedule:
                params = Defaults(kernel.Params, schedule)
                found[f"{name}, {schedule}"] = type(kernel.__name__, (kernel,), {"Params": params})
    return found


OTHERS = variants()
each = pytest.mark.parametrize("name", list(OTHERS))


@pytest.fixture(scope="module", params=list(OTHERS))
def bench(request: Any) -> Bench:
    """The kernel under another schedule among random people."""
    return bench_for(OTHERS[request.param])


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests of platforms find these by name."""
    monkeypatch.setattr(platforms, "find", lambda name, where: OTHERS[name])


@each
def test_backends_agree(name: str):
    platforms.test_backends_agree(name)


@each
@pytest.mark.parametrize("shards", [2, 4])
def test_devices_agree(name: str, shards: int):
    platforms.test_devices_agree(name, shards)


@each
def test_batches_agree(name: str, monkeypatch: pytest.MonkeyPatch):
    platforms.test_batches_agree(name, monkeypatch)


@each
def test_half_the_step_moves_a_rate_kernel_by_its_order(name: str, monkeypatch: pytest.MonkeyPatch):
    """All columns but `met`, which tells who had a partner in the last step: in half a step about half as many."""
    summary = platforms.summary

    def but_met(*given: Any) -> dict[str, Any]:
        return {column: told * (column != "met") for column, told in summary(*given).items()}

    monkeypatch.setattr(platforms, "summary", but_met)
    platforms.test_half_the_step_moves_a_rate_kernel_by_its_order(name)


def test_kernels_of_pairs_and_of_votes_offer_the_schedule_of_their_papers():
    offered = {name.partition(",")[0] for name in OTHERS if name.endswith("random-sequential")}
    assert offered == {"axelrod", "deffuant", "majority", "q-voter", "repulsion", "voter"}
