"""What people ask for, by the options of `lpm run` or by calling `lpm.run`: the scenario that it makes, and its run."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpm.errors import InputError, unknown

if TYPE_CHECKING:
    from lpm.scenarios.schema import Scenario

BACKENDS = ("auto", "xla", "numba", "pallas")
"""What the hot loops can be asked to run on."""

LARGEST = 2**31 - 1
"""The largest whole number that an option takes."""

_WHOLE = re.compile(r"[+-]?\d+(_\d+)*(\.\d*)?([eE]\+?\d{1,4})?")


def run(
    scenario: str | Path,
    *,
    agents: int | None = None,
    steps: int | None = None,
    seeds: int | Sequence[int] | None = None,
    draws: str | Path | None = None,
    arms: Sequence[str] | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),
    out: str | Path | None = None,
    overwrite: bool = False,
    backend: str | None = None,
    devices: int | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    save_agents: bool = False,
    quiet: bool = False,
) -> Path:
    """Run a scenario and return the folder of its results; `lpm.calling.run` says what the arguments are.

    Raises:
        InputError: Something that does not fit, told by the options of the command line.
        KeyboardInterrupt: Stopped; its message says what is kept.
    """
    if devices is not None:
        force_devices(devices)
    from lpm import progress
    from lpm.scenarios import execution, outputs, replacement
    from lpm.scenarios.checks import check_run
    from lpm.scenarios.options import RunOptions

    for flag, given in (("--resume", resume), ("--overwrite", overwrite)):
        if given and out is None:
            what = "to go on with" if flag == "--resume" else "to put this one in the place of"
            raise InputError(f"{flag}: expected --out with the folder of the run {what}")
    if resume and overwrite:
        raise InputError("--overwrite: expected either --resume or --overwrite, got both")
    file = None if draws is None else str(draws)
    asked = chosen(
        str(scenario), agents=agents, steps=steps, seeds=seeds, draws=file, arms=arms, sets=set, backend=backend
    )
    folder = outputs.default(asked.name) if out is None else Path(out)
    if overwrite:
        replacement.check(folder, str(scenario), *([file] if file else []))
        check_run(asked)
    else:
        outputs.check(folder, asked, resume=resume)
    options = RunOptions(folder, devices, checkpoint_every, resume, save_agents, quiet)
    try:
        with replacement.instead(folder) if overwrite else contextlib.nullcontext():
            with progress.bar(quiet) as told, progress.heeding(told) as heeded:
                return execution.run(asked, options, heeded)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_ended(execution.kept(folder, asked), checkpoint_every)) from None


def _ended(told: str, every: int | None) -> str:
    """Return what is kept of a stopped run; where that is nothing, with why."""
    if not told.endswith("nothing is kept"):
        return told
    if every is None:
        return f"{told} (--checkpoint-every N keeps the state of an unfinished pair)"
    return f"{told} (the first checkpoint is written after {every} steps, and they were not reached)"


def chosen(
    name: str,
    *,
    agents: int | None = None,
    steps: int | None = None,
    seeds: int | Sequence[int] | None = None,
    draws: str | None = None,
    arms: Sequence[str] | None = None,
    sets: Mapping[str, Any] | Sequence[str] = (),
    backend: str | None = None,
) -> Scenario:
    """Return the scenario with everything that is asked to be changed.

    Args:
        name: A built-in name, or the path of a TOML file.
        agents: `--agents`.
        steps: `--steps`.
        seeds: `--seeds`, a number or the seeds themselves.
        draws: `--draws`.
        arms: `--arms`.
        sets: `--set`: assignments as text ("seir.beta=0.03"), or values by path.
        backend: `--backend`.

    Raises:
        InputError: Something that does not fit the scenario.
    """
    from lpm.scenarios import loader, settings

    scenario = loader.load(name)
    if isinstance(sets, Mapping):
        for path, value in sets.items():
            scenario = settings.replaced(scenario, path, value, f"--set {path}")
    else:
        for assignment in sets:
            scenario = settings.apply_set(scenario, assignment)
    for option, path, value in (("--agents", "population.size", agents), ("--steps", "steps", steps)):
        if value is not None:
            if not 1 <= value <= LARGEST:
                raise InputError(f"{option}: expected 1 to {LARGEST}, got {value}")
            scenario = settings.replaced(scenario, path, value, option)
    if backend is not None:
        scenario = settings.replaced(
            scenario, "backend", one_of(backend, BACKENDS, "--backend", "backend"), "--backend"
        )
    if seeds is not None:
        wanted = seeds if isinstance(seeds, int) else list(seeds)
        scenario = settings.replaced(scenario, "seeds", wanted, "--seeds")
    if arms is not None:
        scenario = settings.with_arms(scenario, [each.strip() for each in arms])
    if draws is not None:
        scenario = settings.with_draws(scenario, draws)
    return scenario


def whole(text: str | None, option: str) -> int | None:
    """Return the whole number that an option gives, written as 100000, 100_000 or 1e5; None where it is not given.

    Raises:
        InputError: Something else, or a number that is not between 1 and `LARGEST`.
    """
    if text is None:
        return None
    given = text.strip()
    if not given.isascii() or not _WHOLE.fullmatch(given):
        raise InputError(f"{option}: expected a whole number such as 100000, 100_000 or 1e5, got '{text}'")
    number = Decimal(given)
    if not 1 <= number <= LARGEST:
        raise InputError(f"{option}: expected 1 to {LARGEST}, got {text}")
    if number != int(number):
        raise InputError(f"{option}: expected a whole number, got {text}")
    return int(number)


def one_of(text: str, names: Collection[str], option: str, kind: str) -> str:
    """Return a name that an option can have.

    Raises:
        InputError: There is none of that name; the nearest, or what there is, is told.
    """
    if text not in names:
        raise unknown(option, kind, text, names)
    return text


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
    if len({*numbers}) != len(numbers) or max(numbers) >= 2**31:
        raise InputError(f"--seeds: expected different seeds below 2147483648, got '{text}'")
    return numbers[0] if len(numbers) == 1 else numbers


def force_devices(count: int) -> None:
    """Ask XLA for so many devices of the CPU; has to be done before jax is imported, and leaves GPUs alone."""
    flag = "--xla_force_host_platform_device_count"
    flags = os.environ.get("XLA_FLAGS", "")
    if flag not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {flag}={count}".strip()
