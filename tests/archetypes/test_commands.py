"""`lpm archetypes`: from a scenario's people to a table, and a run that behaves as the table says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lpm import cli, run
from lpm.archetypes import table as tables

SCENARIO = """
schema = 1
name = "talk"
steps = 6
seeds = 1
[population]
generator = "communities"
size = 4000
[[kernels]]
kernel = "archetype-choice"
{columns}
[metrics]
said = {{ stock = "speak", column = "action", by = ["community"], title = "Who speak", unit = "people" }}
[archetypes]
group = ["community"]
card = "{{% for c in columns %}}Leans to the {{{{ c.value }}}}.{{% endfor %}}"
actions = [{{ name = "speak", text = "speak" }}, {{ name = "keep silent" }}]
formulas = {{ speak = "where(community == 'left', 1.5, -0.5) + mood", "keep silent" = "0" }}
{table}
[archetypes.contexts.mood]
anchors = [0, 1]
words = ["You are calm.", "You are angry."]
"""
MOOD = """[[population.columns]]
name = "mood"
dtype = "float32"
meaning = "mood"
default = 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    _write("", tmp_path)
    return tmp_path


def _write(table: str, folder: Path, more: str = "") -> str:
    text = SCENARIO.format(columns=MOOD, table=table) + more
    (folder / "talk.toml").write_text(text)
    return str(folder / "talk.toml")


def _lpm(*arguments: str) -> int:
    return cli.main(["archetypes", *arguments])


def test_from_a_rule_to_a_run_that_behaves_like_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _lpm("build", "talk.toml", "--provider", "rule", "--quiet") == 0
    made = tables.read(folder / "talk-archetypes.parquet")
    by = dict(zip(made.archetypes["community"], np.exp(made.logit[:, :, 0] - made.logit[:, :, 1]), strict=True))
    np.testing.assert_allclose(by["left"], np.exp([1.5, 2.5]), rtol=1e-5)
    np.testing.assert_allclose(by["right"], np.exp([-0.5, 0.5]), rtol=1e-5)
    assert made.archetypes["card"].to_list() == [f"Leans to the {each}." for each in made.archetypes["community"]]
    assert made.archetypes["weight"].sum() == 4000

    _write('table = "talk-archetypes.parquet"', folder)
    assert _lpm("check", "talk.toml") == 0
    assert "can be run" in capsys.readouterr().out
    ran = run("talk.toml", quiet=True, out="out")
    shares = pl.read_parquet(ran / "trajectory.parquet")
    people = dict(zip(made.archetypes["community"], made.archetypes["weight"], strict=True))
    for side, logit in (("left", 2.5), ("right", 0.5)):
        counted = shares.filter(pl.col("group") == f"community={side}")["said"].to_numpy()[-6:]
        chance = 1 / (1 + np.exp(-logit))
        # 2 sums of 6 independent days: |z| > 4.5 has a chance of 1.4e-5 in all
        assert abs(counted.sum() - 6 * people[side] * chance) < 4.5 * np.sqrt(6 * people[side] * chance * (1 - chance))

    # the run's folder holds the table, and its scenario runs again to the same bits
    assert (ran / "inputs" / "talk-archetypes.parquet").is_file()
    again = run(str(ran / "scenario.toml"), quiet=True, out="again")
    assert pl.read_parquet(again / "trajectory.parquet").equals(pl.read_parquet(ran / "trajectory.parquet"))

    assert _lpm("show", "talk.toml", "--picture", "table.html") == 0
    told = capsys.readouterr().out
    assert "Leans to the left." in told and "0.87" in told and "provider: rule" in told  # mean of .818 and .924
    page = (folder / "table.html").read_text()
    assert "speak" in page and 'src="http' not in page
    # what a recorded table says, said again without a model
    assert _lpm("build", "talk.toml", "--out", "second.parquet", "--quiet") == 0
    np.testing.assert_allclose(tables.read(folder / "second.parquet").probability, made.probability, atol=1e-6)


def test_dry_runs_ask_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "model.gguf").write_bytes(b"GGUF")
    given = ["build", "talk.toml", "--provider", "server", "--url", "http://127.0.0.1:9/v1", "--model", "m"]
    assert _lpm(*given, "--dry-run", "--prices", "1,2") == 0
    told = capsys.readouterr().out
    assert "10 questions" in told and "10 calls" in told and "price about" in told  # 2 (2 x 2 + 1) x 1 action
    assert not (folder / "talk-archetypes.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "table", "said"),
    [
        (("build", "mini", "--provider", "rule"), "", "[archetypes]"),
        (("build", "talk.toml", "--provider", "oracle"), "", "provider"),
        (("build", "talk.toml", "--provider", "server", "--model", "m"), "", "--url"),
        (("build", "talk.toml", "--provider", "rule", "--archetypes", "9"), "", "--archetypes"),
        (("build", "talk.toml", "--provider", "rule", "--prices", "1"), "", "--prices"),
        (("build", "talk.toml", "--provider", "rule", "--agents", "0"), "", "--agents"),
        (("build", "talk.toml", "--provider", "table"), "", "a file"),
        (("show", "talk.toml"), "", "lpm archetypes build"),
        (("show", "nothing.parquet"), "", "nothing.parquet"),
        (("check", "talk.toml"), 'table = "absent.parquet"', "absent.parquet"),
        (("interview", "talk.toml"), "", "--ask"),
        (("interview", "talk.toml", "--ask", "Why?", "--at", "mood"), "", "--at"),
        (("interview", "talk.toml", "--ask", "Why?", "--who", "x"), "", "--who"),
        (("interview", "talk.toml", "--ask", "Why?", "--who", "99", "--provider", "rule"), "", "--who"),
        (("interview", "talk.toml", "--ask", "Why?", "--provider", "rule"), "", "language model"),
        (("interview", "talk.toml", "--ask", "Why?", "--at", "hour=1", "--provider", "rule"), "", "hour"),
        (("interview", "talk.toml", "--ask", "Why?", "--out", "answers.doc"), "", "--out"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], table: str, said: str
) -> None:
    _write(table, folder)
    assert _lpm(*arguments) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1 and "Traceback" not in told


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('group = ["community"]', 'group = ["comunity"]', "comunity"),
        ('group = ["community"]', 'group = ["community"]\ncluster = ["community"]', "either 'group' or 'cluster'"),
        ("anchors = [0, 1]", "anchors = [1, 0]", "rising"),
        ("anchors = [0, 1]", "anchors = [0, 1]\ncommon = true\nfriends = ['speak']", "at most one"),
        ("anchors = [0, 1]", "anchors = [0, 1]\nfriends = ['shout']", "shout"),
        ("anchors = [0, 1]", "anchors = [0, 1]\ncounts = { column = 'action', levels = ['speak'] }", "action"),
        ('{ name = "keep silent" }', '{ name = "keep silent", text = "be silent" }, { name = "go" }, {name="x"}', "x"),
        ("formulas = {", 'formulas = { shout = "1",', "shout"),
        ('card = "', 'labels = { age = "x" }\ncard = "', "labels"),
    ],
)
def test_a_table_of_archetypes_that_does_not_fit(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    text = (folder / "talk.toml").read_text()
    assert old in text
    (folder / "talk.toml").write_text(text.replace(old, new))
    assert cli.main(["show", "talk.toml"]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


def test_a_table_of_something_else_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _lpm("build", "talk.toml", "--provider", "rule", "--quiet") == 0
    path = _write('table = "talk-archetypes.parquet"', folder)
    text = Path(path).read_text()
    Path(path).write_text(text.replace("anchors = [0, 1]", "anchors = [0, 2]"))
    assert cli.main(["show", "talk.toml"]) == 2
    assert "contexts are not those" in capsys.readouterr().err
    Path(path).write_text(text.replace('"speak"', '"shout"').replace("speak =", "shout ="))
    assert cli.main(["show", "talk.toml"]) == 2
    assert "expected the actions shout" in capsys.readouterr().err
