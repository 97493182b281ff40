"""The built-in cultural market: three arms over the same songs, against the published inequality."""

from __future__ import annotations

from pathlib import Path

import polars as pl

import lpm


def test_inequality_rises_with_the_signal(tmp_path: Path):
    """Mean Gini of four worlds an arm; published: 0.244 (independent) and 0.340 (0.284-0.418, counts shown).

    A world's Gini has a standard deviation of 0.03 (measured), so that 0.06 is four standard errors of a mean.
    """
    folder = lpm.run("hit-parade", seeds=4, out=tmp_path / "out", quiet=True)
    table = pl.read_parquet(folder / "trajectory.parquet").filter(pl.col("step") == 99)
    mean = {str(arm): float(value) for arm, value in table.group_by("arm").agg(pl.col("inequality").mean()).rows()}
    assert abs(mean["independent"] - 0.244) < 0.06 and 0.284 < mean["weak signal"] < 0.418 + 0.06
    assert mean["independent"] + 0.06 < mean["weak signal"] < mean["strong signal"] - 0.06
    downloads = pl.read_parquet(folder / "trajectory.parquet").group_by("arm", "seed").agg(pl.col("downloads").sum())
    assert downloads.group_by("seed").agg(pl.col("downloads").n_unique()).get_column("downloads").to_list() == [1] * 4
