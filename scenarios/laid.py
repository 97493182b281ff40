"""The layers of a scenario on the devices: built, dealt with the agents, and laid out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lpm.network import Layer, Network, layout
from lpm.ops.dispatch import using
from lpm.ops.neighbours import row_width
from lpm.population import Population
from lpm.scenarios import registries
from lpm.scenarios.dealing import Dealing, deal
from lpm.scenarios.layers import NetworkFacts, build_layer, dynamic, facts_of
from lpm.scenarios.options import Progress
from lpm.scenarios.schema import Scenario
from lpm.ties import Ties
from lpm.types import HostArray


@dataclass(frozen=True)
class Laid:
    """The layers of a scenario.

    Attributes:
        layers: Fixed layers, laid out for the devices.
        ties: Dynamic layers as they begin.
        told: What the report tells of each, in outside order.
        dealing: Where agents stand.
        seconds: Time spent by stage.
    """

    layers: Mapping[str, Layer]
    ties: Mapping[str, Ties]
    told: Mapping[str, NetworkFacts]
    dealing: Dealing
    seconds: Mapping[str, float]


def lay(scenario: Scenario, population: Population, devices: int, progress: Progress) -> Laid:
    """Return the layers; on several devices all are built before the first is laid out, because their arcs are dealt.

    Raises:
        InputError: What a builder refuses, or more arcs than a device can hold.
    """
    seconds: dict[str, float] = {}
    told: dict[str, NetworkFacts] = {}
    built: dict[int, Network] = {}
    layers: dict[str, Layer] = {}
    ties: dict[str, Ties] = {}
    with using(scenario.backend):
        width = row_width()

    def place(number: int, network: Network, dealing: Dealing) -> None:
        table = scenario.networks[number]
        if table.dynamic:
            begun = dynamic(scenario, number, network, population, dealing.padded, devices)
            ties[table.name] = dealing.moved(begun)
        else:
            spread = dealing.spread(network)
            blocks = _is_visited(scenario, table.name)
            layers[table.name] = layout(spread, devices, dealing.padded, table.home, width, blocks)

    dealing = deal(np.zeros(population.size, np.int64), 1)
    for number, table in enumerate(scenario.networks):
        clock = time.perf_counter()
        progress(f"network {table.name}", 0, 1)
        network = build_layer(scenario, number, table, population)
        if devices == 1:
            place(number, network, dealing)
        else:
            built[number] = network
        told[table.name] = facts_of(network, table, population)
        del network
        progress(f"network {table.name}", 1, 1)
        seconds[f"network {table.name}"] = time.perf_counter() - clock
    if devices > 1:
        clock = time.perf_counter()
        dealing = deal(_arcs(scenario, told, population.size), devices)
        for number in sorted(built):
            place(number, built.pop(number), dealing)
        seconds["dealing"] = time.perf_counter() - clock
    return Laid(layers, ties, told, dealing, seconds)


def _arcs(scenario: Scenario, told: Mapping[str, NetworkFacts], size: int) -> HostArray:
    """Return int64 [size], the arcs of each agent over all layers that stay as they are."""
    arcs = np.zeros(size, np.int64)
    for table in scenario.networks:
        if not table.dynamic:
            arcs += told[table.name].degrees
    return arcs


def _is_visited(scenario: Scenario, layer: str) -> bool:
    """Return whether sums over a layer may be of values wider than a byte, which devices visit bucket by bucket.

    Kernels whose agents all look at all their neighbours hold such values where they write floats; metrics over the
    arcs of a layer may be of any column.
    """
    if any(metric.layer == layer for metric in scenario.metrics.values()):
        return True
    kernels = registries.kernels_of(scenario)
    for instance in scenario.kernels:
        kernel = kernels[instance.name]
        floats = {column.name for column in kernel.columns if column.dtype == "float32"}
        if layer in (instance.layers or (layer,)) and kernel.schedule == "synchronous" and floats & set(kernel.writes):
            return True
    return False
