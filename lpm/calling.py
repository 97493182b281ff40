"""`lpm.run`: what `lpm run` does, from Python. Whatever is given that does not fit is told in one line, by keyword."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from lpm import asking
from lpm.errors import CheckpointError, Fault, InputError
from lpm.given import LARGEST, MOST_SEEDS, seeds_of, shown, whole

_FLAGS = ("resume", "overwrite", "quiet", "save_agents")
_OPTIONS = (
    "agents", "steps", "seeds", "draws", "arms", "set", "out", "overwrite", "backend", "devices", "checkpoint-every",
    "resume", "save-agents", "quiet", "data", "fit", "until", "starts",
)  # fmt: skip
_OPTION = rf"(?<![^\s(])--(?P<option>{'|'.join(_OPTIONS)})(?![\w-])"
_QUOTED = r"""(?<!\w)(?P<quote>['"]).*?(?P=quote)(?!\w)"""
_AS_IT_IS = r"\blpm run .*|; there are: .*"
"""What a line can hold: an option; a text in quotes, which an apostrophe does not end; a command; names that exist."""


def run(
    scenario: str | Path,
    *,
    agents: int | None = None,
    steps: int | None = None,
    seeds: int | Sequence[int] | None = None,
    draws: str | Path | None = None,
    arms: str | Sequence[str] | None = None,
    set: Mapping[str, Any] | Sequence[str] | str = (),
    out: str | Path | None = None,
    overwrite: bool = False,
    backend: str | None = None,
    devices: int | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    save_agents: bool = False,
    quiet: bool = False,
) -> Path:
    """Run a scenario, as the command `lpm run` does, and return the folder of its results.

    Args:
        scenario: A built-in name ("nyc-covid") or the path of a TOML file.
        agents: Number of agents (100_000 or 1e5); each stands for more people the fewer there are.
        steps: Number of steps.
        seeds: How many seeds (4: seeds 0 to 3), or which ones ([3, 5, 8]).
        draws: "prior", or a file with a row of parameters per seed.
        arms: Only these arms; effects are against the first of them.
        set: Values by path ({"sir.beta": 0.1, "community.scale": 0.5}), or texts ("sir.beta=0.1").
        out: Folder for the results; `runs/<name>-<n>` unless given.
        overwrite: Put the run in the place of the one that `out` holds, if it holds one.
        backend: "auto", "xla", "numba" or "pallas".
        devices: Number of devices; None = all accelerators, or one CPU.
        checkpoint_every: Steps between checkpoints.
        resume: Go on with what `out` holds.
        save_agents: Keep the agents in `agents.parquet`.
        quiet: Show no progress on stderr.

    Returns:
        The folder, with `trajectory.parquet`, `effects.parquet`, `run.json` and `report.html`.

    Raises:
        InputError: Something that does not fit, in one line.
        Fault: What the machine did not do, such as a full disk; finished pairs are kept.
        KeyboardInterrupt: Stopped; its message says what is kept.
    """
    flags = {"resume": resume, "overwrite": overwrite, "save_agents": save_agents, "quiet": quiet}
    for name, flag in flags.items():
        if not isinstance(flag, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _misfit(name, "True or False", flag)
    with _by_keyword([*(set if isinstance(set, Mapping | list | tuple) else [set]), scenario, out, draws]):
        return asking.run(
            _path(scenario, "scenario", "a built-in name or the path of a TOML file"),
            agents=_whole(agents, "agents"),
            steps=_whole(steps, "steps"),
            seeds=_seeds(seeds),
            draws=None if draws is None else _path(draws, "draws", "'prior' or the path of a file"),
            arms=None if arms is None else _texts(arms, "arms", "a list of names", ",", least=1),
            set=_sets(set),
            out=None if out is None else _path(out, "out", "the path of a folder"),
            backend=None if backend is None else _name(backend, "backend"),
            devices=_whole(devices, "devices"),
            checkpoint_every=_whole(checkpoint_every, "checkpoint_every"),
            **flags,
        )


def calibrate(
    scenario: str | Path,
    *,
    data: str | Path | None = None,
    fit: str | Sequence[str] | None = None,
    until: str | Sequence[str] | None = None,
    agents: int | None = None,
    seeds: int = 2,
    starts: int = 64,
    draws: int = 200,
    posterior: str = "normal",
    diagnose: bool = False,
    set: Mapping[str, Any] | Sequence[str] | str = (),
    out: str | Path | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Path:
    """Fit a scenario to its data, as the command `lpm calibrate` does, and return the folder of the fit.

    Args:
        scenario: A built-in name ("nyc-covid") or the path of a TOML file.
        data: A .csv or .parquet file of figures with the columns metric, start, end, group and value; None = the
            scenario's `[data]`.
        fit: Paths of the free parameters ("seir.beta", "strengths.orders"); None = what the scenario marks.
        until: Origins ("2020-03-29"): each is fitted to what was known by then, and four weeks are forecast.
        agents: Number of agents.
        seeds: Runs that are averaged at every point of the fit.
        starts: Points of the prior that are tried before the best are refined.
        draws: Draws of the parameters behind a forecast, at least 20.
        posterior: How sure the fit is: "normal" (no further simulations), "synthetic" (some hundreds around the fit) or
            "neural" (thousands of the prior).
        diagnose: Check the draws: posterior predictive check and identifiability, in the report.
        set: Values by path that are held fixed.
        out: Folder; `runs/<name>-fit-<n>` unless given.
        resume: Go on with what `out` holds.
        quiet: Show no progress on stderr.

    Returns:
        The folder, with `fit.json`, `forecast.parquet`, `score.json`, `scenario.toml`, `posterior.parquet` and
        `report.html`.

    Raises:
        InputError: Something that does not fit, in one line.
        Fault: What the machine did not do, such as a full disk; what was simulated is kept.
        KeyboardInterrupt: Stopped; its message says what is kept.
    """
    for name, flag in {"diagnose": diagnose, "resume": resume, "quiet": quiet}.items():
        if not isinstance(flag, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _misfit(name, "True or False", flag)
    with _by_keyword([*(set if isinstance(set, Mapping | list | tuple) else [set]), scenario, out, data]):
        return asking.calibrate(
            _path(scenario, "scenario", "a built-in name or the path of a TOML file"),
            data=None if data is None else _path(data, "data", "the path of a file"),
            fit=None if fit is None else _texts(fit, "fit", "a list of paths", ",", least=1),
            until=None if until is None else _texts(until, "until", "a list of dates", ",", least=1),
            agents=_whole(agents, "agents"),
            seeds=_whole(seeds, "seeds") or 1,
            starts=_whole(starts, "starts") or 1,
            draws=_whole(draws, "draws") or 1,
            posterior=posterior,
            diagnose=diagnose,
            set=_sets(set),
            out=None if out is None else _path(out, "out", "the path of a folder"),
            resume=resume,
            quiet=quiet,
        )


def _misfit(name: str, expected: str, given: Any) -> InputError:
    return InputError(f"{name}: expected {expected}, got {shown(given)}")


def _plain(value: Any) -> Any:
    """Return a number or array of numpy (or another array library) as Python has it; no time (NaT) stays what it is."""
    plain = value.tolist() if hasattr(value, "dtype") and hasattr(value, "tolist") else value
    return value if plain is None else plain


def _whole(value: Any, name: str) -> int | None:
    """Return a whole number: 1000, 1e3, numpy's, or a text that `--agents` takes as well."""
    value = _plain(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _misfit(name, "a whole number", value)
    if isinstance(value, str):
        return whole(value, name)
    if isinstance(value, float) and not value.is_integer():
        raise _misfit(name, "a whole number", value)
    if not 1 <= value <= LARGEST:
        raise _misfit(name, f"1 to {LARGEST}", value)
    return int(value)


def _seeds(value: Any) -> int | list[int] | None:
    value = _plain(value)
    if isinstance(value, str):
        return seeds_of(value)
    if isinstance(value, list | tuple | range):
        if value[MOST_SEEDS:]:
            raise InputError(f"seeds: expected at most {MOST_SEEDS:,} seeds, got more")
        found = [_plain(each) for each in cast("Sequence[Any]", value)]
        for each in found:
            if isinstance(each, bool) or not isinstance(each, int) or not 0 <= each <= LARGEST:
                raise _misfit("seeds", "a number of seeds, or a list of whole numbers from 0 on", each)
        return found
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _misfit("seeds", "a number of seeds, or a list of them", value)
    return _whole(value, "seeds")


def _path(value: Any, name: str, expected: str) -> str:
    if not isinstance(value, str | os.PathLike):
        raise _misfit(name, expected, value)
    return os.fsdecode(cast("os.PathLike[str]", value))


def _name(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise _misfit(name, "a name", value)
    return value


def _texts(value: Any, name: str, expected: str, separator: str | None = None, least: int = 0) -> list[str]:
    """Return a list of texts; one text is a list of one, or of its parts."""
    if isinstance(value, str):
        return value.split(separator) if separator else [value]
    given = [*cast("Sequence[Any]", value)] if isinstance(value, list | tuple) else None
    if given is None or len(given) < least or not all(isinstance(each, str) for each in given):
        raise _misfit(name, expected, value)
    return cast("list[str]", given)


def _sets(value: Any) -> Mapping[str, Any] | list[str]:
    if isinstance(value, Mapping):
        table = cast("Mapping[Any, Any]", value)
        for path in table:
            if not isinstance(path, str):
                raise _misfit("set", "paths such as 'sir.beta'", path)
        return {path: _plain(each) for path, each in table.items()}
    return _texts(value, "set", "values by path ({'sir.beta': 0.1}) or texts ('sir.beta=0.1')")


@contextlib.contextmanager
def _by_keyword(given: Sequence[Any]) -> Generator[None]:
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
