"""Errors a user can mend: one line that names the place, what was expected, what came, and the nearest right name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input. The command line prints it as one line on stderr and exits with status 2."""


class CheckpointError(InputError):
    """A checkpoint that cannot be used here: truncated, foreign, or of another schema."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint "; did you mean 'x'?" for the name in `names` nearest to `name`, else what there is.

    Args:
        name: What was asked for.
        names: What exists.

    Returns:
        A phrase that starts with "; ", to be put at the end of an error's line.
    """
    known = sorted(names)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    if not known:
        return "; there are none"
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"; there are: {shown}"


def unknown(where: str, kind: str, name: str, names: Iterable[str]) -> InputError:
    """Return the error for a name that does not exist."""
    return InputError(f"{where}: unknown {kind} '{name}'{nearest(name, names)}")
