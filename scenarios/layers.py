"""The network layers of a scenario: built, told about, and as they begin where their ties can change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lpm import cluster
from lpm.cluster.pieces import Piece, bounds, whole_of
from lpm.errors import InputError
from lpm.network import Network
from lpm.networks.draws import layer_seed
from lpm.networks.mixing import met_in, per_person
from lpm.population import Population
from lpm.scenarios import parameters, registries
from lpm.scenarios.schema import LayerTable, Scenario
from lpm.ties import Ties, from_network
from lpm.types import HostArray


@dataclass(frozen=True)
class NetworkFacts:
    """What the report tells of a layer once its arcs are on the devices.

    Attributes:
        arcs: Number of arcs.
        degrees: int64 [agents].
        facts: The builder's.
        source: The scenario's words on where it comes from.
        mixing: Contacts per person and day between age levels, generated; None without levels.
        published: The same as published, for the population's ages; None where the builder knows of none.
    """

    arcs: int
    degrees: HostArray
    facts: Mapping[str, Any]
    source: str
    mixing: HostArray | None
    published: HostArray | None


def build_layer(scenario: Scenario, number: int, table: LayerTable, population: Population) -> Network:
    """Return one network layer of a scenario: all rows, or those of this process.

    Every process has the whole of a layer whose ties change. While they build, the preferential, configuration,
    small-world and undirected spatial builders and a table of edges hold all ties or stubs of the layer, the others
    only those of the rows; the columns of all people are on every host.

    Raises:
        InputError: What its builder refuses.
    """
    where = f"{scenario.label}: networks[{number}]"
    builder = registries.builder(table.builder, f"{where}.builder")
    params = parameters.build(builder.Params, table.params, population.schema, where)
    params = registries.with_files(scenario, params, f"networks[{number}]")
    seed = layer_seed(scenario.population.seed if table.seed is None else table.seed, table.name)
    try:
        rows = (0, population.size) if table.dynamic else bounds(population.size)
        network = builder.build(seed, params, population, rows)
    except InputError as error:
        raise InputError(_placed(str(error), table.builder, where)) from None
    return network.check(f"{where} '{table.name}'")


def _placed(line: str, builder: str, where: str) -> str:
    """Return a builder's line with the place in the scenario: "lattice.width: no" as "x: networks[0].width: no"."""
    return where + line[len(builder) :] if line.startswith((f"{builder}.", f"{builder}:")) else f"{where}: {line}"


def facts_of(network: Network, table: LayerTable, population: Population) -> NetworkFacts:
    """Return what the report tells of a layer, put together from the rows of all processes."""
    told, parted = network.facts.get("mixing", {}), cluster.count() > 1 and not table.dynamic
    made = np.asarray(told["generated"]) if "generated" in told else mixing(network, population, parted=parted)
    published = np.asarray(told["published"]) if told else None
    degrees = network.degrees()
    if parted:
        degrees = whole_of(Piece(degrees.astype(np.int32), network.size)).astype(np.int64)
    return NetworkFacts(int(degrees.sum()), degrees, dict(network.facts), table.source, made, published)


def mixing(network: Network, population: Population, by: str = "age", parted: bool = False) -> HostArray | None:
    """Return float64 [levels, levels], contacts per person (row) and day with persons of a level (column).

    None where the layer stores no arcs or the population has no such categorical column. With `parted` the network is
    this process's rows, and those of all processes are put together.
    """
    if by not in population.schema or not population.schema[by].levels or network.complete:
        return None
    codes, levels = population.columns[by], len(population.schema[by].levels)
    met = met_in(network, codes, levels)
    if parted:
        met = np.sum(cluster.gathered(met.tolist()), axis=0)
    return per_person(met, codes)


def dynamic(
    scenario: Scenario, number: int, network: Network, population: Population, padded: int, devices: int
) -> Ties:
    """Return a dynamic layer as it begins.

    Raises:
        InputError: A network that is directed, weighted or complete, or has more ties than the capacity.
    """
    table = scenario.networks[number]
    capacity = table.capacity or max(1, network.arcs // 2 * 5 // 4)
    ids = np.concatenate([population.columns["id"], np.full(padded - population.size, 0xFFFF_FFFF, np.uint32)])
    where = f"{scenario.label}: networks[{number}] '{table.name}'"
    return from_network(network, capacity, ids, padded, home=table.home, where=where, shards=devices)


def degree_rank(degrees: HostArray, padded: int) -> HostArray:
    """Return float32 [padded], the share of agents of higher degree (ties by position, which follows ids)."""
    order = np.argsort(-degrees, kind="stable")
    rank = np.full(padded, 2.0, np.float32)
    rank[order] = np.arange(len(degrees)) / len(degrees)
    return rank
