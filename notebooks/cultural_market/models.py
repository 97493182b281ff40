"""What makes a visitor take a song: the two bars, and the model with unseen choosiness and taste."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from lpm.calibration import choice


def logit(parameters, data):
    """The two-parameter logit; with slope 0, quality only."""
    popular = parameters["popularity"] * jnp.log1p(data["counts"]) * data["shown"][:, None]
    return (parameters["quality"] * data["share"][None] + popular)[None], jnp.zeros(1)


def quality(parameters, data):
    """Quality only."""
    return jnp.broadcast_to(parameters["quality"] * data["share"], (1, *data["counts"].shape)), jnp.zeros(1)


def market(choosy, tastes):
    """Return the model with so many nodes of choosiness and of taste; 1 = all are alike."""
    x, log_x = choice.normal_nodes(choosy)
    y, log_y = choice.normal_nodes(tastes)
    x, y, weights = np.repeat(x, tastes), np.tile(y, choosy), (log_x[:, None] + log_y[None]).ravel()

    def utilities(parameters, data):
        popular = parameters["popularity"] * jnp.log(data["counts"] + jnp.exp(parameters["log_a"]))
        base = parameters["appeal"][None] + popular * data["shown"][:, None]  # [T, songs]
        scale = jnp.exp(parameters["spread"] * x[:, None] - parameters["less"] * data["more"][None])  # [types, T]
        liked = y[:, None] * parameters["taste"][None]  # [types, songs]
        return scale[:, :, None] * (base[None] + liked[:, None]), jnp.asarray(weights)

    return utilities, (x, y, weights)


def prior(parameters):
    """Minus the log of the priors."""
    wide = 0.5 * ((parameters["log_a"] / 1.5) ** 2 + parameters["less"] ** 2 / 4)
    tight = (parameters["appeal"] ** 2).sum() / 0.45**2 + (parameters["taste"] ** 2).sum() / 0.3**2
    # what a model does not use stays where it began
    return wide + 0.5 * tight + 0.5 * (parameters["spread"] - 0.8) ** 2 / 4


def start(share):
    """Return where fits begin: the shares [songs] of the independent world, and a taste that is not yet anything."""
    loading = 0.2 * np.random.default_rng(0).standard_normal(len(share))
    appeal = np.log(share) - np.log(share).mean()
    return {"appeal": appeal, "taste": loading, "popularity": 0.7, "log_a": 0.8, "spread": 0.8, "less": 0.1}


def without_totals(parameters, variance):
    """Return the parameters for visitors whose downloads n are not known, given the variance of log n."""
    spread = np.sqrt(parameters["spread"] ** 2 + parameters["less"] ** 2 * variance)
    return {**parameters, "spread": spread}
