"""How a run tells on stderr what it is doing: a bar in a terminal, short lines elsewhere."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Told = Callable[[str, int, int], None]
"""What a run calls with (stage, units done, units in all)."""

PATIENCE = 2.0
"""Seconds for which the first lines of a log are held back: what is wrong with small input shows until then, and its
message stays the only line."""

SAID = ("note: ", "warning: ")
"""How a stage begins that is no stage but a line for the reader."""


@contextlib.contextmanager
def bar(quiet: bool) -> Generator[Told]:
    """Yield what a run tells its progress to: a bar with the remaining time on stderr, or nothing when quiet.

    Without a terminal a line is printed for every stage and for every tenth of the running steps.
    """
    screen = Console(stderr=True, highlight=False)
    if quiet:
        yield lambda stage, done, total: None
    elif not screen.is_terminal:
        log = _Log(screen)
        try:
            yield log
            log.release()
        finally:
            log.close()
    else:
        columns = (
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=screen, transient=True) as shown:
            yield _moves(shown)


class _Log:
    """Lines on a screen that is no terminal; those of the first moments wait until `PATIENCE` is over."""

    def __init__(self, screen: Console):
        self.screen, self.began = screen, time.monotonic()
        self.tenth, self.seen = -1, set[str]()
        self.held: list[str] | None = []
        self.lock = threading.Lock()
        self.timer = threading.Timer(PATIENCE, self.release)
        self.timer.daemon = True
        self.timer.start()

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        """Take note, as `lpm.scenarios.options.Progress`."""
        spent = time.monotonic() - self.began
        if stage.startswith(SAID):
            self.line(stage)
        elif stage == "running":
            if total and done * 10 // total > self.tenth:
                self.tenth = done * 10 // total
                left = f", about {spent * (total - done) / done:.0f} s left" if 0 < done < total else ""
                self.line(f"running: {self.tenth * 10} % after {spent:.0f} s{left}")
            self.release()  # everything is built
        elif stage not in self.seen:
            self.seen.add(stage)
            self.line(f"{stage}: begun after {spent:.0f} s")

    def line(self, text: str) -> None:
        """Print a line, or keep it for later."""
        with self.lock:
            if self.held is None:
                self.screen.print(Text(text), soft_wrap=True)
            else:
                self.held.append(text)

    def release(self) -> None:
        """Print what was held back; from now on everything is printed at once."""
        with self.lock:
            for text in self.held or ():
                self.screen.print(Text(text), soft_wrap=True)
            self.held = None

    def close(self) -> None:
        """Hold back for ever what still is held back."""
        self.timer.cancel()


def _moves(shown: Progress) -> Told:
    tasks: dict[str, TaskID] = {}

    def move(stage: str, done: int, total: int) -> None:
        if stage.startswith(SAID):
            shown.console.print(Text(stage))
            return
        if stage not in tasks:
            tasks[stage] = shown.add_task(stage.replace("[", "\\["), total=total or None)
        shown.update(tasks[stage], completed=done, total=total or None)

    return move


@contextlib.contextmanager
def heeding(told: Told) -> Generator[Told]:
    """Give a progress that raises `KeyboardInterrupt` after a Ctrl-C that code of others has swallowed.

    An exception that a signal raises inside a callback of a compiler or a destructor is lost there; the next sign of
    progress raises it again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    asked: list[int] = []

    def stop(number: int, _: object) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    def heeded(stage: str, done: int, total: int) -> None:
        if asked and not isinstance(sys.exc_info()[1], KeyboardInterrupt):  # what is written on the way out goes on
            raise KeyboardInterrupt
        told(stage, done, total)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield heeded
    finally:
        signal.signal(signal.SIGINT, before)
