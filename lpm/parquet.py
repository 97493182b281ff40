"""The files of a run: written whole or not at all, and parquet files in which one wrong byte anywhere is found.

A parquet file of lpm carries a SHA-256 of itself among its metadata. Tables that others wrote: `lpm.foreign`.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import polars as pl

from lpm.errors import InputError

MARK = b"lpm-sha256:"
BLANK = MARK + 64 * b"0"
"""Stands where the digest belongs while it is taken; behind `MARK` stand its 64 hexadecimal digits."""


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all: a neighbour with another name first, then renamed over `path`.

    Raises:
        InputError: The folder cannot be written or the disk is full; an earlier `path` is then as it was.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # without it a crash after the rename may leave an empty file
        os.replace(beside, path)
    except OSError as error:
        try:
            beside.unlink(missing_ok=True)
        except OSError:  # the folder itself is not there: nothing was written
            pass
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def write_frame(path: Path, frame: pl.DataFrame, metadata: Mapping[str, str] | None = None) -> Path:
    """Write a parquet file (zstd) whole or not at all, with text metadata beside the schema and a digest of itself.

    Raises:
        InputError: As `write_bytes`.
    """
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", metadata={**(metadata or {}), "lpm": BLANK.decode()})
    content = buffer.getvalue()
    start = content.rindex(BLANK) + len(MARK)
    digest = hashlib.sha256(content).hexdigest().encode()
    return write_bytes(path, content[:start] + digest + content[start + len(digest) :])


def read_frame(path: Path, expect: Mapping[str, str] | None = None) -> pl.DataFrame:
    """Read a parquet file that `write_frame` wrote.

    Args:
        path: The file.
        expect: Metadata that must be there with these values.

    Raises:
        InputError: As `intact`, or other metadata than expected.
    """
    content = intact(path)
    try:
        found = pl.read_parquet_metadata(io.BytesIO(content))
        frame = pl.read_parquet(io.BytesIO(content))
    except pl.exceptions.PolarsError as error:  # whole, but of another polars
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: cannot be read: {line}") from error
    for key, value in (expect or {}).items():
        if found.get(key) != value:
            raise InputError(f"{path}: expected {key} '{value}', got '{found.get(key)}'; it is of another run")
    return frame


def intact(path: Path) -> bytes:
    """Return the content of a parquet file that `write_frame` wrote, every byte as it was written.

    Raises:
        InputError: No such file, one that lpm did not write, or a damaged one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) < 12 or content[:4] != b"PAR1" or content[-4:] != b"PAR1":
        raise InputError(f"{path}: expected a whole parquet file, got {len(content)} other bytes; truncated?")
    at = content.rfind(MARK)
    if at < 0:
        raise InputError(f"{path}: expected a parquet file that lpm wrote, got one without its digest; damaged?")
    start, end = at + len(MARK), at + len(BLANK)
    whole = hashlib.sha256(content[:start] + (end - start) * b"0" + content[end:]).hexdigest()
    if whole.encode() != content[start:end]:
        raise InputError(f"{path}: corrupt parquet file: its bytes are not those that lpm wrote")
    return content


def sink_frame(path: Path, rows: pl.LazyFrame, metadata: Mapping[str, str] | None = None) -> Path:
    """Write a parquet file as `write_frame` does, without holding its rows in memory all at once.

    Raises:
        InputError: As `write_bytes`.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        rows.sink_parquet(beside, compression="zstd", metadata={**(metadata or {}), "lpm": BLANK.decode()})
        with beside.open("r+b") as file:
            digest, start = hashlib.sha256(), _mark(file)
            file.seek(0)
            while block := file.read(1 << 20):
                digest.update(block)
            file.seek(start)
            file.write(digest.hexdigest().encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def _mark(file: BinaryIO) -> int:
    """Return where the digest belongs in a parquet file: metadata are at its end."""
    size = file.seek(0, os.SEEK_END)
    file.seek(-8, os.SEEK_END)
    footer = int.from_bytes(file.read(4), "little") + 8
    file.seek(size - footer)
    return size - footer + file.read(footer).rindex(BLANK) + len(MARK)
