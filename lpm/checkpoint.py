"""Checkpoints: the state of a running (arm, seed) on disk, whole or not at all (orbax).

A checkpoint holds the columns without padding, so that a run can go on with another number of devices. It is restored
only into the same schema of columns and the same run; the one before is removed only when the new one is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lpm.errors import CheckpointError


@dataclass(frozen=True)
class Checkpoint:
    """What was saved.

    Attributes:
        arrays: Nested dicts of numpy arrays.
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
        arrays: Nested dicts of numpy arrays.
        facts: JSON values.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: It cannot be written (full disk, unwritable folder); the earlier one is kept.
    """
    import orbax.checkpoint as ocp

    target = folder.absolute() / f"step-{step:08d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)  # what an interrupted write of the same step left
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as writer:
            content = ocp.args.Composite(
                arrays=ocp.args.StandardSave(_filled(arrays)),  # pyright: ignore[reportCallIssue]
                facts=ocp.args.JsonSave({**facts, "step": step, "schema": schema_of(arrays)}),  # pyright: ignore[reportCallIssue]
            )
            writer.save(target, args=content)
    except (OSError, ValueError) as error:
        shutil.rmtree(target, ignore_errors=True)
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"checkpoint {target}: cannot be written: {line}; the earlier one is kept") from None
    for earlier in steps_in(folder)[:-1]:
        shutil.rmtree(folder / f"step-{earlier:08d}", ignore_errors=True)
    return target


def _filled(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays without empty dicts, which a checkpoint cannot hold."""
    return {
        name: _filled(value) if isinstance(value, Mapping) else np.asarray(value)
        for name, value in arrays.items()
        if not isinstance(value, Mapping) or value
    }


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
        like: Nested dicts of arrays of the schema that is expected.
        fingerprint: What `facts["run"]` must be.

    Raises:
        CheckpointError: Truncated, of another run, or of another schema; the difference of the columns is told.
    """
    import orbax.checkpoint as ocp

    done = steps_in(folder)
    if not done:
        return None
    target = folder.absolute() / f"step-{done[-1]:08d}"
    remedy = "delete it to begin this pair anew"
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
            facts = reader.restore(target, args=ocp.args.Composite(facts=ocp.args.JsonRestore()))["facts"]  # pyright: ignore[reportCallIssue]
    except Exception as error:  # orbax and tensorstore raise many kinds for a damaged folder
        raise CheckpointError(f"checkpoint {target}: truncated or no checkpoint ({_line(error)}); {remedy}") from None
    if facts.get("run") != fingerprint:
        raise CheckpointError(f"checkpoint {target}: it is of another run; {remedy}, or choose another folder")
    here, there = schema_of(like), dict(facts.get("schema", {}))
    if here != there:
        missing = sorted(f"+{n} {here[n]}" for n in here.keys() - there.keys())
        more = sorted(f"-{n} {there[n]}" for n in there.keys() - here.keys())
        other = sorted(f"{n} {there[n]} -> {here[n]}" for n in here.keys() & there.keys() if here[n] != there[n])
        raise CheckpointError(f"checkpoint {target}: of another schema: {', '.join(missing + more + other)}; {remedy}")
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
            found = reader.restore(
                target,
                args=ocp.args.Composite(arrays=ocp.args.StandardRestore(_filled(like))),  # pyright: ignore[reportCallIssue]
            )
    except Exception as error:
        raise CheckpointError(f"checkpoint {target}: truncated ({_line(error)}); {remedy}") from None
    return Checkpoint(_with_empty(found["arrays"], like), facts)


def _with_empty(found: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _with_empty(found.get(name, {}), value) if isinstance(value, Mapping) else np.asarray(found[name])
        for name, value in like.items()
    }


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
