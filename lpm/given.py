"""What people give, by an option or an argument: numbers, seeds and texts, checked, and shown in an error."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

from lpm.errors import InputError, unknown

LARGEST = 2**31 - 1
"""The largest whole number that an option takes."""

MOST_SEEDS = 100_000
"""Most seeds of a run."""

_DIGITS = re.compile(r"\d{400}")
"""A number that no float64 holds: 1.8e308 is the largest."""

_WHOLE = re.compile(r"[+-]?\d+(_\d+)*(\.\d*)?([eE]\+?\d{1,4})?")


def shown(value: Any) -> str:
    """Return what was given as an error shows it: on one line, at most 60 characters, every one of them visible."""
    if isinstance(value, int) and value.bit_length() > 200:  # Python refuses to write out thousands of digits
        return f"a whole number of about {value.bit_length() * 0.30103:.0f} digits"  # log10(2) = 0.30103
    try:
        told = value if isinstance(value, str) else " ".join(repr(value).split())
    except ValueError:
        return f"a {type(value).__name__} that holds a number of thousands of digits"
    told = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in told[:60]) + "..." * (len(told) > 60)
    return f"'{told}'" if isinstance(value, str) else told


def text(given: str, option: str, expected: str) -> str:
    """Return a text that an option gives.

    Raises:
        InputError: It is blank, or holds a NUL, which no name and no path can have.
    """
    if not given.strip() or "\0" in given:
        raise InputError(f"{option}: expected {expected}, got {shown(given)}")
    return given


def check_value(value: Any, where: str) -> None:
    """Refuse a value that no file could hold: an endless number, or text with a NUL or without an encoding."""
    if isinstance(value, Mapping):
        for each in cast("Mapping[Any, Any]", value).items():
            check_value(each, where)
    elif isinstance(value, list | tuple):
        for each in cast("Sequence[Any]", value):
            check_value(each, where)
    elif isinstance(value, str):
        if "\0" in value or value.encode("utf-8", errors="replace").decode() != value:
            raise InputError(f"{where}: expected text that a file can hold, got {shown(value)}")
        if _DIGITS.search(value):
            raise InputError(f"{where}: expected numbers of fewer than 400 digits, got {shown(value)}")
    elif isinstance(value, int) and value.bit_length() > 1024:
        raise InputError(f"{where}: expected a number below 1.8e308, got {shown(value)}")


def whole(text: str | None, option: str, least: int = 1) -> int | None:
    """Return the whole number that an option gives, written as 100000, 100_000 or 1e5; None where it is not given.

    Raises:
        InputError: Something else, or a number that is not between `least` and `LARGEST`.
    """
    if text is None:
        return None
    given = text.strip()
    if not given.isascii() or not _WHOLE.fullmatch(given):
        raise InputError(f"{option}: expected a whole number such as 100000, 100_000 or 1e5, got {shown(text)}")
    number = Decimal(given)
    if not least <= number <= LARGEST:
        raise InputError(f"{option}: expected {least} to {LARGEST}, got {given[:30]}{'...' * (len(given) > 30)}")
    if number != int(number):
        raise InputError(f"{option}: expected a whole number, got {given[:30]}{'...' * (len(given) > 30)}")
    return int(number)


def one_of(text: str, names: Collection[str], option: str, kind: str) -> str:
    """Return a name that an option can have.

    Raises:
        InputError: There is none of that name; the nearest, or what there is, is told.
    """
    if text not in names:
        raise unknown(option, kind, text, names)
    return text


def seeds_of(text: str) -> int | list[int]:
    """Return `--seeds`: a count, or a list of seeds.

    Raises:
        InputError: Neither.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 11 for part in parts):
        raise InputError(f"--seeds: expected a number (4) or seeds by commas (3,5,8), got {shown(text)}")
    numbers = [int(part) for part in parts]
    if len(numbers) == 1 and not 1 <= numbers[0] <= MOST_SEEDS:
        raise InputError(f"--seeds: expected 1 to {MOST_SEEDS:,} seeds, got {numbers[0]}")
    if len({*numbers}) != len(numbers) or max(numbers) >= 2**31:
        raise InputError(f"--seeds: expected different seeds below 2147483648, got {shown(text)}")
    return numbers[0] if len(numbers) == 1 else numbers
