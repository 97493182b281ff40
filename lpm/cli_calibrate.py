"""The command `lpm calibrate`: fit a scenario to data, forecast, and say how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def _flag(name: str, told: str) -> Any:
    return typer.Option(name, help=told, metavar="")


def calibrate(
    scenario: Annotated[str, typer.Argument(help="A built-in name (see lpm list) or the path of a TOML file.")],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Figures (.csv, .parquet): metric, start, end (dates or steps), group, value, sd; else [data].",
        ),
    ] = None,
    fit: Annotated[
        str | None, typer.Option(metavar="A,B", help="Paths of the free parameters; else what the scenario marks.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="DATES", help="Origins: fit what was known by then, forecast four weeks; one or several."),
    ] = None,
    agents: Annotated[str | None, typer.Option(metavar="N", help="Number of agents.")] = None,
    seeds: Annotated[str, typer.Option(metavar="N", help="Runs that are averaged at every point of the fit.")] = "2",
    starts: Annotated[str, typer.Option(metavar="N", help="Points of the prior that are tried first.")] = "64",
    draws: Annotated[str, typer.Option(metavar="N", help="Draws of the parameters behind a forecast.")] = "200",
    posterior: Annotated[
        str, typer.Option(metavar="WAY", help="How sure the fit is: normal (no more runs), synthetic or neural.")
    ] = "normal",
    diagnose: Annotated[bool, _flag("--diagnose", "Check the draws: are the data like what they predict?")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=V", help="Change one value: seir.beta=0.03.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder (runs/<name>-fit-<n> unless given).")] = None,
    resume: Annotated[bool, _flag("--resume", "Go on with what --out holds (same options).")] = False,
    quiet: Annotated[bool, _flag("--quiet", "No progress, no summary: only the folder's path.")] = False,
) -> None:
    """Fit a scenario to its data: estimates with intervals, forecasts, scores beside naive rows, report.html.

    For example

    lpm calibrate nyc-covid --agents 100000

    lpm calibrate my-scenario.toml --fit sir.beta,sir.gamma --data counts.csv --until 2020-04-05

    Then lpm run DIR/scenario.toml --draws DIR/posterior.parquet runs the calibrated scenario with its uncertainty.
    """
    from lpm import asking, given

    folder = asking.calibrate(
        scenario,
        data=data,
        fit=None if fit is None else fit.split(","),
        until=None if until is None else until.split(","),
        agents=given.whole(agents, "--agents"),
        seeds=given.whole(seeds, "--seeds") or 1,
        starts=given.whole(starts, "--starts") or 1,
        draws=given.whole(draws, "--draws") or 2,
        posterior=posterior,
        diagnose=diagnose,
        set=set_ or (),
        out=out,
        resume=resume,
        quiet=quiet,
    )
    from lpm import terminal

    if quiet:
        print(folder)
    else:
        terminal.show_fit(folder)
