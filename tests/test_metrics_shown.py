"""Vector metrics in the terminal's summary: named, not shown."""

from __future__ import annotations

import numpy as np

from lpm.effects import effects
from lpm.results import Trajectory
from lpm.summary import summary


def test_vectors_are_named_and_not_shown() -> None:
    chance = np.random.default_rng(1)
    names = ("infections", "levels.q05", "levels.q50", "opinions.bin00", "opinions.bin01")
    parts = [
        Trajectory(arm, seed, ("all",), {name: chance.random((4, 1)) for name in names}).to_frame()
        for arm in ("a", "b")
        for seed in (1, 2, 3)
    ]
    frame = effects(
        parts[0].vstack(parts[1]).vstack(parts[2]).vstack(parts[3]).vstack(parts[4]).vstack(parts[5]),
        {"infections": "flow", "levels": "quantiles", "opinions": "histogram"},
    )
    assert frame.filter(metric="opinions.bin01")["summary"].unique().len() == 3
    told = summary(frame, {"opinions": {"title": "Opinions of people"}})
    headings = [str(column.header) for column in told.table.columns]
    assert len(headings) == 4 and not any("q05" in text or "bin" in text for text in headings)
    assert told.remark == "In report.html, several values each: levels, Opinions of people."
    alone = frame.filter(metric="levels.q50")
    assert [str(column.header) for column in summary(alone).table.columns] == ["arm"]
