"""What this machine offers, and what a run would choose here and why."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lpm.memory import limits

PACKAGES = ("jax", "jaxlib", "numpy", "numba", "polars", "flax", "orbax-checkpoint", "pydantic", "plotly", "pooch")
"""Packages whose versions are told."""

LINKED = ("kernels", "calibration", "scenarios")
"""Top-level folders of a checkout that are imported as parts of lpm."""


def examine() -> dict[str, Any]:
    """Return versions, devices, backends, memory, threads, data and the state of the package, in plain values."""
    import jax

    from lpm import __version__

    platform_name = jax.default_backend()
    return {
        "lpm": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {name: version(name) for name in PACKAGES},
        "platform": platform_name,
        "devices": [f"{device.id}: {device.device_kind}" for device in _devices()],
        "backends": backends(platform_name),
        "auto": choices(platform_name),
        "memory": memory(),
        "threads": threads(),
        "data": data(),
        "package": links(),
    }


def _devices() -> list[Any]:
    import jax

    return list(jax.devices())


def version(package: str) -> str:
    """Return the installed version of a package, or that it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def backends(platform_name: str) -> dict[str, str]:
    """Return what can be said of every backend here: available, or why not."""
    from lpm.ops import dispatch

    have = {backend for each in dispatch.table().values() for backend in each}
    found: dict[str, str] = {}
    for backend in dispatch.BACKENDS:
        if backend == "pallas" and platform_name != "gpu":
            found[backend] = f"not available: needs a GPU, jax runs on {platform_name}"
        elif backend == "numba" and platform_name != "cpu":
            found[backend] = f"not available: needs a CPU, jax runs on {platform_name}"
        elif backend not in have:
            found[backend] = "no op has an implementation for it; xla is used"
        else:
            reason = dispatch.unavailable(backend)
            found[backend] = f"not available: {reason}" if reason else "available"
    return found


def choices(platform_name: str) -> dict[str, str]:
    """Return what `--backend auto` chooses for every op on this platform, and why."""
    from lpm.ops import dispatch

    found: dict[str, str] = {}
    for op in dispatch.table():
        backend, why = dispatch.chosen(op, platform_name)
        found[op] = f"{backend} ({why})"
    return found


def memory() -> dict[str, str]:
    """Return the memory of the machine and of its devices."""
    import psutil

    own = psutil.virtual_memory()
    found = {"total": _gigabytes(own.total), "available": _gigabytes(own.available)}
    for what, limit in limits().items():
        if limit < own.total and what != "free memory of the machine":
            found[f"limit of this process, by {what}"] = _gigabytes(limit)
    for device in _devices():
        stats: Mapping[str, int] | None = device.memory_stats() if device.platform != "cpu" else None
        if stats and "bytes_limit" in stats:
            found[f"device {device.id}"] = _gigabytes(stats["bytes_limit"])
    return found


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def threads() -> dict[str, Any]:
    """Return cores, numba's threads and XLA's flags."""
    import numba

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": os.cpu_count(),
        "usable cores": usable,
        "numba": numba.config.NUMBA_NUM_THREADS,  # type: ignore[attr-defined]
        "XLA_FLAGS": os.environ.get("XLA_FLAGS") or "not set",
        "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS") or "not set",
    }


def data() -> dict[str, Any]:
    """Return where data sets come from."""
    from lpm import data as datasets

    folder = os.environ.get("LPM_DATA")
    known = datasets.registry()
    if not folder:
        state = "not set: data sets are fetched when asked for"
    elif not Path(folder).is_dir():
        state = f"{folder} (no such folder)"
    else:
        here = sum((Path(folder) / name).is_file() or (Path(folder) / f"{name}.gz").is_file() for name in known)
        state = f"{folder} ({here} of {len(known)} data sets)"
    return {"LPM_DATA": state, "cache": str(datasets.cache())}


def links() -> dict[str, str]:
    """Return how the top-level folders are reached: installed, by links, or by the fallback for lost links."""
    import lpm

    home = Path(lpm.__file__).parent
    found: dict[str, str] = {}
    for name in LINKED:
        part = home / name
        if part.is_symlink():
            found[name] = f"link to {os.readlink(part)}" + ("" if part.is_dir() else ", which is lost")
        elif part.is_dir():
            found[name] = "folder of the installed package"
        elif (home.parent / name).is_dir():
            found[name] = "link lost; found beside the package"
        else:
            found[name] = "missing: install the package again"
    return found
