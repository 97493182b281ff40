"""The report: one page, everything in it, nothing loaded, whatever is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from plotly.offline import get_plotlyjs

from lpm.errors import InputError
from lpm.report import write_report
from lpm.results import Trajectory, join, write_bytes, write_frame

REPORT = date(2020, 2, 29)
Writer = Callable[..., Path]


class Reader(HTMLParser):
    """Collects tags, attributes and the text outside scripts and styles."""

    def __init__(self) -> None:
        """Start with nothing collected."""
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag and its attributes."""
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "input", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close a tag, which must be the last opened."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep text that a reader sees."""
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        """All visible text."""
        return " ".join(" ".join(self.words).split())


def read(path: Path) -> tuple[str, Reader]:
    """Return the page and what a parser finds in it; every tag must be closed in order."""
    page = path.read_text("utf-8")
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return page, reader


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found.group(1))


def assert_self_contained(page: str, reader: Reader) -> None:
    for tag, attributes in reader.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base"), tag
        assert "src" not in attributes, attributes
        assert (attributes.get("href") or "#").startswith("#"), attributes
        assert not any(name.startswith("on") for name in attributes), attributes
    styles = "".join(re.findall(r"<style>(.*?)</style>", page, re.S))
    assert "url(" not in styles
    assert "@import" not in styles
    assert "default-src 'none'" in page  # and the browser refuses whatever a script might try to load


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, run_folder: Writer) -> Path:
    return write_report(run_folder(tmp_path_factory.mktemp("run")))


def test_the_report_is_one_page_that_loads_nothing(whole: Path) -> None:
    page, reader = read(whole)
    assert_self_contained(page, reader)
    assert whole.stat().st_size < 8e6
    assert len(page) - len(get_plotlyjs()) < 2.5e6
    assert [p.name for p in whole.parent.iterdir() if p.name.endswith(".part")] == []


def test_the_report_tells_everything_it_must(whole: Path) -> None:
    page, reader = read(whole)
    run = json.loads((whole.parent / "run.json").read_text())
    for about in run["metrics"].values():
        assert about["title"] in reader.text
    for phrase in (
        "Not calibrated yet. ",
        "each for 8.34",
        "wider than at full size",
        "chance only",
        "from the lowest to the highest of the 4 seeds",
        "WAPE",
        "Executive Order 202.8",
        "arms shift the orders alone",
        "seir.beta",
        "doi:10.1038/s41591-020-0962-9",
        "NYC DOHMH, daily counts",
        "jax 0.10.2",
        "29 Feb 2020 to 29 Jun 2020",
    ):
        assert phrase in reader.text, phrase
    ids = {attributes.get("id") for _, attributes in reader.tags}
    drawn = data_of(page)
    assert {f"curve-{metric['name']}" for metric in drawn["metrics"]} <= ids
    assert {f"weekly-{index}" for index in range(len(drawn["weekly"]))} <= ids
    assert len(drawn["weekly"]) == 12
    assert {f"heat-0-{arm}" for arm in range(5)} <= ids
    assert {"mixing-3-generated", "mixing-3-published", "degree-0", "marginal-2", "calendar"} <= ids


def test_the_figures_of_the_page_are_those_of_the_files(whole: Path) -> None:
    page, reader = read(whole)
    table = pl.read_parquet(whole.parent / "effects.parquet").filter(group="all", metric="deaths", summary="total")
    for averted in (-table["difference"][1:]).to_list():
        assert f"{averted:,.0f}".replace("-", "\u2212") in reader.text
    drawn = data_of(page)
    frame = pl.read_parquet(whole.parent / "trajectory.parquet").filter(
        pl.col("group") == "borough=Queens", pl.col("arm") == "no orders", pl.col("time") >= REPORT
    )
    wanted = frame.group_by("step").agg(low=pl.col("deaths").min(), mid=pl.col("deaths").mean()).sort("step")
    group = drawn["groups"].index("Queens")
    low, mid, _ = drawn["curves"]["lines"]["deaths"][str(group)][drawn["arms"].index("no orders")]
    assert drawn["curves"]["x"][0] == str(REPORT)
    assert low == pytest.approx(wanted["low"].to_list(), rel=1e-3)
    assert mid == pytest.approx(wanted["mid"].to_list(), rel=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"observed": False, "grouped": False},
        {"arms": ["as it happened"]},
        {"seeds": 1},
        {"dated": False},
        {"arms": ["no orders"], "seeds": 1, "grouped": False, "dated": False, "observed": False},
        {"layers": {}, "population": {}, "parameters": [], "sources": [], "assumptions": [], "score": [], "arms": None},
        {"seeds": 21, "steps": 60, "grouped": False, "draws": "prior", "calibrated": True},
    ],
    ids=["no groups", "one arm", "one seed", "no dates", "least", "nothing told", "many seeds"],
)
def test_the_report_works_with_parts_missing(tmp_path: Path, run_folder: Writer, options: dict[str, Any]) -> None:
    page, reader = read(write_report(run_folder(tmp_path, **options)))
    assert_self_contained(page, reader)
    assert "Deaths" in reader.text
    assert "None" not in reader.text
    assert "nan" not in reader.text.lower().split()
    if options.get("calibrated"):
        assert "Not calibrated yet" not in reader.text
        assert "5 to 95 % of the seeds" in reader.text
        assert "chance and parameters" in reader.text
    if options.get("seeds") == 1:
        assert "too few seeds for an interval" in reader.text


def test_the_least_run_folder_is_a_trajectory_and_an_empty_run_json(tmp_path: Path) -> None:
    write_frame(tmp_path / "trajectory.parquet", Trajectory("a", 1, ("all",), {"x": np.ones((3, 1))}).to_frame())
    write_bytes(tmp_path / "run.json", b"{}")
    page, reader = read(write_report(tmp_path))
    assert_self_contained(page, reader)
    assert "X" in reader.words


def test_figures_that_are_not_numbers_are_gaps(tmp_path: Path, run_facts: Callable[..., Any]) -> None:
    write_frame(tmp_path / "trajectory.parquet", Trajectory("a", 1, ("all",), {"x": np.ones((3, 1))}).to_frame())
    run: Any = run_facts(["a"], 1, 3, False) | {"metrics": {}, "report_from": None}
    run["layers"]["community"]["mixing"]["generated"][2][1] = float("nan")
    run["population"]["marginals"][0]["generated"] = None
    write_bytes(tmp_path / "run.json", json.dumps(run).encode())
    drawn = data_of(read(write_report(tmp_path))[0])
    assert drawn["networks"][3]["mixing"]["generated"][2][1] is None
    assert drawn["marginals"][0]["generated"][0] is None


def test_vector_metrics_and_long_runs_are_drawn(tmp_path: Path) -> None:
    steps = 1500
    names = ("opinion.q05", "opinion.q50", "mean_opinion")
    values = {name: np.random.default_rng(1).random((steps, 1)) for name in names}
    frame = join(Trajectory(arm, 1, ("all",), values).to_frame() for arm in "ab")
    write_frame(tmp_path / "trajectory.parquet", frame)
    write_bytes(tmp_path / "run.json", json.dumps({"metrics": {"opinion": {"title": "Opinions"}}}).encode())
    page, reader = read(write_report(tmp_path))
    drawn = data_of(page)
    assert len(drawn["curves"]["x"]) <= 400
    assert "Each point is the mean of 4 steps" in reader.text
    assert drawn["vectors"][0]["title"] == "Opinions"
    assert drawn["vectors"][0]["x"] == ["q05", "q50"]


def test_hostile_texts_stay_texts(tmp_path: Path, run_facts: Callable[..., dict[str, Any]]) -> None:
    bad = '</script><script>alert(1)</script><img src=x onerror="alert(1)">'
    pair = Trajectory(bad, 1, ("all", f"by={bad}"), {"deaths": np.ones((5, 2)), "people": np.ones((5, 2))}, REPORT)
    other = Trajectory("plain", 1, pair.groups, pair.values, REPORT)
    write_frame(tmp_path / "trajectory.parquet", join([pair.to_frame(), other.to_frame()]))
    run = run_facts([bad, "plain"], 1, 5, True) | {
        "title": bad,
        "description": bad,
        "report_from": None,
        "name": bad,
        "step": bad,
        "assumptions": [bad],
        "sources": [bad],
        "metrics": {"deaths": {"title": bad, "unit": bad, "kind": "flow"}},
        "parameters": [dict.fromkeys(("path", "value", "unit", "meaning", "source"), bad)],
        "population": {"facts": {bad: bad}, "marginals": [{"name": bad, "level": bad, "published": 1, "generated": 1}]},
        "layers": {
            bad: {
                "source": bad,
                "facts": {bad: bad},
                "arcs": 1,
                "mean_degree": 1,
                "degree_bins": [0, 1],
                "degree_counts": [1, 2],
            }
        },
        "versions": {bad: bad},
        "devices": [bad],
    }
    write_bytes(tmp_path / "run.json", json.dumps(run).encode())
    page, reader = read(write_report(tmp_path))
    assert_self_contained(page, reader)
    assert sum(tag == "script" for tag, _ in reader.tags) == 3
    assert "<img src=x" not in page


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", b"{", "run.json: not JSON"),
        ("run.json", b"[]", "expected a JSON object"),
        ("run.json", b'{"report_from": "soon"}', "expected a date or a step"),
        ("run.json", None, "run.json: cannot be read"),
        ("trajectory.parquet", b"PAR1", "trajectory.parquet: expected a whole parquet file"),
        ("trajectory.parquet", None, "trajectory.parquet: cannot be read"),
        ("effects.parquet", b"PAR1....PAR1", "effects.parquet: expected a parquet file that lpm wrote"),
    ],
)
def test_a_damaged_folder_is_one_line_and_the_earlier_report_stays(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    write_frame(tmp_path / "trajectory.parquet", Trajectory("a", 1, ("all",), {"x": np.ones((3, 1))}).to_frame())
    write_bytes(tmp_path / "run.json", b"{}")
    earlier = write_report(tmp_path).read_bytes()
    (tmp_path / name).unlink(missing_ok=True)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        write_report(tmp_path)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "report.html").read_bytes() == earlier
