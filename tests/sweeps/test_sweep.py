"""A sweep is what single runs are, to the bit, however it is cut, and nothing finished is run again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import lpm
from lpm.effects import effects
from lpm.errors import Fault, InputError
from lpm.parquet import write_frame
from lpm.scenarios import loader, settings
from lpm.scenarios.loader import validate
from lpm.scenarios.options import silent
from lpm.scenarios.resolved import document
from lpm.scenarios.schema import Scenario
from lpm.sweeps import command, folder, running
from lpm.sweeps.axes import axis
from lpm.sweeps.design import of_grid
from lpm.sweeps.jobs import jobs_of
from lpm.sweeps.rows import Rows

FIGURES = pl.col(r"^.*\..*$").mean()
GRID = ("sir.beta=0.05,0.3", "contacts.scale=0.5,1.5")


def scenario_of(agents: int = 300, **changed: Any) -> Scenario:
    made = loader.load("mini")
    for path, value in {"population.size": agents, "steps": 12, "seeds": [3, 8], **changed}.items():
        made = settings.replaced(made, path, value, path)
    return made


def design_of(*texts: str) -> Any:
    return of_grid([axis(text, "--grid", counted=True) for text in texts or GRID])


def swept(place: Path, scenario: Scenario, *texts: str, **asked: Any) -> Path:
    return command.sweep(scenario, design_of(*texts), command.Asked(place, **asked), silent)


def frames(place: Path) -> dict[str, pl.DataFrame]:
    return {name: pl.read_parquet(place / f"{name}.parquet") for name in ("summary", "trajectory", "runs", "design")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return swept(tmp_path_factory.mktemp("whole") / "sweep", scenario_of(), *GRID)


def test_every_run_is_that_of_lpm_run(whole: Path, tmp_path: Path):
    """The values of run 1 given by --set: the same trajectory to the bit, and the same summaries as its effects."""
    design = frames(whole)["design"]
    values = {path: design[path][1] for path in ("sir.beta", "contacts.scale")}
    alone = lpm.run("mini", agents=300, steps=12, seeds=[3, 8], set=values, out=tmp_path / "run", quiet=True)
    one = pl.read_parquet(alone / "trajectory.parquet")
    found = frames(whole)["trajectory"].filter(run=1).drop("run")
    assert found.sort("arm", "seed", "step").equals(one.sort("arm", "seed", "step"))
    table = effects(one, {"infections": "flow", "prevalence": "stock", "attack_rate": "share"})
    told = frames(whole)["summary"].filter(run=1).group_by("arm").agg(FIGURES)
    for row in table.iter_rows(named=True):
        mean = told.filter(arm=row["arm"])[f"{row['metric']}.{row['summary']}"][0]
        assert mean == pytest.approx(row["arm_mean"], rel=1e-12), row


def test_rows_are_those_of_the_design(whole: Path):
    """A row per run, arm and seed; the first path varies slowest."""
    made = frames(whole)
    assert made["design"]["sir.beta"].to_list() == [0.05, 0.05, 0.3, 0.3]
    assert made["design"]["contacts.scale"].to_list() == [0.5, 1.5, 0.5, 1.5]
    keys = [(r, a, s) for r in range(4) for a in ("baseline", "fewer contacts") for s in (3, 8)]
    assert made["summary"].select("run", "arm", "seed").rows() == keys
    assert set(made["summary"]["status"]) == {"ok"}
    assert made["trajectory"].height == 16 * 12
    totals = (
        made["summary"].filter(arm="baseline").group_by("run").agg(FIGURES).sort("run")["infections.total"].to_list()
    )
    assert totals[0] < totals[1] < totals[3]


@pytest.mark.parametrize(
    ("size", "batching"),
    [(3, "vmap"), *(pytest.param(*each, marks=pytest.mark.full) for each in ((1, "map"), (3, "map"), (16, "vmap")))],
)
def test_bits_do_not_depend_on_how_it_is_cut(
    size: int, batching: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(running, "choice", lambda *_: (size, batching))
    monkeypatch.setattr(running, "PART", 0.0)
    made, same = frames(swept(tmp_path / "cut", scenario_of(), *GRID)), frames(whole)
    for name, frame in same.items():
        assert made[name].equals(frame), name


@pytest.mark.full
def test_shards_that_are_joined_are_the_whole(whole: Path, tmp_path: Path):
    """Three shares, one of them in a folder of its own, as on machines without a common disk."""
    scenario = scenario_of()
    for number in (1, 2):
        swept(tmp_path / "one", scenario, shard=(number, 3))
    assert not (tmp_path / "one" / "summary.parquet").exists()
    swept(tmp_path / "two", scenario, shard=(3, 3))
    command.gathered(folder.opened(tmp_path / "one"), [tmp_path / "two"], silent)
    for name, frame in frames(whole).items():
        assert frames(tmp_path / "one")[name].equals(frame), name


def test_what_is_finished_is_not_run_again(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Stopped after three of eight parts; then at most one part of work is done twice, here none."""
    monkeypatch.setattr(running, "choice", lambda *_: (2, "map"))
    monkeypatch.setattr(running, "PART", 0.0)
    written: list[tuple[int, int]] = []
    write = folder.write_part

    def stops(place: Path, first: int, last: int, *more: Any) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        write(place, first, last, *more)
        written.append((first, last))

    monkeypatch.setattr(folder, "write_part", stops)
    with pytest.raises(KeyboardInterrupt):
        swept(tmp_path / "sweep", scenario_of())
    monkeypatch.setattr(folder, "write_part", lambda *given: (written.append(given[1:3]), write(*given)))
    command.go_on(folder.opened(tmp_path / "sweep"), command.Asked(tmp_path / "sweep", resume=True), silent)
    assert sorted(written) == [(first, first + 2) for first in range(0, 16, 2)]
    for name, frame in frames(whole).items():
        assert frames(tmp_path / "sweep")[name].equals(frame), name


@pytest.mark.full
def test_what_changes_people_or_network_makes_another_world(tmp_path: Path):
    """Sizes of the population in one sweep, each as if it were alone."""
    made = frames(swept(tmp_path / "sizes", scenario_of(steps=5), "population.size=200,300", "sir.beta=0.1,0.2"))
    alone = frames(swept(tmp_path / "alone", scenario_of(steps=5), "sir.beta=0.1,0.2"))
    found = made["trajectory"].filter(pl.col("run") >= 2).with_columns(pl.col("run") - 2)
    assert found.equals(alone["trajectory"])
    assert made["trajectory"]["run"].is_sorted()


def test_a_run_that_fails_is_a_row_that_says_so(tmp_path: Path):
    made = frames(swept(tmp_path / "bad", scenario_of(steps=3), "sir.beta=0.1,-1.0,0.2"))
    bad = made["summary"].filter(pl.col("status") != "ok")
    assert bad["run"].unique().to_list() == [1] and bad.height == 4
    assert "sir.beta: expected 0 to" in bad["status"][0] and "got -1" in bad["status"][0]
    assert bad.select(pl.col("^.*total$").is_null().all()).row(0) == (True,)
    assert set(made["trajectory"]["run"]) == {0, 2}
    with pytest.raises(InputError, match="every run failed: sir.beta: expected 0"):
        swept(tmp_path / "worse", scenario_of(steps=3), "sir.beta=-1.0,-2.0")


def test_one_batch_holds_levels_strengths_and_parameters(tmp_path: Path):
    """What is data is data: no second world, no second compilation."""
    jobs = jobs_of(scenario_of(), design_of("sir.beta=0.1,0.2", "contacts.scale=0.5,1", "sir.gamma=0.05,0.1"))
    assert len(jobs.worlds) == 1 and [each.path for each in jobs.parameters] == ["sir.beta", "sir.gamma"]
    assert jobs.scales == ("contacts.scale",) and np.array_equal(jobs.order, np.arange(8))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sir.betta=0.1:0.2:3", "did you mean .beta."),
        ("sir.beta=0.2:0.1:3", "low below high"),
        ("sir.beta=0.1:0.2", "path=low:high:count"),
        ("sir.beta=0:0.2:3:log", "above 0 for log"),
        ("sir.beta=0.1,0.1", "comes twice"),
        ("sir.beta", "path=low:high:count"),
        ("seeds=1,2", "cannot be swept"),
    ],
)
def test_bad_axes_are_told_in_one_line(text: str, said: str):
    with pytest.raises(InputError, match=said):
        jobs_of(scenario_of(), design_of(text))


def test_a_folder_of_another_sweep_is_left_alone(whole: Path):
    with pytest.raises(InputError, match="holds a sweep"):
        swept(whole, scenario_of())
    with pytest.raises(InputError, match="another design"):
        swept(whole, scenario_of(), "sir.beta=0.1,0.2", resume=True)
    with pytest.raises(InputError, match="another scenario"):
        swept(whole, scenario_of(steps=11), resume=True)


def two_layers(**changed: Any) -> Scenario:
    """Return the scenario with a second layer of contacts."""
    tables: dict[str, Any] = document(scenario_of(**changed))
    tables["networks"] = [{**tables["networks"][0], "name": name} for name in ("a", "b")]
    tables["arms"] = [{"name": "baseline"}]
    return validate(tables, "", "two")


def test_scales_of_two_layers_are_told_apart(tmp_path: Path):
    """(0.2, 1) and (1, 0.2) are different runs, and each is that of --set; a scale that cannot be is a row."""
    scenario = two_layers(steps=8)
    made = frames(swept(tmp_path / "sweep", scenario, "a.scale=0.0,1", "b.scale=0.5,1,-1"))
    done = made["summary"].filter(status="ok")
    assert done["run"].unique().to_list() == [0, 1, 3, 4] and made["summary"].filter(run=2).height == 2
    assert "scale" in made["summary"].filter(run=2)["status"][0]
    alone = settings.replaced(settings.replaced(scenario, "a.scale", 1.0, "a"), "b.scale", 0.5, "b")
    one = frames(swept(tmp_path / "one", alone, "sir.beta=0.05,0.06"))["summary"].filter(run=0)
    assert one["infections.total"].to_list() == done.filter(run=3)["infections.total"].to_list()


def test_runs_that_fail_are_rows_where_a_part_of_the_days_is_reported(tmp_path: Path):
    made = frames(swept(tmp_path / "late", two_layers(steps=8, report_from=3), "sir.beta=0.05,-1.0"))
    assert made["summary"].filter(run=1)["infections.total"].to_list() == [None, None]


def test_parts_that_overlap_count_once(whole: Path, tmp_path: Path):
    """As a worker leaves them that was cut off between writing and telling."""
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    (part,) = folder.parts_in(copy)
    there = folder.opened(copy)
    rows = Rows(frames(whole)["summary"].filter(run=0), frames(whole)["trajectory"].filter(run=0))
    folder.write_part(copy, 0, 4, rows, there.fingerprint)
    assert folder.parts_in(copy) == [(0, 4), part] and sum(b - a for a, b in folder.finished(copy)) == part[1]
    command.go_on(there, command.Asked(copy, resume=True), silent)
    for name, frame in frames(whole).items():
        assert frames(copy)[name].equals(frame), name
    (copy / "parts" / f"{0:010}-{part[1]:010}.trajectory.parquet").unlink()
    with pytest.raises(Fault, match="cannot be read"):
        command.gathered(there, [], silent)


def test_options_of_another_sweep_are_not_swallowed(whole: Path):
    with pytest.raises(InputError, match="seeds: .* has its own"):
        lpm.sweep(whole, seeds=9, quiet=True)
    with pytest.raises(InputError, match="set: .* has its own"):
        lpm.sweep(whole, resume=True, set={"sir.nonsense": 3}, quiet=True)
    assert lpm.sweep(whole, gather=[], quiet=True) == whole


def test_a_design_that_was_changed_is_not_gone_on_with(whole: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    write_frame(copy / "design.parquet", frames(whole)["design"].with_columns(pl.col("sir.beta") * 2))
    with pytest.raises(InputError, match="not the design"):
        folder.opened(copy)


def test_what_cannot_be_meant_is_told_before_anything_runs(tmp_path: Path):
    axes: dict[str, Any] = {"grid": {"sir.beta": [0.1, 0.2]}, "agents": 300, "steps": 3, "quiet": True}
    with pytest.raises(InputError, match="sir.beta: it is swept"):
        lpm.sweep("mini", set={"sir.beta": 0.3}, out=tmp_path / "one", **axes)
    with pytest.raises(InputError, match="predict: expected a sweep over population.size"):
        lpm.sweep("mini", predict=10**6, out=tmp_path / "two", **axes)
    with pytest.raises(InputError, match="metric: says what"):
        lpm.sweep("mini", metric="nope", out=tmp_path / "three", **axes)
    with pytest.raises(InputError, match="one run takes"):
        lpm.sweep("mini", memory="1kB", out=tmp_path / "four", **axes)
    assert not list(tmp_path.iterdir())
