"""Tables that others wrote: whatever the bytes of a file, this process goes on and says one line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lpm import foreign
from lpm.errors import InputError

FRAME = pl.DataFrame({"age": ["young", "old"] * 300, "wealth": [float(each) for each in range(600)]})


def damaged(folder: Path, place: int, value: int) -> Path:
    """Return a parquet file of `FRAME` with one byte changed."""
    path = folder / "people.parquet"
    FRAME.write_parquet(path)
    content = bytearray(path.read_bytes())
    content[place] ^= value
    path.write_bytes(content)
    return path


def test_good_files_are_read(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "x.parquet")
    FRAME.write_csv(tmp_path / "x.csv")
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress((tmp_path / "x.csv").read_bytes()))
    for name in ("x.parquet", "x.csv", "x.csv.gz"):
        assert foreign.read(tmp_path / name, "here").equals(FRAME)
        assert foreign.read(tmp_path / name, "here", rows=3).equals(FRAME[:3])
    (tmp_path / "dates.csv").write_text('day\n"2020-02-01"\n')
    assert foreign.read(tmp_path / "dates.csv", "here").schema["day"] == pl.Date
    assert foreign.read(tmp_path / "dates.csv", "here", dates=False).schema["day"] == pl.String


def test_a_file_that_would_end_the_reader_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes in page heads decide what a reader asks for; what it does then is the reading process's affair."""
    monkeypatch.setattr(foreign, "_READ", "import os; os.write(2, b'memory allocation failed'); os.abort()")
    with pytest.raises(InputError) as caught:
        foreign.read(damaged(tmp_path, 100, 0), "here")
    assert str(caught.value) == "here: 'people.parquet' cannot be read: it is damaged"
    assert capfd.readouterr() == ("", "")


@pytest.mark.full
def test_a_byte_anywhere_never_ends_the_process(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rng, refused = np.random.default_rng(5), 0
    size = damaged(tmp_path, 0, 0).stat().st_size
    for number, place in enumerate([0, size - 1, *rng.integers(4, 60, 6), *rng.integers(size - 600, size, 12)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            foreign.read(damaged(folder, int(place), int(rng.integers(1, 256))), "here")
        except InputError as error:
            refused += 1
            assert str(error).startswith("here: 'people.parquet' cannot be read: ") and "\n" not in str(error)
    assert refused >= 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.parquet", b"", "too short"),
        ("x.parquet", b"PAR1 and no more PAR1", "damaged"),
        ("x.csv", b"a\n\xff\n", "no UTF-8 text .byte 2"),
        ("x.csv", b"a\n\0\n", "byte 2 is 0"),
        ("x.csv", b'a,b\n"1,2\n3,4\n', "a quote is not closed, perhaps the one in line 2"),
        ("x.csv", b"", "cannot be read"),
        ("x.csv.gz", b"no gzip", "cannot be read"),
        ("x.csv.gz", gzip.compress(b"a\n1\n")[:-4], "cannot be read"),
        ("x.txt", b"a\n1\n", "expected a .parquet, .csv or .csv.gz file, got 'x.txt'"),
    ],
)
def test_bad_files_are_one_line(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"^here: .*{words}") as caught:
        foreign.read(tmp_path / name, "here")
    assert "\n" not in str(caught.value)


def test_text_where_numbers_are_expected_is_shown() -> None:
    assert foreign.no_numbers(pl.Series(["1", "nan", "x"])) == "expected numbers, got 'nan' in row 1"
    assert foreign.no_numbers(pl.Series(["1", "2"])) == "expected numbers, got 2 texts that look like numbers"
    assert foreign.no_numbers(pl.Series([True])) == "expected numbers, got Boolean"
