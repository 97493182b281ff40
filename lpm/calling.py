"""`lpm.run`, `lpm.calibrate` and `lpm.sweep`: the commands from Python. What does not fit is told by keyword."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lpm import asking
from lpm.keywords import axes, by_keyword, misfit, name_of, path_of, sets, some_seeds, texts, whole


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
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
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
        devices: Number of devices (of each process); None = all accelerators, or one CPU.
        checkpoint_every: Steps between checkpoints.
        resume: Go on with what `out` holds.
        save_agents: Keep the agents in `agents.parquet`.
        quiet: Show no progress on stderr.
        coordinator: "host:port" where process 0 of a run in many processes is met; each is called with the same
            arguments but `process_id`, before jax is used.
        processes: How many processes there are.
        process_id: Which one this is, from 0 on.

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
            raise misfit(name, "True or False", flag)
    with by_keyword([*(set if isinstance(set, Mapping | list | tuple) else [set]), scenario, out, draws]):
        return asking.run(
            path_of(scenario, "scenario", "a built-in name or the path of a TOML file"),
            agents=whole(agents, "agents"),
            steps=whole(steps, "steps"),
            seeds=some_seeds(seeds),
            draws=None if draws is None else path_of(draws, "draws", "'prior' or the path of a file"),
            arms=None if arms is None else texts(arms, "arms", "a list of names", ",", least=1),
            set=sets(set),
            out=None if out is None else path_of(out, "out", "the path of a folder"),
            backend=None if backend is None else name_of(backend, "backend"),
            devices=whole(devices, "devices"),
            checkpoint_every=whole(checkpoint_every, "checkpoint_every"),
            coordinator=None if coordinator is None else name_of(coordinator, "coordinator"),
            processes=whole(processes, "processes"),
            process_id=whole(process_id, "process_id", least=0),
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
            raise misfit(name, "True or False", flag)
    with by_keyword([*(set if isinstance(set, Mapping | list | tuple) else [set]), scenario, out, data]):
        return asking.calibrate(
            path_of(scenario, "scenario", "a built-in name or the path of a TOML file"),
            data=None if data is None else path_of(data, "data", "the path of a file"),
            fit=None if fit is None else texts(fit, "fit", "a list of paths", ",", least=1),
            until=None if until is None else texts(until, "until", "a list of dates", ",", least=1),
            agents=whole(agents, "agents"),
            seeds=whole(seeds, "seeds") or 1,
            starts=whole(starts, "starts") or 1,
            draws=whole(draws, "draws") or 1,
            posterior=posterior,
            diagnose=diagnose,
            set=sets(set),
            out=None if out is None else path_of(out, "out", "the path of a folder"),
            resume=resume,
            quiet=quiet,
        )


def sweep(
    scenario: str | Path,
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    sobol: int | None = None,
    morris: int | None = None,
    ranges: Mapping[str, tuple[Any, ...]] | None = None,
    table: str | Path | None = None,
    seeds: int | Sequence[int] | None = None,
    arms: str | Sequence[str] | None = None,
    agents: int | None = None,
    steps: int | None = None,
    set: Mapping[str, Any] | Sequence[str] | str = (),
    backend: str | None = None,
    out: str | Path | None = None,
    summary: bool = False,
    workers: int | None = None,
    ray: str | None = None,
    shard: str | None = None,
    memory: str | None = None,
    resume: bool = False,
    gather: Sequence[str | Path] | None = None,
    refine: int | None = None,
    predict: int | None = None,
    metric: str | None = None,
    quiet: bool = False,
) -> Path:
    """Run a scenario at many values of its parameters, as the command `lpm sweep` does, and return the folder.

    Args:
        scenario: A built-in name, the path of a TOML file, or the folder of a sweep to go on with.
        grid: Values by path ({"sir.beta": [0.02, 0.05], "contacts.scale": np.linspace(0.5, 1, 6)}): all combinations.
        sobol: N of a Sobol design over `ranges`, a power of two: N (paths + 2) runs.
        morris: N trajectories of elementary effects over `ranges`: N (paths + 1) runs.
        ranges: Ends by path ({"sir.beta": (0.02, 0.1), "sir.gamma": (0.05, 0.5, "log")}).
        table: A .csv or .parquet file: a column a path, a row a run.
        seeds: How many seeds every run has, or which ones.
        arms: Only these arms.
        agents: Number of agents.
        steps: Number of steps.
        set: Values by path that all runs share.
        backend: "auto", "xla", "numba" or "pallas".
        out: Folder; `runs/<name>-sweep-<n>` unless given.
        summary: Keep totals, peaks and finals of every run, not every step.
        workers: Processes of this machine.
        ray: Address of a Ray cluster ("local": one on this machine).
        shard: "i/n": only the i-th of n equal shares of the runs.
        memory: Memory that a process may use ("2GB"); None = what there is.
        resume: Go on with what `out` holds.
        gather: Join the finished parts of the sweep's folder `scenario` and of these folders of the same sweep ([]: its
            own only).
        refine: Add so many runs where the surface is least sure; `scenario` is the folder of a finished sweep.
        predict: Predict at so many agents, from a sweep of "population.size".
        metric: What `refine` and `predict` look at ("attack_rate.final"); None = the headline.
        quiet: Show no progress on stderr.

    Returns:
        The folder, with `design.parquet`, `summary.parquet`, `trajectory.parquet`, `runs.parquet`, `indices.parquet`,
        `sweep.json` and `report.html`.

    Raises:
        InputError: Something that does not fit, in one line.
        Fault: What the machine did not do, such as a full disk; finished runs are kept.
        KeyboardInterrupt: Stopped; its message says what is kept.
    """
    for name, flag in {"summary": summary, "resume": resume, "quiet": quiet}.items():
        if not isinstance(flag, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise misfit(name, "True or False", flag)
    from lpm.sweeps import asked as sweeping

    with by_keyword([*(set if isinstance(set, Mapping | list | tuple) else [set]), scenario, out, table]):
        return sweeping.sweep(
            path_of(scenario, "scenario", "a built-in name, or the path of a TOML file or of a sweep's folder"),
            grid=axes(grid, "grid"),
            ranges=axes(ranges, "ranges") if gather is None else [path_of(e, "gather", "paths") for e in gather],
            gather=gather is not None,
            sobol=whole(sobol, "sobol"),
            morris=whole(morris, "morris"),
            table=None if table is None else Path(path_of(table, "table", "the path of a file")),
            seeds=some_seeds(seeds),
            arms=None if arms is None else texts(arms, "arms", "a list of names", ",", least=1),
            agents=whole(agents, "agents"),
            steps=whole(steps, "steps"),
            set=sets(set),
            backend=None if backend is None else name_of(backend, "backend"),
            out=None if out is None else path_of(out, "out", "the path of a folder"),
            summary=summary,
            workers=whole(workers, "workers"),
            ray=None if ray is None else name_of(ray, "ray"),
            shard=None if shard is None else name_of(shard, "shard"),
            memory=None if memory is None else str(memory),
            resume=resume,
            refine=whole(refine, "refine"),
            predict=whole(predict, "predict"),
            metric=None if metric is None else name_of(metric, "metric"),
            quiet=quiet,
        )
