"""Network builders: the same graph for any split, simple and symmetric, and the closed forms of each model."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from lpm import networks
from lpm.errors import InputError
from lpm.network import Network
from lpm.networks import build_whole, draws, find, mixing
from lpm.networks.configuration import _keys, _place, _stub  # type: ignore[reportPrivateUsage]
from lpm.population import Column, Population

SIZE = 1001
RARE = 1e-5
"""False-alarm rate of each statistical check; the seeds are fixed, so a check that passes once passes again."""

LEVELS = ("a", "b", "c", "d", "e", "f")
MATRIX = 0.4 + 3.0 * np.exp(-np.abs(np.subtract.outer(np.arange(6), np.arange(6))) / 1.5)


def population(size: int = SIZE, seed: int = 0) -> Population:
    draw = np.random.default_rng(seed)
    columns = (
        Column("level", "uint8", "level of the contact matrix", levels=LEVELS),
        Column("place", "uint8", "group", levels=("north", "south", "west")),
        Column("household", "uint32", "household"),
        Column("degree", "uint16", "wanted degree"),
        Column("x", "float32", "first coordinate"),
        Column("y", "float32", "second coordinate"),
    )
    values = {
        "level": draw.choice(6, size, p=[0.1, 0.2, 0.25, 0.2, 0.15, 0.1]),
        "place": draw.choice(3, size, p=[0.5, 0.3, 0.2]),
        "household": draw.integers(0, max(size // 2, 1), size),
        "degree": draw.integers(0, 9, size),
        "x": draw.random(size),
        "y": 2 * draw.random(size),
    }
    return Population.build(size, columns, values)


@pytest.fixture(scope="module")
def matrix_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("contacts") / "matrix.csv"
    np.savetxt(path, MATRIX, delimiter=",")
    return str(path)


def parameters(name: str, matrix_file: str, size: int = SIZE) -> dict[str, Any]:
    """Return parameters of every registered builder: a new builder has its line here."""
    pairs = np.random.default_rng(5).choice(size * (size - 1) // 2, 3000, replace=False)
    low = np.floor((1 + np.sqrt(8.0 * pairs + 1)) / 2).astype(np.int64)
    frame = pl.DataFrame({"source": low, "target": pairs - low * (low - 1) // 2, "weight": pairs / 7.0})
    given: dict[str, dict[str, Any]] = {
        "barabasi-albert": {},
        "complete": {},
        "configuration": {"degrees": "negative-binomial", "mean_degree": 6.0, "dispersion": 0.7},
        "contact-matrix": {"column": "level", "matrix": matrix_file, "groups": "place", "contacts_per_arc": 0.5},
        "edges": {"frame": frame, "columns": ("weight",)},
        "erdos-renyi": {},
        "households": {},
        "lattice": {"neighbours": 8},
        "nearest-in-space": {"neighbours": 6},
        "stochastic-block": {"column": "place", "mean_degrees": ((6.0, 1.0, 2.0), (1.0, 8.0, 1.0), (2.0, 1.0, 4.0))},
        "watts-strogatz": {"rewiring": 0.3},
    }
    return given[name]


def made(name: str, seed: int, people: Population, pieces: int = 1, **values: Any) -> Network:
    return build_whole(name, seed, find(name, "test").Params(**values), people, pieces)


def neighbours(network: Network) -> list[set[int]]:
    ends, indices = network.indptr.tolist(), network.indices.tolist()
    return [set(indices[a:b]) for a, b in itertools.pairwise(ends)]


def chi_square(counts: Any, wanted: Any) -> float:
    """Return the p-value of counts against expectations, classes below 8 pooled into the last."""
    counts, wanted = np.asarray(counts, float), np.asarray(wanted, float)
    large = wanted >= 8
    counts = np.append(counts[large], counts[~large].sum())
    wanted = np.append(wanted[large], wanted[~large].sum())
    keep = wanted > 1
    return float(stats.chi2.sf(((counts - wanted)[keep] ** 2 / wanted[keep]).sum(), keep.sum() - 1))


@pytest.mark.parametrize("name", sorted(networks.builders()))
def test_any_split_of_the_rows_gives_the_same_graph(name: str, matrix_file: str) -> None:
    people, values = population(), parameters(name, matrix_file)
    whole = made(name, 7, people, **values)
    for pieces in (3, 7):
        split = made(name, 7, people, pieces, **values)
        assert np.array_equal(whole.indptr, split.indptr) and np.array_equal(whole.indices, split.indices)
        assert whole.complete == split.complete and set(whole.columns) == set(split.columns)
        assert all(np.array_equal(whole.columns[c], split.columns[c]) for c in whole.columns)
    assert whole.indices.dtype == np.int32 and whole.indptr.dtype == np.int64


@pytest.mark.parametrize("name", sorted(networks.builders()))
def test_graphs_are_simple_and_symmetric(name: str, matrix_file: str) -> None:
    network = made(name, 7, population(), **parameters(name, matrix_file))
    rows = np.repeat(np.arange(SIZE), network.degrees())
    arcs = rows * SIZE + network.indices
    assert (rows != network.indices).all(), "no loops"
    assert (np.diff(arcs) > 0).all(), "ascending rows without repeated arcs"
    if not network.facts.get("directed"):
        back = np.argsort(network.indices.astype(np.int64) * SIZE + rows)
        assert np.array_equal(arcs, (network.indices.astype(np.int64) * SIZE + rows)[back])
        assert all(np.array_equal(values, values[back]) for values in network.columns.values())


@pytest.mark.parametrize("name", sorted(networks.builders()))
def test_the_seed_decides(name: str, matrix_file: str) -> None:
    people, values = population(), parameters(name, matrix_file)
    one, again, other = (made(name, seed, people, **values) for seed in (7, 7, 8))
    assert np.array_equal(one.indices, again.indices)
    if name not in ("complete", "edges", "households", "lattice", "nearest-in-space"):
        assert not np.array_equal(one.indices, other.indices)


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


def close(found: Any, wanted: Any, people: Any) -> bool:
    """Return whether mean contacts lie within 5 standard errors (ties are independent, so totals are binomial)."""
    error = np.sqrt(2 * np.maximum(wanted, 1e-12) / np.maximum(people, 1)[:, None])
    return bool((np.abs(found - wanted) <= 5 * error).all())


def test_contacts_by_level_are_those_of_the_matrix(matrix_file: str) -> None:
    people = population(50_000)
    level, counts = people.columns["level"], np.bincount(people.columns["level"], minlength=6)
    wanted, gap = mixing.reconcile(MATRIX * 1.5, counts)
    network = made("contact-matrix", 1, people, column="level", matrix=matrix_file, factor=1.5, bands="level")
    found = mixing.counted(network, level, 6)
    assert close(found, wanted, counts)
    assert found.sum(1) == pytest.approx(wanted.sum(1), rel=0.02)
    assert network.facts["reciprocity gap averaged"] == pytest.approx(gap) and not network.columns
    assert np.allclose(network.facts["mixing"]["generated"], found)
    assert np.allclose(network.facts["mixing"]["published"], wanted)
    cells = stats.poisson.pmf(np.arange(40), wanted[2].sum()) * counts[2]  # one level's degrees: nearly Poisson
    assert chi_square(np.bincount(network.degrees()[level == 2], minlength=40), cells) > RARE
    daily = made("contact-matrix", 1, people, column="level", matrix=matrix_file, factor=1.5, contacts_per_arc=3.0)
    assert (daily.columns["intensity"] == 192).all() and daily.arcs == pytest.approx(network.arcs / 3, rel=0.03)
    assert mixing.counted(daily, level, 6) == pytest.approx(wanted, rel=0.12)


def test_groups_mix_as_told_and_levels_keep_their_contacts(matrix_file: str) -> None:
    people = population(50_000)
    table = ((8.0, 1.0, 1.0), (1.0, 4.0, 2.0), (1.0, 2.0, 4.0))
    values: dict[str, Any] = {"column": "level", "matrix": matrix_file, "groups": "place"}
    network = made("contact-matrix", 1, people, **values, mixing=table)
    level, place = people.columns["level"].astype(int), people.columns["place"].astype(int)
    counts = np.bincount(level, minlength=6)
    wanted, _ = mixing.reconcile(MATRIX, counts)
    assert close(mixing.counted(network, level, 6), wanted, counts)
    met = mixing.counted(network, place, 3) * np.bincount(place)[:, None]
    odds = met[0, 0] * met[1, 1] / (met[0, 1] * met[1, 0])
    assert odds == pytest.approx(8 * 4 / (1 * 1), rel=0.05)
    for group in range(3):  # everybody of a level has the level's contacts whatever the group
        mine = place == group
        means = np.bincount(level[mine], network.degrees()[mine]) / np.bincount(level[mine])
        assert (np.abs(means - wanted.sum(1)) < 5 * np.sqrt(wanted.sum(1) / np.bincount(level[mine]))).all()


def test_commuters_meet_where_they_work(tmp_path: Path, matrix_file: str) -> None:
    path = tmp_path / "flows.csv"
    path.write_text("home,north,south,west,outside\nnorth,10,0,10,3\nsouth,0,20,0,0\nwest,0,0,30,1\n")
    flows = mixing.read_flows(str(path), ("north", "south", "west"), "test")
    assert np.allclose(mixing.meeting(flows), [[12.5, 0, 7.5], [0, 20, 0], [7.5, 0, 22.5]])
    path.write_text("home,north,south,west\nnorth,90,5,5\nsouth,10,80,10\nwest,20,20,60\n")
    people = population(20_000)
    values: dict[str, Any] = {"column": "level", "matrix": matrix_file, "groups": "place", "commuting": str(path)}
    network = made("contact-matrix", 1, people, **values)
    met = mixing.counted(network, people.columns["place"], 3)
    assert (met.argmax(1) == np.arange(3)).all()


def test_few_agents_hold_what_their_pairs_have_room_for(matrix_file: str) -> None:
    people = population(1000)
    network = made("contact-matrix", 1, people, column="level", matrix=matrix_file, groups="place", factor=80.0)
    assert 0 < network.facts["contacts without room"] < 1
    assert made("contact-matrix", 1, people, column="level", matrix=matrix_file).facts["contacts without room"] == 0
    assert made("contact-matrix", 1, population(3), column="level", matrix=matrix_file).rows == 3


@pytest.mark.parametrize("setting", ["community", "school", "work"])
def test_published_matrices_are_reproduced_by_age(setting: str) -> None:
    if "LPM_DATA" not in os.environ:
        pytest.skip("LPM_DATA (the folder of the published data) is not set")
    data = Path(os.environ["LPM_DATA"])
    reference = str(data / "population_nyc" / "age_distributions_New_York_state_85.csv")
    matrix = str(data / "polymod_contacts" / f"mistry2021_New_York_F_{setting}_setting_85.csv.gz")
    shares = np.loadtxt(reference, delimiter=",")[:, 1] * np.linspace(0.5, 1.5, 85)
    years = np.random.default_rng(1).choice(85, 50_000, p=shares / shares.sum())
    people = Population.build(50_000, [Column("years", "uint8", "age", unit="year")], {"years": years})
    values: dict[str, Any] = {"column": "years", "matrix": matrix, "factor": 8.0, "reference": reference}
    network = made("contact-matrix", 1, people, **values)
    from lpm.contacts import read_matrix, rebalance

    ages = np.bincount(years, minlength=85).astype(float)
    wanted = rebalance(read_matrix(matrix, "") * 8.0, read_matrix(reference, "")[:, 1], ages)
    found = mixing.counted(network, years, 85)
    error = np.sqrt(2 * wanted.sum(1) / ages)
    assert (np.abs(found.sum(1) - wanted.sum(1)) <= 5 * error + 1e-9).all()
    bands = np.minimum(years // 10, 7)
    at = mixing.counted(network, bands, 8).sum(1)
    assert at == pytest.approx(np.bincount(bands, wanted.sum(1)[years]) / np.bincount(bands), rel=0.05, abs=0.02)
    few = Population.build(1000, [Column("years", "uint8", "age", unit="year")], {"years": years[:1000]})
    assert made("contact-matrix", 1, few, **values).arcs > 0


def test_edges_keep_direction_multiplicity_and_columns(tmp_path: Path) -> None:
    people = Population.build(4, [], {"id": np.array([10, 40, 20, 30])})
    frame = pl.DataFrame({"source": [10, 20, 30], "target": [40, 40, 10], "times": [1, 3, 1], "heat": [0.5, 1.5, 2.5]})
    network = made("edges", 1, people, frame=frame, directed=True, multiplicity="times", columns=("heat",))
    assert network.indptr.tolist() == [0, 1, 5, 5, 5] and network.indices.tolist() == [3, 0, 2, 2, 2]
    assert network.columns["heat"].tolist() == [2.5, 0.5, 1.5, 1.5, 1.5] and network.columns["heat"].dtype == np.float32
    path = tmp_path / "ties.parquet"
    frame.write_parquet(path)
    both = made("edges", 1, people, file=str(path))
    assert neighbours(both) == [{1, 3}, {0, 2}, {1}, {0}]
    frame.write_csv(tmp_path / "ties.csv")
    assert neighbours(made("edges", 1, people, file=str(tmp_path / "ties.csv"))) == neighbours(both)


FRAME: Mapping[str, Any] = {"source": [0, 1], "target": [1, 2]}


@pytest.mark.parametrize(
    ("frame", "values", "message"),
    [
        ({"source": [0, 1], "target": [1, 99]}, {}, r"edges\.target: 1 dangling edges, the first in row 1 names 99"),
        ({"source": [0, -1], "target": [1, 2]}, {}, "dangling"),
        ({"source": [0], "to": [1]}, {}, "unknown column 'target'"),
        ({"source": [0.0, math.nan], "target": [1, 2]}, {}, "1 values are NaN"),
        ({"source": [0, None], "target": [1, 2]}, {}, "1 values are missing"),
        ({"source": ["0", "1"], "target": [1, 2]}, {}, "expected numbers, got String"),
        ({"source": [0.5, 1], "target": [1, 2]}, {}, "fractions"),
        ({"source": [0, 1], "target": [1, 1]}, {}, "tie an agent to itself, the first in row 1"),
        ({"source": [0, 1], "target": [1, 0]}, {}, "expected every pair once, row 1"),
        ({**FRAME, "n": [1, 0]}, {"multiplicity": "n"}, "1 to 1,000,000"),
        ({**FRAME, "w": [1.0, math.inf]}, {"columns": ("w",)}, "NaN or infinite"),
        (FRAME, {"columns": ("w",)}, "unknown column 'w'"),
    ],
)
def test_bad_edges_are_refused(frame: Mapping[str, Any], values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made("edges", 1, population(5), frame=pl.DataFrame(frame, strict=False), **values)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("barabasi-albert", {"ties": 5}, "below N"),
        ("configuration", {"degrees": "column", "column": "wanted"}, "unknown column 'wanted'"),
        ("configuration", {"degrees": "column", "column": "degree"}, "whole numbers 0 to N - 1"),
        ("configuration", {"degrees": "gamma"}, "unknown choice 'gamma'"),
        ("configuration", {"degrees": "power-law", "minimum": 9, "maximum": 3}, "at least minimum"),
        ("contact-matrix", {"matrix": "/none.csv"}, "none.csv"),
        ("edges", {}, "one of file and frame"),
        ("edges", {"file": "/none.csv"}, "no file"),
        ("erdos-renyi", {"mean_degree": 10.0}, "at most N - 1 = 4"),
        ("lattice", {"width": 3}, "divisor of N = 5"),
        ("lattice", {"shape": "ring", "neighbours": 5}, "even"),
        ("lattice", {"shape": "cube"}, "ring or torus"),
        ("nearest-in-space", {}, "one of neighbours and radius"),
        ("nearest-in-space", {"neighbours": 5}, "at most N - 1 = 4"),
        ("nearest-in-space", {"neighbours": 2, "x": "z"}, "unknown column 'z'"),
        ("stochastic-block", {"column": "plaice"}, "did you mean 'place'"),
        ("stochastic-block", {"column": "place", "mean_degrees": ((1.0,),)}, "expected 3 x 3 numbers"),
        ("stochastic-block", {"column": "place", "mean_degrees": ((50.0,) * 3,) * 3}, "expected at most"),
        ("watts-strogatz", {"neighbours": 4}, "half of N"),
    ],
)
def test_bad_parameters_are_refused(name: str, values: dict[str, Any], message: str) -> None:
    people = population(5)
    people.columns["degree"][0] = 9
    with pytest.raises(InputError, match=message):
        made(name, 1, people, **values)


def test_contact_matrices_that_do_not_fit_are_refused(matrix_file: str, tmp_path: Path) -> None:
    flat = tmp_path / "flat.csv"
    flat.write_text("1,2,3\n4,5,6\n")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"column": "place", "matrix": matrix_file}, "expected 3 rows"),
        ({"column": "x", "matrix": matrix_file}, "whole numbers"),
        ({"column": "level", "matrix": str(flat)}, "square"),
        ({"column": "level", "matrix": matrix_file, "groups": "x"}, "categorical column"),
        ({"column": "level", "matrix": matrix_file, "mixing": ((1.0,),)}, "the column that mixing"),
        ({"column": "level", "matrix": matrix_file, "groups": "place", "mixing": ((1.0,),)}, "3 x 3"),
    ]
    for values, message in cases:
        with pytest.raises(InputError, match=message):
            made("contact-matrix", 1, population(50), **values)


def test_unknown_builders_and_rows_outside_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'erdos-renyi'"):
        find("erdos-reny", "networks.a")
    with pytest.raises(InputError, match="rows within 0 to 5"):
        find("complete", "").build(1, find("complete", "").Params(), population(5), (0, 6))
    with pytest.raises(InputError, match="at least 1 piece"):
        build_whole("complete", 1, None, population(5), 0)
