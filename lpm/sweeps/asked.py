"""What people ask of a sweep, by the options of `lpm sweep` or by calling `lpm.sweep`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lpm import asking
from lpm.errors import InputError
from lpm.given import text


def sweep(
    scenario: str | Path,
    *,
    ranges: Sequence[str] = (),
    grid: Sequence[str] = (),
    sobol: int | None = None,
    morris: int | None = None,
    table: Path | None = None,
    seeds: int | Sequence[int] | None = None,
    arms: Sequence[str] | None = None,
    agents: int | None = None,
    steps: int | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),
    backend: str | None = None,
    out: str | Path | None = None,
    summary: bool = False,
    workers: int | None = None,
    ray: str | None = None,
    shard: str | None = None,
    memory: str | None = None,
    resume: bool = False,
    gather: bool = False,
    refine: int | None = None,
    predict: int | None = None,
    metric: str | None = None,
    quiet: bool = False,
) -> Path:
    """Run or go on with a sweep and return its folder; `lpm.calling.sweep` says what the arguments are.

    Raises:
        InputError: Something that does not fit, told by the options of the command line.
        KeyboardInterrupt: Stopped; its message says what is kept.
    """
    from lpm import progress
    from lpm.memory import bytes_of
    from lpm.sweeps import command, folder

    there = Path(scenario)
    known = (there / "sweep.json").is_file()
    if metric is not None and not (refine or predict):
        raise InputError("--metric: says what --refine and --predict look at; give one of them")
    designs = {"--grid": bool(grid), "--sobol": sobol, "--morris": morris, "--table": table}
    chosen = [option for option, value in designs.items() if value]
    limit = None if memory is None else bytes_of(memory, "--memory")
    part = None if shard is None else command.shard_of(shard)
    with progress.bar(quiet) as told, progress.heeding(told) as heeded:
        if known:
            given = {"--seeds": seeds, "--arms": arms, "--agents": agents, "--steps": steps, "--set": set,
                     "--backend": backend, "--out": out, "--summary": summary}  # fmt: skip
            for option, value in given.items():
                if value is not None and value is not False and value != () and value != []:
                    raise InputError(f"{option}: '{there}' is a sweep that has its own; it belongs to a new one")
            return _again(there, chosen, ranges, gather, refine, predict, metric, heeded, command.Asked(
                there, True, False, workers or 0, ray, part, limit))  # fmt: skip
        if gather or refine:
            option = "--gather" if gather else "--refine"
            raise InputError(
                f"{option}: expected the folder of a sweep, got '{text(str(scenario), option, 'a folder')}'"
            )
        if len(chosen) != 1:
            raise InputError(
                f"sweep: expected one of --grid, --sobol, --morris, --table, got {' and '.join(chosen) or 'none'}; "
                "as in lpm sweep mini --grid sir.beta=0.02:0.1:9"
            )
        design = _design(chosen[0], [*grid, *ranges], sobol or morris, table)
        made = asking.chosen(
            str(scenario), agents=agents, steps=steps, seeds=seeds, arms=arms, sets=set, backend=backend
        )
        assigned = [each if isinstance(set, Mapping) else str(each).partition("=")[0].strip() for each in set]
        for path in design.paths:
            if path in assigned:
                raise InputError(f"--set {path}: it is swept; leave one of the two out")
        if predict and "population.size" not in design.paths:
            raise InputError(f"--predict: expected a sweep over population.size, got {', '.join(design.paths)}")
        if resume and out is None:
            raise InputError("--resume: name the folder of the sweep: lpm sweep DIR --resume")
        place = command.default_folder(made.name) if out is None else Path(out)
        asked = command.Asked(place, resume, summary, workers or 0, ray, part, limit)
        try:
            found = command.sweep(made, design, asked, heeded)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_kept(place)) from None
        return command.predicted(folder.opened(found), predict, metric) if predict else found


def _again(
    there: Path, chosen: Sequence[str], ranges: Sequence[str], gather: bool, refine: int | None, predict: int | None,
    metric: str | None, progress: Any, asked: Any,
) -> Path:  # fmt: skip
    """Go on with, join, refine or look at the sweep of a folder."""
    from lpm.sweeps import command, folder

    if chosen:
        raise InputError(f"{chosen[0]}: '{there}' is a sweep that has its design; name a scenario for a new one")
    if ranges and not gather:
        raise InputError(f"sweep: '{ranges[0]}': '{there}' has its design; further folders belong to --gather")
    found = folder.opened(there)
    try:
        if gather:
            return command.gathered(found, [Path(each) for each in ranges], progress)
        if refine:
            return command.refined(found, refine, metric, asked, progress)
        return command.predicted(found, predict, metric) if predict else command.go_on(found, asked, progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_kept(there)) from None


def _design(option: str, axes: Sequence[str], base: int | None, table: Path | None) -> Any:
    from lpm.sweeps import design
    from lpm.sweeps.axes import axis

    if option == "--table":
        assert table is not None
        if axes:
            raise InputError(f"--table: expected no further paths, got '{axes[0]}'")
        return design.of_table(table)
    made = [axis(each, option, counted=option == "--grid") for each in axes]
    if option == "--grid":
        return design.of_grid(made)
    assert base is not None
    return design.of_sobol(made, base) if option == "--sobol" else design.of_morris(made, base)


def _kept(place: Path) -> str:
    from lpm.sweeps import folder

    done = sum(last - first for first, last in folder.finished(place))
    if not done:
        return "stopped before the first runs were finished: nothing is kept"
    return f"stopped; {done:,} finished simulations are kept in {place}; lpm sweep {place} --resume goes on with them"
