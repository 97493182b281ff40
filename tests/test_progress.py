"""What a run tells while it runs, where there is no terminal."""

from __future__ import annotations

import contextlib
import signal
import time

import pytest

from lpm import progress


def test_a_log_has_a_line_a_stage_and_a_line_for_every_tenth(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.bar(False) as told:
        told("note: 5 agents", 0, 1)
        for stage in ("people", "network household", "network [work]"):
            told(stage, 0, 1)
            told(stage, 1, 1)
        for step in range(1001):
            told("running", step, 1000)
        told("warning: another version", 0, 1)
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == "" and len(lines) == 1 + 3 + 11 + 1
    assert lines[0] == "note: 5 agents" and lines[3].startswith("network [work]: ")
    assert "100 %" in lines[-2] and lines[-1] == "warning: another version"
    with progress.bar(True) as told:
        told("people", 0, 1)
        told("running", 1, 2)
    assert capfd.readouterr().err == ""


def test_stages_show_while_they_last(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.05)
    with progress.bar(False) as told:
        told("people", 0, 1)
        err = ""
        for _ in range(200):
            time.sleep(0.05)
            err += capfd.readouterr().err
            if err:
                break
    assert err.startswith("people: ")


def test_a_failure_at_once_leaves_its_message_alone(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 600.0)
    with pytest.raises(ValueError), progress.bar(False) as told:
        told("people", 0, 1)
        raise ValueError
    assert capfd.readouterr().err == ""


def test_a_swallowed_interrupt_is_raised_by_the_next_progress() -> None:
    """And what is written on the way out may report progress without being interrupted again."""
    seen: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), progress.heeding(lambda stage, done, total: seen.append(stage)) as told:
        with contextlib.suppress(KeyboardInterrupt):  # as a callback of a compiler does
            signal.raise_signal(signal.SIGINT)
        try:
            told("running", 0, 1)
        finally:
            told("report", 0, 1)
    assert seen == ["report"] and signal.getsignal(signal.SIGINT) is before
