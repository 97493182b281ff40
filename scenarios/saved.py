"""The state of a pair, between the devices and what outlives them: rows in outside order, each process its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lpm import cluster
from lpm.cluster import pieces
from lpm.cluster.pieces import Piece
from lpm.scenarios.dealing import Dealing
from lpm.simulation import State
from lpm.ties import Ties
from lpm.types import HostArray


def piece_of(dealing: Dealing, values: Any) -> Piece:
    """Return the rows of this process's agents, in outside order, of a column [1, places, ...] on the devices."""
    here = pieces.here(values)[0]
    if dealing.shards == 1:
        return Piece(here, dealing.size)
    return Piece(here[_own_places(dealing, len(here))], dealing.size)


def plain(state: State, dealing: Dealing) -> dict[str, Any]:
    """Return a state as nested dicts without batch axis and padding.

    Columns of agents are pieces; all else is the same in every process, numpy arrays.
    """
    return {
        "agents": {name: piece_of(dealing, values) for name, values in state.agents.items()},
        "since": {name: piece_of(dealing, values) for name, values in state.since.items()},
        "triggers": {name: np.asarray(values) for name, values in state.triggers.items()},
        "last": {name: np.asarray(values)[0] for name, values in state.last.items()},
        "tables": tables_of(state),
        "ties": {
            name: {"ends": dealing.agents_at(np.asarray(ties.ends)[0]), "alive": np.asarray(ties.alive)[0]}
            for name, ties in state.ties.items()
        },
    }


def tables_of(state: State) -> dict[str, dict[str, HostArray]]:
    """Return the tables beside "agents", without the batch axis."""
    return {t: {n: np.asarray(v)[0] for n, v in columns.items()} for t, columns in state.tables.items()}


def agents_of(state: State, dealing: Dealing) -> dict[str, HostArray]:
    """Return every agent's columns in outside order; of many processes all call it, and the first one gets them."""
    found: dict[str, HostArray] = {}
    for name, values in state.agents.items():
        whole = pieces.whole_of(piece_of(dealing, values))
        if cluster.is_first():
            found[name] = whole
    return found


def restored(state: State, arrays: Mapping[str, Any], dealing: Dealing) -> State:
    """Return a state with what `plain` had told of another one, on the devices of this one.

    Args:
        state: Any state of the run.
        arrays: As `plain` returns them.
        dealing: Where agents stand now.
    """
    import jax

    rows = {
        key: {name: _dealt(dealing, piece, getattr(state, key)[name]) for name, piece in arrays[key].items()}
        for key in ("agents", "since")
    }
    small = {
        "triggers": dict(arrays["triggers"]),
        "last": {name: values[None] for name, values in arrays["last"].items()},
        "tables": {t: {n: v[None] for n, v in columns.items()} for t, columns in arrays["tables"].items()},
        "ties": {name: _moved(dealing, ties, **arrays["ties"][name]) for name, ties in state.ties.items()},
        "faults": {name: np.asarray(flag) for name, flag in state.faults.items()},
    }
    parts: dict[str, Any] = {**rows, **small}
    return jax.tree.map(pieces.onto, State(**parts), state)


def _own_places(dealing: Dealing, count: int) -> HostArray:
    """Return where this process's agents stand among its `count` places."""
    low, high = pieces.bounds(dealing.size)
    return dealing.places[low:high] - cluster.index() * count


def _dealt(dealing: Dealing, piece: Piece, like: Any) -> HostArray:
    local = np.array(pieces.here(like))
    local[0, _own_places(dealing, local.shape[1])] = piece.values
    return local


def _moved(dealing: Dealing, ties: Ties, ends: HostArray, alive: HostArray) -> Ties:
    """Return a dynamic layer with the ties of a checkpoint; its rows are to be made again."""
    there: Any = dealing.places_of(ends)[None]
    return replace(ties, ends=there, alive=alive[None], changed=np.ones(1, bool))  # type: ignore[arg-type]
