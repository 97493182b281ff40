"""Archetypes: from a population to a table of behaviour, and what observed behaviour changes about it."""

# %% [markdown]
# # From a population to a calibrated table of behaviour
#
# A million people cannot be asked one by one, and need not: people who are alike in what matters share an *archetype*,
# and a language model is asked once what each archetype would do in each situation. The answers are a table; every
# agent draws its own behaviour from its row of it. What a model says is no data about people, so the table is then
# corrected by what people did, and the correction says how far the model was off.
#
# The table of `nyc-covid` used here was made with a model of 135 million parameters: it shows the way, nothing more.
# `LPM_AGENTS` sets the number of agents.

# %%
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

import lpm
from lpm.calibration.archetypes import calibrate, observed
from lpm.studies import study

AGENTS = max(20_000, int(os.environ.get("LPM_AGENTS", "100000")))
JUPYTER = "ipykernel" in sys.modules
OUTPUT = Path("output") if JUPYTER else Path(__file__).parent / "output"
DARK, GREEN, RED, GOLD = "#22333b", "#1b7f79", "#c8553d", "#d9a441"


def show(figure: go.Figure, name: str, height: int = 480) -> None:
    """Show a figure in Jupyter, else write it."""
    figure.update_layout(template="plotly_white", font={"family": "sans-serif", "size": 14}, height=height)
    if JUPYTER:
        figure.show()
        return
    OUTPUT.mkdir(exist_ok=True)
    figure.write_html(OUTPUT / f"06_{name}.html", include_plotlyjs="directory")
    print(f"figure: {OUTPUT.name}/06_{name}.html")


# %% [markdown]
# ## Who: archetypes and their cards
#
# People are grouped by age, kind of household and borough. A card says in words what an archetype is; what is rare in
# the population should still stand on somebody's card.

# %%
made = study.study("nyc-covid", agents=AGENTS)
print(f"{made.clusters.size} archetypes of {made.people.height:,} agents; the three of most people, and the smallest:")
for number in (0, 1, 2, made.clusters.size - 1):
    share = made.clusters.archetypes["weight"][number] / made.clusters.archetypes["weight"].sum()
    print(f"  {share:7.3%}  {made.cards[number]}")
with pl.Config(float_precision=3):
    print(made.clusters.tails(made.people))

# %% [markdown]
# ## What: the table that a model made
#
# Every archetype was asked, in every situation, whether it would stay at home today, with yes and no in both orders.
# Coverage is the probability that the model put on the two answers; order spread, how far an answer moves when the two
# are exchanged. Both say how much the model can be trusted before any data are looked at.

# %%
table = study.found("nyc-covid")
for name in ("coverage", "order_spread"):
    values = getattr(table, name)[:, :, 0]
    print(
        f"{name:13} lowest {np.nanmin(values):.2f}, median {np.nanmedian(values):.2f}, highest {np.nanmax(values):.2f}"
    )
people = table.archetypes
ages = people["age"].unique().to_list()
ages.sort(key=lambda text: int(text.split("-")[0].rstrip("+")))
group = np.array([ages.index(age) for age in people["age"]])
situations = [
    f"{int(c['incidence'])} a day, " + ("orders" if c["orders"] else "no orders") for c in table.contexts.cells()
]


def by_age(chance: np.ndarray) -> np.ndarray:
    """Return the chance of the first action by age and context, weighted by people."""
    return np.stack(
        [np.average(chance[group == g, :, 0], axis=0, weights=table.weight[group == g]) for g in range(len(ages))]
    )


figure = go.Figure(
    go.Heatmap(z=by_age(table.probability), x=situations, y=ages, colorscale="Viridis", colorbar_title="chance")
)
figure.update_layout(
    title="Chance of staying at home, as the model says it",
    yaxis_title="age",
    xaxis_title="infections per 100,000, orders",
)
show(figure, "table")

# %% [markdown]
# Look at the sign: asked under orders, or among many infections, this model says *less* often that it would stay at
# home. No model is to be believed before it has been compared with people.

# %% [markdown]
# ## What people did: a survey
#
# No survey of New York asked these questions by age in these situations, so one is *simulated from a truth that is
# known*: people react to the model's contrasts (with their wrong sign) more strongly than it does, stay at home less
# often, and the old are more careful than the young by more than it thinks. What is known can be compared with what is
# found. 40 people of every age are asked in every situation.

# %%
ASKED, TRUTH = 40, {"beta": 2.0, "offset": -0.4, "slope": 0.25}
rng = np.random.default_rng(6)
middle = (len(ages) - 1) / 2
true = TRUTH["beta"] * table.logit.astype(float)
true[:, :, 0] += TRUTH["offset"] + TRUTH["slope"] * (group - middle)[:, None]
chances = np.exp(true - true.max(-1, keepdims=True))
chances /= chances.sum(-1, keepdims=True)
counts = np.zeros(table.logit.shape)
for g in range(len(ages)):
    rows = np.flatnonzero(group == g)
    for cell in range(table.contexts.size):
        who = rng.choice(rows, ASKED, p=table.weight[rows] / table.weight[rows].sum())
        stays = rng.random(ASKED) < chances[who, cell, 0]
        np.add.at(counts, (who, cell, np.where(stays, 0, 1)), 1)

# %% [markdown]
# ## The correction
#
# p = softmax(beta z + b + u): one temperature, one offset an action, and an offset for every age that is drawn towards
# 0 unless the survey says otherwise (its spread is found by the marginal likelihood). `shifts` is the distance from the
# model's own answers: how much the data had to correct.

# %%
fitted = calibrate(observed(table.logit, counts, group, table.actions, ages))
between = fitted.offset[0] - fitted.offset[1]  # what the first action is raised by against the second
print(f"beta {fitted.beta:.2f} +- {fitted.error['beta']:.2f} (truth {TRUTH['beta']})")
print(f"offset {between:.2f} (truth {TRUTH['offset']}), spread of ages {fitted.spread:.2f}, by {fitted.chosen_by}")
with pl.Config(tbl_rows=12, float_precision=3):
    print(fitted.shifts())
corrected = replace(
    table,
    logit=fitted.logits(table.logit, group).astype(np.float32),
    provenance={**table.provenance, "calibrated": f"beta {fitted.beta:.3f}, by age, on a simulated survey"},
)

figure = make_subplots(1, 2, subplot_titles=("Chances by age: few infections, no orders", "What calibration changed"))
for values, name, colour, dash in (
    (by_age(table.probability), "model", DARK, "dash"),
    (by_age(corrected.probability), "calibrated", GREEN, "solid"),
    (by_age(chances), "truth", RED, "dot"),
):
    figure.add_scatter(
        x=ages, y=values[:, 0], name=name, line={"color": colour, "dash": dash, "width": 3}, row=1, col=1
    )
seen = np.stack([counts[group == g][:, 0].sum(0) for g in range(len(ages))])
figure.add_scatter(
    x=ages,
    y=seen[:, 0] / seen.sum(1),
    mode="markers",
    name=f"survey, {ASKED} people",
    marker={"color": GOLD, "size": 9},
    row=1,
    col=1,
)
moved = by_age(corrected.probability) - by_age(table.probability)
figure.add_heatmap(z=moved, x=situations, y=ages, colorscale="RdBu", zmid=0, row=1, col=2, colorbar_title="change")
figure.update_layout(legend={"orientation": "h", "y": 1.2})
show(figure, "calibration", 560)

# %% [markdown]
# ## In a run
#
# The scenario is written into a folder with its files; there the calibrated table takes the model's place. In both arms
# as many people stay at home in the mean as mobility says; only who they are differs.

# %%
from lpm.scenarios import loader, resolved  # noqa: E402

folder = Path(tempfile.mkdtemp()) / "calibrated"
folder.mkdir()
resolved.write(loader.load("nyc-covid"), folder)
corrected.write(folder / "inputs" / "nyc-covid" / "behaviour.parquet")
arms = ["same compliance for all (illustrative)", "archetype compliance (illustrative)"]
ran = lpm.run(folder / "scenario.toml", agents=AGENTS, steps=65, seeds=1, arms=arms, out=folder / "run", quiet=True)
trajectory = pl.read_parquet(ran / "trajectory.parquet").filter(pl.col("group").str.starts_with("age="))
last = trajectory.filter(pl.col("step") == pl.col("step").max())
figure = go.Figure()
for arm, colour in zip(arms, (DARK, GREEN), strict=True):
    rows = {
        row["group"]: row["at_home"] / row["people"] for row in last.filter(pl.col("arm") == arm).iter_rows(named=True)
    }
    figure.add_bar(x=ages, y=[rows[f"age={age}"] for age in ages], name=arm, marker_color=colour)
figure.update_layout(title="Share who stay at home on one day in April, by age", yaxis_title="share", xaxis_title="age")
show(figure, "run")
