"""Population generators by name: each makes the people of a scenario from its parameters.

A generator is a class with a frozen `Params` dataclass, `columns(params)`, the declarations of what it makes, and
`generate(seed, params, size, people)`. A new generator is one class here, or one file and one import line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from lpm.kernel import parameter
from lpm.population import Column, Population


class Generator(Protocol):
    """What a registered class offers; it is never instantiated."""

    Params: ClassVar[type[Any]]

    @staticmethod
    def columns(params: Any) -> tuple[Column, ...]:
        """Return the declarations of the columns that `generate` makes."""
        ...

    @staticmethod
    def generate(seed: int, params: Any, size: int, people: float | None) -> Population:
        """Return `size` agents that stand for `people` people (absent = as many as the generator knows of)."""
        ...


class Uniform:
    """Agents without any column of their own; each stands for the same number of people."""

    @dataclass(frozen=True)
    class Params:
        """There are none."""

    @staticmethod
    def columns(params: Any) -> tuple[Column, ...]:
        """Return no columns."""
        return ()

    @staticmethod
    def generate(seed: int, params: Any, size: int, people: float | None) -> Population:
        """Return `size` agents."""
        made = Population.build(size, (), {})
        return made if people is None else made.reweighted(people)


class Households:
    """A city's people in households and care homes, from marginals (`lpm.synthesis`)."""

    @dataclass(frozen=True)
    class Params:
        """Where the marginals are."""

        marginals: str = parameter(
            "",
            unit="file",
            meaning="borough_age.csv of a folder of marginals; household_size, household_composition, household_roles "
            "and care_homes (.csv) lie beside it",
        )

    @staticmethod
    def columns(params: Any) -> tuple[Column, ...]:
        """Return borough, age, years, household, household_size and residence."""
        from lpm.marginals import read_marginals
        from lpm.synthesis import columns_of

        return columns_of(read_marginals(Path(params.marginals).parent))

    @staticmethod
    def generate(seed: int, params: Any, size: int, people: float | None) -> Population:
        """Return the people; `facts` holds every marginal, published and as generated."""
        from lpm.census import compare
        from lpm.marginals import read_marginals
        from lpm.synthesis import synthesize

        marginals = read_marginals(Path(params.marginals).parent)
        made = synthesize(seed, marginals, size, None if people is None else round(people))
        told = [
            {"name": entry.table, "level": entry.level, "published": entry.published, "generated": entry.generated}
            for entry in compare(marginals, made)
        ]
        return Population(made.schema, made.columns, {**made.facts, "marginals": told})


GENERATORS: dict[str, type[Any]] = {"households": Households, "uniform": Uniform}
"""The registered generators."""


def generators() -> dict[str, type[Any]]:
    """Return every population generator by name."""
    return dict(GENERATORS)
