"""A scenario that uses every part of the schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from lpm.scenarios import loader
from lpm.scenarios.schema import Scenario

FULL = """
schema = 1
name = "city"
title = "A small city"
description = 'Quotes " and \\ stay'
assumptions = ["People meet at random.", "Nobody travels: é, 東京, \U0001f3e5."]
calibrated = false
step = "12h"
start = 2020-02-01
report_from = 2020-02-10
steps = 100
seeds = [3, 5, 8]
backend = "xla"

[population]
size = 1_000
people = 8336817
seed = 7
columns = [
  { name = "age", dtype = "uint8", meaning = "age group", levels = ["0-64", "65-74", "75+"] },
  { name = "borough", dtype = "uint8", meaning = "borough", levels = ["Bronx", "Queens"] },
  { name = "wealth", dtype = "float32", meaning = "savings", unit = "USD", bounds = [-1e6, 1e6], default = 10.0 },
]

[[networks]]
name = "household"
builder = "watts-strogatz"
neighbours = 4
rewiring = 0.01
home = true
source = "a source"

[[networks]]
name = "community"
builder = "erdos-renyi"
mean_degree = { value = 6.25, source = "guess" }
seed = 11
scale = 0.9

[[networks]]
name = "work"
builder = "erdos-renyi"

[[kernels]]
kernel = "seir"
beta = { value = 0.035, unit = "1", source = "x", prior = ["lognormal", 0.035, 0.2] }
susceptibility = { "65-74" = 0.5, "75+" = 0.25 }
clinical = [0.5, 0.6, 0.7]
layers = ["household", "community"]

[[kernels]]
kernel = "importation"
columns = { place = "borough" }
daily = { value = { Bronx = 1.5, Queens = 2 }, unit = "people/day", source = "guess" }

[series]
orders = { knots = [[2020-02-16, 0.1], [2020-02-22, 0.30000000000000004]], source = "a series" }

[metrics]
infections = { flow = "exposed", by = ["borough", "age"], title = "Infections", unit = "people" }
deaths = { flow = ["dead", "dead outside"], by = ["borough", "age"] }
occupancy = { stock = ["hospitalised recovering", "hospitalised dying"], by = ["borough"] }
attack_rate = { share = "infections" }
ifr = { ratio = ["deaths", "infections"], by = ["age"] }
r_t = { reproduction = "infections", interval = [6.5, 2.0] }
savings = { mean = "wealth" }

[[interventions]]
label = "orders"
at = 2020-02-16
until = 2020-03-20
reduce = { community = "orders" }

[[interventions]]
name = "masks"
when = { metric = "occupancy", group = "borough=Bronx", above = 50.0, release = 30.0 }
scale = { community = 0.8, "seir.beta" = 0.9 }

[[interventions]]
use = "test-and-isolate"
capacity = 100
where = { age = "75+" }
cost = { per_person = 10.0 }

[[interventions]]
name = "pay those who are poor"
at = 20
where = { wealth = { max = 10.0 }, present = true }
share = 0.5
every = "2w"
pay = { column = "wealth", amount = 100.0 }

[[interventions]]
use = "trace-contacts"

[[surveys]]
name = "panel"
every = "1w"
sample = 100
ask = ["state", "wealth"]

[[arms]]
name = "as it happened"

[[arms]]
name = "one week earlier"
shift = { orders = "-7d" }
omit = ["masks"]
interventions = [{ use = "vaccinate-by-age", at = 2020-02-20, uptake = 0.123456789 }]
"""


@pytest.fixture
def full(tmp_path: Path) -> Scenario:
    path = tmp_path / "city.toml"
    path.write_text(FULL, encoding="utf-8")
    return loader.load(path)
