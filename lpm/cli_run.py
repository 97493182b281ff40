"""The command `lpm run`: a scenario, all its arms, all seeds."""

from __future__ import annotations

from typing import Annotated, Any

import typer


class Stopped(Exception):
    """A run was stopped by Ctrl-C; the message says what is kept."""


def _flag(name: str, told: str) -> Any:
    return typer.Option(name, help=told, metavar="")


def run(
    scenario: Annotated[str, typer.Argument(help="A built-in name (see lpm list) or the path of a TOML file.")],
    agents: Annotated[
        str | None,
        typer.Option(metavar="N", help="Number of agents (100000 or 1e5); each stands for more people the fewer."),
    ] = None,
    steps: Annotated[str | None, typer.Option(metavar="N", help="Number of steps; shorter for a quick look.")] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N", help="How many seeds (4: seeds 0 to 3), or which ones (3,5,8).")
    ] = None,
    draws: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Parameter uncertainty: 'prior' (--set holds fixed), or a row per seed."),
    ] = None,
    arms: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these arms; effects are against the first of them.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=V", help="Change one value: seir.beta=0.03, community.scale=0.5."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder for the results (runs/<name>-<n> unless given).")
    ] = None,
    backend: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, xla, numba or pallas: what the hot loops run on.")
    ] = None,
    devices: Annotated[
        str | None, typer.Option(metavar="N", help="Number of devices of each process; on a CPU, parts of it.")
    ] = None,
    checkpoint_every: Annotated[
        str | None, typer.Option(metavar="N", help="Steps between checkpoints, for --resume.")
    ] = None,
    resume: Annotated[bool, _flag("--resume", "Go on with what --out holds.")] = False,
    save_agents: Annotated[bool, _flag("--save-agents", "Keep the agents in agents.parquet.")] = False,
    overwrite: Annotated[bool, _flag("--overwrite", "Replace the run that --out holds.")] = False,
    coordinator: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="One run in many processes: where process 0 is met.")
    ] = None,
    processes: Annotated[str | None, typer.Option(metavar="N", help="How many processes there are.")] = None,
    process_id: Annotated[str | None, typer.Option(metavar="I", help="Which one this is, 0 to N - 1.")] = None,
    quiet: Annotated[bool, _flag("--quiet", "No progress, no summary: only the folder's path.")] = False,
) -> None:
    """Run a scenario: all its arms, all seeds, and write report.html.

    For example

    lpm run nyc-covid

    lpm run nyc-covid --agents 100000 --seeds 8 --arms "as it happened,no orders"

    lpm run my-scenario.toml --set sir.beta=0.03 --checkpoint-every 50 --out runs/a   (with --resume after a stop)

    lpm run nyc-covid --coordinator node1:9911 --processes 2 --process-id 0   (and, on node2, the same with 1)
    """
    from lpm import asking, given

    number = given.whole(process_id, "--process-id", least=0)
    parts, every = given.whole(devices, "--devices"), given.whole(checkpoint_every, "--checkpoint-every")
    try:
        done = asking.run(
            scenario,
            agents=given.whole(agents, "--agents"),
            steps=given.whole(steps, "--steps"),
            seeds=None if seeds is None else given.seeds_of(seeds),
            draws=draws,
            arms=None if arms is None else arms.split(","),
            set=set_ or (),
            out=out,
            overwrite=overwrite,
            backend=backend,
            devices=parts,
            checkpoint_every=every,
            resume=resume,
            save_agents=save_agents,
            quiet=quiet,
            coordinator=coordinator,
            processes=given.whole(processes, "--processes"),
            process_id=number,
        )
    except KeyboardInterrupt as stop:
        raise Stopped(str(stop) or "stopped") from None
    if number:
        return  # process 0 tells
    from lpm import terminal

    if quiet:
        print(done)
    else:
        terminal.show_summary(done)
