r"""Cultural market: visitors take songs by appeal, popularity and position among those they have not taken yet.

.. math::
    P_i(s) = \frac{e^{u_s}}{\sum_{r \notin T_i} e^{u_r}} \text{ for } s \notin T_i,\qquad
    u_s = \theta_s + b \ln(1 + D_s) - c \ln(\text{place}_s)

Synchronous: in a step visitor i comes with chance :math:`1 - e^{-v a_i \Delta t}`, a being its appetite, and takes one
song; all see the counts D (people, by weight) of the step before, so that few visitors a step come near to the one
after the other of the experiment. An independent world has b = c = 0; a weak signal b > 0: counts are shown, songs
stand in a random grid, so that the places of a song average out; a strong signal has c > 0 too: songs stand in one
column in the order of their counts (songs with equal counts share their places). One (arm, seed) is one world. The
appeal :math:`\theta_s` is what table "items" gives plus normal quantiles, the first song's the highest: every world
has the same songs.

Reference: M. J. Salganik, P. S. Dodds and D. J. Watts, 2006, doi:10.1126/science.1121066; position: C. Krumme,
M. Cebrian, G. Pickard and S. Pentland, 2012, doi:10.1371/journal.pone.0033785. Draws are hard: gradients by common
random numbers, or by the score, which is in closed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lpm.errors import InputError
from lpm.kernel import Kernel, parameter, register
from lpm.network import Layer
from lpm.ops.groups import sum_by_group
from lpm.ops.hazard import event_threshold, hazard_units
from lpm.ops.untaken import MOST, choose_untaken, integer_weights, with_taken
from lpm.population import WEIGHT_UNIT, Column
from lpm.random import Key, agent_bits, happens, normal, purpose
from lpm.types import Array, Tables

WORDS = MOST // 32
"""32-bit words of the mask of taken songs."""


@register
class MusicMarket(Kernel):
    """Downloads from one list of songs, at most 64, the rows of table "items"."""

    name = "music-market"
    columns = (
        Column("appetite", "float32", "how much oftener than others it takes a song", bounds=(0, 100), default=1),
        Column("taken", "uint32", "songs taken so far, a bit each", shape=(WORDS,)),
        Column("song", "uint8", "song taken last", levels=("none", *(f"song {s + 1}" for s in range(MOST)))),
    )
    tables = {
        "items": (
            Column("appeal", "float32", "log of how often it is taken by those who see no counts", bounds=(-20, 20)),
            Column("downloads", "uint32", "people who took it", unit="people"),
            Column("part", "uint16", "the part of a person beyond them", unit="1/65536 person"),
        )
    }
    writes = ("appetite", "taken", "song")
    gradient = "common random numbers"

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        """Parameters of the cultural market."""

        popularity: Any = parameter(
            0.5,
            unit="1",
            bounds=(0, 5),
            meaning="weight of the log of 1 + downloads; 0 = counts are not shown",
            source="fitted, with appeal, to experiment 1 of Salganik et al. 2006, 10.1126/science.1121066 (Gini "
            "coefficient without and with counts, U with counts); misfit: with counts the Gini coefficient is 1.7 "
            "standard errors too high, U 1.0 too low",
            prior=("lognormal", 0.5, 0.2),
        )
        position: Any = parameter(
            0.0,
            unit="1",
            bounds=(0, 5),
            meaning="weight of the log of the place in a list ordered by downloads; 0 = a random grid",
            source="0: the random grid of experiment 1, Salganik et al. 2006, 10.1126/science.1121066; others: guess",
        )
        appeal: Any = parameter(
            0.45,
            unit="1",
            bounds=(0, 5),
            meaning="standard deviation of the songs' appeal beside what table items gives",
            source="fitted, with popularity; misfit: without counts the Gini coefficient is 1.0 standard deviations of "
            "a world too low (0.230 against 0.244 in Salganik et al. 2006, 10.1126/science.1121066)",
            initial=True,
        )
        visits: Any = parameter(
            0.1,
            unit="1/day",
            bounds=(0, 1e3),
            meaning="mean rate at which a person comes for a song; one a step at most",
            source="guess",
        )
        unequal: Any = parameter(
            1.3,
            unit="1",
            bounds=(0, 3),
            meaning="standard deviation of the log of appetite, beside what the population gives",
            source="fitted to E n^2 / E n of a visitor's n downloads, 11 in Salganik et al. 2006, "
            "10.1126/science.1121066 (the model gives 10)",
            initial=True,
        )

    @classmethod
    def prepare(cls, params: Any, tables: Tables, clock: Any) -> Any:
        """Return the parameters.

        Raises:
            InputError: More songs than a mask has bits.
        """
        songs = tables["items"]["appeal"].shape[0]
        if songs > MOST:
            raise InputError(f"kernel 'music-market': expected at most {MOST} rows in table items, got {songs}")
        return params

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Any) -> Mapping[str, Any]:
        """Return visitors who have taken nothing, and songs that nobody took."""
        agents, items = tables["agents"], tables["items"]
        songs = items["appeal"].shape[0]
        quantiles = jax.scipy.special.ndtri(1 - (jnp.arange(songs, dtype=jnp.float32) + 0.5) / songs)
        more = jnp.exp(params.unequal * (normal(purpose(key, "appetite"), agents["id"]) - params.unequal / 2))
        return {
            "appetite": jnp.minimum(agents["appetite"] * more, 100),
            "taken": jnp.zeros_like(agents["taken"]),
            "song": jnp.zeros_like(agents["song"]),
            "items": {
                "appeal": jnp.clip(items["appeal"] + params.appeal * quantiles, -20, 20),
                "downloads": jnp.zeros_like(items["downloads"]),
                "part": jnp.zeros_like(items["part"]),
            },
        }

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Any
    ) -> Mapping[str, Any]:
        """Return what was taken after one step, and the songs' new counts."""
        agents, items = tables["agents"], tables["items"]
        songs = items["appeal"].shape[0]
        weights = integer_weights(utilities(items, params))
        chosen = choose_untaken(weights, agents["taken"], agent_bits(purpose(key, "song"), agents["id"]))
        chance = event_threshold(hazard_units(params.visits * jnp.float32(clock.dt) * agents["appetite"]))
        comes = happens(agent_bits(purpose(key, "visit"), agents["id"]), chance) & agents["present"]
        takes = comes & (chosen < songs)
        more = sum_by_group(jnp.where(takes, agents["weight"], 0), chosen, songs, clock.shards)
        with jax.enable_x64(True):
            known = items["downloads"].astype(jnp.uint64) * WEIGHT_UNIT + items["part"].astype(jnp.uint64)
            known = known + more[:, 0].astype(jnp.uint64) + (more[:, 1].astype(jnp.uint64) << 32)
            downloads = (known // WEIGHT_UNIT).astype(jnp.uint32)
            part = (known % WEIGHT_UNIT).astype(jnp.uint16)
        return {
            "appetite": agents["appetite"],
            "taken": with_taken(agents["taken"], chosen, takes),
            "song": jnp.where(takes, chosen + 1, agents["song"]).astype(jnp.uint8),
            "items": {"appeal": items["appeal"], "downloads": downloads, "part": part},
        }


def utilities(items: Mapping[str, Array], params: Any) -> Array:
    """Return float32 [songs], the logits by which everybody chooses."""
    people = items["downloads"].astype(jnp.float32) + items["part"].astype(jnp.float32) / WEIGHT_UNIT
    above = (people[None, :] > people[:, None]).sum(1, dtype=jnp.int32)
    equal = (people[None, :] == people[:, None]).sum(1, dtype=jnp.int32)
    place = 1 + above.astype(jnp.float32) + 0.5 * (equal - 1).astype(jnp.float32)
    return items["appeal"] + params.popularity * jnp.log1p(people) - params.position * jnp.log(place)
