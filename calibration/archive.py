"""What was simulated, kept on disk: a fit that is stopped goes on where it was.

Every fit is a deterministic function of its simulations. So it is enough to keep these: whoever asks again for the same
parameters and seed gets the curve that was kept, and a fit that is started again runs through its past in a moment and
goes on from there, the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from lpm import checkpoint
from lpm.errors import InputError
from lpm.types import HostArray


class Archive:
    """Expected values by (u, seed), written as a checkpoint of orbax every so many simulations."""

    def __init__(self, folder: Path, fingerprint: str, every: int = 50):
        """Open an archive, and read what it holds.

        Args:
            folder: Where checkpoints lie; made when the first one is written.
            fingerprint: Names the problem: what was kept of another one is refused.
            every: Simulations between two checkpoints.

        Raises:
            InputError: What is there belongs to another problem, or is damaged.
        """
        if every < 1:
            raise InputError(f"archive: expected at least 1 simulation between checkpoints, got {every}")
        self.folder, self.fingerprint, self.every = folder, fingerprint, every
        self._kept: dict[bytes, HostArray] = {}
        self._new = 0
        like = {name: np.zeros(0, np.float64) for name in ("asked", "told")}
        found = checkpoint.restore(folder, like, fingerprint) if folder.is_dir() else None
        if found is not None:
            count = int(found.facts["step"])
            tables = [np.asarray(found.arrays[name], np.float64).reshape(count, -1) for name in like]
            self._kept = {asked.tobytes(): told for asked, told in zip(*tables, strict=True)}

    def __len__(self) -> int:
        """Return how many simulations are kept."""
        return len(self._kept)

    def get(self, u: HostArray, seeds: HostArray, run: Callable[[HostArray, HostArray], HostArray]) -> HostArray:
        """Return mu [B, D] of u [B, P] and seeds [B]: what is kept, and what `run` returns of the others."""
        keys = [_key(point, seed) for point, seed in zip(u, seeds, strict=True)]
        missing = [row for row, key in enumerate(keys) if key not in self._kept]
        for first in range(0, len(missing), self.every):
            rows = missing[first : first + self.every]
            for row, told in zip(rows, run(u[rows], seeds[rows]), strict=True):
                self._kept[keys[row]] = told
            self._new += len(rows)
            if self._new >= self.every:
                self.write()
        return np.stack([self._kept[key] for key in keys])

    def write(self) -> None:
        """Write everything that is kept.

        Raises:
            Fault: The disk is full, or the folder cannot be written; the earlier checkpoint is kept.
        """
        if not self._new:
            return
        asked = np.concatenate([np.frombuffer(key, np.float64) for key in self._kept])
        arrays = {"asked": asked, "told": np.concatenate(list(self._kept.values()))}
        checkpoint.save(self.folder, len(self._kept), arrays, {"run": self.fingerprint})
        self._new = 0


def _key(u: HostArray, seed: int) -> bytes:
    return np.append(np.asarray(u, np.float64), float(seed)).tobytes()
