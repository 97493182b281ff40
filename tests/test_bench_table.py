"""The table of `lpm bench`: what was measured, in words; the line of JSON keeps its keys."""

from __future__ import annotations

import json

import pytest

from lpm import bench, cli

KEYS = (
    "task", "graph", "agents", "arcs", "steps", "backend", "device", "seconds_per_step", "agent_updates_per_s",
    "edge_updates_per_s", "peak_rss_mb", "setup_s", "compile_s", "roofline_seconds_per_step",
)  # fmt: skip
"""The contract of `lpm bench --json`."""


def test_what_was_not_measured_is_left_out() -> None:
    found = dict.fromkeys(KEYS, 0.0) | {"arcs": 10_000_000, "device": "cpu:0", "setup_s": 0.43215, "peak_rss_mb": 800.4}
    labels = [label for label, _ in bench.rows(found)]
    assert labels == ["arcs", "device", "seconds to build the network", "peak memory, MB"]
    assert dict(bench.rows(found))["seconds to build the network"] == "0.4321"
    whole = bench.rows(found | {"seconds_per_step": 0.0165, "agent_updates_per_s": 60_606_060.6, "steps": 50})
    assert dict(whole)["agents a second"] == "60,606,061" and not any("_" in label for label, _ in whole)
    assert len(whole) == len(bench.LABELS)


def test_the_line_of_json_keeps_its_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "network", "--agents", "2000", "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert tuple(line) == KEYS and line["peak_rss_mb"] > 0
    assert cli.main(["bench", "network", "--agents", "2000"]) == 0
    told = capsys.readouterr().out
    assert "seconds to build the network" in told and "second" in told and "seconds a step" not in told
