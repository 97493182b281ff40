"""The contract of a kernel and of its parameters, and the registry by name.

A kernel is a class with a frozen `Params` dataclass, the columns that it reads and writes, and a pure `step`. The same
`parameter(...)` declaration serves network builders and population generators: value, unit, bounds and source are said
once, and checks, documentation, priors and reports are derived from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from lpm.errors import InputError, unknown
from lpm.types import Tables

if TYPE_CHECKING:
    from lpm.clock import Clock
    from lpm.network import Layer
    from lpm.population import Column
    from lpm.random import Key


GRADIENTS = {
    "exact": "jax.grad and jax.jvp of a trajectory are those of its expectation",
    "between choices": "jax.grad and jax.jvp hold every threshold and draw as it fell: they leave out that it moves",
    "common random numbers": "draws are hard: finite differences under common random numbers; jax.grad is refused",
    "none": "no gradient rule; jax.grad is refused",
}
"""Gradient rules that a kernel can claim, and what they mean."""

DIFFERENTIABLE = ("exact", "between choices")
"""Rules under which JAX differentiates a kernel; see `lpm.gradient`."""


@dataclass(frozen=True)
class Declaration:
    """What is declared about one parameter.

    Attributes:
        unit: "1" (a share or probability per event), "1/day" (a rate), "day" (a duration), "people", "people/day", ...
        bounds: Smallest and largest allowed value, inclusive.
        meaning: One line of documentation.
        source: Where the default comes from (author, year, DOI), or "guess".
        by: Name of the categorical column whose levels a vector parameter follows; "" = one number.
        prior: Prior distribution as (family, a, b): ("lognormal", median, sd of the log), ("normal", mean, sd),
            ("uniform", low, high) or ("beta", a, b); () = held fixed under `--draws prior`.
        choices: Allowed values of a parameter that is a text.
        initial: It acts at the start only, so that no intervention can change it.
    """

    unit: str
    bounds: tuple[float, float] = (float("-inf"), float("inf"))
    meaning: str = ""
    source: str = ""
    by: str = ""
    prior: tuple[Any, ...] = ()
    choices: tuple[str, ...] = ()
    initial: bool = False


def parameter(
    default: Any,
    *,
    unit: str,
    meaning: str,
    bounds: tuple[float, float] = (float("-inf"), float("inf")),
    source: str = "",
    by: str = "",
    prior: tuple[Any, ...] = (),
    choices: tuple[str, ...] = (),
    initial: bool = False,
) -> Any:
    """Declare a field of a `Params` dataclass; see `Declaration` for the arguments."""
    declared = Declaration(unit, bounds, meaning, source, by, prior, choices, initial)
    return dataclasses.field(default=default, metadata={"declaration": declared})


def declarations(params: type[Any]) -> dict[str, Declaration]:
    """Return the declaration of every field of a `Params` dataclass, by name."""
    return {f.name: f.metadata["declaration"] for f in dataclasses.fields(params) if "declaration" in f.metadata}


class Kernel:
    """A rule of behaviour. Subclasses are registered by name and never instantiated.

    Attributes:
        name: Registered name.
        Params: Frozen dataclass whose fields are made by `parameter(...)`.
        columns: Columns of table "agents" that the kernel declares (its own state, among them all that it writes).
        tables: Columns of other tables that it declares, by table: "globals" has one row, the scenario says how many
            rows others ("items", "places") have. Every device holds all of them.
        reads: Names of columns that must exist.
        writes: Names of columns that `step` and `init` return.
        schedule: "synchronous", "random-sequential", "random pairs" or "one event".
        gradient: What may be asked of its derivative, one of `GRADIENTS`.
        hard: Parameters of a differentiable kernel that act only through draws or thresholds, which no derivative of a
            trajectory sees: a derivative by one of them is refused.
        rewires: It moves ties: in `networks` it finds the `Ties` of a dynamic layer in the place of its rows, and
            returns new ones, of the same slots, as {"ties": {layer: Ties}} beside its columns.
    """

    name: ClassVar[str]
    Params: ClassVar[type[Any]]
    columns: ClassVar[tuple[Column, ...]] = ()
    tables: ClassVar[Mapping[str, tuple[Column, ...]]] = {}
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ()
    schedule: ClassVar[str] = "synchronous"
    gradient: ClassVar[str] = "none"
    hard: ClassVar[tuple[str, ...]] = ()
    rewires: ClassVar[bool] = False

    @classmethod
    def check(cls, params: Any, where: str, dt: float = 1.0) -> None:
        """Raise `InputError` where values that are each in bounds do not fit together, or not to steps of `dt` days."""

    @classmethod
    def expected_arrivals(cls, params: Any) -> tuple[float, float] | None:
        """Return the people expected to begin an epidemic from outside, (at the start, a day); None: not said here."""
        return None

    @classmethod
    def prepare(cls, params: Any, tables: Tables, clock: Clock) -> Any:
        """Return small tables derived from the parameters (a pytree), computed once and not every step.

        Args:
            params: The kernel's `Params`; leaves are float32 scalars, or [levels] where declared `by` a column.
            tables: Columns as they are stored. Of "agents" only those are there that no step changes: not what a kernel
                writes or an intervention does once (`Model.prepared` leaves them out). `present` is among them as long
                as no kernel writes it; agents whom policy takes out for a while are present here.
            clock: `clock.dt` and `clock.shards`; the step is not known here.
        """
        return params

    @classmethod
    def init(cls, key: Key, tables: Tables, params: Any, clock: Clock) -> Mapping[str, Any]:
        """Return the columns of `writes` at the start; `params` is what `prepare` returned."""
        return {}

    @classmethod
    def step(
        cls, key: Key, tables: Tables, networks: Mapping[str, Layer], params: Any, clock: Clock
    ) -> Mapping[str, Any]:
        """Return the new values of the columns of `writes` in table "agents", and of other tables by their name.

        Args:
            key: Names the stream of this instance and step (`lpm.random`).
            tables: Columns as they are at the beginning of the step (what earlier kernels of the step wrote included).
            networks: The layers by name; a kernel that `rewires` finds `Ties` where they are dynamic (the rows as
                they are now are in `Ties.layer`).
            params: What `prepare` returned.
            clock: Step number and length.
        """
        raise AssertionError(f"kernel '{cls.name}' has no step")


AnyKernel = TypeVar("AnyKernel", bound=type[Kernel])
_REGISTRY: dict[str, type[Kernel]] = {}


def register(kernel: AnyKernel) -> AnyKernel:
    """Register a kernel class under its `name` (a class decorator).

    Raises:
        InputError: The name is taken by another class, or its gradient rule or a hard parameter does not exist.
    """
    if kernel.gradient not in GRADIENTS:
        raise unknown(f"kernel '{kernel.name}'", "gradient rule", kernel.gradient, GRADIENTS)
    for name in kernel.hard:
        if name not in declarations(kernel.Params):
            raise unknown(f"kernel '{kernel.name}': hard", "parameter", name, declarations(kernel.Params))
    if kernel.hard and kernel.gradient not in DIFFERENTIABLE:
        raise InputError(f"kernel '{kernel.name}': hard: expected none, because no parameter is differentiable")
    if _REGISTRY.setdefault(kernel.name, kernel) is not kernel:
        raise InputError(f"kernel '{kernel.name}': the name is taken by {_REGISTRY[kernel.name].__module__}")
    from lpm.gradient import guard

    guard(kernel)
    return kernel


def kernels() -> dict[str, type[Kernel]]:
    """Return every registered kernel by name, in the order of names."""
    import lpm.kernels as _  # its import lines are the table of contents  # noqa: F401

    return dict(sorted(_REGISTRY.items()))


def find(name: str, where: str) -> type[Kernel]:
    """Return the kernel registered under `name`.

    Raises:
        InputError: There is none; the nearest name is suggested.
    """
    known = kernels()
    if name not in known:
        raise unknown(where, "kernel", name, known)
    return known[name]


def levels_for(
    declared: Declaration, schema: Mapping[str, Column], where: str, *, aliases: Callable[[str], str] = str
) -> Sequence[str]:
    """Return the levels that a vector parameter follows, () for one number.

    Raises:
        InputError: The population has no such categorical column.
    """
    if not declared.by:
        return ()
    name = aliases(declared.by)
    if name not in schema or not schema[name].levels:
        raise unknown(where, "categorical column", name, [c for c, column in schema.items() if column.levels])
    return schema[name].levels
