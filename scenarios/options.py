"""What a run is asked to do beyond its scenario, and how it tells what it is doing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class RunOptions:
    """Options of `lpm run`.

    `--agents`, `--steps`, `--seeds`, `--draws`, `--arms`, `--backend` and `--set` are not among them: they change the
    scenario, so that the resolved `scenario.toml` says all that a trajectory depends on.

    Attributes:
        out: Folder of the run; `lpm.scenarios.outputs.claim` makes it.
        devices: Number of devices; None = all there are.
        checkpoint_every: Steps between checkpoints; None = none within a run.
        resume: Go on with what `out` holds.
        save_agents: Write `agents.parquet`.
        quiet: Show no progress.
    """

    out: Path
    devices: int | None = None
    checkpoint_every: int | None = None
    resume: bool = False
    save_agents: bool = False
    quiet: bool = False


class Progress(Protocol):
    """Told what a run is doing; the command line draws a bar from it."""

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        """Take note.

        Args:
            stage: In words: "people", "network community", "compiling", "running", "report"; a line for the reader
                begins with "note: " or "warning: ".
            done: Units of the stage that are done.
            total: Units of the stage (steps of all arms and seeds for "running").
        """
        ...


def silent(stage: str, done: int, total: int, /) -> None:
    """Tell nobody: the progress of a run that nobody watches."""
