"""Contact matrices by age: reading, moving to another population's ages, bands.

Row = the person asked, column = the contact; an entry is the mean number of contacts per person and day.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from lpm.errors import InputError
from lpm.types import HostArray

SETTINGS = {"household": 4.11, "school": 11.41, "work": 8.07, "community": 2.79}
"""Contacts per day of a person who has contacts in the setting: Mistry et al. 2021, doi 10.1038/s41467-020-20544-y
(M = sum of these times the relative frequencies F of the settings)."""


def read_matrix(path: str | Path, where: str) -> HostArray:
    """Return float64 [rows, columns] from a CSV of finite numbers of at least 0, without header, gzipped or not.

    Raises:
        InputError: The file cannot be read, its rows differ in length, or it holds something else.
    """
    file = Path(path)
    try:
        with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
            rows = [[float(value) for value in line.split(",")] for line in lines if line.strip()]
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{where}: '{file.name}' cannot be read as a table of numbers ({error})") from None
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise InputError(f"{where}: expected rows of one length in '{file.name}', got {len(rows)} rows")
    matrix = np.array(rows)
    if not np.isfinite(matrix).all() or (matrix < 0).any():
        raise InputError(f"{where}: expected finite numbers of at least 0 in '{file.name}'")
    return matrix


def read_square(path: str | Path, where: str) -> HostArray:
    """Return a square matrix read by `read_matrix`.

    Raises:
        InputError: It is not square, or cannot be read.
    """
    matrix = read_matrix(path, where)
    if matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"{where}: expected a square table in '{Path(path).name}', got {matrix.shape}")
    return matrix


def rebalance(matrix: HostArray, from_ages: HostArray, to_ages: HostArray) -> HostArray:
    """Return the contact matrix of a population with other ages.

    The contact rate of a pair, G_ij = M_ij / p_j (symmetric when M is reciprocal under the ages p), is kept:
    M'_ij = M_ij p'_j / p_j with p, p' shares, so that p'_i M'_ij = p'_j M'_ji exactly. This is the "intrinsic
    connectivity" of Arregui, Aleta, Sanz and Moreno 2018 (doi 10.1371/journal.pcbi.1006638); a small asymmetry of the
    input is averaged away first.

    Args:
        matrix: Contacts per person and day [ages, ages], measured under `from_ages`.
        from_ages: People (or shares) by age where it was measured, above 0.
        to_ages: People (or shares) by age where it is wanted.

    Returns:
        float64 [ages, ages].

    Raises:
        InputError: Shapes that do not fit, or an age without people in `from_ages`.
    """
    m, p, q = (np.asarray(x, np.float64) for x in (matrix, from_ages, to_ages))
    if m.ndim != 2 or m.shape != (len(p), len(p)) or p.shape != q.shape:
        raise InputError(f"contacts: a matrix {m.shape} does not fit {p.shape} and {q.shape} ages")
    if not (np.isfinite(p).all() and np.isfinite(q).all() and (p > 0).all() and (q >= 0).all() and q.sum() > 0):
        raise InputError("contacts: expected people above 0 at every age measured, and at least 0 where it goes")
    rate = m / (p / p.sum())[None, :]
    return (rate + rate.T) / 2 * (q / q.sum())[None, :]


def in_bands(matrix: HostArray, ages: HostArray, starts: tuple[int, ...]) -> HostArray:
    """Return the matrix between age bands: contacts of the mean person of a band with all of another.

    Args:
        matrix: Contacts per person and day by single year [ages, ages].
        ages: People by single year; a band without people gets the plain mean of its rows.
        starts: First year of each band, rising from 0.

    Returns:
        float64 [bands, bands].
    """
    band = np.searchsorted(np.asarray(starts), np.arange(len(ages)), side="right") - 1
    member = (band[None, :] == np.arange(len(starts))[:, None]).astype(np.float64)
    weight = member * np.asarray(ages, np.float64)[None, :]
    empty = weight.sum(1) == 0
    weight[empty] = member[empty]
    weight /= weight.sum(1, keepdims=True)
    return weight @ np.asarray(matrix, np.float64) @ member.T
