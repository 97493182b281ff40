"""Bad input of every kind ends in one line that names the place, status 2, no traceback and nothing half-written."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lpm import cli
from tests.inputs import GOOD, Tables, call, change, drop, intervention, write

__all__ = ["call"]  # a fixture

DATE = GOOD["start"]
PAY = {"column": "wealth", "amount": 1}


def coevolving(tables: Tables) -> None:
    """Make the kernel one that moves ties, and count nothing of the old one."""
    tables["kernels"] = [{"kernel": "coevolving-voter"}]
    tables["metrics"] = {"camps": {"mean": "camp"}}


def column(**keys: Any) -> Callable[[Tables], None]:
    """Return an edit that declares the second column otherwise."""
    return change("population.columns.1", {"name": "wealth", "meaning": "savings", **keys})


def layer(builder: str, **keys: Any) -> Callable[[Tables], None]:
    """Return an edit that builds the layer otherwise; the population has 200 agents."""
    return change("networks.0", {"name": "community", "builder": builder, **keys})


def prior(*numbers: Any) -> Callable[[Tables], None]:
    return change("kernels.0.beta", {"value": 0.1, "prior": list(numbers)})


NUMBERS = [str(number) for number in range(300)]

BUILDERS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("barabasi-albert", {"ties": 200}, ("networks[0].ties", "1 to 199", "got 200")),
    ("configuration", {"degrees": "column", "column": "wealth"}, ("networks[0].column", "whole numbers")),
    ("contact-matrix", {"groups": "wealth"}, ("networks[0].",)),
    ("edges", {}, ("networks[0].file", "one of file and frame")),
    ("erdos-renyi", {"mean_degree": 1000}, ("networks[0].mean_degree", "at most N - 1 = 199", "got 1000")),
    ("households", {}, ("networks[0].column", "unknown column 'household'")),
    ("lattice", {"width": 7}, ("networks[0].width", "divisor of N = 200", "got 7")),
    ("nearest-in-space", {"neighbours": 300}, ("networks[0].neighbours", "at most N - 1 = 199")),
    ("stochastic-block", {"column": "welth"}, ("networks[0].column", "categorical column 'welth'")),
    ("watts-strogatz", {"neighbours": 200}, ("networks[0].neighbours", "got 200")),
]

TABLE: list[tuple[str, Callable[[Tables], None], tuple[str, ...]]] = [
    # what the TOML says
    ("unknown key", change("stepz", 3), ("unknown key 'stepz'", "did you mean 'step")),
    ("unknown key of a metric", change("metrics.infections.flwo", "x"), ("metrics.infections", "'flow'")),
    ("unknown key of a layer", change("networks.0.mean_degre", 6), ("networks[0]", "did you mean 'mean_degree'")),
    ("unknown parameter", change("kernels.0.gama", 0.1), ("kernels[0]", "did you mean 'gamma'")),
    ("missing key", drop("steps"), ("'steps'", "missing")),
    ("text for a number", change("steps", "5"), ("steps", "whole number", "the text '5'")),
    ("true for a number", change("steps", True), ("steps", "whole number", "true")),
    ("fraction for a whole number", change("steps", 5.0), ("steps", "whole number", "5.0")),
    ("number for a text", change("title", 5), ("title", "text", "5")),
    ("list for a table", change("population", [1]), ("population", "a table", "a list")),
    ("NaN parameter", change("kernels.0.beta", float("nan")), ("kernels[0].beta", "finite number", "nan")),
    ("infinite weight", change("population.people", float("inf")), ("population.people", "finite")),
    ("text parameter", change("kernels.0.beta", "high"), ("kernels[0].beta", "number", "'high'")),
    ("negative steps", change("steps", -3), ("steps", "at least 1", "-3")),
    ("empty population", change("population.size", 0), ("population.size", "at least 1", "0")),
    ("negative size", change("population.size", -5), ("population.size", "at least 1", "-5")),
    ("size beyond 32 bits", change("population.size", 2**31), ("population.size", "at most")),
    ("out of bounds", change("kernels.0.beta", 1000.0), ("kernels[0].beta", "0 to 10", "1000")),
    ("wrong unit", change("kernels.0.beta.unit", "1/h"), ("kernels[0].beta", "'1/day'", "'1/h'")),
    ("other schema", change("schema", 2), ("schema 1", "2")),
    ("name that is a path", change("name", "../evil"), ("name", "letters")),
    ("no kernels", change("kernels", []), ("kernels", "at least 1")),
    ("bad duration", change("step", "2 fortnights"), ("step", "duration")),
    ("negative duration", change("step", "-1d"), ("step", "above 0")),
    ("repeated seed", change("seeds", [1, 1]), ("seeds", "different")),
    ("no seeds", change("seeds", 0), ("seeds", "1 to 100,000")),
    ("bad backend", change("backend", "cuda"), ("backend", "'auto'", "'cuda'")),
    ("level table of one number", change("kernels.0.beta", {"young": 0.1}), ("kernels[0].beta", "number", "table")),
    ("a run beyond the last date", change("start", DATE.replace(9999, 12, 30)), ("start", "9999", "at most 1 steps")),
    ("a step of ages", change("step", "99999999999999d"), ("step", "36525d", "'99999999999999d'")),
    ("a step of no time", change("step", "0.0000001s"), ("step", "0.001s")),
    ("more people than weights hold", change("population.people", 1e30), ("population.people", "65,535", "1e+30")),
    ("a delay of ages", intervention(at=1, delay="99999999999999d", pay=PAY), ("delay", "10,000,000")),
    *(
        (f"reserved metric {name}", change(f"metrics.{name}", {"flow": "infectious"}), (name, "reserved"))
        for name in ("arm", "seed", "step", "time", "group", "people")
    ),
    ("metric with a colon", change("metrics.on:x", {"flow": "infectious"}), ("metrics.on:x", "colon")),
    # names that nothing answers to
    ("unknown kernel", change("kernels.0.kernel", "sirr"), ("unknown kernel 'sirr'", "did you mean 'sir'")),
    ("fixed ties for a kernel that moves them", coevolving, ("kernels[0]", "needs a dynamic layer", "dynamic = true")),
    ("unknown builder", change("networks.0.builder", "erdos"), ("networks[0].builder", "'erdos'")),
    ("unknown generator", change("population.generator", "nycc"), ("population.generator", "'nycc'")),
    ("unknown layer", intervention(at=1, scale={"comunity": 0.5}), ("comunity", "did you mean 'community'")),
    ("unknown series", intervention(reduce={"community": "ordes"}), ("'ordes'", "did you mean 'orders'")),
    ("unknown lever", intervention(set={"sir.bata": 0.1}), ("'sir.bata'", "did you mean 'sir.beta'")),
    ("unknown metric", change("metrics.attack_rate.share", "infection"), ("'infection'", "'infections'")),
    ("unknown level", change("metrics.infections.flow", "infectius"), ("'infectius'", "'infectious'")),
    ("unknown group", change("metrics.infections.by", ["agee"]), ("metrics.infections.by", "did you mean 'age'")),
    (
        "unknown group of a trigger",
        intervention(when={"metric": "infections", "group": "age=oldd", "above": 1.0}, scale={"community": 0.5}),
        ("when.group", "did you mean 'old'"),
    ),
    ("unknown column", intervention(set_column={"welth": 1.0}), ("'welth'", "did you mean 'wealth'")),
    ("unknown level of a filter", intervention(where={"age": ["odl"]}, pay=PAY), ("'odl'",)),
    ("unknown ready-made intervention", change("interventions.0", {"use": "test-and-isolat"}), ("test-and-isolate",)),
    ("unknown label", change("arms.1.shift", {"order": "-7d"}), ("arms[1].shift", "did you mean 'orders'")),
    ("unknown data set", change("data", {"infections": {"file": "data:nope/x.csv", "column": "x"}}), ("data set",)),
    ("data of no metric", change("data", {"deaths": {"file": "x.csv", "column": "x"}}), ("data.deaths", "metric")),
    # names that would be misread in the files of a run or on the command line
    ("arm with a comma", change("arms.1.name", "a,b"), ("arms[1].name", "without ','", "'a,b'")),
    ("arm of two lines", change("arms.1.name", "a\nb"), ("arms[1].name", "'\\n'", "'a\\nb'")),
    ("arm that ends in a space", change("arms.1.name", "a "), ("arms[1].name", "space at an end")),
    ("level with separators", change("population.columns.0.levels", ["a;b=c", "x"]), ("columns[0].levels[0]", "';'")),
    ("level with an equals sign", change("population.columns.0.levels", ["x", "b=c"]), ("columns[0].levels[1]", "'='")),
    ("column with a separator", change("population.columns.1.name", "a;b"), ("columns[1].name", "';'")),
    ("metric with a separator", change("metrics.x;y", {"mean": "wealth"}), ("metrics.x;y", "';'")),
    ("metric of two lines", change("metrics.x\ny", {"mean": "wealth"}), ("metrics.x y", "'\\n'")),
    ("metric called step", change("metrics.step", {"mean": "wealth"}), ("metrics.step", "reserved")),
    ("layer with a separator", change("networks.0.name", "a=b"), ("networks[0].name", "'='")),
    ("kernel with a separator", change("kernels.0.name", "a=b"), ("kernels[0].name", "'='")),
    # numbers that cannot be held
    ("bounds beyond the dtype", column(dtype="uint8", bounds=[0, 1000]), ("columns[1]: column 'wealth'", "0 to 255")),
    ("bounds below the dtype", column(dtype="uint8", bounds=[-5, 5]), ("columns[1]", "0 to 255", "got -5")),
    ("default beyond the dtype", column(dtype="int8", default=200.0), ("columns[1]", "-128 to 127", "got 200")),
    ("levels beyond the dtype", column(dtype="uint8", levels=NUMBERS), ("columns[1]", "256 levels", "300")),
    ("more people than agents can stand for", change("population.people", 1e30), ("population.people", "65,535")),
    ("infinite factor", intervention(at=3, scale={"community": float("inf")}), ("scale.community", "finite", "inf")),
    ("factor too large", intervention(at=3, scale={"community": 1e308}), ("at most 3.4e+38", "got 1e+308")),
    ("knot too large", change("series.orders.knots.1", [12, 1e39]), ("at most 3.4e+38", "got 1e+39")),
    ("prior without a median", prior("lognormal", -1, 0.2), ("kernels[0].beta.prior", "a median above 0", "got -1")),
    ("prior with its ends swapped", prior("uniform", 2, 1), ("kernels[0].beta.prior", "ascending")),
    # networks that cannot be built
    *((f"{builder} of the wrong size", layer(builder, **keys), words) for builder, keys, words in BUILDERS),
    # what does not fit together
    ("two arms of one name", change("arms.1", {"name": "as it is"}), ("two arms", "'as it is'")),
    ("two layers of one name", lambda t: t["networks"].append(dict(t["networks"][0])), ("two layers", "community")),
    ("two instances of one name", lambda t: t["kernels"].append({"kernel": "sir"}), ("two kernel instances", "'sir'")),
    ("two interventions of one name", lambda t: t["interventions"].append(t["interventions"][0]), ("'orders'",)),
    (
        "cyclic reference",
        change("metrics", {"a": {"share": "b"}, "b": {"share": "a"}}),
        ("cyclic reference", "a -> b -> a"),
    ),
    ("metric of a metric of itself", change("metrics.attack_rate.share", "attack_rate"), ("cyclic",)),
    ("share of no flow", change("metrics.x", {"share": "attack_rate"}), ("expected a flow",)),
    ("generator and file", lambda t: t["population"].update(generator="a", file="b"), ("population", "both")),
    ("two acts", intervention(scale={"community": 1}, reduce={"community": 1}), ("exactly one of",)),
    ("no act", intervention(at=3), ("exactly one of", "none")),
    ("uptake above 1", intervention(uptake=1.5, pay=PAY), ("uptake", "at most 1")),
    ("reduction above 1", intervention(reduce={"community": 1.5}), ("at most 1", "1.5")),
    ("people chosen for a layer", intervention(share=0.5, scale={"community": 0.5}), ("share", "scale")),
    ("knots that fall back", change("series.orders.knots", [[12, 0.1], [10, 0.5]]), ("ascending", "orders")),
    ("a metric without bounds", change("metrics.m", {"mean": "state"}), ("metrics.m", "levels")),
    # time
    ("intervention after the run", intervention(at=30, scale={"community": 0.5}), ("within the run", "30")),
    (
        "intervention before the run",
        intervention(at=DATE.replace(month=1), scale={"community": 0.5}),
        ("within the run", "2020-01-01"),
    ),
    ("end before the beginning", intervention(at=9, until=8, scale={"community": 0.5}), ("until", "after")),
    ("shifted out of the run", change("arms.1.shift", {"orders": "-11d"}), ("arms[1].shift", "outside the run")),
    ("no whole number of steps", intervention(delay="12h", scale={"community": 0.5}), ("delay", "whole number")),
    ("a date without a start", lambda t: (t.pop("start"), t.update(report_from=DATE)), ("start",)),
    ("a date between steps", lambda t: t.update(step="2d", report_from=DATE.replace(day=2)), ("between",)),
    # files
    ("absolute file", change("population.file", "/etc/passwd"), ("population.file", "leads out")),
    ("file above the folder", change("population.file", "../agents.parquet"), ("population.file", "leads out")),
    ("file that is not there", change("population.file", "agents.parquet"), ("population.file", "no file")),
]


@pytest.mark.parametrize(("edit", "words"), [each[1:] for each in TABLE], ids=[each[0] for each in TABLE])
def test_a_bad_scenario_is_one_line(
    edit: Callable[[Tables], None], words: tuple[str, ...], tmp_path: Path, call: Callable[..., str]
) -> None:
    tables = copy.deepcopy(GOOD)
    edit(tables)
    line = call(str(write(tmp_path, tables)))
    assert "small.toml" in line
    for word in words:
        assert word in line, line


BYTES: list[tuple[str, bytes, tuple[str, ...]]] = [
    ("not TOML", b"steps = = 3\n", ("not TOML",)),
    ("a TOML cut off", b'schema = 1\nname = "sm', ("not TOML",)),
    ("a binary file", b"\x89PNG\r\n\x1a\n\x00\xff", ("UTF-8",)),
    ("an empty file", b"", ("missing",)),
    ("a key twice", b"steps = 1\nsteps = 2\n", ("not TOML",)),
    ("nested too deeply", b"a = " + b"[" * 50_000, ("small.toml",)),
]


@pytest.mark.parametrize(("content", "words"), [each[1:] for each in BYTES], ids=[each[0] for each in BYTES])
def test_a_file_that_is_no_scenario(
    content: bytes, words: tuple[str, ...], tmp_path: Path, call: Callable[..., str]
) -> None:
    path = tmp_path / "small.toml"
    path.write_bytes(content)
    line = call(str(path))
    assert all(word in line for word in words), line


OPTIONS: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("--set", "sir.bta=1"), ("'bta'", "did you mean 'beta'")),
    (("--set", "sir.beta=99"), ("lpm: --set sir.beta: expected 0 to 10", "got 99")),
    (("--set", "community.mean_degree=-1"), ("lpm: --set community.mean_degree: expected 0 to", "got -1")),
    (("--set", "step=2d"), ("lpm: --set step: ", "small.toml: arms[1].shift")),
    (("--set", "comunity.scale=1"), ("did you mean 'community.scale'",)),
    (("--set", "sir.beta"), ("path=value",)),
    (("--set", "sir.beta=nan"), ("finite",)),
    (("--set", "sir.beta=high"), ("expected a number", "'high'")),
    (("--set", "sir.beta.young=0.1"), ("no level",)),
    (("--set", "steps=1\nname='x'"), ("steps", "whole number")),
    (("--seeds", "0"), ("--seeds",)),
    (("--seeds", "many"), ("--seeds", "'many'")),
    (("--seeds", "3,3"), ("--seeds", "different")),
    (("--agents", "0"), ("--agents", "0")),
    (("--agents", "ten"), ("lpm: --agents: expected a whole number such as 100000, 100_000 or 1e5, got 'ten'",)),
    (("--agents", "1.5"), ("lpm: --agents: expected a whole number", "1.5")),
    (("--agents", "1e10"), ("lpm: --agents: expected 1 to 2147483647, got 1e10",)),
    (("--agents", "1e99999"), ("lpm: --agents: expected a whole number",)),
    (("--steps", "\N{SUPERSCRIPT TWO}"), ("lpm: --steps: expected a whole number",)),
    (("--steps", "-1"), ("--steps", "-1")),
    (("--arms", "as it was"), ("'as it was'", "did you mean 'as it is'")),
    (("--arms", "earlier,earlier"), ("twice",)),
    (("--backend", "cuda"), ("lpm: --backend: unknown backend 'cuda'; there are: auto, numba, pallas, xla",)),
    (("--backend", "numbe"), ("lpm: --backend: unknown backend 'numbe'; did you mean 'numba'?",)),
    (("--devices", "0"), ("--devices",)),
    (("--devices", "two"), ("lpm: --devices: expected a whole number",)),
    (("--checkpoint-every", "0"), ("--checkpoint-every",)),
    (("--draws", "posterior.parquet"), ("--draws", "posterior.parquet")),
    (("--draws", "posterior.txt"), ("--draws", ".csv")),
    (("--resume",), ("--resume", "no run")),
    (("--agent-count", "3"), ("--agent-count",)),
]


@pytest.mark.parametrize(("arguments", "words"), OPTIONS, ids=[" ".join(each[0])[:30] for each in OPTIONS])
def test_a_bad_option_is_one_line(
    arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path, call: Callable[..., str]
) -> None:
    line = call(str(write(tmp_path, GOOD)), *arguments)
    assert all(word in line for word in words), line


def test_a_scenario_that_is_not_there(tmp_path: Path, call: Callable[..., str]) -> None:
    assert "no such scenario" in call("nyc-civid")
    assert "cannot be read" in call(str(tmp_path / "missing.toml"))
    assert "folder" in call(str(tmp_path))
    assert "expected a built-in name or the path" in call("")
    for name in ("x" * 5000, "x" * 5000 + ".toml", f"{tmp_path}/{'x' * 5000}"):
        line = call(name)
        assert "no such scenario" in line and len(line) < 300
    line = call("mini", "--draws", "x" * 300 + ".csv")
    assert "cannot be read" in line
    assert "cannot be used: File name too long" in call("mini", out=tmp_path / ("x" * 5000))


SAMPLE = ("two arms of one name", pytest.param("absolute file", marks=pytest.mark.full))


@pytest.mark.parametrize("name", SAMPLE)
def test_the_process_ends_with_status_2(name: str, tmp_path: Path) -> None:
    tables = copy.deepcopy(GOOD)
    next(each[1] for each in TABLE if each[0] == name)(tables)
    arguments = [sys.executable, "-m", "lpm", "run", str(write(tmp_path, tables)), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_table_is_long_enough() -> None:
    assert len(TABLE) + len(BYTES) + len(OPTIONS) >= 40
    assert len({each[0] for each in TABLE}) == len(TABLE)
