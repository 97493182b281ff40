"""The battery of `benchmarks/random_battery.py` as the second writing of the formulas, and a stream of draws."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import jax.numpy as jnp

from lpm import random


def load_battery() -> ModuleType:
    """Import the battery, a program beside the tests, as the second writing of the formulas."""
    path = Path(__file__).parent / "benchmarks" / "random_battery.py"
    spec = importlib.util.spec_from_file_location("random_battery", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


battery = load_battery()
IDS = jnp.arange(100_000, dtype=jnp.uint32)
KEY = random.purpose(random.at_step(random.instance(random.root(1), "kernel"), 9), "draw")
KEY_WORDS = battery.stream(step=9)
