"""The scenario's own layers beside the published matrices, rebalanced to the city's ages."""

from __future__ import annotations

import numpy as np
import pytest

from lpm.scenarios import loader, settings
from lpm.scenarios.layers import build_layer
from lpm.scenarios.people import people_of

AGENTS = 60_000


@pytest.fixture(scope="module")
def city():
    scenario = settings.replaced(loader.load("nyc-covid"), "population.size", AGENTS, "test")
    return scenario, people_of(scenario)


@pytest.mark.parametrize("layer", ["household", "school", "work", "community"])
def test_contacts_per_person_by_layer_and_age_are_the_matrix_within_five_per_cent(city, layer: str):
    """Ties are counted one by one in the network that the scenario builds.

    Contacts of an age band with m people and c contacts each are Poisson-like; where 5 % is less than four standard
    errors (rare ages, few contacts) four are allowed: a false alarm in less than one of 400 seeds for all 40 cells, and
    the seed is fixed.
    """
    scenario, people = city
    number = [table.name for table in scenario.networks].index(layer)
    network = build_layer(scenario, number, scenario.networks[number], people)
    wanted = np.asarray(network.facts["mixing"]["published"]).sum(1)
    intensity = network.columns.get("intensity", np.full(network.arcs, 64, np.uint16)).astype(np.float64) / 64
    of = np.repeat(people.columns["age"], network.degrees())
    count = np.bincount(people.columns["age"], minlength=10)
    found = np.bincount(of, intensity, minlength=10) / count
    error = 4 * np.sqrt(wanted / count)
    assert (np.abs(found - wanted) <= np.maximum(0.05 * wanted, error)).all(), (found, wanted)
    most = wanted > 0.5  # ages that matter in the layer: the bound is 5 % and nothing else
    assert (np.abs(found[most] - wanted[most]) <= 0.05 * wanted[most]).all()
