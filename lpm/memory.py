"""The memory of this process: how much it took, how much it may take, and how many runs fit into that."""

from __future__ import annotations

import platform
import re
import resource
from collections.abc import Mapping
from pathlib import Path

from lpm.errors import InputError
from lpm.given import shown

GROUPS = Path("/sys/fs/cgroup")
"""Where Linux mounts control groups."""

OWN_GROUPS = Path("/proc/self/cgroup")
"""The control groups of this process."""

SPARE = 0.15
"""Share of the limit left free for what nobody counts (compiling, copies of a moment). A guess."""

UNITS: Mapping[str, int] = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
"""Bytes of the units in which a limit can be written."""


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if platform.system() == "Darwin" else 1024)  # bytes on macOS, kilobytes elsewhere


def resident() -> int:
    """Return the bytes of memory that this process has now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def memory_limit(given: int | None = None) -> int:
    """Return the bytes that this process may have in all, those that it has now included.

    It is the least of what `limits` finds; a given limit wins over all of them.
    """
    return given if given is not None else min(limits().values())


def limits(groups: Path = GROUPS, own: Path = OWN_GROUPS) -> dict[str, int]:
    """Return the bytes that this process may have in all, those that it has now included, by what limits them.

    A control group's limit is shared: what other processes of the group hold (pages of files that can be let go do not
    count) is taken from it. A limit of address space counts pages that were reserved and never touched.

    Args:
        groups: Where control groups are mounted (version 1 or 2).
        own: The file that names the groups of this process.
    """
    import psutil

    info = psutil.Process().memory_info()
    held = int(info.rss)
    found = {"free memory of the machine": held + int(psutil.virtual_memory().available)}
    for limit, used in _group_limits(groups, own):
        left = max(limit - max(used - held, 0), 0)
        found["control group"] = min(left, found.get("control group", left))
    reserved = max(int(info.vms) - held, 0)
    for name, kind in (("address space (ulimit -v)", "RLIMIT_AS"), ("data segment (ulimit -d)", "RLIMIT_DATA")):
        number = getattr(resource, kind, None)
        soft = resource.RLIM_INFINITY if number is None else resource.getrlimit(number)[0]
        if soft != resource.RLIM_INFINITY:
            found[name] = max(soft - reserved, 0)
    return found


def _group_limits(groups: Path, own: Path) -> list[tuple[int, int]]:
    """Return limit and use, in bytes, of every control group of this process that has a limit, up to the root."""
    found: list[tuple[int, int]] = []
    for line in _text(own).splitlines():
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers == "":
            names, roots = ("memory.max", "memory.current", "inactive_file"), (groups, groups / "unified")
        elif "memory" in controllers.split(","):
            names, roots = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"), (
                groups / "memory", groups,
            )  # fmt: skip
        else:
            continue
        for root in roots:
            place = root / path.strip("/")
            for folder in [place, *place.parents]:
                limit, used = _text(folder / names[0]).strip(), _text(folder / names[1]).strip()
                if limit.isdigit() and int(limit) < 2**60:  # version 1 writes "no limit" as the largest of pages
                    idle = re.search(rf"^{names[2]} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
                    use = int(used) if used.isdigit() else 0
                    found.append((int(limit), max(use - (int(idle.group(1)) if idle else 0), 0)))
                if folder == root:
                    break
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def batch_size(
    bytes_per_run: int, limit: int, *, taken: int | None = None, most: int | None = None, spare: float = SPARE
) -> int:
    """Return how many runs fit side by side into a limit of memory.

    Args:
        bytes_per_run: What one more run beside others takes, in bytes: its state, its sums and what a step of it holds.
        limit: Bytes that the process may have in all (`memory_limit`).
        taken: Bytes that are taken whatever the number of runs (networks, compiled code); None = what this process has
            now.
        most: The largest number that is of use; None = no such number.
        spare: Share of the limit that is left free.

    Returns:
        1 to `most`.

    Raises:
        InputError: Not even one run fits.
    """
    held = resident() if taken is None else taken
    room = int(limit * (1 - spare)) - held
    fits = room // max(bytes_per_run, 1)
    if fits < 1:
        raise InputError(
            f"memory: one run takes {in_words(bytes_per_run)} beside {in_words(held)} that are held already, "
            f"the limit is {in_words(limit)} of which {spare:.0%} are left free; use fewer agents or a higher limit"
        )
    return int(fits if most is None else min(fits, max(most, 1)))


def in_words(count: float) -> str:
    """Return a number of bytes as people read it: 3.1 GB."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:,.{1 if count < 100 * unit else 0}f} {name}"
    return f"{count:,.0f} B"


def bytes_of(text: str, option: str) -> int:
    """Return the bytes of a limit that an option gives: 2GB, 1.5 GiB, 800MB or a number of bytes.

    Raises:
        InputError: Something else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)", text.strip().lower())
    if found is None or found.group(2) not in UNITS or len(found.group(1)) > 30:
        raise InputError(f"{option}: expected an amount of memory such as 2GB or 500MB, got {shown(text)}")
    count = int(float(found.group(1)) * UNITS[found.group(2)])
    if count < 1:
        raise InputError(f"{option}: expected more than nothing, got {shown(text)}")
    return count
