"""Checkpoints: the state of a running (arm, seed) on disk, whole or not at all (orbax).

A checkpoint holds the columns in outside order, so that a run can go on with another number of devices or processes. It
is restored only into the same schema of columns and the same run; the one before is removed only when the new one is
whole. Of a run in many processes each writes and reads its own rows (`lpm.cluster.pieces.Piece`); all call `save` and
`restore` together, on a file system that they share.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lpm import cluster
from lpm.cluster import pieces
from lpm.cluster.crc import sum_of
from lpm.cluster.pieces import Piece
from lpm.errors import CheckpointError, Fault

UNFINISHED = ".orbax-checkpoint-tmp"
"""What orbax appends to the name of a folder that it has not finished writing."""

LATE = 0.1
"""Seconds in which the other reads or writes of a checkpoint end, when the first one has failed. A guess."""

REMEDY = "delete it to begin this pair anew"
"""What can be done about a checkpoint that is of no use."""


@dataclass(frozen=True)
class Checkpoint:
    """What was saved.

    Attributes:
        arrays: Nested dicts of numpy arrays, or of pieces where rows are spread over processes.
        facts: JSON: step, fingerprint of the run, versions, schema of the columns.
    """

    arrays: Mapping[str, Any]
    facts: Mapping[str, Any]


def schema_of(arrays: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """Return dtype and trailing shape of every array by its path, as "uint8[]" or "float32[3]"."""
    told: dict[str, str] = {}
    for name, value in arrays.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            told |= schema_of(value, here)
        else:
            told[here] = f"{value.dtype}{list(value.shape[1:])}"
    return told


def save(folder: Path, step: int, arrays: Mapping[str, Any], facts: Mapping[str, Any]) -> Path:
    """Write the checkpoint of a step into `folder`, then remove earlier ones.

    Args:
        folder: Folder of one (arm, seed).
        step: Steps done.
        arrays: Nested dicts of numpy arrays, the same in every process, or of pieces.
        facts: JSON values.

    Returns:
        The checkpoint's folder.

    Raises:
        Fault: It cannot be written (full disk, unwritable folder); the earlier one is kept.
    """
    import orbax.checkpoint as ocp

    target = folder.absolute() / f"step-{step:08d}"
    told = {**facts, "step": step, "schema": schema_of(arrays), "crc32": sum_of(arrays)}
    try:
        if cluster.is_first():
            folder.mkdir(parents=True, exist_ok=True)
            _remove_unfinished(folder)  # what an interrupted write left
            shutil.rmtree(target, ignore_errors=True)
        cluster.barrier()
        with _quiet_end(), ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as writer:
            content = ocp.args.Composite(
                arrays=ocp.args.StandardSave(_filled(arrays)),  # pyright: ignore[reportCallIssue]
                facts=ocp.args.JsonSave(told),  # pyright: ignore[reportCallIssue]
            )
            writer.save(target, args=content)
    except (OSError, ValueError) as error:  # tensorstore tells a full disk as a ValueError
        shutil.rmtree(target, ignore_errors=True)
        _remove_unfinished(folder)
        with contextlib.suppress(OSError):  # a folder of nothing looks like that of a run
            folder.rmdir()
            folder.parent.rmdir()
        there = steps_in(folder)
        earlier = f"; the earlier one, of step {there[-1]}, is kept" if there else ""
        raise Fault(f"checkpoint {target}: cannot be written: {_reason(error)}{earlier}") from error
    for earlier in steps_in(folder)[:-1] if cluster.is_first() else ():
        shutil.rmtree(folder / f"step-{earlier:08d}", ignore_errors=True)
    return target


def _remove_unfinished(folder: Path) -> None:
    for each in folder.glob(f"step-*{UNFINISHED}*"):
        shutil.rmtree(each, ignore_errors=True)


@contextlib.contextmanager
def _quiet_end() -> Generator[None]:
    """Keep orbax from printing the traceback of what is raised (and told in one line) anyway.

    Reads and writes that are still under way when the first one fails end in a closed event loop, which Python would
    print, and write into a folder that is being removed: they are waited for.
    """
    logger, hook = logging.getLogger("absl"), sys.unraisablehook
    before, logger.disabled = logger.disabled, True
    sys.unraisablehook = lambda told: None if "loop is closed" in str(told.exc_value) else hook(told)
    try:
        yield
    except Exception:
        time.sleep(LATE)
        raise
    finally:
        logger.disabled, sys.unraisablehook = before, hook


def _reason(error: BaseException) -> str:
    """Return an error of the system, or of orbax or tensorstore with the system's number in it, in a few words."""
    number = re.search(r"os_error_code='(\d+)'", str(error))
    return os.strerror(int(number[1])) if number else getattr(error, "strerror", None) or _line(error)


def _filled(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays without empty dicts, which a checkpoint cannot hold; pieces as orbax takes them."""
    return {
        name: _filled(value) if isinstance(value, Mapping) else _stored(value)
        for name, value in arrays.items()
        if not isinstance(value, Mapping) or value
    }


def _stored(value: Any) -> Any:
    if not isinstance(value, Piece):
        return np.asarray(value)
    return value.values if cluster.count() == 1 else pieces.spread(value)


def steps_in(folder: Path) -> list[int]:
    """Return the steps of the whole checkpoints in a folder, ascending."""
    if not folder.is_dir():
        return []
    found = [each.name.removeprefix("step-") for each in folder.iterdir() if each.name.startswith("step-")]
    return sorted(int(name) for name in found if name.isdigit())


def restore(folder: Path, like: Mapping[str, Any], fingerprint: str) -> Checkpoint | None:
    """Return the latest checkpoint in a folder, None without one.

    Args:
        folder: Folder of one (arm, seed).
        like: Nested dicts of arrays or pieces of the schema that is expected; what pieces there are is what is read.
        fingerprint: What `facts["run"]` must be.

    Raises:
        CheckpointError: Damaged, of another run, or of another schema; the difference of the columns is told.
    """
    import orbax.checkpoint as ocp

    done = cluster.told(steps_in(folder))
    if not done:
        return None
    target = folder.absolute() / f"step-{done[-1]:08d}"
    with _readable(target), ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
        facts = reader.restore(target, args=ocp.args.Composite(facts=ocp.args.JsonRestore()))["facts"]  # pyright: ignore[reportCallIssue]
    if facts.get("step") != done[-1]:
        raise CheckpointError(_damaged(target))
    if facts.get("run") != fingerprint:
        raise CheckpointError(f"checkpoint {target}: it is of another run; {REMEDY}, or choose another folder")
    here, there = schema_of(like), dict(facts.get("schema", {}))
    if here != there:
        missing = sorted(f"+{n} {here[n]}" for n in here.keys() - there.keys())
        more = sorted(f"-{n} {there[n]}" for n in there.keys() - here.keys())
        other = sorted(f"{n} {there[n]} -> {here[n]}" for n in here.keys() & there.keys() if here[n] != there[n])
        raise CheckpointError(f"checkpoint {target}: of another schema: {', '.join(missing + more + other)}; {REMEDY}")
    with _readable(target), ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
        found = reader.restore(
            target,
            args=ocp.args.Composite(arrays=ocp.args.StandardRestore(_wanted(like), strict=cluster.count() == 1)),  # pyright: ignore[reportCallIssue]
        )
        arrays = _with_empty(found["arrays"], like)
    if facts.get("crc32") != sum_of(arrays):
        raise CheckpointError(_damaged(target))
    return Checkpoint(arrays, facts)


def _damaged(target: Path) -> str:
    return f"checkpoint {target}: damaged: truncated, or changed since it was written; {REMEDY}"


@contextlib.contextmanager
def _readable(target: Path) -> Generator[None]:
    """Tell whatever orbax and tensorstore raise for a damaged folder, which is of many kinds, in one line."""
    try:
        with _quiet_end():
            yield
    except Exception as error:
        cause = error if isinstance(error, PermissionError) else None
        raise CheckpointError(
            f"checkpoint {target}: cannot be read: {_reason(cause)}" if cause else _damaged(target)
        ) from None


def _wanted(like: Mapping[str, Any]) -> dict[str, Any]:
    """Return what orbax is to read: whole arrays, or of pieces, where there are many processes, only their rows."""
    return {
        name: _wanted(value)
        if isinstance(value, Mapping)
        else pieces.target(value)
        if isinstance(value, Piece) and cluster.count() > 1
        else value.values
        if isinstance(value, Piece)
        else np.asarray(value)
        for name, value in like.items()
        if not isinstance(value, Mapping) or value
    }


def _with_empty(found: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _with_empty(found.get(name, {}), value) if isinstance(value, Mapping) else _read(found[name], value)
        for name, value in like.items()
    }


def _read(found: Any, like: Any) -> Any:
    """Return an array as it was read; rows that nobody has follow in what several processes wrote."""
    if not isinstance(like, Piece):
        return np.asarray(found)
    return pieces.own(found, like.size)


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def clear(folder: Path) -> None:
    """Remove the checkpoints of a pair that is finished."""
    shutil.rmtree(folder, ignore_errors=True)


def warn_of_versions(facts: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """Return a warning where the checkpoint was written under another jaxlib, "" where not.

    Bit equality is promised within one jaxlib version only.
    """
    before, now = facts.get("versions", {}).get("jaxlib"), versions.get("jaxlib")
    if before == now:
        return ""
    return f"written under jaxlib {before}, this is {now}: the run may differ in its last bits from a straight one"
