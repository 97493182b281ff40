"""What the options of `lpm run` ask for: the scenario that they make of the one that is named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lpm.errors import InputError

if TYPE_CHECKING:
    from lpm.scenarios.schema import Scenario


def chosen(
    name: str,
    agents: int | None,
    steps: int | None,
    seeds: str | None,
    draws: str | None,
    arms: str | None,
    sets: Sequence[str],
    backend: str | None,
) -> Scenario:
    """Return the scenario with everything that the options change.

    Raises:
        InputError: An option that does not fit the scenario.
    """
    from lpm.scenarios import loader, settings

    scenario = loader.load(name)
    for assignment in sets:
        scenario = settings.apply_set(scenario, assignment)
    for option, path, value in (("--agents", "population.size", agents), ("--steps", "steps", steps)):
        if value is not None:
            if not 1 <= value < 2**31:
                raise InputError(f"{option}: expected 1 to {2**31 - 1}, got {value}")
            scenario = settings.replaced(scenario, path, value, option)
    if backend is not None:
        scenario = settings.replaced(scenario, "backend", backend, "--backend")
    if seeds is not None:
        scenario = settings.replaced(scenario, "seeds", seeds_of(seeds), "--seeds")
    if arms is not None:
        scenario = settings.with_arms(scenario, [each.strip() for each in arms.split(",")])
    if draws is not None:
        scenario = settings.with_draws(scenario, draws)
    return scenario


def seeds_of(text: str) -> int | list[int]:
    """Return `--seeds`: a count, or a list of seeds.

    Raises:
        InputError: Neither.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 11 for part in parts):
        raise InputError(f"--seeds: expected a number (4) or seeds by commas (3,5,8), got '{text}'")
    numbers = [int(part) for part in parts]
    if len(numbers) == 1 and not 1 <= numbers[0] <= 100_000:
        raise InputError(f"--seeds: expected 1 to 100,000 seeds, got {numbers[0]}")
    if len(set(numbers)) != len(numbers) or max(numbers) >= 2**31:
        raise InputError(f"--seeds: expected different seeds below 2147483648, got '{text}'")
    return numbers[0] if len(numbers) == 1 else numbers


def force_devices(count: int) -> None:
    """Ask XLA for so many devices of the CPU; has to be done before jax is imported, and leaves GPUs alone."""
    flag = "--xla_force_host_platform_device_count"
    flags = os.environ.get("XLA_FLAGS", "")
    if flag not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {flag}={count}".strip()
