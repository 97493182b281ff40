"""Shapes of a scenario's arrays at any size and on any number of devices, from two small ones.

A length that is the same at both small sizes stays; one that grows with the agents goes on along the line through both;
one that grows faster (a network in which everybody's contacts become more) along the power law through both.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from lpm.scenarios.assembly import Assembly
    from lpm.scenarios.schema import Scenario

FASTER = 1.05
"""A length that grows by more than this times the agents' growth follows a power law: less is chance. A guess."""


@dataclass(frozen=True)
class Shapes:
    """What a step is traced from.

    Attributes:
        rows: Agents on one device, rows of nobody included.
        devices: Number of devices.
        model: What a compilation depends on.
        sharded: Arrays of one device, agents or blocks first: "agents" and "world".
        whole: Arrays that every device holds: "member" (without a batch), "tables" and "ties".
    """

    rows: int
    devices: int
    model: Any
    sharded: Mapping[str, Any]
    whole: Mapping[str, Any]


def of_assembly(assembly: Assembly) -> Shapes:
    """Return the shapes of an assembly, as one of its devices holds them."""
    member = assembly.member(assembly.arms[0], 0, assembly.params)
    shards = assembly.model.shards
    agents = dict(assembly.agents)
    return Shapes(
        len(agents["id"]) // shards,
        shards,
        assembly.model,
        {"agents": _part(agents, shards), "world": _part(assembly.world, shards)},
        _plain({"tables": dict(assembly.tables), "ties": dict(assembly.ties)}) | {"member": _one(member)},
    )


def on_devices(scenario: Scenario, devices: int, like: Shapes) -> Shapes:
    """Return the shapes of a scenario on so many devices, which need not be there.

    Args:
        scenario: The scenario at a small size.
        devices: Number of devices.
        like: Its shapes on one device, for what is the same on several.

    Raises:
        InputError: What only the people or the networks can show to be wrong.
    """
    from lpm.scenarios.laid import lay
    from lpm.scenarios.options import silent
    from lpm.scenarios.people import people_of
    from lpm.simulation import World

    population = people_of(scenario)
    laid = lay(scenario, population, devices, silent)
    rank = np.zeros(population.size, np.float32)
    ranks: dict[str, Any] = {name: laid.dealing.dealt(rank) for name in like.sharded["world"].ranks}
    agents = laid.dealing.everybody(population.columns)
    world = World(dict(laid.layers), ranks)
    return Shapes(
        laid.dealing.padded // devices,
        devices,
        replace(like.model, shards=devices),
        {"agents": _part(agents, devices), "world": _part(world, devices)},
        dict(like.whole) | _plain({"ties": dict(laid.ties)}),
    )


def scaled(small: Shapes, large: Shapes, agents: int) -> Shapes:
    """Return the shapes at another number of agents, from those at two sizes on as many devices."""
    devices = large.devices
    rows = _rows(agents, devices)
    rule = _rule(small.rows, large.rows, rows, devices)
    sharded = {name: _scaled(small.sharded[name], each, rule) for name, each in large.sharded.items()}
    whole = {name: _scaled(small.whole[name], each, rule) for name, each in large.whole.items()}
    return Shapes(rows, devices, large.model, sharded, whole)


def _rows(agents: int, devices: int) -> int:
    from lpm.scenarios.dealing import padded_size

    return padded_size(agents, devices) // devices


def line(first: tuple[float, float], second: tuple[float, float], at: float) -> float:
    """Return the value at a size of what was found at two sizes, by the rule of this file.

    Args:
        first: Size and value at the smaller size.
        second: Size and value at the larger size.
        at: The size asked for.
    """
    (n1, v1), (n2, v2) = first, second
    if v1 == v2 or n1 == n2:
        return v2
    if v1 > 0 and v2 / v1 > FASTER * n2 / n1 and (n2 - n1) > 0:
        return v2 * (at / n2) ** (math.log(v2 / v1) / math.log(n2 / n1))
    return v2 + (v2 - v1) / (n2 - n1) * (at - n2)


def _rule(small: int, large: int, rows: int, devices: int) -> Callable[[int, int], int]:
    """Return what makes a length at `rows` rows a device of those at `small` and `large` rows."""

    def rule(first: int, second: int) -> int:
        if first == second or small == large:
            return second
        if first > 0 and second * small > FASTER * first * large:
            found = math.ceil(line((small, first), (large, second), rows))
        else:
            found = max(math.ceil(second + Fraction(second - first, large - small) * (rows - large)), 0)
        parts = math.gcd(first, second, devices)  # what is cut into a part for every device stays so
        return -(-found // parts) * parts

    return rule


def _scaled(small: Any, large: Any, rule: Callable[[int, int], int]) -> Any:
    """Return a tree of shapes and static values at another size: every whole number and length by the rule."""
    import jax

    if isinstance(large, jax.ShapeDtypeStruct):
        if len(small.shape) != len(large.shape):
            return large
        first = large.shape[:1] and (rule(small.shape[0], large.shape[0]),)
        return jax.ShapeDtypeStruct((*first, *large.shape[1:]), large.dtype)
    if isinstance(large, Mapping):
        trees = cast("Mapping[str, Any]", large)
        return {name: _scaled(small[name], each, rule) for name, each in trees.items()}
    if isinstance(large, list | tuple):
        pairs = zip(small, cast("list[Any]", large), strict=True)
        return type(large)(_scaled(a, b, rule) for a, b in pairs)  # pyright: ignore[reportUnknownArgumentType]
    if dataclasses.is_dataclass(large) and not isinstance(large, type):
        fields = [field.name for field in dataclasses.fields(large)]
        new: dict[str, Any] = {name: _scaled(getattr(small, name), getattr(large, name), rule) for name in fields}
        return replace(large, **new)
    if isinstance(large, int) and not isinstance(large, bool):
        return rule(small, large)
    return large


def _part(tree: Any, shards: int) -> Any:
    """Return the shapes of one device's part of arrays that are stacked device by device."""
    import jax

    def part(leaf: Any) -> Any:
        return jax.ShapeDtypeStruct((leaf.shape[0] // shards, *leaf.shape[1:]), leaf.dtype)

    return jax.tree.map(part, tree)


def _plain(tree: Any) -> Any:
    import jax

    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), tree)


def _one(members: Any) -> Any:
    """Return the shapes of one member of a batch."""
    import jax

    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf)[1:], leaf.dtype), members)


def bytes_of(tree: Any) -> int:
    """Return the bytes of a tree of arrays or shapes."""
    import jax

    leaves = jax.tree.leaves(tree)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
