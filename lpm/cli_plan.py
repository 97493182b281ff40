"""The command `lpm plan`: what a scenario needs at a size on devices, before it is run there."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def _flag(name: str, told: str) -> Any:
    return typer.Option(name, help=told, metavar="")


def plan(
    scenario: Annotated[str, typer.Argument(help="A built-in name (see lpm list) or the path of a TOML file.")],
    agents: Annotated[
        str | None, typer.Option(metavar="N", help="Number of agents to plan for (1e9); else the scenario's own.")
    ] = None,
    devices: Annotated[str, typer.Option(metavar="D", help="Number of devices over which they are spread.")] = "1",
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="b200, h200, h100, a100, l40s, l4, v100, mi300x: by its data sheet; cpu: measured. Else what is here.",
        ),
    ] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory that a device may have (2GB); else what it has.")
    ] = None,
    arms: Annotated[str | None, typer.Option(metavar="A,B", help="Only these arms.")] = None,
    seeds: Annotated[str | None, typer.Option(metavar="N", help="How many seeds, or which ones (3,5,8).")] = None,
    steps: Annotated[str | None, typer.Option(metavar="N", help="Number of steps.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=V", help="Change one value: seir.beta=0.03.")
    ] = None,
    backend: Annotated[str | None, typer.Option(metavar="NAME", help="auto, xla, numba or pallas.")] = None,
    as_json: Annotated[bool, _flag("--json", "One line of JSON.")] = False,
    quiet: Annotated[bool, _flag("--quiet", "No progress on stderr.")] = False,
) -> None:
    """Say what a scenario needs: memory, exchange between devices, seconds per step, how many devices, and why.

    For example

    lpm plan nyc-covid --agents 8300000   (this machine: does it fit, and how long will it take?)

    lpm plan nyc-covid --agents 1e9 --device h200 --devices 8   (a billion agents on GPUs that are not here)

    The scenario is built and timed here at small sizes. Memory and exchange are then read off its arrays and its
    traced program at the size asked for; seconds follow this machine's measured memory curves, or, for a device that is
    not here, its published bandwidth: such a figure is marked as not measured.
    """
    from lpm import given
    from lpm.memory import bytes_of
    from lpm.planning import asked as planned

    made = planned.plan(
        scenario,
        agents=given.whole(agents, "--agents"),
        devices=given.whole(devices, "--devices") or 1,
        device=device,
        memory=None if memory is None else bytes_of(memory, "--memory"),
        arms=None if arms is None else arms.split(","),
        seeds=None if seeds is None else given.seeds_of(seeds),
        steps=given.whole(steps, "--steps"),
        set=set_ or (),
        backend=backend,
        quiet=quiet or as_json,
    )
    if as_json:
        import json

        print(json.dumps(made.as_data()))
    else:
        from lpm.planning import terminal as terminal_plan

        terminal_plan.show_plan(made)
