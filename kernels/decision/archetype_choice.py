r"""Choice by archetype: every agent takes one of K actions by the table of its archetype in its context.

.. math::
    P(k \mid a, x) &= \sum_c w_c(x)\, p_{a c k},\qquad
    p_{a c k} = \frac{e^{\beta z_{a c k} + b_k + u_{a k}}}{\sum_m e^{\beta z_{a c m} + b_m + u_{a m}}}

Synchronous; every present agent chooses once a step. The logits z are the column `logit` [A, C, K] of table
"archetypes", u its column `offset` [A, K] (what a calibration found for the archetype's group), b the parameter
`offset`. An action with a logit of `NEVER` has no chance, whatever beta, b and u are. Contexts x are V values an agent,
each from its source: a column of the agent, a row of "globals", the share of its contacts whose last action is among
some (`Friends`), or the share of people in some levels of a column (`Prevalence`). Weights w_c are multilinear
(`lpm.archetypes.contexts`): between anchors *chances* are interpolated, not logits. So

- an action that is impossible at one anchor fades in as the other comes near (between logits it would appear all at
  once), and no chance between two anchors lies outside of what was said at them;
- an agent draws its corner (a draw a variable: the upper anchor with chance f) and then its action from that one row:
  one look at the table whatever V is, integer thresholds throughout, and the same bits on every backend. The law of the
  action is the mixture above exactly; there is no second source of variance, as the corner is drawn anew each step.

Who wants logits interpolated writes a table with more anchors. An agent whose archetype has no row does nothing: its
action stays. A context that is NaN (columns are checked when given; it would be the fault of a kernel) makes the action
`UNDEFINED`, a code that no level has.

`choice_of(table, sources)` makes the kernel for a table; the one that is registered is small: two variables, twelve
cells. `expected_shares` are the expected shares of actions, differentiable by z, beta, b, u and x.

Reference: D. McFadden, 1974, "Conditional logit analysis of qualitative choice behavior"; D. McFadden, 2001,
doi:10.1257/aer.91.3.351. Draws are hard: gradients by common random numbers; of `expected_shares` they are exact.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from lpm.archetypes.contexts import Contexts, Variable, corners
from lpm.archetypes.table import MOST_LOGIT, NEVER, Table
from lpm.errors import InputError, unknown
from lpm.kernel import Kernel, parameter, register
from lpm.kernels.decision.sources import Friends, Own, Source, globals_of, read_by, value_of
from lpm.network import Layer
from lpm.ops.choice import choose, cumulative_thresholds
from lpm.population import Column
from lpm.random import Key, agent_bits, happens, purpose, threshold
from lpm.types import Array, HostArray, Tables

UNDEFINED = 255
"""Action of an agent whose context is NaN."""


def action_column(actions: tuple[str, ...]) -> Column:
    """Return the declaration of the column `action`."""
    return Column("action", "uint8", "what the agent did last", levels=actions)


def table_columns(contexts: int, actions: int) -> tuple[Column, ...]:
    """Return the declarations of the columns of table "archetypes"."""
    return (
        Column("logit", "float32", "of an action in a context", bounds=(NEVER, MOST_LOGIT), shape=(contexts, actions)),
        Column("offset", "float32", "added to every logit of an action", bounds=(-10, 10), shape=(actions,)),
    )


PLAIN = Contexts(
    (
        Variable("context", (0.0, 0.3, 0.7, 1.0), "1", "any situation on a scale from 0 to 1"),
        Variable("friends", (0.0, 0.5, 1.0), "1", "share of contacts who did something other than action 0"),
    )
)
PLAIN_ACTIONS = ("action 0", "action 1", "action 2", "action 3")


@register
class ArchetypeChoice(Kernel):
    """One of K actions by a table of logits over archetypes and contexts.

    Attributes:
        by_table: A scenario's table of behaviour gives it contexts, actions and logits.
        contexts: The context variables.
        actions: Names of the actions.
        sources: Where the value of every variable comes from.
    """

    name = "archetype-choice"
    by_table: ClassVar[bool] = True
    contexts: ClassVar[Contexts] = PLAIN
    actions: ClassVar[tuple[str, ...]] = PLAIN_ACTIONS
    sources: ClassVar[tuple[Source, ...]] = (Own("context"), Friends((1, 2, 3)))
    columns = (
        Column("archetype", "uint16", "row of table archetypes that the agent behaves like"),
        action_column(PLAIN_ACTIONS),
        Column("context", "float32", "situation that the agent is in", unit="1", bounds=(0, 1)),
    )
    tables = {"archetypes": table_columns(PLAIN.size, len(PLAIN_ACTIONS))}
    reads = ("archetype", "action", "context")
    writes = ("action",)
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of the choice."""

        beta: Any = parameter(
            1.0,
            unit="1",
            bounds=(0, 1e3),
            meaning="what logits are multiplied by: 0 makes all actions alike, a large one takes the best",
            source="the logits' own scale",
            prior=("lognormal", 1.0, 0.3),
        )
        offset: Any = parameter(
            0.0,
            unit="1",
            bounds=(-50, 50),
            by="action",
            meaning="added to the logits of an action, for everybody",
            source="the table as it is",
            prior=("normal", 0.0, 1.0),
        )

    @classmethod
    def of(cls, contexts: Contexts, actions: tuple[str, ...], sources: tuple[Source, ...]) -> type[ArchetypeChoice]:
        """Return the kernel of a table with such contexts and actions; the same class again for the same ones."""
        return _kernel(contexts, tuple(actions), tuple(sources))

    @classmethod
    def prepare(cls, params: Any, tables: Tables, clock: Any) -> Array:
        """Return the cumulative chances as thresholds, uint32 [archetypes, cells, actions - 1]."""
        given = tables["archetypes"]
        return cumulative_thresholds(_odds(given["logit"], params.beta, params.offset, given["offset"]))

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return the actions taken in this step."""
        agents = tables["agents"]
        archetypes, cells, limits = params.shape
        cell, undefined = jnp.zeros(agents["id"].shape, jnp.int32), jnp.zeros(agents["id"].shape, bool)
        for variable, source, stride in zip(cls.contexts.variables, cls.sources, cls.contexts.strides, strict=True):
            low, fraction = variable.place(value_of(source, tables, networks, clock.shards), jnp)
            undefined = undefined | jnp.isnan(fraction)
            cell = cell + low * np.int32(stride)
            if len(variable.anchors) > 1:
                drawn = agent_bits(purpose(key, f"context {variable.name}"), agents["id"])
                cell = cell + happens(drawn, threshold(fraction)).astype(jnp.int32) * np.int32(stride)
        archetype = agents["archetype"].astype(jnp.int32)
        known = archetype < archetypes
        row = jnp.where(known, archetype * cells + cell, 0)
        own = params.reshape(-1, limits).at[row].get(mode="promise_in_bounds")
        taken = choose(own, agent_bits(purpose(key, "action"), agents["id"])).astype(jnp.uint8)
        taken = jnp.where(undefined, np.uint8(UNDEFINED), taken)
        return {"action": jnp.where(known & agents["present"], taken, agents["action"])}


def choice_of(table: Table, sources: Mapping[str, Source] | None = None) -> type[ArchetypeChoice]:
    """Return the kernel that chooses by a table; the same class again for a table of the same shape and declarations.

    Its draws and parameters are those of "archetype-choice"; what differs is which columns it reads, and the shapes.

    Args:
        table: The table; only its shape, actions and contexts matter here, its numbers are `given`.
        sources: Where the values of context variables come from; one that is not named is the agent's column of the
            variable's name.

    Raises:
        InputError: A source of no variable, or codes that no action has.
    """
    known = dict(sources or {})
    for name, source in known.items():
        if name not in table.contexts.names:
            raise unknown("sources", "context variable", name, table.contexts.names)
        if isinstance(source, Friends) and not set(source.actions) <= set(range(len(table.actions))):
            raise InputError(f"sources: {name}: expected codes 0 to {len(table.actions) - 1}, got {source.actions}")
    chosen = tuple(known.get(name, Own(name)) for name in table.contexts.names)
    return _kernel(table.contexts, table.actions, chosen)


@functools.lru_cache(maxsize=64)
def _kernel(contexts: Contexts, actions: tuple[str, ...], chosen: tuple[Source, ...]) -> type[ArchetypeChoice]:
    class Chosen(ArchetypeChoice):
        """The choice by one table."""

        columns = (ArchetypeChoice.columns[0], action_column(actions))
        tables = {"archetypes": table_columns(contexts.size, len(actions))} | globals_of(chosen)
        reads = tuple(dict.fromkeys(("archetype", "action", *(name for each in chosen for name in read_by(each)))))

    Chosen.contexts, Chosen.actions, Chosen.sources = contexts, actions, chosen
    return Chosen


def given(table: Table, offset: HostArray | None = None, where: str = "table") -> dict[str, dict[str, Any]]:
    """Return what a table puts into the simulation's tables at the start.

    Args:
        table: The table.
        offset: u, float [A, K]; None = 0.
        where: Named in errors.

    Raises:
        InputError: Cells that are not usable, or offsets of another shape, NaN or out of bounds.
    """
    logit, offsets = table_columns(table.contexts.size, len(table.actions))
    none = np.zeros((table.archetypes.height, len(table.actions)), np.float32)
    values = offsets.check(none if offset is None else np.asarray(offset), where)
    if len(values) != len(none):
        raise InputError(f"{where}: offset: expected {len(none)} archetypes, got {len(values)}")
    return {"archetypes": {"logit": logit.check(table.checked(where), where), "offset": values}}


def _odds(logit: Array, beta: Array, offset: Array, own: Array) -> Array:
    """Return float32 [A, C, K], chances times a factor; the largest of a cell is 1, that of `NEVER` is 0.

    Where all actions of a cell are `NEVER` they are alike but for offsets.
    """
    shared = jnp.broadcast_to(jnp.asarray(offset, jnp.float32), logit.shape[-1:])
    lean = (shared[None, :] + own)[:, None, :]
    some = logit > NEVER
    scaled = jnp.where(some, beta * logit, 0) + lean
    allowed = some | ~some.any(-1, keepdims=True)
    most = jax.lax.stop_gradient(jnp.where(allowed, scaled, -jnp.inf).max(-1, keepdims=True))  # a factor cancels
    return jnp.where(allowed, jnp.exp(jnp.where(allowed, scaled - most, 0)), 0)


def chances(logit: Array, beta: Any = 1.0, offset: Any = 0.0, own: Any = None) -> Array:
    """Return the chances p float32 [A, C, K] of every cell, differentiable by everything.

    Args:
        logit: z, float32 [A, C, K].
        beta: The factor of logits.
        offset: b, a number or [K].
        own: u, [A, K], or None.
    """
    given = jnp.zeros((logit.shape[0], logit.shape[2])) if own is None else jnp.asarray(own, jnp.float32)
    odds = _odds(jnp.asarray(logit), beta, offset, given)
    return odds / odds.sum(-1, keepdims=True)


def expected_shares(contexts: Contexts, chance: Array, archetype: Array, values: Array) -> Array:
    """Return the law of every agent's action, float32 [N, K]: P(k | a, x) of the module.

    It is exact where no context depends on what agents did in the same run; differentiable by `chance` and `values`.

    Args:
        contexts: The contexts.
        chance: float32 [A, C, K], see `chances`.
        archetype: int [N].
        values: float [N, V].
    """
    cell, weight = corners(contexts, values, jnp)
    return (chance[archetype[:, None], cell] * weight[..., None]).sum(1)
