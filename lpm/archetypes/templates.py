"""Templates of users: Jinja2 in its immutable sandbox, bounded so that a few signs can neither fill memory nor hang.

The sandbox keeps templates from Python; it does not keep `'a' * 10**10` from being made. So sums, products, powers and
formats are checked before they are made, only filters and methods whose result is about as long as what they are given
are there, loops go at most two deep over at most `MOST` things, and the text is broken off where it gets too long.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST = 20_000
"""Characters, or items, of a value inside a template; a card has far fewer."""

MOST = 1_000
"""Numbers of a `range`."""

DEEPEST = 2
"""Loops inside each other."""

BITS = 4096
"""Length of a whole number [bit]."""

FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "format", "int", "items", "join",
    "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "round", "select", "selectattr",
    "sort", "string", "sum", "title", "trim", "truncate", "unique", "upper", "wordcount",
)  # fmt: skip

METHODS = (
    "upper", "lower", "title", "capitalize", "strip", "lstrip", "rstrip", "startswith", "endswith", "split", "items",
    "keys", "values", "get", "index", "count", "cycle",
)  # fmt: skip

NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Slice, nodes.For, nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
    nodes.Filter, nodes.Test, nodes.BinExpr, nodes.UnaryExpr, nodes.Assign, nodes.Call, nodes.Keyword, nodes.List,
    nodes.Tuple, nodes.Dict, nodes.Pair,
)  # fmt: skip
"""What a template may be made of: no macros, blocks, imports or joins by "~", which grow without a check."""

WIDE = re.compile(r"\*|\d{4}")
"""A width in a format that is given by a number of four digits, or from outside."""


class Bounded(ImmutableSandboxedEnvironment):
    """The sandbox with bounds."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self):
        """Make it; cards are plain text for a prompt, no HTML, so that nothing is escaped."""
        super().__init__(autoescape=False, undefined=StrictUndefined, optimized=False)
        self.globals = {"range": _range}
        self.filters = {name: _bounded(name, self.filters[name]) for name in FILTERS}

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Return a sum, product, power or rest.

        Raises:
            SecurityError: It would be too long.
        """
        if operator == "%" and isinstance(left, str):
            _narrow(left)
        elif operator == "**":
            if abs(left) > 1e6 or abs(right) > 100:
                raise SecurityError(f"expected a power of small numbers, got {left!r:.20} ** {right!r:.20}")
        elif operator == "*":
            sides: list[tuple[Any, Any]] = [(left, right), (right, left)]
            long = any(isinstance(each, str | list | tuple) and len(each) * times > LONGEST for each, times in sides)  # pyright: ignore[reportUnknownArgumentType]
            if isinstance(left, int) and isinstance(right, int):
                long = left.bit_length() + right.bit_length() > BITS
            if long:
                raise SecurityError(f"expected a product of at most {LONGEST} characters")
        return _short(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: B902, N805
        """Call `range`, or a method that makes nothing long.

        Raises:
            SecurityError: It is another.
        """
        if __obj is not _range and getattr(__obj, "__name__", "") not in METHODS:
            raise SecurityError(f"a template may not call {getattr(__obj, '__name__', __obj)!s:.40}")
        return _short(super().call(__context, __obj, *args, **kwargs))


def renderer(template: str) -> Callable[[Mapping[str, Any], int], str]:
    """Return what renders a template: a function of its values and of the most characters that are wanted.

    Raises:
        jinja2.TemplateError: It is wrong, or made of what is not allowed; also raised by the function.
    """
    environment = Bounded()
    _check(environment.parse(template), 0)
    ready = environment.from_string(template)

    def render(values: Mapping[str, Any], most: int) -> str:
        made, length = list[str](), 0
        for part in ready.generate(**values):
            made.append(part)
            length += len(part)
            if length > 2 * most + LONGEST:  # blanks at the ends do not count: far more than is wanted
                raise SecurityError(f"expected a text of at most {most} characters")
        return "".join(made)

    return render


def _check(node: nodes.Node, depth: int) -> None:
    if not isinstance(node, NODES):
        raise SecurityError(f"a template may not use '{type(node).__name__.lower()}'")
    depth += isinstance(node, nodes.For)
    if depth > DEEPEST:
        raise SecurityError(f"expected at most {DEEPEST} loops inside each other")
    for each in node.iter_child_nodes():
        _check(each, depth)


def _range(*args: int) -> range:
    made = range(*args)
    if len(made) > MOST:
        raise SecurityError(f"expected a range of at most {MOST} numbers, got {len(made)}")
    return made


def _bounded(name: str, made: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that refuses what it would take long for."""

    @functools.wraps(made)  # keeps the marks by which Jinja2 hands a filter its environment
    def bounded(*args: Any, **kwargs: Any) -> Any:
        if name == "format":
            _narrow(str(args[0]))
        if name == "round":
            digits = kwargs.get("precision", args[1] if len(args) > 1 else 0)
            if not isinstance(digits, int) or abs(digits) > 15:
                raise SecurityError(f"round: expected at most 15 digits, got {digits!r:.20}")
        return _short(made(*args, **kwargs))

    return bounded


def _narrow(text: str) -> None:
    if WIDE.search(text):
        raise SecurityError("expected a format of fewer than 1000 characters")


def _short(value: Any) -> Any:
    if isinstance(value, str | list | tuple) and len(value) > LONGEST:  # pyright: ignore[reportUnknownArgumentType]
        raise SecurityError(f"expected a value of at most {LONGEST} characters")
    return value  # pyright: ignore[reportUnknownVariableType]
