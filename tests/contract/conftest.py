"""Every registered kernel in its turn, compiled once for all tests of the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lpm.kernel import Kernel, kernels

from .world import Bench, bench_for

QUICK = {"test_policy_on_a_layer_is_felt": ("sir", "degroot", "voter", "persuasion")}
"""By tests that compile every kernel anew: of which kernels they are in the quick suite."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the other kernels of such tests to the full product."""
    for item in items:
        name, _, of = item.name.partition("[")
        if name in QUICK and item.path.parent == Path(__file__).parent and of.rstrip("]") not in QUICK[name]:
            item.add_marker(pytest.mark.full)


@pytest.fixture(scope="session", params=list(kernels()))
def kernel(request: Any) -> type[Kernel]:
    """A registered kernel."""
    return kernels()[request.param]


@pytest.fixture(scope="session")
def bench(kernel: type[Kernel]) -> Bench:
    """The kernel among random people."""
    return bench_for(kernel)
