"""`lpm archetypes`: from a scenario's people to a table, and a run that behaves as the table says."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lpm import cli, foreign, run
from lpm.archetypes import table as tables
from lpm.archetypes.answers import Answers
from lpm.errors import InputError
from lpm.kernels.decision import compliance
from lpm.scenarios import registries
from lpm.studies import study

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
    monkeypatch.setattr(foreign, "_damage", lambda *_: "")  # tables made here need no process that looks for damage
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
    assert "can be run with this table: looked at 4,000 agents" in capsys.readouterr().out
    assert _lpm("check", "talk.toml", "--agents", "500") == 0
    told = capsys.readouterr().out
    assert "looked at 500 of 4,000 agents" in told and "500 agents (the scenario has 4,000)" in told
    ran = run("talk.toml", quiet=True, out="out")
    shares = pl.read_parquet(ran / "trajectory.parquet")
    people = dict(zip(made.archetypes["community"], made.archetypes["weight"], strict=True))
    for side, logit in (("left", 2.5), ("right", 0.5)):
        counted = shares.filter(pl.col("group") == f"community={side}")["said"].to_numpy()[-6:]
        chance = 1 / (1 + np.exp(-logit))
        # 2 sums of 6 independent days: |z| > 4.5 has a chance of 1.4e-5 in all
        assert abs(counted.sum() - 6 * people[side] * chance) < 4.5 * np.sqrt(6 * people[side] * chance * (1 - chance))

    assert (ran / "inputs" / "talk-archetypes.parquet").is_file()
    assert _lpm("show", "talk.toml", "--picture", "table.html") == 0
    told = capsys.readouterr().out
    assert "Leans to the left." in told and "0.87" in told and "provider: rule" in told  # mean of .818 and .924
    page = (folder / "table.html").read_text()
    assert "speak" in page and 'src="http' not in page


def test_a_table_says_again_without_a_model_what_it_says_of_the_same_people(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _lpm("build", "talk.toml", "--provider", "rule", "--quiet") == 0
    made = tables.read(folder / "talk-archetypes.parquet")
    _write('table = "talk-archetypes.parquet"', folder)
    assert made.provenance["agents"] == made.provenance["people"] == 4000 and made.provenance["seed"] == 1
    # in a population in which the sides change their numbers
    sides = made.archetypes["community"].to_list()
    size = 30
    assert _lpm("build", "talk.toml", "--out", "second.parquet", "--quiet", "--agents", str(size)) == 0
    second = tables.read(folder / "second.parquet")
    assert second.archetypes["community"].to_list() != sides
    order = [sides.index(each) for each in second.archetypes["community"]]
    np.testing.assert_allclose(second.probability, made.probability[order], atol=1e-6)
    assert second.provenance["provider"] == "recorded" and second.provenance["recorded_provider"] == "rule"
    assert second.provenance["agents"] == size and second.provenance["recorded_agents"] == 4000
    assert _lpm("show", "second.parquet", "--archetype", "0") == 0
    assert f"Leans to the {second.archetypes['community'][0]}." in capsys.readouterr().out


@pytest.mark.full
def test_the_scenario_of_a_run_s_folder_runs_again_to_the_same_bits(folder: Path) -> None:
    assert _lpm("build", "talk.toml", "--provider", "rule", "--quiet") == 0
    _write('table = "talk-archetypes.parquet"', folder)
    ran = run("talk.toml", quiet=True, out="out")
    (folder / "talk-archetypes.parquet").unlink()  # the folder's own copy is what counts
    again = run(str(ran / "scenario.toml"), quiet=True, out="again")
    assert pl.read_parquet(again / "trajectory.parquet").equals(pl.read_parquet(ran / "trajectory.parquet"))


def test_dry_runs_ask_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["build", "talk.toml", "--provider", "server", "--url", "http://127.0.0.1:9/v1", "--model", "m"]
    assert _lpm(*given, "--dry-run", "--prices", "1,2") == 0
    told = capsys.readouterr().out
    assert "10 questions" in told and "10 calls" in told and "price about" in told  # 2 (2 x 2 + 1) x 1 action
    assert not (folder / "talk-archetypes.parquet").exists()
    assert _lpm(*given, "--dry-run", "--samples", "20", "--prices", "1,2") == 0
    told = capsys.readouterr().out
    assert "10 calls" in told and "up to 216 calls if the server tells no probabilities" in told  # 20 x 10 + 2 x 8
    assert told.count("price about") == 2


def test_a_dry_run_loads_no_model(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)  # an import of it fails
    given = ["build", "talk.toml", "--provider", "embedded", "--dry-run"]
    assert _lpm(*given) == 0  # no model is here
    small = capsys.readouterr().out
    assert "10 calls" in small and "rules of thumb" in small
    (folder / "other.gguf").write_bytes(b"GGUF" + bytes(96))
    assert _lpm(*given, "--model", "other.gguf") == 0
    assert "10 calls" in capsys.readouterr().out
    assert _lpm(*given, "--model", "none.gguf") == 2
    assert "none.gguf" in capsys.readouterr().err


def test_nothing_else_is_written_over_and_what_cannot_work_is_said_before_anything_is_asked(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pl.DataFrame({"a": [1]}).write_parquet("mine.parquet")
    (folder / "text.parquet").write_text("mine")
    (folder / "folder.parquet").mkdir()
    before = (folder / "mine.parquet").read_bytes()
    monkeypatch.setattr(study, "build", lambda *_: pytest.fail("asked"))
    for arguments, said in (
        (("--out", "mine.parquet"), "no table of behaviour"),
        (("--out", "text.parquet"), "no table of behaviour"),
        (("--out", "folder.parquet"), "no table of behaviour"),
        (("--out", "talk.toml"), "NAME.parquet"),
        (("--out", "talk.toml/a.parquet"), "a folder"),
        (("--fill", "nearest"), "--fill"),
    ):
        assert _lpm("build", "talk.toml", "--provider", "rule", *arguments) == 2
        told = capsys.readouterr().err
        assert said in told and told.count("\n") == 1
    assert (folder / "mine.parquet").read_bytes() == before and (folder / "talk.toml").is_file()
    monkeypatch.undo()


def test_a_table_is_made_anew_over_itself_and_answers_are_closed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Answers] = []
    monkeypatch.setattr(Answers, "close", lambda self, close=Answers.close: (closed.append(self), close(self)))
    for _ in range(2):
        assert _lpm("build", "talk.toml", "--provider", "rule", "--quiet") == 0
    assert _lpm("build", "talk.toml", "--provider", "rule", "--dry-run") == 0
    assert len(closed) == 3


def test_a_check_asks_whether_archetypes_are_of_one_group(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _lpm("build", "talk.toml", "--provider", "rule", "--quiet") == 0
    _write('table = "talk-archetypes.parquet"', folder)

    def refuses(*_: object) -> None:
        raise InputError("several groups")

    monkeypatch.setattr(compliance, "one_group", refuses)
    assert _lpm("check", "talk.toml") == 0
    assert "all together" not in capsys.readouterr().out
    own, more = registries.kernels_of, {"compliance": compliance.Compliance}
    monkeypatch.setattr(registries, "kernels_of", lambda scenario: {**own(scenario), **more})
    assert _lpm("check", "talk.toml") == 2
    assert "several groups" in capsys.readouterr().err


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
