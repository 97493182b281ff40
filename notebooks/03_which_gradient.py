"""Which gradient: how wrong, how noisy and how dear each estimator is, measured on four problems."""

# %% [markdown]
# # Which gradient?
#
# A fit by gradient is as good as its gradient. Simulations of agents draw and choose, and neither a draw nor a choice
# has a derivative; there are half a dozen ways around that, and most of them are wrong by more than anyone reports.
# How wrong depends on the rule, the network and the horizon, so lpm measures it on *your* problem: `gradcheck`.
#
# `LPM_AGENTS` = agents of every problem (2,000 takes a minute on two cores; 10,000 is what the bars are stated for).

# %%
import os
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lpm.calibration.check import Check
from lpm.calibration.contagion import Contagion
from lpm.calibration.errors import BiasedError, UnusableError
from lpm.calibration.estimators.differences import CommonRandomNumbers
from lpm.calibration.estimators.message_passing import MessagePassing
from lpm.calibration.estimators.pathwise import Pathwise
from lpm.calibration.estimators.score_function import ScoreFunction
from lpm.calibration.estimators.surrogates import GumbelSoftmax, SmoothedTriple, StraightThrough
from lpm.calibration.estimators.thresholds import SmoothThreshold, threshold
from lpm.calibration.gradcheck import choose, gradcheck
from lpm.calibration.likelihood import Normal
from lpm.calibration.observation import Observation, Series
from lpm.calibration.problem import Problem, Pure
from lpm.calibration.space import Space
from lpm.networks import find
from lpm.population import Population

AGENTS = int(os.environ.get("LPM_AGENTS", "10000"))
STEPS = 50
JUPYTER = "ipykernel" in sys.modules
OUTPUT = Path("output") if JUPYTER else Path(__file__).parent / "output"
INK, GOOD, BAD, PALE = "#22333b", "#1b7f79", "#c8553d", "#b8c4c9"


def show(figure: go.Figure, name: str) -> None:
    """Show a figure in Jupyter, else write it."""
    figure.update_layout(template="plotly_white", font={"family": "sans-serif", "size": 14, "color": INK})
    if JUPYTER:
        figure.show()
        return
    OUTPUT.mkdir(exist_ok=True)
    figure.write_html(OUTPUT / f"03_{name}.html", include_plotlyjs="directory")
    print(f"figure: {OUTPUT.name}/03_{name}.html")


# %% [markdown]
# ## An epidemic on two networks
#
# SIR for 50 days, everybody with 10 contacts: once drawn at random, once with the nearest on a ring, where an epidemic
# is a wave that runs into its own neighbours. The data are a run at other parameters; the gradient is that of the
# squared error, by the logarithms of transmission and recovery, at (0.03, 0.1) a day.


# %%
def around(builder: str, **values: float) -> Contagion:
    """Return SIR on a network of ten contacts each."""
    made = find(builder, "notebook")
    network = made.build(1, made.Params(**values), Population.build(AGENTS, (), {}), (0, AGENTS))
    return Contagion("sir", network, STEPS, initial=0.01)


NETWORKS = {
    "random contacts": around("watts-strogatz", neighbours=10, rewiring=1.0),
    "ring": around("watts-strogatz", neighbours=10, rewiring=0.0),
}
RATES = Space({"beta": dist.LogNormal(-3.5, 0.7), "gamma": dist.LogNormal(-2.3, 0.5)})


def epidemic(simulator: Contagion, beta: float, other: float) -> tuple[Problem, np.ndarray]:
    """Return the problem of a prevalence curve from transmission `other`, and the point (beta, 0.1)."""
    given = {"beta": np.asarray([other]), "gamma": np.asarray([0.12])}
    curve = np.mean([simulator.run(given, np.asarray([seed]))["prevalence"][0, :, 0] for seed in (901, 902, 903)], 0)
    days = np.arange(STEPS)
    series = Series("prevalence", curve, days, days + 1, ("all",) * STEPS, False, Normal(AGENTS / 100))
    return Problem(RATES, Observation((series,)), simulator), np.log([beta, 0.1])


def some() -> list:
    """Return the estimators that know contagion, the default first."""
    exact = [CommonRandomNumbers(), MessagePassing(simulate=False), ScoreFunction()]
    return [*exact, SmoothedTriple(), GumbelSoftmax(), StraightThrough()]


checks: dict[str, Check] = {}
for place, simulator in NETWORKS.items():
    problem, at = epidemic(simulator, 0.03, 0.025)
    begun = time.process_time()
    checks[place] = gradcheck(problem, at, some(), seeds=32, truth_seeds=64)
    print(f"\n{place}: {problem.simulations} simulations, {time.process_time() - begun:.0f} CPU seconds")
    print(checks[place])

# %% [markdown]
# The arrows are the gradients, scaled so that the truth has length 1; a ring marks the standard error of each. An
# optimiser forgives a wrong length, up to a point; what it does not forgive is a wrong ratio of the two coordinates,
# and a length that is right on one network and thirty times too long on the next.

# %%
COLOURS = dict(
    zip((each.name for each in some()), (GOOD, "#4c6a92", "#8d6b94", "#d9a441", "#e08e45", BAD), strict=True)
)
arrows = make_subplots(1, 2, subplot_titles=list(NETWORKS), horizontal_spacing=0.1)
for column, check in enumerate(checks.values(), 1):
    length = np.linalg.norm(check.truth)
    told = {name: gradient / length for name, gradient in check.gradients.items()}
    told = {name: g for name, g in told.items() if np.linalg.norm(g) < 4} | {"truth": check.truth / length}
    for name, (x, y) in told.items():
        colour, row = COLOURS.get(name, INK), None if name == "truth" else check.row(name)
        arrows.add_scatter(
            x=[0, x], y=[0, y], mode="lines+markers", name=name, legendgroup=name, showlegend=column == 1,
            line={"color": colour, "width": 6 if name == "truth" else 2.5}, opacity=0.35 if name == "truth" else 1,
            marker={"symbol": "arrow", "size": [0, 13], "angleref": "previous", "color": colour}, row=1, col=column,
        )  # fmt: skip
        if row is not None and row.floor > 0.02:
            turn = np.linspace(0, 2 * np.pi, 60)
            arrows.add_scatter(
                x=x + row.floor * np.cos(turn), y=y + row.floor * np.sin(turn), mode="lines", showlegend=False,
                line={"color": colour, "width": 1, "dash": "dot"}, legendgroup=name, hoverinfo="skip",
                row=1, col=column,
            )  # fmt: skip
    axis = "" if column == 1 else "2"
    away = [f"{r.name}: {r.ratio:.0f} times too long" for r in check.rows if not r.refused and r.ratio >= 4]
    if away:
        arrows.add_annotation(
            text="off the picture:<br>" + "<br>".join(away), x=0.02, y=0.02, xref=f"x{axis} domain",
            yref=f"y{axis} domain", showarrow=False, align="left", font={"color": BAD},
        )  # fmt: skip
    arrows.update_xaxes(title="by log transmission", zerolinecolor=PALE, row=1, col=column)
    arrows.update_yaxes(title="by log recovery", zerolinecolor=PALE, scaleanchor=f"x{axis}", row=1, col=column)
arrows.update_layout(title="The same loss, six gradients", height=560, width=1120)
show(arrows, "arrows")

# %%
bars = go.Figure()
names = [each.name for each in some()]
for place, shade in zip(NETWORKS, (GOOD, BAD), strict=True):
    rows = [checks[place].row(name) for name in names]
    bars.add_scatter(
        y=names, x=[max(row.bias, 1e-3) for row in rows], mode="markers", name=place,
        error_x={"type": "data", "array": [row.bias_se for row in rows], "thickness": 1.5, "width": 4},
        marker={"size": 15, "color": shade, "symbol": ["circle" if row.passed else "x" for row in rows]},
        customdata=[[row.cosine, row.ratio, row.verdict] for row in rows],
        hovertemplate="%{y}<br>bias %{x:.3f}<br>cosine %{customdata[0]:.4f}<br>norm ratio %{customdata[1]:.2f}"
        "<br>%{customdata[2]}<extra></extra>",
    )  # fmt: skip
bars.add_vrect(x0=1e-3, x1=0.1, fillcolor=GOOD, opacity=0.07, line_width=0, annotation_text="within 10 %")
bars.update_xaxes(type="log", title="relative bias of the loss gradient (x: refused)", tickformat=".1%")
bars.update_yaxes(autorange="reversed")
bars.update_layout(
    title="An estimator is not right or wrong: it is right or wrong on a network", height=430, width=1000
)
show(bars, "bias")

# %% [markdown]
# ## Hard thresholds
#
# Bounded confidence: two people who meet move towards each other if they differ by less than epsilon. Differentiated
# as it stands, the derivative by epsilon is 0. A logistic curve in the derivative, with the state held (detached),
# mends that to within ten per cent or so, if its width suits; too narrow it is noise, too wide it hears everybody.
# `threshold(x, at)` is the hard comparison with that derivative; the run itself stays hard.


# %%
def bounded(theta: dict, key: jax.Array, static: jax.Array) -> dict:
    """Return the variance of opinions over 20 steps of random pairs."""
    first, *each = jax.random.split(key, 21)
    x, half = jax.random.uniform(first, static.shape), static.shape[0] // 2

    def step(x: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        order = jnp.argsort(jax.random.bits(key, static.shape))
        a, b = x[order[:half]], x[order[half : 2 * half]]
        move = theta["mu"] * threshold(jnp.abs(b - a), theta["epsilon"]) * (b - a)
        x = x.at[order[:half]].add(move).at[order[half : 2 * half]].add(-move)
        return x, jnp.var(x)

    return {"spread": jax.lax.scan(step, x, jnp.stack(each))[1][:, None]}


def opinions(
    simulator: Pure, space: Space, theta: dict[str, float], other: dict[str, float]
) -> tuple[Problem, np.ndarray]:
    """Return the problem of a variance by step at theta, whose data are a run at other values."""
    values = simulator.run({n: np.asarray([v]) for n, v in other.items()}, np.asarray([900]))["spread"][0, :, 0]
    when = np.arange(len(values))
    series = Series("spread", values, when, when + 1, ("all",) * len(values), False, Normal(0.002))
    u = np.asarray(space.unconstrain({n: jnp.float32(v) for n, v in theta.items()}), np.float64)
    return Problem(space, Observation((series,)), simulator), u


LISTENING = Space({"epsilon": dist.LogNormal(-1.5, 0.5), "mu": dist.LogNormal(-1.0, 0.5)})
TAUS = (0.01, 0.03, 0.1)
rule = Pure(bounded, {"spread": ("all",)}, jnp.arange(AGENTS), differentiable=True)
problem, at = opinions(rule, LISTENING, {"epsilon": 0.2, "mu": 0.3}, {"epsilon": 0.25, "mu": 0.25})
widths = [SmoothThreshold(tau) for tau in TAUS]
check = gradcheck(problem, at, [CommonRandomNumbers(), *widths, Pathwise()], seeds=8, truth_seeds=24)
checks["bounded confidence"] = check
print("\nbounded confidence\n", check, sep="")

# %%
curve = make_subplots(
    1, 2, subplot_titles=("relative bias", "gradient, in lengths of the truth"), horizontal_spacing=0.12
)
rows = [check.row(each.name) for each in widths]
curve.add_scatter(
    x=TAUS, y=[row.bias for row in rows], error_y={"array": [row.bias_se for row in rows]}, mode="lines+markers",
    line={"color": BAD, "width": 3}, marker={"size": 11}, name="smooth threshold", row=1, col=1,
)  # fmt: skip
default = check.row("common random numbers")
curve.add_hline(y=default.bias, line={"color": GOOD, "dash": "dash"}, row=1, col=1, annotation_text=default.name)
curve.add_hline(y=0.1, line={"color": PALE, "dash": "dot"}, row=1, col=1, annotation_text="10 %")
length = np.linalg.norm(check.truth)
for i, (name, shade) in enumerate(zip(check.names, ("#4c6a92", "#d9a441"), strict=True)):
    parts = [check.gradients[each.name][i] / length for each in widths]
    curve.add_scatter(
        x=TAUS, y=parts, mode="lines+markers", name=f"by log {name}", line={"color": shade, "width": 3}, row=1, col=2
    )
    curve.add_hline(y=check.truth[i] / length, line={"color": shade, "dash": "dash"}, row=1, col=2)
curve.update_xaxes(type="log", title="width tau of the surrogate", tickvals=TAUS)
curve.update_yaxes(tickformat=".0%", rangemode="tozero", row=1, col=1)
curve.update_layout(title="A width that suits, and what the others cost (dashed: the truth)", height=440, width=1120)
show(curve, "thresholds")

# %% [markdown]
# ## Smooth rules
#
# Averaging (DeGroot) is smooth, and its kernel says so: `gradient = "exact"`. JAX differentiates the engine's own run,
# the same bits as any simulation, at the price of about two runs. Kernels that draw are refused, by name.

# %%
from lpm.calibration.engine import engine  # noqa: E402
from lpm.kernel import find as kernel_named  # noqa: E402
from lpm.metrics import Metric, recorder  # noqa: E402
from lpm.network import layout  # noqa: E402
from lpm.policy import Arm, plan, policy_data  # noqa: E402
from lpm.scenarios.assembly import as_arrays  # noqa: E402
from lpm.simulation import Behaviour, Member, Model, World  # noqa: E402

degroot = kernel_named("degroot", "notebook")
people = Population.build(AGENTS, tuple(degroot.columns), {})
told = recorder((Metric("spread", "variance", "opinion"),), people.schema, people=AGENTS)
policy = plan((Arm("as it is"),), ("contacts",))
model = Model(
    (Behaviour("degroot", degroot, ("contacts",)),), told, policy, tuple(people.schema.values()), backend="xla"
)
member = Member(
    np.zeros(2, np.uint32), {"degroot": as_arrays(degroot.Params())}, policy_data(Arm("as it is"), policy, 12)
)
world = World({"contacts": layout(NETWORKS["random contacts"].network)})
averaging = engine(model, dict(people.columns), member, world, 12, {"weight": "degroot.weight"}, people=AGENTS)
slow = Space({"weight": dist.Beta(2, 8)})
problem, at = opinions(averaging, slow, {"weight": 0.1}, {"weight": 0.15})
check = gradcheck(problem, at, [CommonRandomNumbers(), Pathwise()], seeds=8, truth_seeds=16)
checks["averaging"] = check
print("\naveraging\n", check, sep="")

try:
    Pathwise().jac(epidemic(NETWORKS["ring"], 0.03, 0.025)[0], np.log([0.03, 0.1]), np.arange(1))
except UnusableError as told_why:
    print("refused:", told_why)

# %% [markdown]
# ## What "auto" takes
#
# Up to 32 parameters, common random numbers: two runs for each of them, and unbiased whatever the rule. Beyond, the
# cheapest estimator that passes a check. One that does not pass is refused; `override=True` is for those who know why.

# %%
problem, at = epidemic(NETWORKS["random contacts"], 0.03, 0.025)
print("\nauto, two parameters:", choose(problem, at).name)
print("auto, were there more than 32:", choose(problem, at, some(), check=checks["random contacts"]).name)
try:
    checks["ring"].require("straight through")
except BiasedError as told_why:
    print("refused:", told_why)
show(checks["random contacts"].figure(), "check")
