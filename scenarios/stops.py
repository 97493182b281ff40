"""What ends a run before its time, Ctrl-C or a fault of the machine, and what it leaves: nothing computed is lost."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Generator
from pathlib import Path

from lpm import checkpoint, results
from lpm.scenarios.schema import Scenario

_PAIR = re.compile(r"\d+-\d+\.parquet")


def finished_pairs(folder: Path) -> bool:
    """Return whether a run's folder holds a finished pair of arm and seed."""
    place = folder / results.FINISHED
    return place.is_dir() and any(_PAIR.fullmatch(each.name) for each in place.iterdir())


def checkpointed(folder: Path) -> bool:
    """Return whether a run's folder holds a whole checkpoint of a pair that is not finished."""
    return any(checkpoint.steps_in(each) for each in (folder / "checkpoints").glob("*"))


def kept(folder: Path, scenario: Scenario) -> str:
    """Return what is left of a run that was stopped, in words."""
    there = [
        (index, seed)
        for index in range(len(scenario.arms))
        for seed in scenario.seeds
        if results.finished_path(folder, index, seed).is_file()
    ]
    if there:
        pairs = len(scenario.arms) * len(scenario.seeds)
        return (
            f"stopped; {len(there)} of {pairs} pairs of arm and seed are finished and kept in {folder}; "
            f"--out {folder} --resume goes on with them"
        )
    if checkpointed(folder):
        return (
            f"stopped before a pair of arm and seed was finished; --out {folder} --resume goes on from its checkpoint"
        )
    return "stopped before the first pair of arm and seed was finished: nothing is kept"


@contextlib.contextmanager
def undisturbed() -> Generator[None]:
    """Hold back Ctrl-C while files that belong together are written; it takes effect behind them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt
