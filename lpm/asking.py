"""What people ask for, by the options of `lpm run` or by calling `lpm.run`: the scenario that it makes, and its run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lpm import cluster
from lpm.cluster import arrival
from lpm.errors import InputError, unknown
from lpm.given import LARGEST, check_value, one_of, shown, text

if TYPE_CHECKING:
    from lpm.scenarios.schema import Scenario

BACKENDS = ("auto", "xla", "numba", "pallas")
"""What the hot loops can be asked to run on."""

MOST_DEVICES = 1_024
"""Most devices: fewer than the parts of a CPU that XLA can make, more than a machine has accelerators. A guess."""

RUN_JSON: Mapping[str, type | tuple[type, ...]] = {
    "name": str, "steps": int, "agents": int, "people": (int, float), "seeds": list, "versions": dict, "arcs": dict,
    "seconds": dict, "arms": list, "metrics": dict, "layers": dict, "population": dict, "parameters": list,
}  # fmt: skip
"""What a report needs of the run.json of a run; tables in the lists of `arms` and `parameters`, and in `metrics`."""


def run(
    scenario: str | Path,
    *,
    agents: int | None = None,
    steps: int | None = None,
    seeds: int | Sequence[int] | None = None,
    draws: str | Path | None = None,
    arms: Sequence[str] | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),
    out: str | Path | None = None,
    overwrite: bool = False,
    backend: str | None = None,
    devices: int | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    save_agents: bool = False,
    quiet: bool = False,
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
) -> Path:
    """Run a scenario and return the folder of its results; `lpm.calling.run` says what the arguments are.

    Raises:
        InputError: Something that does not fit, told by the options of the command line.
        KeyboardInterrupt: Stopped; its message says what is kept.
    """
    for option, given in (("--out", out), ("--draws", draws)):
        if given is not None:
            text(str(given), option, "the path of a folder" if option == "--out" else "'prior' or the path of a file")
    if devices is not None:
        if not 1 <= devices <= MOST_DEVICES:
            raise InputError(f"--devices: expected 1 to {MOST_DEVICES}, got {devices}")
        force_devices(devices)
    place = arrival.placed(coordinator, processes, process_id)
    from lpm.scenarios import agreement, running
    from lpm.scenarios.options import RunOptions

    for flag, given in (("--resume", resume), ("--overwrite", overwrite)):
        if given and out is None:
            what = "to go on with" if flag == "--resume" else "to put this one in the place of"
            raise InputError(f"{flag}: expected --out with the folder of the run {what}")
    if resume and overwrite:
        raise InputError("--overwrite: expected either --resume or --overwrite, got both")
    file = None if draws is None else str(draws)
    asked = chosen(
        str(scenario), agents=agents, steps=steps, seeds=seeds, draws=file, arms=arms, sets=set, backend=backend
    )
    same = {"devices": devices, "checkpoint_every": checkpoint_every, "resume": resume, "save_agents": save_agents}
    facts = {} if place is None else agreement.facts(asked, **same)
    with cluster.joined(place, facts):
        wanted = None if out is None else _folder(Path(out))
        folder = running.checked(asked, wanted, overwrite, resume, (str(scenario), *([file] if file else [])))
        options = RunOptions(folder, devices, checkpoint_every, resume, save_agents, quiet)
        return running.carried_out(asked, options, overwrite)


def _folder(out: Path) -> Path:
    """Return the folder for the results under a name that others can stand beside: "." and ".." have none."""
    folder = out.resolve() if out.name in ("", "..") else out
    if not folder.name:
        raise InputError(f"--out: expected a folder of the run's own, got '{out}'")
    return folder


def chosen(
    name: str,
    *,
    agents: int | None = None,
    steps: int | None = None,
    seeds: int | Sequence[int] | None = None,
    draws: str | None = None,
    arms: Sequence[str] | None = None,
    sets: Mapping[str, Any] | Sequence[str] = (),
    backend: str | None = None,
) -> Scenario:
    """Return the scenario with everything that is asked to be changed.

    Args:
        name: A built-in name, or the path of a TOML file.
        agents: `--agents`.
        steps: `--steps`.
        seeds: `--seeds`, a number or the seeds themselves.
        draws: `--draws`.
        arms: `--arms`.
        sets: `--set`: assignments as text ("seir.beta=0.03"), or values by path.
        backend: `--backend`.

    Raises:
        InputError: Something that does not fit the scenario.
    """
    from lpm.scenarios import loader, settings

    scenario = loader.load(text(name, "scenario", "a built-in name or the path of a TOML file"))
    if isinstance(sets, Mapping):
        for path, value in sets.items():
            where = f"--set {text(path, '--set', 'paths such as sir.beta')}"
            check_value(value, where)
            scenario = settings.replaced(scenario, path, value, where)
    else:
        for assignment in sets:
            check_value(assignment, "--set")
            scenario = settings.apply_set(scenario, assignment)
    for option, path, value in (("--agents", "population.size", agents), ("--steps", "steps", steps)):
        if value is not None:
            if not 1 <= value <= LARGEST:
                raise InputError(f"{option}: expected 1 to {LARGEST}, got {value}")
            scenario = settings.replaced(scenario, path, value, option)
    if backend is not None:
        name = one_of(text(backend, "--backend", "a name"), BACKENDS, "--backend", "backend")
        scenario = settings.replaced(scenario, "backend", name, "--backend")
    if seeds is not None:
        wanted = seeds if isinstance(seeds, int) else list(seeds)
        scenario = settings.replaced(scenario, "seeds", wanted, "--seeds")
    if arms is not None:
        scenario = settings.with_arms(scenario, [text(each, "--arms", "names").strip() for each in arms])
    if draws is not None:
        scenario = settings.with_draws(scenario, draws)
    return scenario


def force_devices(count: int) -> None:
    """Ask XLA for so many devices of the CPU; has to be done before jax is imported, and leaves GPUs alone."""
    flag = "--xla_force_host_platform_device_count"
    flags = os.environ.get("XLA_FLAGS", "")
    if flag not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {flag}={count}".strip()


def report(folder: Path) -> Path:
    """Write the report of a run, of a fit or of a sweep again and return its path.

    Raises:
        InputError: The folder is of neither, or what it holds is damaged.
    """
    if os.path.isfile(folder / "sweep.json"):
        from lpm.sweeps import report as of_sweep

        return of_sweep.write_report(folder)
    if os.path.isfile(folder / "fit.json"):  # unlike Path.is_file, false for a name that is too long
        from lpm.calibration import report as of_fit

        return of_fit.write_report(folder)
    from lpm.report import write_report

    return write_report(folder_of_run(folder))


def folder_of_run(folder: Path) -> Path:
    """Return the folder of a run that a report can be made of.

    Raises:
        InputError: There is no such folder, or its run.json is not one that a run has written.
    """
    if not os.path.isdir(folder):
        raise InputError(f"report: no folder '{folder}'")
    file = folder / "run.json"
    if not file.is_file():
        raise InputError(
            f"report: expected the folder of a run, such as runs/nyc-covid-1, got '{folder}', which has no run.json"
        )
    try:
        told = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as JSON: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(told, dict):
        raise InputError(f"{file}: expected a JSON object, got {type(told).__name__}")
    run = cast("dict[str, Any]", told)
    for key, kind in RUN_JSON.items():
        value = run.get(key)
        items = value.values() if key == "metrics" and isinstance(value, dict) else value
        tables = key not in ("arms", "parameters", "metrics") or all(isinstance(each, dict) for each in items or ())
        if not isinstance(value, kind) or not tables:
            got = f"'{key}' {shown(value)}" if key in run else f"no '{key}'"
            raise InputError(f"{file}: expected the run.json of a run, got one with {got}; run the scenario again")
    return folder


def calibrate(
    scenario: str | Path,
    *,
    data: str | Path | None = None,
    fit: Sequence[str] | None = None,
    until: Sequence[str] | None = None,
    agents: int | None = None,
    seeds: int = 2,
    starts: int = 64,
    draws: int = 200,
    posterior: str = "normal",
    diagnose: bool = False,
    set: Mapping[str, Any] | Sequence[str] = (),
    out: str | Path | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Path:
    """Fit a scenario and return the folder of the fit; `lpm.calling.calibrate` says what the arguments are.

    Raises:
        InputError: Something that does not fit, told by the options of the command line.
        KeyboardInterrupt: Stopped; its message says what is kept.
    """
    from lpm import progress
    from lpm.fitting import asked as options
    from lpm.fitting import command, uncertainty

    for option, value, least in (("--seeds", seeds, 1), ("--starts", starts, 1), ("--draws", draws, 20)):
        if value < least:
            raise InputError(f"{option}: expected at least {least}, got {value}")
    if posterior not in uncertainty.WAYS:
        raise unknown("--posterior", "way", posterior, uncertainty.WAYS)
    if resume and out is None:
        raise InputError("--resume: expected --out with the folder of the fit to go on with")
    asked = chosen(str(scenario), agents=agents, sets=set)
    folder = options.default_folder(asked.name) if out is None else _folder(Path(out))
    wanted = options.Asked(
        folder,
        tuple(path.strip() for path in fit or ()),
        options.origins_of(until or ()),
        None if data is None else str(data),
        seeds,
        starts,
        draws,
        posterior,
        diagnose,
        resume,
    )
    try:
        with progress.bar(quiet) as told, progress.heeding(told) as heeded:
            return command.calibrate(asked, wanted, heeded)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped: what was simulated is kept in {folder}; go on with --out {folder} --resume"
        ) from None
