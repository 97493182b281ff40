"""The nearest right name, and everything that is wrong with a file at once."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from lpm import cli
from lpm.errors import closest
from tests.inputs import SMALL, Tables, call, change, intervention, small, write

__all__ = ["call", "small"]  # fixtures


def test_case_and_dashes_do_not_hide_the_right_name() -> None:
    assert closest("SIR", ["sir", "seir", "si"]) == "sir"
    assert closest("Erdos_Renyi", ["erdos-renyi", "stochastic-block"]) == "erdos-renyi"
    assert closest("as It Happened", ["as it happened"]) == "as it happened"
    assert closest("foo", ["sir", "seir"]) is None


@pytest.mark.parametrize("asked", ["fewer_contacts.toml", "fewer_contacts", "Fewer-Contact.toml"])
def test_a_file_of_nearly_that_name_is_named(
    asked: str, tmp_path: Path, call: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fewer-contacts.toml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    assert "did you mean 'fewer-contacts.toml'?" in call(asked)


def test_a_built_in_name_is_nearer_than_nothing(call: Callable[..., str], tmp_path: Path) -> None:
    assert "did you mean 'nyc-covid'?" in call("NYC_covid")
    assert "did you mean" not in call(str(tmp_path / "nowhere" / "x.toml"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("show", "lpm list"),
        ("run", "lpm list"),
        ("data fetch", "lpm data"),
        ("data fetch foo", "lpm data lists"),
        ("data fetch data-by-day", "did you mean 'nyc_covid/data-by-day.csv'?"),
    ],
)
def test_who_gives_no_name_is_told_where_names_are(
    arguments: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments.split()) == 2
    told = capfd.readouterr().err
    assert words in told and told.count("\n") == 1 and len(told) < 160


def test_a_kernel_in_capitals(tmp_path: Path, call: Callable[..., str]) -> None:
    tables: Tables = tomllib.loads(SMALL)
    change("kernels.0.kernel", "SIR")(tables)
    tables["kernels"][0].pop("beta")
    assert "kernels[0].kernel: unknown kernel 'SIR'; did you mean 'sir'?" in call(str(write(tmp_path, tables)))


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path, call: Callable[..., str]) -> None:
    tables: Tables = tomllib.loads(SMALL)
    for path, value in (("metrics.prevalence.label", "x"), ("steps", "6"), ("arms.0.colour", 3)):
        change(path, value)(tables)
    told = call(str(write(tmp_path, tables)))
    assert "metrics.prevalence: unknown key 'label'; did you mean 'title'?" in told
    assert "; also arms[0]: unknown key 'colour'" in told and "; also steps: expected a whole number" in told
    for number in range(20):
        tables[f"x{number}"] = number
    assert "(and 15 more)" in call(str(write(tmp_path, tables)))


def test_what_acts_on_agents_is_named(tmp_path: Path, call: Callable[..., str]) -> None:
    tables: Tables = tomllib.loads(SMALL)
    tables["interventions"] = [{}]
    intervention(at=1, set={"sir.beta": 0.1}, share=0.5)(tables)
    assert "'share' concerns agents, but 'set' acts on the whole run; set_column" in call(str(write(tmp_path, tables)))


def test_so_few_agents_make_no_city(call: Callable[..., str]) -> None:
    assert call("nyc-covid", "--agents", "10").startswith("lpm: --agents: expected at least 1,000 agents")


def test_a_run_that_is_gone_on_with_tells_which_options_to_repeat(
    small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    given = ["run", str(small), "--out", out, "--quiet"]
    assert cli.main([*given, "--steps", "3", "--seeds", "1", "--set", "sir.beta=0.1"]) == 0
    capfd.readouterr()
    assert cli.main([*given, "--resume"]) == 2
    told = capfd.readouterr().err
    assert "repeat the options" in told and "holds a run of another scenario" in told
    assert all(option in told for option in ("--steps", "--seeds", "--set")) and "--arms" not in told
    command = told.split("lpm run ")[1].split()
    assert cli.main(["run", *command, "--quiet"]) == 0  # the way out that is told


def test_why_nothing_is_kept() -> None:
    from lpm.scenarios.running import _ended  # pyright: ignore[reportPrivateUsage]

    assert _ended("stopped; 1 of 4 pairs", None) == "stopped; 1 of 4 pairs"
    assert "--checkpoint-every N keeps" in _ended("stopped: nothing is kept", None)
    assert "after 30 steps" in _ended("stopped: nothing is kept", 30)
