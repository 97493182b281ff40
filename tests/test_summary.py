"""The summary in the terminal: as wide as it may be, numbers whole, and nothing said that is not so."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from rich.table import Table
from scipy import stats

from lpm import cli, terminal
from lpm.effects import effects
from lpm.errors import InputError
from lpm.results import Trajectory, join
from lpm.summary import short, summary
from tests.inputs import small

__all__ = ["small"]  # a fixture

ABOUT = {
    "deaths": {"title": "Deaths", "kind": "flow"},
    "infections": {"title": "New infections", "kind": "flow"},
    "admissions": {"title": "Hospital admissions", "kind": "flow"},
    "occupancy": {"title": "In hospital", "kind": "stock"},
    "attack_rate": {"title": "Infected so far", "kind": "share"},
    "r": {"title": "Reproduction number R(t)", "kind": "reproduction"},
}
ARMS = ("as it happened", "one week earlier", "people over 65 keep a quarter of their contacts outside the home")


def found(arms: Sequence[str], size: float = 1e6, seeds: int = 4) -> pl.DataFrame:
    """Return effects of made-up trajectories of every metric, smaller from arm to arm."""
    drawn = np.random.default_rng(5)
    made: list[pl.DataFrame] = []
    for index, arm in enumerate(arms):
        for seed in range(seeds):
            curve = size * (1 - 0.2 * index) * drawn.uniform(0.5, 1, (10, 1))
            pure = {name for name, about in ABOUT.items() if about["kind"] in ("share", "reproduction")}
            values = {name: curve * 1e-7 if name in pure else curve for name in ABOUT}
            made.append(Trajectory(arm, seed, ("all",), values).to_frame())
    return effects(join(made), {name: about["kind"] for name, about in ABOUT.items()})


def lines(table: Table) -> list[str]:
    screen = Console(width=400, file=io.StringIO(), color_system=None)
    screen.print(table)
    assert isinstance(screen.file, io.StringIO)
    return [line.rstrip() for line in screen.file.getvalue().splitlines()]


def headings(table: Table) -> list[str]:
    return [" ".join(str(column.header).split("\n")) for column in table.columns]


@pytest.mark.parametrize("arms", [ARMS, ARMS[:2], ARMS[:1]], ids=len)
@pytest.mark.parametrize("size", [30.0, 3_000.0, 9.9e8])
@pytest.mark.parametrize("width", [60, 80, 120, 240])
def test_it_fits_and_says_what_is_left_out(arms: Sequence[str], size: float, width: int) -> None:
    made = summary(found(arms, size), ABOUT, width=width, step="1d")
    assert max(map(len, lines(made.table))) <= width
    told = " ".join(headings(made.table))
    for about in ABOUT.values():
        assert (about["title"] in told) != (about["title"] in made.remark)
    assert ("report.html" in made.remark) == bool(made.remark)
    assert headings(made.table)[1] == "Deaths total"  # what the run is about comes first, and always
    if width == 240:
        assert made.remark == ""


def test_headings_say_what_the_figures_are() -> None:
    made = summary(found(ARMS), ABOUT, width=300, step="1d")
    assert headings(made.table) == [
        "arm", "Deaths total", "averted \u00b1 95 %", "Deaths peak a day",
        "New infections total", "averted \u00b1 95 %",
        "Hospital admissions total", "averted \u00b1 95 %", "In hospital peak", "lower by \u00b1 95 %",
        "Infected so far at the end", "lower by \u00b1 95 %",
        "Reproduction number R(t) at the end", "change \u00b1 95 %",
    ]  # fmt: skip
    assert made.title == "Means over 4 seeds, against 'as it happened'; \u00b1 95 % interval, chance only"


def test_one_arm_has_no_effects() -> None:
    made = summary(found(ARMS[:1]), ABOUT, width=200, step="1d")
    assert not {"averted", "lower by", "change"} & set(" ".join(headings(made.table)).split("\n"))
    assert len(made.table.columns) == 1 + 1 + len(ABOUT)  # names, peak, a figure each
    assert all(str(cell) for column in made.table.columns for cell in column.cells)
    assert "one arm" in made.title and "against" not in made.title


def test_a_row_an_arm_with_the_averted() -> None:
    values = {"as it was": [[10, 20], [12, 22]], "less": [[5, 9], [6, 9]]}
    frame = join(
        Trajectory(arm, seed, ("all",), {"deaths": np.array(series, np.float64)[:, None]}).to_frame()
        for arm, seeds in values.items()
        for seed, series in enumerate(seeds, 1)
    )
    made = summary(effects(frame, {"deaths": "flow"}), {"deaths": {"title": "Deaths", "kind": "flow"}}, step="1d")
    columns = [[str(cell) for cell in column.cells] for column in made.table.columns]
    assert columns[0] == ["as it was", "less"]
    assert columns[1] == [short(32, "flow"), short(14.5, "flow")] and columns[1][0] == "32"
    # differences -16, -19: half the interval is t(0.975, 1) * 1.5
    half = float(stats.t.ppf(0.975, 1)) * 1.5
    assert columns[2] == ["", f"{short(17.5, 'flow')} \u00b1 {short(half, 'flow')}"]
    assert columns[3] == [short(21, "flow"), short(9, "flow")]
    with pytest.raises(InputError, match="no effects for the group"):
        summary(effects(frame, {"deaths": "flow"}), group="x=1")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (9_999, "9,999"), (10_000, "10.0k"), (16_912, "16.9k"), (-169_123, "\u2212169k"), (999_949, "1.00M"),
     (8_336_817, "8.34M"), (7.9e9, "7.90bn"), (None, "\u2013"), (float("nan"), "\u2013")],
)  # fmt: skip
def test_large_counts_have_three_digits(value: float | None, text: str) -> None:
    assert short(value, "flow") == text
    if value and value >= 10_000:
        assert short(value, "flow", sign=True) == f"+{text}"


def test_the_terminal_of_80_columns(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(["run", str(small), "--seeds", "3", "--set", "population.people=6000.0", "--out", str(out)]) == 0
    told = capfd.readouterr().out.splitlines()
    assert "60 agents stand for 6,000 people: 100 people an agent" in " ".join(told)
    assert told[-1] == str(out / "report.html")
    wide = Console(width=80, file=io.StringIO(), color_system=None, force_terminal=True)
    monkeypatch.setattr(terminal, "console", lambda: wide)
    terminal.show_summary(out)
    assert isinstance(wide.file, io.StringIO)
    shown = wide.file.getvalue().splitlines()
    assert all(len(line) <= 80 for line in shown[:-1])  # the path is as long as it is
    assert any("fewer contacts" in line and "\u00b1" in line for line in shown)


def test_a_log_has_every_measure_and_columns_is_heeded(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    more = "".join(f'm{n} = {{ stock = "infectious", title = "Measure number {n}" }}\n' for n in range(12))
    small.write_text(small.read_text().replace("[[arms]]", f"{more}[[arms]]", 1), encoding="utf-8")
    out = tmp_path / "out"
    monkeypatch.delenv("COLUMNS", raising=False)
    assert cli.main(["run", str(small), "--seeds", "3", "--steps", "3", "--out", str(out)]) == 0
    told = capfd.readouterr().out
    assert "Not shown for want of width" not in told
    assert all(f"number {n}" in " ".join(told.split()) for n in range(12))
    assert any(line.startswith("fewer contacts") and line.count("\u00b1") == 14 for line in told.splitlines())
    monkeypatch.setenv("COLUMNS", "100")
    terminal.show_summary(out)
    told = capfd.readouterr().out
    assert "Not shown for want of width: " in told
    table = told.split("Not shown")[0].splitlines()[1:]
    assert all(len(line) <= 100 for line in table)
