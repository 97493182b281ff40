"""The trajectory's contract, and files that are whole or not there."""

from __future__ import annotations

import resource
from collections.abc import Generator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lpm.errors import InputError
from lpm.results import (
    Trajectory,
    finished_path,
    join,
    join_finished,
    read_finished,
    read_frame,
    times,
    write_bytes,
    write_finished,
    write_frame,
)

GROUPS = ("all", "borough=Bronx", "borough=Bronx;age=65-74")


def pair(arm: str = "base", seed: int = 3) -> Trajectory:
    deaths = np.arange(12, dtype=np.float64).reshape(4, 3)
    opinion = np.full((4, 3), np.nan)
    opinion[:, 0] = 0.5
    people = np.tile([10.0, 6.0, 2.0], (4, 1))
    deaths[:, 2] = np.nan
    return Trajectory(arm, seed, GROUPS, {"deaths": deaths, "opinion": opinion, "people": people}, date(2020, 2, 1))


@contextmanager
def small_files(limit: int) -> Generator[None]:
    """Let no file grow beyond `limit` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_frame_has_the_columns_and_dtypes_of_the_contract() -> None:
    frame = pair().to_frame()
    assert dict(frame.schema) == {
        "arm": pl.String,
        "seed": pl.Int64,
        "step": pl.Int64,
        "time": pl.Date,
        "group": pl.String,
        "deaths": pl.Float64,
        "opinion": pl.Float64,
        "people": pl.Float64,
    }
    assert frame.row(0) == ("base", 3, 0, date(2020, 2, 1), "all", 0.0, 0.5, 10.0)
    assert frame.row(3) == ("base", 3, 1, date(2020, 2, 2), "borough=Bronx", 4.0, None, 6.0)


def test_a_row_without_any_declared_metric_is_dropped_though_its_people_are_known() -> None:
    frame = pair().to_frame()
    assert frame.height == 8
    assert set(frame["group"]) == {"all", "borough=Bronx"}
    assert frame["deaths"].null_count() == 0
    assert frame["deaths"].is_nan().any() is False


@pytest.mark.parametrize(
    ("start", "dt", "kind", "second"),
    [
        (date(2020, 2, 28), 1.0, pl.Date, date(2020, 2, 29)),
        (date(2020, 2, 28), 7.0, pl.Date, date(2020, 3, 6)),
        (date(2020, 2, 28), 1 / 24, pl.Datetime("us"), datetime(2020, 2, 28, 1)),
        (datetime(2020, 2, 28, 6), 1.0, pl.Datetime("us"), datetime(2020, 2, 29, 6)),
        (date(2020, 2, 28), 3 / 1440, pl.Datetime("us"), datetime(2020, 2, 28, 0, 3)),
        (None, 1.0, pl.Date, None),
    ],
)
def test_time_is_when_the_step_begins(
    start: date | None, dt: float, kind: pl.DataType, second: date | datetime | None
) -> None:
    series = times(start, dt, 3)
    assert series.dtype == kind
    assert series[0] == start if not isinstance(series[0], datetime) else True
    assert series[1] == second


def test_a_pair_comes_back_from_its_file_as_it_went(tmp_path: Path) -> None:
    path = write_finished(tmp_path, 2, pair(), {"scenario": "abc"})
    assert path == tmp_path / "checkpoints" / "finished" / "2-3.parquet"
    back = read_finished(tmp_path, 2, 3, {"scenario": "abc"})
    assert back is not None
    assert back.equals(pair().to_frame())
    assert read_finished(tmp_path, 2, 4) is None
    assert [p.name for p in path.parent.iterdir()] == ["2-3.parquet"]


def test_a_pair_of_another_run_is_refused(tmp_path: Path) -> None:
    path = write_finished(tmp_path, 0, pair(), {"scenario": "abc"})
    with pytest.raises(InputError, match="expected scenario 'def', got 'abc'"):
        read_finished(tmp_path, 0, 3, {"scenario": "def"})
    path.rename(finished_path(tmp_path, 0, 9))
    with pytest.raises(InputError, match="seed 9"):
        read_finished(tmp_path, 0, 9)


def test_pairs_join_in_the_order_of_arms_then_seeds(tmp_path: Path) -> None:
    for index, arm in ((1, "b"), (0, "a")):
        for seed in (2, 1):
            write_finished(tmp_path, index, pair(arm, seed))
    frame = join_finished(tmp_path, ["a", "b"], [1, 2])
    assert frame.select("arm", "seed").unique(maintain_order=True).rows() == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert join_finished(tmp_path, ["a", "b"], [1, 2, 5]).height == frame.height
    with pytest.raises(InputError, match="expected arm 'x'"):
        join_finished(tmp_path, ["x", "b"], [1])
    with pytest.raises(InputError, match="no finished"):
        join_finished(tmp_path / "empty", ["a"], [1])


def test_join_refuses_a_pair_that_is_there_twice_and_other_columns() -> None:
    frame = pair().to_frame()
    with pytest.raises(InputError, match="is there twice"):
        join([frame, frame])
    with pytest.raises(InputError, match="different runs"):
        join([frame, pair(seed=4).to_frame().drop("opinion")])


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path: Path, part: float) -> None:
    path = write_finished(tmp_path, 0, pair())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(InputError, match="0-3.parquet") as caught:
        read_finished(tmp_path, 0, 3)
    assert "\n" not in str(caught.value)


def test_one_wrong_byte_anywhere_is_refused_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_frame(tmp_path / "x.parquet", pair().to_frame(), {"scenario": "abc"})
    content, rng = path.read_bytes(), np.random.default_rng(1)
    assert read_frame(path, {"scenario": "abc"}).equals(pair().to_frame())
    for place in {*range(0, len(content), 11), *range(len(content) - 12, len(content))}:
        bad = bytearray(content)
        bad[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(bad))
        with pytest.raises(InputError, match="x.parquet") as caught:
            read_frame(path)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    path.write_bytes(content)
    assert read_frame(path).equals(pair().to_frame())


def test_a_parquet_file_that_lpm_did_not_write_is_refused(tmp_path: Path) -> None:
    pair().to_frame().write_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="x.parquet: expected a parquet file that lpm wrote"):
        read_frame(tmp_path / "x.parquet")


def test_a_full_disk_is_one_line_and_keeps_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "run.bin"
    write_bytes(path, b"earlier")
    with small_files(1000), pytest.raises(InputError, match="run.bin: cannot be written"):
        write_bytes(path, b"x" * 5000)
    assert path.read_bytes() == b"earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["run.bin"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(InputError, match="cannot be written") as caught:
        write_finished(tmp_path / "file", 0, pair())
    assert "\n" not in str(caught.value)


def test_wrong_shapes_repeated_groups_infinities_and_reserved_names_are_refused() -> None:
    ones = np.ones((2, 1))
    with pytest.raises(InputError, match="expected shape"):
        Trajectory("a", 1, ("all",), {"x": ones, "y": np.ones((3, 1))}).to_frame()
    with pytest.raises(InputError, match="every group once"):
        Trajectory("a", 1, ("all", "all"), {"x": np.ones((2, 2))}).to_frame()
    with pytest.raises(InputError, match="infinite at step 1"):
        Trajectory("a", 1, ("all",), {"x": np.array([[0.0], [np.inf]])}).to_frame()
    with pytest.raises(InputError, match="key column"):
        Trajectory("a", 1, ("all",), {"step": ones}).to_frame()
