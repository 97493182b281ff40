"""Network builders by name: each a pure function of (seed, parameters, population, rows).

A builder is a class with a frozen `Params` dataclass (declared with `lpm.kernel.parameter`) and a static
`build(seed, params, population, rows)` that returns rows `rows[0]` to `rows[1]` of one layer. Any split of the rows
gives the same graph, so that many machines can build one network. A new builder is one file here and one line in
`_CONTENTS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from lpm.errors import InputError, unknown

if TYPE_CHECKING:
    from lpm.network import Network
    from lpm.population import Population

_CONTENTS = (
    "barabasi_albert",
    "complete",
    "configuration",
    "contact_matrix",
    "edges",
    "erdos_renyi",
    "households",
    "lattice",
    "nearest_in_space",
    "stochastic_block",
    "watts_strogatz",
)
"""The files of this folder that hold builders."""


class Builder(Protocol):
    """What a registered class offers; it is never instantiated.

    Attributes:
        Params: Frozen dataclass of the builder's parameters; a parameter of unit "file" is a path, resolved against
            the scenario's folder before it comes here.
    """

    Params: ClassVar[type[Any]]

    @staticmethod
    def build(seed: int, params: Any, population: Population, rows: tuple[int, int]) -> Network:
        """Return rows `rows[0]` to `rows[1]` (exclusive), indices ascending within a row.

        Args:
            seed: Any integer; two layers made by one builder take different seeds (`draws.layer_seed`).
            params: The builder's `Params`.
            population: Only its size and columns are used.
            rows: First row and one past the last, 0 <= first <= last <= size.

        Raises:
            InputError: Parameters that do not fit the population.
        """
        ...


AnyBuilder = TypeVar("AnyBuilder", bound=type[Any])
_REGISTRY: dict[str, type[Builder]] = {}


def builder(name: str) -> Callable[[AnyBuilder], AnyBuilder]:
    """Return a class decorator that registers a builder under `name`.

    Raises:
        InputError: The name is taken by another class.
    """

    def add(built: AnyBuilder) -> AnyBuilder:
        if _REGISTRY.setdefault(name, built).__qualname__ != built.__qualname__:
            raise InputError(f"builder '{name}': the name is taken by {_REGISTRY[name].__module__}")
        return built

    return add


def builders() -> dict[str, type[Builder]]:
    """Return every registered builder by name, in the order of names."""
    for module in _CONTENTS:
        importlib.import_module(f"{__name__}.{module}")
    return dict(sorted(_REGISTRY.items()))


def find(name: str, where: str) -> type[Builder]:
    """Return the builder registered under `name`.

    Raises:
        InputError: There is none; the nearest name is suggested.
    """
    known = builders()
    if name not in known:
        raise unknown(where, "network builder", name, known)
    return known[name]


def build_whole(name: str, seed: int, params: Any, population: Population, pieces: int = 1) -> Network:
    """Return all rows of a layer, built in `pieces` of nearly equal numbers of rows (the graph is the same for any).

    Raises:
        InputError: No builder of that name, fewer than one piece, or anything that the builder refuses.
    """
    from lpm.network import join

    if pieces < 1:
        raise InputError(f"network '{name}': expected at least 1 piece, got {pieces}")
    built = find(name, f"network '{name}'")
    ends = [population.size * piece // pieces for piece in range(pieces + 1)]
    parts = [built.build(seed, params, population, rows) for rows in zip(ends, ends[1:], strict=False)]
    return (parts[0] if pieces == 1 else join(parts)).check(f"network '{name}'")
