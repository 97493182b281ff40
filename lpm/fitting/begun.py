"""With which options a fit was begun: whoever goes on with it has to ask for the same.

A fit writes `asked.json` into its folder before anything is simulated, and `--resume` compares what it is given with
that. `--diagnose` and what is shown on the way may differ: they change nothing of what is found.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import polars as pl

from lpm import __version__
from lpm.errors import InputError
from lpm.fitting.asked import Asked
from lpm.parquet import write_bytes
from lpm.scenarios import resolved
from lpm.scenarios.outputs import OPTIONS
from lpm.scenarios.schema import Scenario

FILE = "asked.json"
"""The file in the folder of a fit."""


def told(scenario: Scenario, frame: pl.DataFrame, asked: Asked) -> dict[str, Any]:
    """Return everything that a fit depends on: options, version, and sums of scenario, files and figures.

    Args:
        scenario: With everything that `--agents` and `--set` changed.
        frame: The observed figures.
        asked: With what the scenario says of free parameters and origins where the options do not.
    """
    return {
        "lpm": __version__,
        "options": {
            "--fit": ",".join(asked.fit),
            "--until": ",".join(str(day) for day in asked.until),
            "--seeds": asked.seeds,
            "--starts": asked.starts,
            "--draws": asked.draws,
            "--posterior": asked.posterior,
        },
        "figures": _sum(frame.write_csv()),
        "scenario": {
            key: _sum(json.dumps(value, default=str, sort_keys=True))
            for key, value in tomllib.loads(resolved.of_run(scenario)).items()
        },
        "files": resolved.fingerprint(scenario),
    }


def write(folder: Path, now: dict[str, Any]) -> None:
    """Write what is asked for into the folder of a fit that begins.

    Raises:
        InputError: The file cannot be written (its cause is an OSError).
    """
    write_bytes(folder / FILE, (json.dumps(now, indent=1) + "\n").encode())


def compare(folder: Path, now: dict[str, Any]) -> None:
    """Refuse to go on with a fit that was begun with other options.

    Raises:
        InputError: It was, or the folder is not that of a fit.
    """
    path = folder / FILE
    try:
        before = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"--resume: expected the folder of a fit, got '{folder}', which has no {FILE}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"--resume: {path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(before, dict) or {*now} - {*before}:
        raise InputError(f"--resume: {path} is damaged: expected the keys {', '.join(now)}")
    if found := _differences(before, now):
        raise InputError(
            f"--resume: {folder} was begun with other options: {'; '.join(found)}; repeat what it was begun with, or "
            "choose another folder with --out"
        )


def forget(folder: Path) -> None:
    """Leave the folder of a fit free again, as nothing was simulated."""
    if not any(each.is_dir() for each in folder.iterdir()):
        (folder / FILE).unlink(missing_ok=True)


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what differs, a phrase each."""
    found = [
        f"{option} was {before['options'].get(option) or 'not given'}, is {value or 'not given'}"
        for option, value in now["options"].items()
        if before["options"].get(option) != value
    ]
    there, here = before["scenario"], now["scenario"]
    for key in dict.fromkeys((*there, *here)):
        if there.get(key) != here.get(key):
            found.append(f"the scenario's '{key}'" + (f" ({OPTIONS[key]})" if key in OPTIONS else ""))
    if before["figures"] != now["figures"]:
        found.append("the observed figures (--data)")
    if not found and before["files"] != now["files"]:
        found.append("the contents of the scenario's files")
    if before["lpm"] != now["lpm"]:
        found.append(f"lpm was {before['lpm']}, is {now['lpm']}")
    return found


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
