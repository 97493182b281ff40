"""What people give to `lpm.run` and its like, by keyword: checked, and told by keyword where it does not fit."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from lpm.errors import CheckpointError, Fault, InputError
from lpm.given import LARGEST, MOST_SEEDS, seeds_of, shown
from lpm.given import whole as whole_of

_FLAGS = ("resume", "overwrite", "quiet", "save_agents", "summary", "gather")
_OPTIONS = (
    "agents", "steps", "seeds", "draws", "arms", "set", "out", "overwrite", "backend", "devices", "checkpoint-every",
    "resume", "save-agents", "quiet", "data", "fit", "until", "starts", "grid", "sobol", "morris", "table", "summary",
    "workers", "ray", "shard", "memory", "gather", "refine", "predict", "metric",
    "coordinator", "processes", "process-id",
)  # fmt: skip
_OPTION = rf"(?<![^\s(])--(?P<option>{'|'.join(_OPTIONS)})(?![\w-])"
_QUOTED = r"""(?<!\w)(?P<quote>['"]).*?(?P=quote)(?!\w)"""
_AS_IT_IS = r"\blpm run .*|; there are: .*"
"""What a line can hold: an option; a text in quotes, which an apostrophe does not end; a command; names that exist."""


def misfit(name: str, expected: str, given: Any) -> InputError:
    """Return the error for a value of a keyword that does not fit."""
    return InputError(f"{name}: expected {expected}, got {shown(given)}")


def _plain(value: Any) -> Any:
    """Return a number or array of numpy (or another array library) as Python has it; no time (NaT) stays what it is."""
    plain = value.tolist() if hasattr(value, "dtype") and hasattr(value, "tolist") else value
    return value if plain is None else plain


def whole(value: Any, name: str, least: int = 1) -> int | None:
    """Return a whole number: 1000, 1e3, numpy's, or a text that `--agents` takes as well."""
    value = _plain(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise misfit(name, "a whole number", value)
    if isinstance(value, str):
        return whole_of(value, name, least)
    if isinstance(value, float) and not value.is_integer():
        raise misfit(name, "a whole number", value)
    if not least <= value <= LARGEST:
        raise misfit(name, f"{least} to {LARGEST}", value)
    return int(value)


def some_seeds(value: Any) -> int | list[int] | None:
    """Return `seeds`: a count, a list of seeds, or None."""
    value = _plain(value)
    if isinstance(value, str):
        return seeds_of(value)
    if isinstance(value, list | tuple | range):
        if value[MOST_SEEDS:]:
            raise InputError(f"seeds: expected at most {MOST_SEEDS:,} seeds, got more")
        found = [_plain(each) for each in cast("Sequence[Any]", value)]
        for each in found:
            if isinstance(each, bool) or not isinstance(each, int) or not 0 <= each <= LARGEST:
                raise misfit("seeds", "a number of seeds, or a list of whole numbers from 0 on", each)
        return found
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise misfit("seeds", "a number of seeds, or a list of them", value)
    return whole(value, "seeds")


def path_of(value: Any, name: str, expected: str) -> str:
    """Return a path as text."""
    if not isinstance(value, str | os.PathLike):
        raise misfit(name, expected, value)
    return os.fsdecode(cast("os.PathLike[str]", value))


def name_of(value: Any, name: str) -> str:
    """Return a name."""
    if not isinstance(value, str):
        raise misfit(name, "a name", value)
    return value


def texts(value: Any, name: str, expected: str, separator: str | None = None, least: int = 0) -> list[str]:
    """Return a list of texts; one text is a list of one, or of its parts."""
    if isinstance(value, str):
        return value.split(separator) if separator else [value]
    given = [*cast("Sequence[Any]", value)] if isinstance(value, list | tuple) else None
    if given is None or len(given) < least or not all(isinstance(each, str) for each in given):
        raise misfit(name, expected, value)
    return cast("list[str]", given)


def sets(value: Any) -> Mapping[str, Any] | list[str]:
    """Return `set`: values by path, or texts."""
    if isinstance(value, Mapping):
        table = cast("Mapping[Any, Any]", value)
        for path in table:
            if not isinstance(path, str):
                raise misfit("set", "paths such as 'sir.beta'", path)
        return {path: _plain(each) for path, each in table.items()}
    return texts(value, "set", "values by path ({'sir.beta': 0.1}) or texts ('sir.beta=0.1')")


def axes(value: Any, name: str) -> list[str]:
    """Return the axes of a sweep as texts: values by path as "path=a,b", ends as "path=low:high" (or ":log")."""
    if value is None:
        return []
    if not isinstance(value, Mapping):
        raise misfit(name, "values by path, as {'sir.beta': [0.02, 0.05]}", value)
    made: list[str] = []
    for path, given in cast("Mapping[Any, Any]", value).items():
        each = _plain(given)
        if not isinstance(path, str) or not isinstance(each, list | tuple) or not each:
            raise misfit(name, "values by path, as {'sir.beta': [0.02, 0.05]}", {path: given})
        plain = [_plain(one) for one in cast("Sequence[Any]", each)]
        told = [one if isinstance(one, str) else repr(one) for one in plain]
        made.append(f"{path}=" + (":" if name == "ranges" else ",").join(told))
    return made


@contextlib.contextmanager
def by_keyword(given: Sequence[Any]) -> Generator[None]:
    """Tell errors by the keywords of `run` where they name options of the command line, and leave given texts alone."""
    try:
        yield
    except InputError as error:
        kind = CheckpointError if isinstance(error, CheckpointError) else InputError
        raise kind(_said(str(error), given)) from error.__cause__
    except Fault as error:
        raise Fault(_said(str(error), given)) from error.__cause__
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(_said(str(stop), given)) from None


def _said(line: str, given: Sequence[Any]) -> str:
    """Return a line with "--set sir.beta" as "set sir.beta", and "--resume" inside it as "resume=True".

    Args:
        line: The line.
        given: Paths of files and of values, which the line may hold without quotes.
    """
    texts = [str(each) for each in given if isinstance(each, str | os.PathLike)]
    forms = {form for text in texts for form in (text.split("=")[0], text, str(Path(text)), Path(text).stem)}
    kept = [re.escape(form) for form in sorted(forms, key=len, reverse=True) if re.search(_OPTION, form)]

    def keyword(found: re.Match[str]) -> str:
        if found.group("option") is None:
            return found.group()
        name = found.group("option").replace("-", "_")
        return f"{name}=True" if name in _FLAGS and found.start() else name

    return re.sub("|".join([*kept, _AS_IT_IS, _QUOTED, _OPTION]), keyword, line)
