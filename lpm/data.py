"""The door to real data: a table of files with their upstream repository, commit, path, sum and licence.

A data set is a local copy below the folder that `LPM_DATA` names (checked against its sha256, plain or gzipped), or
else it is fetched once from its pinned commit into the user's cache.
"""

from __future__ import annotations

import csv
import functools
import gzip
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from lpm.errors import InputError, closest

SECONDS = 30
"""Longest wait for an answer of the server."""


class DataError(OSError):
    """A data set that cannot be had now: no network, a server's refusal, a sum that differs."""


@dataclass(frozen=True)
class Dataset:
    """One file of somebody else's repository.

    Attributes:
        name: folder/file, as scenarios and the command line name it.
        size: Bytes of the (unpacked) file; None = not known before it is fetched.
        sha256: Of the (unpacked) file.
        repository: owner/name on GitHub.
        commit: Pinned commit.
        path: Path in the repository.
        licence: As stated there.
    """

    name: str
    size: int | None
    sha256: str
    repository: str
    commit: str
    path: str
    licence: str

    @property
    def url(self) -> str:
        """Address of the raw file at its commit."""
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{self.path}"


@functools.cache
def registry() -> dict[str, Dataset]:
    """Return every data set by name."""
    text = resources.files("lpm").joinpath("data_registry.csv").read_text(encoding="utf-8")
    return {row["name"]: _dataset(row) for row in csv.DictReader(text.splitlines())}


def _dataset(row: Mapping[str, str]) -> Dataset:
    return Dataset(
        row["name"], int(row["bytes"]) if row["bytes"] else None, row["sha256"], row["repository"], row["commit"],
        row["path"], row["licence"],
    )  # fmt: skip


def entry(name: str, where: str) -> Dataset:
    """Return a data set by name; a trailing ".gz" is ignored.

    Raises:
        InputError: There is none of that name; the nearest is suggested.
    """
    known = registry()
    if name.removesuffix(".gz") not in known:
        files = {each.rsplit("/", 1)[-1].split(".")[0]: each for each in known}  # people leave folder and ending out
        alike = closest(name.removesuffix(".gz"), known) or files.get(closest(name.split(".")[0], files) or "")
        hint = f"did you mean '{alike}'?" if alike else f"lpm data lists the {len(known)} that there are"
        raise InputError(f"{where}: unknown data set '{name}'; {hint}")
    return known[name.removesuffix(".gz")]


def path(name: str, where: str) -> Path:
    """Return a data set's file: the local copy, else what was fetched before, else fetched now.

    Args:
        name: As in the registry.
        where: Named in errors.

    Raises:
        InputError: An unknown name, or a local copy whose sum differs.
        DataError: It cannot be fetched.
    """
    wanted = entry(name, where)
    copy = _copy(wanted, where)
    return fetched(wanted) if copy is None else copy


def local(name: str, where: str) -> Path:
    """Return where a data set lies here.

    Raises:
        InputError: An unknown name, not here, or a local copy whose sum differs.
    """
    wanted = entry(name, where)
    copy = _copy(wanted, where)
    cached = cache() / wanted.name
    if copy is None and not cached.is_file():
        raise InputError(f"{where}: '{wanted.name}' is not here; lpm data fetch {wanted.name}, or set LPM_DATA")
    return cached if copy is None else copy


def here(wanted: Dataset) -> str:
    """Return where a file of a data set's name is found here, "LPM_DATA" or "cache"; "" = nowhere.

    Its sum is not compared, and a plain file of another length is told as such.
    """
    folder = os.environ.get("LPM_DATA")
    places = (
        [("LPM_DATA", Path(folder) / wanted.name), ("LPM_DATA", Path(folder) / f"{wanted.name}.gz")] if folder else []
    )
    for told, file in (*places, ("cache", cache() / wanted.name)):
        if file.is_file():
            other = file.suffix != ".gz" and wanted.size is not None and file.stat().st_size != wanted.size
            return f"{told}, another size" if other else told
    return ""


def cache() -> Path:
    """Return the folder that data sets are fetched into."""
    import pooch

    return Path(pooch.os_cache("lpm"))


def fetched(wanted: Dataset) -> Path:
    """Return the cached file of a data set, downloaded and checked when it is not there.

    Raises:
        DataError: No network, a server's refusal, a folder that cannot be written, or a sum that differs.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    target = cache() / wanted.name
    downloader: Any = pooch.HTTPDownloader(timeout=SECONDS, progressbar=False)
    try:
        got = pooch.retrieve(
            wanted.url,
            known_hash=f"sha256:{wanted.sha256}",
            fname=target.name,
            path=target.parent,
            downloader=downloader,
        )
    except ValueError:
        raise DataError(f"data set '{wanted.name}': the sha256 of {wanted.url} differs from the pinned one") from None
    except OSError as error:  # requests' errors are OSErrors
        why = type(error).__name__ if error.strerror is None else error.strerror
        raise DataError(
            f"data set '{wanted.name}' could not be fetched from {wanted.url} ({why}); "
            "with a local copy, set LPM_DATA to its folder"
        ) from None
    return Path(got)


def sum_of(file: Path) -> str:
    """Return the sha256 of a file, unpacked when its name ends in ".gz"."""
    digest = hashlib.sha256()
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _copy(wanted: Dataset, where: str) -> Path | None:
    """Return the checked copy below `LPM_DATA`, None without one."""
    folder = os.environ.get("LPM_DATA")
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise InputError(f"LPM_DATA: expected a folder, got '{folder}'")
    for name in (wanted.name, f"{wanted.name}.gz"):
        file = Path(folder) / name
        if not file.is_file():
            continue
        try:
            found = sum_of(file)
        except (OSError, EOFError) as error:
            raise InputError(f"{where}: {file} cannot be read: {error}") from None
        if found != wanted.sha256:
            pinned = wanted.sha256[:12]
            raise InputError(f"{where}: {file} has another sha256 ({found[:12]}...) than the pinned one ({pinned}...)")
        return file
    return None
