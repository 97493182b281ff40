"""The built-in scenario of two communities: what exposure and moderation do to firm opinions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import lpm
from lpm.communities import Communities


@pytest.mark.full
def test_exposure_moves_the_firm_as_the_rule_says(tmp_path: Path):
    """More of the own side: more people of firm opinion, communities further apart; more of the other: the reverse.

    Fixed seeds. Arms share their draws: differences between arms have a standard error of some 20 people of 4,000,
    against more than 150 for the smallest, so that a false alarm has a chance below 1e-6.
    """
    folder = lpm.run("echo-chambers", agents=4_000, seeds=2, out=tmp_path / "out", quiet=True)
    end = pl.read_parquet(folder / "trajectory.parquet").filter(pl.col("step") == 59)
    firm = dict(end.filter(group="all").group_by("arm").agg(pl.col("firm").mean()).rows())
    assert firm["cross-cutting exposure"] < firm["neutral"] < firm["same-side exposure"]
    assert firm["moderation"] < firm["neutral"]
    sides = {
        side: dict(end.filter(group=f"community={side}").group_by("arm").agg(pl.col("opinion").mean()).rows())
        for side in ("left", "right")
    }
    apart = {arm: sides["right"][arm] - sides["left"][arm] for arm in sides["left"]}
    assert apart["cross-cutting exposure"] < apart["moderation"] < apart["neutral"] < apart["same-side exposure"]
    shape = end.filter(group="all").group_by("arm").agg(pl.col("polarization", "variance", "likeness", "across").mean())
    told = {row["arm"]: row for row in shape.iter_rows(named=True)}
    for name in ("polarization", "variance", "likeness", "across"):  # one side: more alike, further from the other
        assert told["cross-cutting exposure"][name] < told["neutral"][name] < told["same-side exposure"][name], name
    assert told["moderation"]["polarization"] < told["neutral"]["polarization"]
    bins = end.filter(group="all").select(pl.sum_horizontal("^opinions\\.bin.*$"), "people")
    assert (bins.to_series(0) - bins.to_series(1)).abs().max() == 0
    before = pl.read_parquet(folder / "trajectory.parquet").filter((pl.col("step") < 10) & (pl.col("group") == "all"))
    assert before.group_by("seed", "step").agg(pl.col("firm").n_unique()).get_column("firm").max() == 1


def test_communities_belong_to_ids():
    """A larger population begins as the smaller one does; shares within 4.5 standard deviations (1e-5)."""
    small, large = (Communities.generate(3, Communities.Params(0.3), size) for size in (1_000, 20_000))
    assert np.array_equal(small.columns["community"], large.columns["community"][:1_000])
    assert abs(large.columns["community"].mean() - 0.3) < 4.5 * np.sqrt(0.21 / 20_000)
