"""Network builders: the closed forms of each model, and the stream that they draw from."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lpm.networks import draws, mixing
from lpm.networks.configuration import _keys, _place, _stub  # type: ignore[reportPrivateUsage]
from lpm.population import Column, Population

from .conftest import RARE, chi_square, made, neighbours, population


def test_the_stream_is_splitmix64_and_the_logs_are_right() -> None:
    # the first outputs for seed 1234567 that public implementations of SplitMix64 agree on
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert [int(draws.hashed(np.uint64(1234567), k)) for k in range(5)] == known
    for x in [1.0, 0.5, 0.7071, 0.70711, 1e-3, 2.0**-53, 0.999999999, *np.random.default_rng(0).random(200)]:
        assert draws.log_unit(x) == pytest.approx(math.log(x), rel=1e-15, abs=3e-16)
        assert draws.log_without(x * 0.999) == pytest.approx(math.log1p(-x * 0.999), rel=1e-14)
    assert draws.unit(np.uint64(2**64 - 1)) == 1.0 and draws.unit(np.uint64(0)) == 2.0**-53
    assert [int(draws.below(np.uint64(b), 10)) for b in (0, 2**63, 2**64 - 1)] == [0, 5, 9]
    assert draws.layer_seed(1, "work") != draws.layer_seed(1, "school")


def test_erdos_renyi_ties_every_pair_with_the_same_probability() -> None:
    size, times, mean = 30, 500, 9.0
    people = population(size)
    counts, totals = np.zeros((size, size)), np.zeros(times)
    for seed in range(times):
        network = made("erdos-renyi", seed, people, mean_degree=mean)
        counts[np.repeat(np.arange(size), network.degrees()), network.indices] += 1
        totals[seed] = network.arcs / 2
    p, pairs = mean / (size - 1), size * (size - 1) // 2
    z = (counts[np.triu_indices(size, 1)] - times * p) / math.sqrt(times * p * (1 - p))
    assert RARE < stats.chi2.sf((z**2).sum(), pairs) < 1 - RARE
    assert RARE < stats.chi2.sf(((totals - pairs * p) ** 2).sum() / (pairs * p * (1 - p)), times) < 1 - RARE


def test_erdos_renyi_degrees_are_binomial() -> None:
    size = 20_000
    network = made("erdos-renyi", 1, population(size), mean_degree=8.0)
    wanted = size * stats.binom.pmf(np.arange(40), size - 1, 8.0 / (size - 1))
    assert chi_square(np.bincount(network.degrees(), minlength=40), wanted) > RARE
    assert abs(network.arcs - 8.0 * size) < 4.4 * math.sqrt(2 * 8.0 * size)  # RARE of a normal
    assert made("erdos-renyi", 1, population(5), mean_degree=4.0).arcs == 20
    assert made("erdos-renyi", 1, population(1), mean_degree=0.0).arcs == 0


def test_barabasi_albert_degrees_follow_the_closed_form_and_the_graph_grows() -> None:
    size, m = 60_000, 5
    network = made("barabasi-albert", 1, population(size), ties=m)
    assert network.arcs == 2 * (m * (m + 1) // 2 + (size - m - 1) * m)
    degrees = network.degrees()
    assert degrees.min() == m
    for k in (6, 8, 12, 20, 40):  # P(degree >= k) = m (m + 1) / (k (k + 1)), Bollobas et al. 2001, 10.1002/rsa.1009
        share = m * (m + 1) / (k * (k + 1))
        assert abs((degrees >= k).mean() - share) < 5 * math.sqrt(share / size)
    tail = degrees[degrees >= 40]
    assert 1 + 1 / np.log(tail / 39.5).mean() == pytest.approx(3.0, abs=0.2)
    small = neighbours(made("barabasi-albert", 1, population(2000), ties=m))
    grown = neighbours(made("barabasi-albert", 1, population(5000), ties=m))
    assert [{u for u in near if u < 2000} for near in grown[:2000]] == small


@pytest.mark.parametrize("rewiring", [0.0, 0.1, 0.4])
def test_watts_strogatz_clusters_as_the_closed_form_says(rewiring: float) -> None:
    size, k = 6000, 10
    network = made("watts-strogatz", 1, population(size), neighbours=k, rewiring=rewiring)
    near = neighbours(network)
    assert network.arcs <= size * k and network.arcs > size * k - 40
    linked = sum(len(near[u] & near[v]) for v in range(size) for u in near[v])
    paths = float((network.degrees() * (network.degrees() - 1)).sum())
    kept = 3 * (k - 2) / (4 * (k - 1)) * (1 - rewiring) ** 3  # Barrat & Weigt 2000, 10.1007/s100510050067
    spread = network.degrees().var() / (k * (k - 1))  # the same triangles over the realised number of paths
    assert linked / paths == pytest.approx(kept / (1 + spread), abs=0.012 if rewiring else 1e-12)


def test_lattices_are_what_they_say() -> None:
    ring = neighbours(made("lattice", 1, population(10), shape="ring", neighbours=4))
    assert ring == [{(v - 2) % 10, (v - 1) % 10, (v + 1) % 10, (v + 2) % 10} for v in range(10)]
    torus = neighbours(made("lattice", 1, population(12), width=4))
    assert torus[0] == {1, 3, 4, 8} and torus[11] == {7, 3, 10, 8}
    moore = made("lattice", 1, population(12), neighbours=8)
    assert (moore.degrees() == 8).all()


def test_stochastic_block_means() -> None:
    size, table = 20_000, ((6.0, 1.0, 2.0), (1.5, 8.0, 0.0), (5.0, 0.0, 4.0))
    people = population(size)
    network = made("stochastic-block", 1, people, column="place", mean_degrees=table)
    codes = people.columns["place"]
    counts = np.bincount(codes, minlength=3)
    totals = np.array(table) * counts[:, None]
    totals = (totals + totals.T) / 2
    found = mixing.counted(network, codes, 3) * counts[:, None]
    assert (np.abs(found - totals) <= 4.8 * np.sqrt(2 * totals)).all()
    assert network.facts["reciprocity gap averaged"] > 0
    assert found[1, 2] == 0


def table_of(stubs: int) -> tuple[int, int]:
    tall = max(math.isqrt(stubs - 1) + 1, 1)
    return tall, -(-stubs // tall)


@pytest.mark.parametrize("stubs", [1, 2, 3, 7, 16, 97, 1000])
def test_the_stub_permutation_is_a_bijection(stubs: int) -> None:
    keys = _keys(3, stubs)
    tall, wide = table_of(stubs)
    places = [int(_place(keys, np.int64(s), stubs, tall, wide)) for s in range(stubs)]
    assert sorted(places) == list(range(stubs))
    assert [int(_stub(keys, np.int64(place), stubs, tall, wide)) for place in places] == list(range(stubs))


def test_matchings_are_equally_likely() -> None:
    seen: dict[tuple[int, ...], int] = {}
    for seed in range(3000):
        keys = _keys(seed, 6)
        stub = [int(_stub(keys, np.int64(place), 6, *table_of(6))) for place in range(6)]
        partner = dict(zip(stub, [stub[place ^ 1] for place in range(6)], strict=True))
        matching = tuple(partner[s] for s in range(6))
        seen[matching] = seen.get(matching, 0) + 1
    assert len(seen) == 15 and chi_square(list(seen.values()), [200.0] * 15) > RARE
    single = Population.build(6, [Column("degree", "uint8", "wanted degree", default=1)], {})
    assert made("configuration", 4, single, degrees="column", column="degree").arcs == 6


def test_configuration_keeps_its_degrees() -> None:
    people = population(20_000)
    network = made("configuration", 1, people, degrees="column", column="degree")
    lost = people.columns["degree"].astype(int) - network.degrees()
    assert lost.min() == 0 and lost.sum() < 60  # about (<k2> - <k>)^2 / <k>^2 / 2 + ... ties are loops or repeated
    poisson = made("configuration", 1, people, degrees="poisson", mean_degree=6.0)
    assert chi_square(np.bincount(poisson.degrees(), minlength=40), 20_000 * stats.poisson.pmf(np.arange(40), 6)) > RARE
    spread = made("configuration", 1, people, degrees="negative-binomial", mean_degree=6.0, dispersion=2.0).degrees()
    assert chi_square(np.bincount(spread, minlength=200), 20_000 * stats.nbinom.pmf(np.arange(200), 2, 0.25)) > RARE
    power = made("configuration", 1, people, degrees="power-law", exponent=3.5, minimum=3, maximum=200).degrees()
    law = np.arange(3, 201.0) ** -3.5
    found = np.bincount(power, minlength=201)[4:13]
    assert (
        chi_square(found, 20_000 * (law / law.sum())[1:10] * found.sum() / (20_000 * (law / law.sum())[1:10].sum()))
        > RARE
    )


def test_nearest_agents_equal_all_distances() -> None:
    people = population(400)
    x, y = (people.columns[c].astype(np.float64) for c in ("x", "y"))
    x, y = x - x.min(), y - y.min()
    squares = np.subtract.outer(x, x) ** 2 + np.subtract.outer(y, y) ** 2
    np.fill_diagonal(squares, np.inf)
    order = np.sort(np.argsort(squares, axis=1, kind="stable")[:, :7], axis=1)
    nearest = made("nearest-in-space", 1, people, neighbours=7)
    assert np.array_equal(nearest.indices.reshape(400, 7), order)
    either = made("nearest-in-space", 1, people, neighbours=7, undirected=True)
    chosen = np.zeros((400, 400), bool)
    np.put_along_axis(chosen, order, True, axis=1)
    assert neighbours(either) == [set(np.flatnonzero(row).tolist()) for row in chosen | chosen.T]
    for radius in (0.11, math.sqrt(np.sort(squares, axis=None)[800]) * (1 + 1e-12), 5.0):
        within = made("nearest-in-space", 1, people, radius=radius)
        assert neighbours(within) == [set(np.flatnonzero(row <= radius * radius).tolist()) for row in squares]


def test_agents_on_one_spot_or_line_have_neighbours() -> None:
    columns = [Column("x", "float32", "first"), Column("y", "float32", "second")]
    spot = Population.build(9, columns, {})
    assert neighbours(made("nearest-in-space", 1, spot, neighbours=2))[5] == {0, 1}
    assert (made("nearest-in-space", 1, spot, radius=0.5).degrees() == 8).all()
    line = Population.build(9, columns, {"x": np.arange(9.0)})
    assert neighbours(made("nearest-in-space", 1, line, radius=1.0))[4] == {3, 5}


def test_complete_has_no_arcs() -> None:
    network = made("complete", 1, population(50), contacts=7.0)
    assert network.complete and network.arcs == 0 and network.rows == 50 and network.facts["contacts"] == 7.0
