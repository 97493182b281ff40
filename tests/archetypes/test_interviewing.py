"""Interviews of a scenario's archetypes and of the agents that a run has left; the run itself is not touched."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lpm import cli, run
from lpm.archetypes.answers import Answers
from lpm.archetypes.contexts import Contexts, Variable
from lpm.archetypes.interviews import Inquiry
from lpm.archetypes.questions import Answer
from lpm.errors import InputError
from lpm.studies.interviewing import Interview, Source, interview, said
from lpm.studies.study import Asked
from lpm.studies.terminal_interviews import CAUTION, show
from tests.archetypes.talker import Talker, logprobs

SCENARIO = """
schema = 1
name = "talk"
steps = 4
seeds = 2
[population]
size = 3
file = "people.csv"
[[population.columns]]
name = "mood"
dtype = "float32"
meaning = "how angry one is"
[[population.columns]]
name = "job"
dtype = "uint8"
meaning = "trade"
levels = ["nurse", "smith"]
[[kernels]]
kernel = "archetype-choice"
[metrics]
said = { stock = "speak", column = "action", title = "Who speak", unit = "people" }
[archetypes]
group = ["job"]
card = "Works as a {{ columns[0].value }}."
actions = [{ name = "speak", text = "speak" }, { name = "keep silent" }]
formulas = { speak = "1", "keep silent" = "0" }
[archetypes.contexts.mood]
anchors = [0, 1, 1000]
scale = "log1p"
words = ["You are calm.", "You are annoyed.", "You are angry."]
"""
AGENTS = pl.DataFrame(
    {
        "arm": ["calm"] * 3 + ["angry"] * 3,
        "seed": [0] * 6,
        "id": [7, 3, 11] * 2,
        "job": ["smith", "nurse", "smith"] * 2,
        "mood": [0.25, 0.5, 0.75, 100.0, 200.0, 300.0],
        "present": [True, True, False] * 2,
        "weight": [1.0] * 6,
    }
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a scenario, and one of a run of it as the contract has it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk.toml").write_text(SCENARIO)
    (tmp_path / "people.csv").write_text("job,mood\nnurse,0\nsmith,0.5\nsmith,1\n")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "scenario.toml").write_text(SCENARIO)
    shutil.copy(tmp_path / "people.csv", kept)
    AGENTS.write_parquet(kept / "agents.parquet")
    return tmp_path


def put(source: Source, talker: Talker, **more: Any) -> Interview:
    given: dict[str, Any] = {"who": (), "agents": (), "values": {}, "time": None} | more
    inquiries = [Inquiry("Are you well?", "yes-no")]
    return interview(
        source, Asked(), inquiries, given["who"], given["agents"], given["values"], given["time"],
        lambda *_: None, talker,
    )  # fmt: skip


def test_agents_of_a_run_are_told_their_card_and_their_columns_at_its_end(folder: Path) -> None:
    talker = Talker()
    made = put(Source(run=folder / "kept"), talker, agents=[7, 3])
    assert "Works as a smith." in talker.asked[0].system and "Works as a nurse." in talker.asked[2].system
    assert "mood (how angry one is): 0.25" in talker.asked[0].system and "0.5" in talker.asked[2].system
    for hidden in ("weight", "present", "id:", "seed", "calm"):
        assert hidden not in talker.asked[0].system
    assert made.frame["time"].unique().to_list() == [4.0] and made.frame["agent"].to_list() == [7, 7, 3, 3]
    put(Source("talk.toml", folder / "kept", arm="angry", seed=0), talker, agents=[7])
    assert "mood (how angry one is): 100" in talker.asked[-1].system


def test_agents_of_a_scenario_are_its_own_people(folder: Path) -> None:
    talker = Talker()
    made = put(Source("talk.toml"), talker, agents=[2], values={"mood": 100}, time=5.0)
    assert "mood (how angry one is): 1\n" in talker.asked[0].system and "You are angry." in talker.asked[0].user
    assert made.frame["time"].to_list() == [5.0] * 2 and made.situation == "You are angry."


def test_archetypes_are_those_of_the_table_by_its_numbers(folder: Path) -> None:
    assert cli.main(["archetypes", "build", "talk.toml", "--provider", "rule", "--quiet"]) == 0
    from lpm.archetypes import table

    made = table.read(folder / "talk-archetypes.parquet")
    swapped = made.archetypes.reverse().with_columns(pl.Series("archetype", range(2), pl.Int64))
    cards = pl.Series("card", [f"Card {i} of the table." for i in range(2)])
    table.Table(made.actions, made.contexts, swapped.with_columns(cards), made.logit[::-1]).write(folder / "t.parquet")
    (folder / "talk.toml").write_text(SCENARIO.replace("[archetypes]\n", '[archetypes]\ntable = "t.parquet"\n'))
    talker = Talker()
    told = put(Source("talk.toml"), talker, who=[1], agents=[0])
    assert "Card 1 of the table." in talker.asked[0].system and told.cards[1] == "Card 1 of the table."
    place = swapped["job"].to_list().index("nurse")
    assert f"Card {place} of the table." in talker.asked[-1].system
    with pytest.raises(InputError, match="--archetypes: .*has a table"):
        put(Source("talk.toml", count=3), talker)


@pytest.mark.parametrize(
    ("source", "more", "told"),
    [
        ({"run": "kept"}, {"agents": [11]}, "agent 11 takes no part"),
        ({"run": "kept"}, {"agents": [4]}, "no agent with the id 4"),
        ({"run": "kept", "arm": "calmm"}, {"agents": [7]}, "did you mean 'calm'"),
        ({"run": "kept", "seed": 5}, {"agents": [7]}, "seed 5"),
        ({"run": "kept", "agents": 9}, {}, "--agents"),
        ({"run": "kept", "name": "mini"}, {}, "expected a run of 'mini', got one of 'talk'"),
        ({"run": "."}, {}, "no scenario.toml"),
        ({}, {}, "expected a scenario, or --run"),
        ({"run": "kept"}, {"time": 3.0}, "--time"),
        ({"run": "kept"}, {"who": [2]}, "--who: expected archetypes 0 to 1, got 2"),
    ],
)
def test_what_cannot_be_asked_is_refused(folder: Path, source: dict[str, Any], more: dict[str, Any], told: str) -> None:
    given: dict[str, Any] = source | ({"run": folder / str(source["run"])} if "run" in source else {})
    with pytest.raises(InputError, match=told):
        put(Source(**given), Talker(), **more)
    (folder / "kept" / "agents.parquet").unlink()
    with pytest.raises(InputError, match="--save-agents"):
        put(Source(run=folder / "kept"), Talker())


def test_the_nearest_anchor_is_that_of_the_variables_own_scale() -> None:
    of = Variable("cases", (0, 1, 1000), "", "", ("none", "few.", "many!"), "log1p")
    contexts = Contexts((of, Variable("price", (0, 10), "USD", "")))
    assert said(contexts, {"cases": 100, "price": 4}) == "many! price: 0 USD."
    assert said(contexts, {"cases": 20}) == "few." and said(contexts, {}) == ""
    for name, value in {"cases": 1001, "price": -1}.items():
        with pytest.raises(InputError, match=f"--at: {name}: expected 0 to .*, got {value}"):
            said(contexts, {name: value})


def test_an_interview_shows_how_far_it_can_be_trusted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(put(Source("talk.toml"), Talker(lambda q: Answer(logprobs(q), 0.73, "x")), values={"mood": 0}))
    told = " ".join(capsys.readouterr().out.split())
    for part in ("0.73", "coverage", "order", "model talker", "You are calm.", CAUTION, "Works as a nurse."):
        assert part in told


def content(folder: Path) -> Mapping[str, tuple[str, int]]:
    files = (each for each in folder.rglob("*") if each.is_file())
    return {str(each): (hashlib.sha256(each.read_bytes()).hexdigest(), each.stat().st_mtime_ns) for each in files}


@pytest.mark.full
def test_a_run_is_not_disturbed_by_a_byte(folder: Path) -> None:
    """A run that is asked between its two halves ends in the same trajectory and agents as a straight one."""
    text = 'schema = 1\nname = "ask"\nsteps = 12\nseeds = 1\n[population]\ngenerator = "communities"\nsize = 300\n'
    text += '[[kernels]]\nkernel = "archetype-choice"\n[metrics]\n'
    text += 'said = { stock = "speak", column = "action", title = "Who speak", unit = "people" }\n'
    rest = SCENARIO[SCENARIO.index("[archetypes]\n") :].replace('"job"', '"community"')
    rest = rest[: rest.index("[archetypes.contexts")]
    (folder / "ask.toml").write_text(text + rest)
    assert cli.main(["archetypes", "build", "ask.toml", "--provider", "rule", "--quiet"]) == 0
    rest = rest.replace("[archetypes]\n", '[archetypes]\ntable = "ask-archetypes.parquet"\n')
    (folder / "ask.toml").write_text(text + rest)
    straight = run("ask.toml", quiet=True, out="straight", save_agents=True, seeds=[0, 1])
    before = content(straight)
    talker = Talker(
        lambda q: Answer({}, math.nan, "Hm.", source="text") if not q.labels else Answer(logprobs(q), 1, "")
    )
    made = put(Source(run=straight), talker, agents=[5], who=[0])
    assert content(straight) == before and made.frame["time"].to_list() == [12.0] * 4
    assert "action (what the agent did last): " in talker.asked[-1].system
    halves = run("ask.toml", quiet=True, out="halves", save_agents=True, seeds=[0, 1])
    (halves / "checkpoints" / "finished" / "0-1.parquet").unlink()  # as if it had been stopped after the first seed
    put(Source(run=halves), talker, agents=[5])
    run("ask.toml", quiet=True, out="halves", save_agents=True, seeds=[0, 1], resume=True)
    for name in ("trajectory.parquet", "agents.parquet"):
        assert pl.read_parquet(halves / name).equals(pl.read_parquet(straight / name))


def test_answers_of_the_command_line_are_kept_apart_from_the_run(folder: Path) -> None:
    before = content(folder / "kept")
    put(Source(run=folder / "kept"), Talker(), agents=[7])
    with Answers(folder / "cache" / "lpm" / "answers.sqlite") as answers:
        assert len(answers) == 2
    assert content(folder / "kept") == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--run", "absent"), "no scenario.toml"),
        (("talk.toml", "--arm", "calm"), "--arm, --seed: expected --run"),
        ((), "expected a scenario, or --run"),
        (("--run", "kept", "--agent", "7", "--provider", "rule"), "language model"),
        (("--run", "kept", "--agent", "99", "--provider", "rule"), "no agent with the id 99"),
        (("talk.toml", "--at", "mood=1e6", "--provider", "rule"), "--at: mood: expected 0 to 1000, got 1e+06"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    assert cli.main(["archetypes", "interview", *arguments, "--ask", "Why?"]) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1
