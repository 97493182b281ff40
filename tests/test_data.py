"""The registry of data sets: local copies are checked, and nothing else gets in."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path

import pooch
import pytest

from lpm import cli, data
from lpm.errors import InputError

NAME = "nyc_covid/data-by-day.csv"


def test_every_data_set_is_pinned() -> None:
    for name, each in data.registry().items():
        assert name == each.name and re.fullmatch(r"[a-z_]+/[\w.-]+", name)
        assert re.fullmatch(r"[0-9a-f]{64}", each.sha256) and re.fullmatch(r"[0-9a-f]{40}", each.commit)
        assert each.licence and each.url.startswith("https://raw.githubusercontent.com/") and each.commit in each.url
        assert not name.endswith((".pickle", ".pkl"))
        assert each.size is None or each.size > 0


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that `LPM_DATA` names; the registry's sum of one data set is that of a line."""
    content = b"a,b\n"
    known = {**data.registry()}
    known[NAME] = replace(known[NAME], sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    monkeypatch.setattr(data, "registry", lambda: known)
    monkeypatch.setenv("LPM_DATA", str(tmp_path))
    monkeypatch.setattr(data, "cache", lambda: tmp_path / "cache")
    (tmp_path / "nyc_covid").mkdir()
    return tmp_path


def test_a_local_copy_is_used_plain_or_packed(copied: Path) -> None:
    packed = copied / f"{NAME}.gz"
    packed.write_bytes(gzip.compress(b"a,b\n"))
    assert data.path(NAME, "x") == packed and data.path(f"{NAME}.gz", "x") == packed
    (copied / NAME).write_bytes(b"a,b\n")
    assert data.local(NAME, "x") == copied / NAME


def test_the_list_tells_size_sum_and_whether_it_is_here(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def line() -> list[str]:
        assert cli.main(["data"]) == 0
        return next(each for each in capsys.readouterr().out.splitlines() if each.startswith(f"{NAME} ")).split()

    pinned = data.registry()[NAME]
    assert line()[1:] == ["4", "B", pinned.sha256[:12], "no", "[1]"]
    (copied / f"{NAME}.gz").write_bytes(gzip.compress(b"a,b\n"))
    assert line()[4] == "LPM_DATA"
    (copied / NAME).write_bytes(b"a,b,c\n")
    assert data.here(pinned) == "LPM_DATA, another size"
    monkeypatch.delenv("LPM_DATA")
    (copied / "cache" / "nyc_covid").mkdir(parents=True)
    (copied / "cache" / NAME).write_bytes(b"a,b\n")
    assert line()[4] == "cache"


@pytest.mark.parametrize("content", [b"a,c\n", b"\x1f\x8b cut off"])
def test_a_local_copy_with_another_sum_is_refused(content: bytes, copied: Path) -> None:
    (copied / f"{NAME}.gz").write_bytes(gzip.compress(content) if content[:1] == b"a" else content)
    with pytest.raises(InputError, match=r"another sha256|cannot be read"):
        data.path(NAME, "x")


def test_what_is_not_here_says_how_to_get_it(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="lpm data fetch"):
        data.local(NAME, "x")
    with pytest.raises(InputError, match=f"did you mean '{NAME}'"):
        data.path("nyc_covid/data-by-dy.csv", "x")
    monkeypatch.setenv("LPM_DATA", str(copied / "nowhere"))
    with pytest.raises(InputError, match="LPM_DATA"):
        data.path(NAME, "x")


def test_what_is_fetched_is_checked(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = b"a,b\n"

    class Server:
        def __init__(self, **options: object) -> None:
            pass

        def __call__(self, url: str, output: str, pup: object) -> None:
            assert url == data.registry()[NAME].url
            Path(output).write_bytes(sent)

    monkeypatch.setattr(pooch, "HTTPDownloader", Server)
    assert data.path(NAME, "x").read_bytes() == sent
    assert data.local(NAME, "x") == copied / "cache" / NAME
    data.local(NAME, "x").unlink()
    sent = b"something else"
    with pytest.raises(data.DataError, match="differs from the pinned one"):
        data.path(NAME, "x")
    assert not (copied / "cache" / NAME).exists()


def test_without_a_network_there_is_one_line(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Nowhere:
        def __init__(self, **options: object) -> None:
            pass

        def __call__(self, url: str, output: str, pup: object) -> None:
            raise ConnectionError("no route\nto host")

    monkeypatch.setattr(pooch, "HTTPDownloader", Nowhere)
    monkeypatch.setenv("LPM_DEBUG", "")
    assert cli.main(["data", "fetch", NAME]) == 1
    told = capfd.readouterr().err
    assert told.count("\n") == 1 and "could not be fetched" in told and "LPM_DATA" in told


@pytest.mark.skipif(not os.environ.get("LPM_DATA"), reason="LPM_DATA names no folder with the data sets")
def test_the_shared_copies_have_the_pinned_sums() -> None:
    found = [name for name in data.registry() if (Path(os.environ["LPM_DATA"]) / f"{name}.gz").is_file()]
    assert found
    for name in found:
        assert data.path(name, "x").is_file()
        with gzip.open(Path(os.environ["LPM_DATA"]) / f"{name}.gz") as stream:
            assert len(stream.read()) == data.registry()[name].size
