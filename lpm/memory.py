"""The memory of this process."""

from __future__ import annotations

import platform
import resource


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if platform.system() == "Darwin" else 1024)  # bytes on macOS, kilobytes elsewhere
