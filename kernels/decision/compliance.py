r"""Compliance: who stays at home today, if the mean is known and a table of behaviour tells how groups differ.

.. math::
    P_a(t) = \frac{1}{1 + e^{-\beta z_a(x_t) - c_t}},\qquad
    \frac{\sum_a w_a P_a(t)}{\sum_a w_a} = \ell_t,\qquad
    z_{a}(x) = \sum_c \omega_c(x) \Big(y_{a c 0} - \ln \sum_{k > 0} e^{y_{a c k}}\Big)

Synchronous; every present agent of archetype a stays at home in this step with chance P_a. The mean, `level`, is given
(from mobility data, say) and the table's own mean does not count: c_t is the one number that brings the mean of people
to it. What counts are differences: the log odds of two archetypes differ by beta (z_a - z_b). beta = 0: all alike;
1: the table as it is. At level 0 nobody stays at home, at 1 everybody of the table does.

- y are the logits of column `logit` of table "archetypes", plus `offset` (what a calibration found for an archetype);
  action 0 is to stay at home. z is the log odds of that action at the anchors, interpolated between them by the
  multilinear weights of `lpm.archetypes.contexts`: where "archetype-choice" interpolates chances, here it is log odds.
- The context x is that of an archetype, not of an agent: `Prevalence` among the archetype's group (a borough), or among
  all, and what is common to all, the parameter `orders`. Column `group` of the table is taken from the agents at the
  start: all of an archetype have to be of one group. `one_group` refuses others; where that was not asked, nobody's
  chance is defined (see below).
- w are people at the start: column `people` of the table, the sum of the weights of present agents. Agents whose
  archetype has no row never stay at home, and are not in the mean.
- c_t is found for the archetypes, not for agents (`margin`): the mean keeps to `level` within 1e-5, and has the same
  bits on any number of devices.

Where a chance is NaN nobody's is known, because c_t is common to all: `at_home` becomes `UNDEFINED`, a code that no
level has, and `presence` NaN. Checked input does not come to that.

What is assumed: days are drawn anew, so that nobody is the one who always stays; who stays at home has no contacts
outside it, who goes out has all that `activity` leaves.

Reference: logits of choices, D. McFadden, 2001, doi:10.1257/aer.91.3.351; a margin held while odds ratios are given,
W. E. Deming and F. F. Stephan, 1940, doi:10.1214/aoms/1177731829. Draws are hard: gradients by common random numbers.
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
from lpm.archetypes.table import Table
from lpm.errors import InputError
from lpm.kernel import Kernel, parameter, register
from lpm.kernels.decision import archetype_choice
from lpm.kernels.decision.margin import chances, weights_of
from lpm.kernels.decision.sources import Common, Prevalence, Source, read_by, shares_of
from lpm.kernels.diffusion.seir import PRESENCE
from lpm.network import Layer
from lpm.ops.groups import sum_by_group
from lpm.population import WEIGHT_UNIT, Column
from lpm.random import Key, agent_bits, happens, purpose, threshold
from lpm.types import Array, HostArray, Tables

UNDEFINED = 255
"""What `at_home` is where chances are NaN."""

MIXED = 65_535
"""Group of an archetype whose agents are of several."""

ORDERS = Contexts((Variable("orders", (0.0, 0.5, 1.0), "1", "how far orders restrict public life"),))
ACTIONS = ("stay at home", "go out")


def table_columns(contexts: int, actions: int) -> tuple[Column, ...]:
    """Return the declarations of the columns of table "archetypes"."""
    return (
        *archetype_choice.table_columns(contexts, actions),
        Column("people", "float32", "who are of the archetype at the start", "people", (0, np.inf)),
        Column("group", "uint16", "code of the group that all of the archetype are of, whose prevalence they see"),
    )


@register
class Compliance(Kernel):
    """Staying at home: the mean as given, differences between archetypes by a table.

    Attributes:
        by_table: A scenario's table of behaviour gives it contexts, actions and logits.
        contexts: The context variables.
        actions: Names of the actions; the first is to stay at home.
        sources: Where the value of every variable comes from: `Prevalence`, or `Common("orders")`.
    """

    name = "compliance"
    by_table: ClassVar[bool] = True
    contexts: ClassVar[Contexts] = ORDERS
    actions: ClassVar[tuple[str, ...]] = ACTIONS
    sources: ClassVar[tuple[Source, ...]] = (Common("orders"),)
    columns = (
        archetype_choice.ArchetypeChoice.columns[0],
        Column("at_home", "uint8", "whether the agent chose to stay at home", levels=("out", "at home")),
        PRESENCE,
    )
    tables = {"archetypes": table_columns(ORDERS.size, len(ACTIONS))}
    reads = ("archetype",)
    writes = ("at_home", "presence")
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of compliance."""

        level: Any = parameter(
            0.0,
            unit="1",
            bounds=(0, 1),
            meaning="share of the people of all archetypes who stay at home in a step, in the mean",
            source="nobody stays at home; a scenario gives it from mobility data",
        )
        beta: Any = parameter(
            1.0,
            unit="1",
            bounds=(0, 1e3),
            meaning="what the table's differences between archetypes are multiplied by: 0 makes all alike",
            source="the logits' own scale",
            prior=("lognormal", 1.0, 0.3),  # guess
        )
        orders: Any = parameter(
            0.0,
            unit="1",
            bounds=(0, 1),
            meaning="how far orders restrict public life: the value of a context variable that is common to all",
            source="none are in force; a scenario gives them",
        )

    @classmethod
    def of(cls, contexts: Contexts, actions: tuple[str, ...], sources: tuple[Source, ...]) -> type[Compliance]:
        """Return the kernel of a table with such contexts and actions; the same class again for the same ones.

        Args:
            contexts: The context variables.
            actions: Names of the actions; the first is to stay at home.
            sources: Where the value of every variable comes from, in their order.

        Raises:
            InputError: A source that is not the same for all of an archetype, or groups of more than one column.
        """
        return _kernel(contexts, tuple(actions), tuple(sources))

    @classmethod
    def prepare(cls, params: Any, tables: Tables, clock: Any) -> Any:
        """Return log odds float32 [A, C] at the anchors, weights uint32 [A] in 2^-31 of all, and the parameters."""
        given = tables["archetypes"]
        logit = given["logit"] + given["offset"][:, None, :]
        others = [logit[..., k] for k in range(1, logit.shape[-1])]
        most = functools.reduce(jnp.maximum, others)
        # one after the other: what a reduction does first is for XLA to choose
        odds = functools.reduce(jnp.add, [jnp.exp(each - most) for each in others])
        return logit[..., 0] - (most + jnp.log(odds)), weights_of(given["people"]), params

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Mapping[str, Any]:
        """Return people and group of every archetype."""
        agents, rows = tables["agents"], params[0].shape[0]
        archetype = jnp.where(agents["present"], agents["archetype"].astype(jnp.int32), rows)
        sums = sum_by_group(agents["weight"], archetype, rows, clock.shards)
        with jax.enable_x64(True):
            people = (_whole(sums).astype(jnp.float64) / WEIGHT_UNIT).astype(jnp.float32)
        by, group = _by(cls.sources), jnp.zeros(rows, jnp.uint16)
        if by:
            code, ones = agents[by].astype(jnp.int32), jnp.ones(archetype.shape, jnp.int32)
            count, total = (sum_by_group(each, archetype, rows, clock.shards) for each in (ones, code))
            with jax.enable_x64(True):
                mean = (_whole(total) // jnp.maximum(_whole(count), 1)).astype(jnp.int32)
            other = code != mean.at[jnp.minimum(archetype, rows - 1)].get(mode="promise_in_bounds")
            mixed = sum_by_group(other.astype(jnp.int32), archetype, rows, clock.shards)
            group = jnp.where((mixed > 0).any(-1), MIXED, mean).astype(jnp.uint16)
        return {"archetypes": {"people": people, "group": group}}

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Array]:
        """Return who stays at home in this step, and the share of contacts outside the home that is left."""
        anchors, weight, own = params
        agents, rows = tables["agents"], anchors.shape[0]
        group = tables["archetypes"]["group"].astype(jnp.int32)
        values = [_value(source, tables, group, own, clock.shards) for source in cls.sources]
        at = jnp.stack(values, -1) if values else jnp.zeros((rows, 0), jnp.float32)
        chance = chances(_interpolated(cls.contexts, anchors, at), weight, own.level, own.beta)
        undefined = jnp.isnan(chance).any()
        archetype = agents["archetype"].astype(jnp.int32)
        limit = threshold(chance).at[jnp.minimum(archetype, rows - 1)].get(mode="promise_in_bounds")
        stays = happens(agent_bits(purpose(key, "at home"), agents["id"]), limit) & (archetype < rows)
        at_home = jnp.where(undefined, np.uint8(UNDEFINED), stays.astype(jnp.uint8))
        presence = jnp.where(undefined, np.float32(np.nan), jnp.where(stays, np.float32(0), np.float32(1)))
        here = agents["present"]
        return {
            "at_home": jnp.where(here, at_home, agents["at_home"]),
            "presence": jnp.where(here, presence, agents["presence"]),
        }


@functools.lru_cache(maxsize=64)
def _kernel(contexts: Contexts, actions: tuple[str, ...], chosen: tuple[Source, ...]) -> type[Compliance]:
    if len(chosen) != len(contexts.variables):
        raise InputError(f"compliance: expected a source for each of {len(contexts.variables)}, got {len(chosen)}")
    for name, source in zip(contexts.names, chosen, strict=True):
        if not isinstance(source, Prevalence) and source != Common("orders"):
            raise InputError(
                f"compliance: context variable '{name}': expected what all of an archetype share, a prevalence or the "
                f"common value 'orders', got {source}"
            )
    _by(chosen)

    class Chosen(Compliance):
        """Compliance by one table."""

        tables = {"archetypes": table_columns(contexts.size, len(actions))}
        reads = tuple(dict.fromkeys(("archetype", *(name for each in chosen for name in read_by(each)))))

    Chosen.contexts, Chosen.actions, Chosen.sources = contexts, actions, chosen
    return Chosen


def _by(sources: tuple[Source, ...]) -> str:
    """Return the column of the group whose prevalence an archetype sees, "" where there is none."""
    names = sorted({each.by for each in sources if isinstance(each, Prevalence) and each.by})
    if len(names) > 1:
        raise InputError(f"compliance: expected prevalence by one column of groups, got {', '.join(names)}")
    return names[0] if names else ""


def given(table: Table, offset: HostArray | None = None, where: str = "table") -> dict[str, dict[str, Any]]:
    """Return what a table puts into the simulation's tables at the start; `init` fills people and groups.

    Raises:
        InputError: As `archetype_choice.given`: cells that are not usable, offsets that do not fit.
    """
    first = archetype_choice.given(table, offset, where)
    size = table.archetypes.height
    blank = {c.name: np.zeros(size, c.dtype) for c in table_columns(table.contexts.size, len(table.actions))[2:]}
    return {"archetypes": blank | first["archetypes"]}


def one_group(kernel: type[Compliance], columns: Mapping[str, HostArray], archetypes: int, where: str) -> None:
    """Refuse archetypes whose agents are of several groups, where a context is the prevalence in one's group.

    Args:
        kernel: The kernel.
        columns: The agents' columns.
        archetypes: Number of rows of the table.
        where: Named in the error.

    Raises:
        InputError: There is one, or a code that is no group.
    """
    by = _by(kernel.sources)
    if not by:
        return
    groups = min(each.groups for each in kernel.sources if isinstance(each, Prevalence) and each.by)
    known = np.asarray(columns["archetype"]) < archetypes
    archetype, code = np.asarray(columns["archetype"])[known], np.asarray(columns[by])[known].astype(np.int64)
    if code.size and not 0 <= code.min() <= code.max() < groups:
        raise InputError(f"{where}: column '{by}': expected codes 0 to {groups - 1}, got {code.min()} to {code.max()}")
    least, most = np.full(archetypes, MIXED), np.full(archetypes, -1)
    np.minimum.at(least, archetype, code)
    np.maximum.at(most, archetype, code)
    mixed = np.flatnonzero((most >= 0) & (least != most))
    if mixed.size:
        raise InputError(
            f"{where}: {mixed.size:,} archetypes have agents in several groups of '{by}', the first is {mixed[0]}; "
            f"group the people by '{by}' too"
        )


def _value(source: Source, tables: Tables, group: Array, own: Any, shards: int) -> Array:
    """Return the values of a context variable by archetype, float32 [A]; NaN where its group is none."""
    if not isinstance(source, Prevalence):
        return jnp.broadcast_to(own.orders.astype(jnp.float32), group.shape)
    share = shares_of(source, tables, shards)
    return share.at[group if source.by else jnp.zeros_like(group)].get(mode="fill", fill_value=np.nan)


def _interpolated(contexts: Contexts, anchors: Array, values: Array) -> Array:
    """Return log odds float32 [A] at values [A, V] from those [A, C] at the anchors."""
    cell, weight = corners(contexts, values, jnp)
    told = jnp.take_along_axis(anchors, cell, 1) * weight
    return functools.reduce(jnp.add, [told[:, corner] for corner in range(told.shape[1])])


def _whole(limbs: Array) -> Array:
    """Return int64 from limbs [..., 2] of sums that are not negative; call it under `enable_x64`."""
    return (limbs[..., 1].astype(jnp.int64) << 32) | limbs[..., 0].astype(jnp.int64)
