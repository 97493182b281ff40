"""Errors a user can mend: one line that names the place, what was expected, what came, and the nearest right name."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Generator, Iterable


class InputError(ValueError):
    """Bad input. The command line prints it as one line on stderr and exits with status 2."""


class CheckpointError(InputError):
    """A checkpoint that cannot be used here: damaged, foreign, or of another schema."""


class Fault(OSError):
    """What the machine did not do: a full disk, a file that cannot be written. The command line exits with status 1."""


@contextlib.contextmanager
def faults() -> Generator[None]:
    """Tell an error of the operating system as a fault, also where it was wrapped as bad input.

    It belongs around what is done when the input has been read and found good: from then on it is not the input that a
    file cannot be written for.

    Raises:
        Fault: For an OSError, or an `InputError` that one has caused.
    """
    try:
        yield
    except Fault:
        raise
    except InputError as error:
        if isinstance(error.__cause__, OSError):
            raise Fault(str(error)) from error.__cause__
        raise
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise Fault(f"{place}{error.strerror or error}") from error


def closest(name: str, names: Iterable[str]) -> str | None:
    """Return the name in `names` that is most like `name`, whatever its case, "-" and "_"; None where none is."""
    alike = {each.casefold().replace("_", "-"): each for each in sorted(names, reverse=True)}
    close = difflib.get_close_matches(name.casefold().replace("_", "-"), alike, n=1, cutoff=0.6)
    return alike[close[0]] if close else None


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint "; did you mean 'x'?" for the name in `names` nearest to `name`, else what there is.

    Args:
        name: What was asked for.
        names: What exists.

    Returns:
        A phrase that starts with "; ", to be put at the end of an error's line.
    """
    known = sorted(names)
    close = closest(name, known)
    if close is not None:
        return f"; did you mean '{close}'?"
    if not known:
        return "; there are none"
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"; there are: {shown}"


def unknown(where: str, kind: str, name: str, names: Iterable[str]) -> InputError:
    """Return the error for a name that does not exist."""
    return InputError(f"{where}: unknown {kind} '{name}'{nearest(name, names)}")
