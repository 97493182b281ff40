"""Every registered kernel in its turn, compiled once for all tests of the contract."""

from __future__ import annotations

from typing import Any

import pytest

from lpm.kernel import Kernel, kernels

from .world import Bench, bench_for


@pytest.fixture(scope="session", params=list(kernels()))
def kernel(request: Any) -> type[Kernel]:
    """A registered kernel."""
    return kernels()[request.param]


@pytest.fixture(scope="session")
def bench(kernel: type[Kernel]) -> Bench:
    """The kernel among random people."""
    return bench_for(kernel)
