"""Tables that others wrote: parquet and CSV files, read so that a damaged one is an error of one line.

A parquet reader trusts the sizes that a file tells. One wrong byte can make it ask for more memory than there is, which
ends the process, or panic and print text of its own. So a parquet file is first read by a process of its own, whose end
and whose words do not matter here; this process reads only what that one has read to the end. A wrong byte that leaves
the file readable cannot be found: parquet files need not carry check sums (`lpm.results` gives those of lpm one).
"""

from __future__ import annotations

import functools
import gzip
import io
import math
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from lpm.errors import InputError

if TYPE_CHECKING:
    import polars as pl

_READ = """
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, OSError, ValueError):
    pass
import polars
try:
    polars.read_parquet(sys.argv[1], n_rows=int(sys.argv[2]) if sys.argv[2] else None)
except Exception as error:
    sys.exit("\\n" + " ".join(str(error).split()))
"""
"""What the process does that reads a parquet file first: it exits with 1 and a last line that says what is wrong."""


def read(path: Path, where: str, rows: int | None = None, dates: bool = True) -> pl.DataFrame:
    """Return the table of a .parquet, .csv or .csv.gz file.

    Args:
        path: The file.
        where: Named in errors.
        rows: Only the first so many; None = all.
        dates: Whether text of a CSV that is a date or a time becomes one.

    Raises:
        InputError: Another kind of file, or one that cannot be read or is damaged.
    """
    import polars as pl

    refused = f"{where}: '{path.name}' cannot be read"
    try:
        if path.suffix == ".parquet":
            stamp = path.stat()
            if told := _damage(path, rows, stamp.st_mtime_ns, stamp.st_size):
                raise InputError(f"{refused}: {told}")
            return pl.read_parquet(path, n_rows=rows)
        if path.name.endswith((".csv", ".csv.gz")):
            content = _text(path, refused)
            return pl.read_csv(io.BytesIO(content), infer_schema_length=None, n_rows=rows, try_parse_dates=dates)
    except InputError:
        raise
    except Exception as error:  # polars raises several kinds for a damaged file
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{refused}: {line}") from None
    except BaseException as error:  # a panic of the reader is no Exception
        if type(error).__name__ != "PanicException":
            raise
        raise InputError(f"{refused}: it is damaged") from None
    raise InputError(f"{where}: expected a .parquet, .csv or .csv.gz file, got '{path.name}'")


@functools.lru_cache(maxsize=64)
def _damage(path: Path, rows: int | None, modified: int, size: int) -> str:
    """Return what is wrong with a parquet file, "" when nothing is; `modified` and `size` tell its states apart."""
    if size < 12:
        return "it is damaged: it is too short for a parquet file"
    asked = [sys.executable, "-P", "-c", _READ, str(path.absolute()), "" if rows is None else str(rows)]
    done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if not done.returncode:
        return ""
    words = done.stderr.decode(errors="replace").strip()
    if done.returncode != 1 or not words or "panicked" in words:
        return "it is damaged"
    return f"it is damaged: {words.splitlines()[-1]}"


def _text(path: Path, refused: str) -> bytes:
    """Return the text of a CSV file: UTF-8, no NUL, every quote closed (polars would read such a file as empty)."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{refused}: {getattr(error, 'strerror', None) or error}") from None
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{refused}: it is no UTF-8 text (byte {error.start})") from None
    if b"\0" in content:
        raise InputError(f"{refused}: it is no text, byte {content.index(0)} is 0")
    if content.count(b'"') % 2:
        line = content.count(b"\n", 0, content.rindex(b'"')) + 1
        raise InputError(f"{refused}: a quote is not closed, perhaps the one in line {line}")
    return content


def no_numbers(series: pl.Series) -> str:
    """Return what stands where numbers are expected: the first text that is none, else the kind of column."""
    import polars as pl

    if series.dtype != pl.String:
        return f"expected numbers, got {series.dtype}"
    for row, text in enumerate(series.to_list()):
        if not _is_number(text):
            return f"expected numbers, got '{text[:60]}' in row {row}"
    return f"expected numbers, got {len(series)} texts that look like numbers"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
