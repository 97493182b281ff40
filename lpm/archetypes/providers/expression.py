"""A small language for formulas: arithmetic on named values, comparisons, and nothing else.

A formula is read by Python's own grammar and then walked: numbers, texts, names, + - * / **, comparisons, `and`, `or`,
`not`, and the functions of `FUNCTIONS` (`where(a > 3, x, y)` chooses). Whatever else the grammar knows (attributes,
indices, other calls, lambdas, comprehensions) is refused before anything is computed.
"""

from __future__ import annotations

import ast
import itertools
import math
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lpm.archetypes.questions import Fact
from lpm.errors import InputError, unknown

LONGEST = 1_000
"""Characters of a formula."""

FUNCTIONS: Mapping[str, tuple[int, Callable[..., Any]]] = {
    "exp": (1, math.exp),
    "log": (1, math.log),
    "log1p": (1, math.log1p),
    "sqrt": (1, math.sqrt),
    "abs": (1, abs),
    "min": (2, min),
    "max": (2, max),
    "where": (3, lambda test, yes, no: yes if test else no),
}
"""What a formula may call: number of arguments, function."""

ARITHMETIC: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
COMPARISONS: Mapping[type[ast.AST], Callable[..., bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True)
class Expression:
    """A formula that was found to be one.

    Attributes:
        text: As written.
        where: Named in errors.
        names: The values that it needs.
    """

    text: str
    where: str
    names: frozenset[str]
    _tree: ast.expr

    @staticmethod
    def parse(text: str, where: str, names: Collection[str] | None = None) -> Expression:
        """Return a formula.

        Args:
            text: The formula.
            where: Named in errors.
            names: The values that there are; None = any.

        Raises:
            InputError: It is none, or needs a value that there is not.
        """
        if len(text) > LONGEST:
            raise InputError(f"{where}: expected a formula of at most {LONGEST} characters, got {len(text)}")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
            found = frozenset(_check(tree, where))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{where}: expected a formula, got '{text}'") from None
        for name in sorted(found):
            if names is not None and name not in names:
                raise unknown(where, "value", name, names)
        return Expression(text, where, found, tree)

    def value(self, facts: Mapping[str, Fact]) -> float:
        """Return the formula's value.

        Raises:
            InputError: A value is missing, or the result is not a finite number.
        """
        try:
            found = _value(self._tree, facts)
        except KeyError as error:
            raise unknown(self.where, "value", str(error.args[0]), facts) from None
        except (ArithmeticError, ValueError, TypeError) as error:
            raise InputError(f"{self.where}: '{self.text}' cannot be computed: {error}") from None
        if isinstance(found, str) or not math.isfinite(found):
            raise InputError(f"{self.where}: expected a finite number, got '{found}' from '{self.text}'")
        return float(found)


def _check(node: ast.expr, where: str) -> set[str]:
    """Return the names in a part of a formula, all of whose parts are allowed."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str()):
            return set()
        case ast.Name(id=name):
            return {name}
        case ast.BinOp(left, op, right) if type(op) in ARITHMETIC:
            return _check(left, where) | _check(right, where)
        case ast.UnaryOp(op, part) if type(op) in ARITHMETIC or isinstance(op, ast.Not):
            return _check(part, where)
        case ast.BoolOp(values=parts):
            return set[str]().union(*(_check(part, where) for part in parts))
        case ast.Compare(left, ops, parts) if all(type(op) in COMPARISONS for op in ops):
            return _check(left, where).union(*(_check(part, where) for part in parts))
        case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]):
            if name not in FUNCTIONS:
                raise unknown(where, "function", name, FUNCTIONS)
            if len(parts) != FUNCTIONS[name][0]:
                raise InputError(f"{where}: {name}() takes {FUNCTIONS[name][0]} values, got {len(parts)}")
            return set[str]().union(*(_check(part, where) for part in parts))
        case _:
            raise InputError(f"{where}: '{ast.unparse(node)}' is not allowed in a formula; numbers, names, + - * / **,"
                             f" comparisons, and, or, not, {', '.join(FUNCTIONS)}")  # fmt: skip


def _value(node: ast.expr, facts: Mapping[str, Fact]) -> Any:
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.Constant(value=number):
            return float(number)  # pyright: ignore[reportArgumentType]  # checked before
        case ast.Name(id=name):
            return facts[name]
        case ast.BinOp(left, op, right):
            return ARITHMETIC[type(op)](_number(left, facts), _number(right, facts))
        case ast.UnaryOp(ast.Not(), part):
            return not _value(part, facts)
        case ast.UnaryOp(op, part):
            return ARITHMETIC[type(op)](_number(part, facts))
        case ast.BoolOp(ast.And(), parts):
            return all(_value(part, facts) for part in parts)
        case ast.BoolOp(_, parts):
            return any(_value(part, facts) for part in parts)
        case ast.Compare(left, ops, parts):
            sides = [_value(each, facts) for each in (left, *parts)]
            return all(COMPARISONS[type(op)](*pair) for op, pair in zip(ops, itertools.pairwise(sides), strict=True))
        case ast.Call(func=ast.Name(id="where"), args=[test, yes, no]):  # only the branch that is chosen is computed
            return _value(yes if _value(test, facts) else no, facts)
        case ast.Call(func=ast.Name(id=name), args=parts):
            return FUNCTIONS[name][1](*(_value(part, facts) for part in parts))
        case _:
            raise TypeError(f"'{ast.unparse(node)}'")


def _number(node: ast.expr, facts: Mapping[str, Fact]) -> float:
    found = _value(node, facts)
    if isinstance(found, str):
        raise TypeError(f"'{found}' is a text, no number")
    return float(found)
