"""The command `lpm sweep`: one scenario at many values of its parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def _flag(name: str, told: str) -> Any:
    return typer.Option(name, help=told, metavar="")


def sweep(
    scenario: Annotated[
        str, typer.Argument(help="A built-in name, the path of a TOML file, or the folder of a sweep to go on with.")
    ],
    ranges: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH=RANGE", help="More axes: path=low:high[:count][:log], or path=a,b,c."),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH=LO:HI:N", help="All combinations of evenly spaced values; or PATH=a,b,c."),
    ] = None,
    sobol: Annotated[
        str | None,
        typer.Option(metavar="N", help="Sobol indices: N (paths + 2) runs, N a power of two; ranges PATH=LO:HI."),
    ] = None,
    morris: Annotated[
        str | None, typer.Option(metavar="N", help="Elementary effects: N (paths + 1) runs; ranges PATH=LO:HI.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A .csv or .parquet file: a column a path, a row a run.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N", help="Seeds of every run (4: 0 to 3), or which ones (3,5,8).")
    ] = None,
    arms: Annotated[str | None, typer.Option(metavar="A,B", help="Only these arms.")] = None,
    agents: Annotated[str | None, typer.Option(metavar="N", help="Number of agents.")] = None,
    steps: Annotated[str | None, typer.Option(metavar="N", help="Number of steps.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=V", help="A value that all runs share: sir.gamma=0.1.")
    ] = None,
    backend: Annotated[str | None, typer.Option(metavar="NAME", help="auto, xla, numba or pallas.")] = None,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Folder (runs/<name>-sweep-<n> unless given).")] = None,
    summary: Annotated[bool, _flag("--summary", "Keep totals, peaks and finals of a run, not every step.")] = False,
    workers: Annotated[str | None, typer.Option(metavar="N", help="Processes of this machine.")] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Ray cluster ('local': one of this machine's).")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="The I-th of N shares, for array jobs; --gather joins them.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory that a process may use (2GB); else what there is.")
    ] = None,
    resume: Annotated[bool, _flag("--resume", "Go on with what the folder holds.")] = False,
    gather: Annotated[bool, _flag("--gather", "Join finished parts: lpm sweep DIR [DIR2 ...] --gather.")] = False,
    refine: Annotated[
        str | None,
        typer.Option(metavar="N", help="Add N runs where the surface is least sure: lpm sweep DIR --refine 16"),
    ] = None,
    predict: Annotated[
        str | None, typer.Option(metavar="N", help="Predict at N agents from a sweep of population.size.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="What --refine and --predict look at: attack_rate.final.")
    ] = None,
    quiet: Annotated[bool, _flag("--quiet", "No progress, no summary: only the folder's path.")] = False,
) -> None:
    """Run a scenario at many values of its parameters: one tidy table, Sobol indices, curves and maps in report.html.

    For example

    lpm sweep mini --grid sir.beta=0.02:0.1:9 sir.gamma=0.05:0.2:7 --seeds 4

    lpm sweep mini --sobol 64 sir.beta=0.02:0.1 sir.gamma=0.05:0.2 contacts.scale=0.5:1 --summary

    lpm sweep mini --grid population.size=1000:100000:6:log --seeds 8 --predict 1e6

    A path is what --set takes. Finished runs are kept: lpm sweep DIR --resume goes on after a stop.
    """
    from lpm import given
    from lpm.cli_run import Stopped
    from lpm.sweeps import asked as sweeping

    options: dict[str, Any] = dict(
        ranges=ranges or (),
        grid=grid or (),
        sobol=given.whole(sobol, "--sobol"),
        morris=given.whole(morris, "--morris"),
        table=table,
        seeds=None if seeds is None else given.seeds_of(seeds),
        arms=None if arms is None else arms.split(","),
        agents=given.whole(agents, "--agents"),
        steps=given.whole(steps, "--steps"),
        set=set_ or (),
        backend=backend,
        out=out,
        summary=summary,
        workers=given.whole(workers, "--workers"),
        ray=ray,
        shard=shard,
        memory=memory,
        resume=resume,
        gather=gather,
        refine=given.whole(refine, "--refine"),
        predict=given.whole(predict, "--predict"),
        metric=metric,
        quiet=quiet,
    )
    try:
        folder = sweeping.sweep(scenario, **options)
    except KeyboardInterrupt as stop:
        raise Stopped(str(stop) or "stopped") from None
    if quiet or shard is not None:
        print(folder)
    else:
        from lpm.sweeps.terminal import show_sweep

        show_sweep(folder)
