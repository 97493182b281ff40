"""A first run: one call, seven arms, and what stands in the folder that it leaves."""

# %% [markdown]
# # A first run
#
# `nyc-covid` is the first wave of COVID-19 in New York City as a policy question: what would earlier orders, no orders,
# or protecting those over 65 have changed? One call runs every arm with every seed. `LPM_AGENTS` sets the number of
# agents: with a million each stands for 8 people, with few the epidemic begins with a single agent, and chance decides
# (below 50,000 there may be none).

# %%
import os
import sys
import tempfile
from pathlib import Path

import plotly.graph_objects as go
import polars as pl

import lpm

AGENTS = max(50_000, int(os.environ.get("LPM_AGENTS", "200000")))
SEEDS = 4 if AGENTS >= 100_000 else 2
JUPYTER = "ipykernel" in sys.modules
OUTPUT = Path("output") if JUPYTER else Path(__file__).parent / "output"
COLOURS = ["#22333b", "#1b7f79", "#66b2ac", "#c8553d", "#d9a441", "#8d99ae", "#b5838d"]


def show(figure: go.Figure, name: str) -> None:
    """Show a figure in Jupyter, else write it."""
    figure.update_layout(template="plotly_white", font={"family": "sans-serif", "size": 14}, height=480)
    if JUPYTER:
        figure.show()
        return
    OUTPUT.mkdir(exist_ok=True)
    figure.write_html(OUTPUT / f"01_{name}.html", include_plotlyjs="directory")
    print(f"figure: {OUTPUT.name}/01_{name}.html")


folder = lpm.run("nyc-covid", agents=AGENTS, seeds=SEEDS, out=Path(tempfile.mkdtemp()) / "first", quiet=True)
print("the folder holds:", ", ".join(sorted(each.name for each in folder.iterdir())))

# %% [markdown]
# ## The trajectory
#
# One row per arm, seed, step and group. Counts are people, whatever the number of agents. The lines are means over the
# seeds; the points are what the health department counted in a week, as a daily mean.

# %%
trajectory = pl.read_parquet(folder / "trajectory.parquet").filter(pl.col("group") == "all")
observed = pl.read_parquet(folder / "observed.parquet").filter(pl.col("metric") == "deaths")
days = (pl.col("end") - pl.col("start")).dt.total_days() + 1
weekly = observed.group_by("start", "end").agg(pl.col("value").sum()).with_columns(pl.col("value") / days).sort("end")

figure = go.Figure()
arms = trajectory["arm"].unique(maintain_order=True).to_list()
for arm, colour in zip(arms, COLOURS, strict=True):
    mean = trajectory.filter(pl.col("arm") == arm).group_by("time").agg(pl.col("deaths").mean()).sort("time")
    figure.add_scatter(
        x=mean["time"].to_list(), y=mean["deaths"].to_list(), name=arm, line={"color": colour, "width": 3}
    )
figure.add_scatter(
    x=weekly["end"].to_list(),
    y=weekly["value"].to_list(),
    name="observed",
    mode="markers",
    marker={"color": "#22333b", "size": 7, "symbol": "circle-open"},
)
figure.update_layout(title=f"Deaths a day, by arm ({AGENTS:,} agents)", yaxis_title="people")
show(figure, "deaths")

# %% [markdown]
# ## The effects
#
# Every arm of a seed meets the same chance, so the difference of two arms is known better than either. `se_ratio` is
# the error of the paired difference by that of an unpaired one.

# %%
effects = pl.read_parquet(folder / "effects.parquet").filter(
    (pl.col("metric") == "deaths") & (pl.col("group") == "all") & (pl.col("summary") == "total")
)
with pl.Config(tbl_rows=10, fmt_str_lengths=40, float_precision=2):
    print(effects.select("arm", "difference", "low", "high", "se_ratio", "interval"))

figure = go.Figure()
for row, colour in zip(effects.filter(pl.col("arm") != arms[0]).iter_rows(named=True), COLOURS[1:], strict=True):
    figure.add_bar(
        y=[row["arm"]],
        x=[row["difference"]],
        orientation="h",
        marker_color=colour,
        showlegend=False,
        error_x={"array": [row["high"] - row["difference"]], "color": "#22333b"},
    )
figure.update_layout(
    title="Deaths more (or fewer) than as it happened", xaxis_title="people, 95 % interval: chance only"
)
show(figure, "effects")

# %% [markdown]
# ## By group
#
# Metrics that a scenario counts by borough and age can be read for every group and for their products.

# %%
groups = pl.read_parquet(folder / "trajectory.parquet").filter(
    (pl.col("arm") == arms[0]) & pl.col("group").str.starts_with("age=") & ~pl.col("group").str.contains(";")
)
by_age = groups.group_by("group", maintain_order=True).agg(
    pl.col("deaths").sum() / SEEDS, pl.col("infections").sum() / SEEDS
)
with pl.Config(tbl_rows=12, float_precision=0):
    print(by_age.rename({"deaths": "deaths, mean of seeds", "infections": "infections, mean of seeds"}))
