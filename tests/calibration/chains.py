"""Contagion solved without draws: the Markov chain of all joint states of a few agents, in float64.

Written from the law alone (one agent's chances given the states of all), with nothing of lpm in it.
"""

from __future__ import annotations

import itertools

import numpy as np

Values = np.ndarray

TREE = np.array([[0, 1], [1, 2], [1, 3], [3, 4]])
"""A tree of five agents."""


def contacts_of(size: int, ties: Values, intensity: Values | float = 1.0) -> Values:
    """Return [receiver, source] contacts a day of undirected ties."""
    made = np.zeros((size, size))
    made[ties[:, 0], ties[:, 1]] = intensity
    made[ties[:, 1], ties[:, 0]] = intensity
    return made


def tallies(kernel: str, contacts: Values, beta: Values, gamma: Values, start: Values, dt: float = 1.0) -> Values:
    """Return [T, 3, N]: chances of every agent to be susceptible, infectious, and infected in the step just done.

    Args:
        kernel: "si", "sis" or "sir".
        contacts: [N, N], receiver by source.
        beta: [T] hazards of infection per contact.
        gamma: [T] rates of recovery.
        start: [N] chances to start infectious.
        dt: Length of a step.
    """
    size = len(contacts)
    states = np.array(list(itertools.product(range(3 if kernel == "sir" else 2), repeat=size)))
    ill = states == 1
    mass = np.where(ill, start, np.where(states == 0, 1 - start, 0.0)).prod(1)
    made = []
    for hazard, rate in zip(beta, gamma, strict=True):
        caught = 1 - np.exp(-hazard * dt * ill @ contacts.T)  # [states, N]
        healed = 0.0 if kernel == "si" else 1 - np.exp(-rate * dt)
        back = 2 if kernel == "sir" else 0
        moves = np.zeros((len(states), size, 3))
        for agent in range(size):
            well, sick = states[:, agent] == 0, ill[:, agent]
            moves[:, agent, 0] = np.where(well, 1 - caught[:, agent], 0)
            moves[:, agent, 1] = np.where(well, caught[:, agent], np.where(sick, 1 - healed, 0))
            moves[:, agent, 2] += states[:, agent] == 2
            moves[sick, agent, back] += healed
        new = (mass[:, None] * (states == 0) * caught).sum(0)
        chance = np.ones((len(states), len(states)))
        for agent in range(size):
            chance *= moves[:, agent, :][:, states[:, agent]]
        mass = mass @ chance
        made.append(np.stack([mass @ (states == 0), mass @ ill, new]))
    return np.array(made)
