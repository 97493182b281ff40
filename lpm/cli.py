"""The command line: `lpm run nyc-covid`.

Everything heavy is imported inside the commands, so that `lpm --help` is quick. Exit status: 0 done, 2 bad input (one
line on stderr), 1 anything else: a full disk, a stop by Ctrl-C, a failure (the line says what is kept).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lpm import cluster
from lpm.cli_archetypes import commands as archetypes_commands
from lpm.cli_calibrate import calibrate
from lpm.cli_data import commands as data_commands
from lpm.cli_llm import commands as llm_commands
from lpm.cli_plan import plan
from lpm.cli_run import Stopped, run
from lpm.cli_sweep import sweep
from lpm.errors import Fault, InputError

app = typer.Typer(
    name="lpm",
    help="Large population models: policy scenarios for millions of agents, compared arm by arm.\n\n"
    "Start with [bold]lpm run nyc-covid[/bold], then open report.html in the folder that it names.\n\n"
    "Exit status: 0 done; 2 bad input; 1 anything else: full disk, Ctrl-C (what is finished is kept), a failure.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _commands in (("data", data_commands), ("archetypes", archetypes_commands), ("llm", llm_commands)):
    app.add_typer(_commands, name=_name)
for _command in (calibrate, sweep, plan):
    app.command()(_command)


def _flag(name: str, told: str) -> Any:
    return typer.Option(name, help=told, metavar="")


def _version(asked: bool) -> None:
    if asked:
        from lpm import __version__

        print(f"lpm {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and stop.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, _flag("--debug", "Show a failure's traceback, as LPM_DEBUG=1 does.")] = False,
) -> None:
    """Take the options that stand before a command."""
    os.environ.update({"LPM_DEBUG": "1"} if debug else {})


@app.command("list")
def list_() -> None:
    """List scenarios, kernels, network builders and ready-made interventions, a line each.

    Example: lpm list
    """
    from lpm import catalogue, terminal

    terminal.show_catalogue(catalogue.everything())


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name that lpm list tells, or the path of a scenario's TOML file.")],
) -> None:
    """Show what a scenario is made of, or a kernel, builder or intervention: values, units, bounds, priors, sources.

    Examples: lpm show nyc-covid | lpm show seir | lpm show test-and-isolate | lpm show my-scenario.toml
    """
    from lpm import catalogue, terminal

    terminal.show_sheet(catalogue.sheet(name))


app.command()(run)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Folder of a run, a fit or a sweep.")]) -> None:
    """Write DIR/report.html again from the files of a run, a fit or a sweep.

    Example: lpm report runs/nyc-covid-1
    """
    from lpm import asking

    print(asking.report(folder))


@app.command()
def schema(example: Annotated[bool, _flag("--example", "Print an annotated scenario instead.")] = False) -> None:
    """Print the JSON Schema of the scenario TOML (editors complete and check with it).

    Examples: lpm schema > scenario.schema.json | lpm schema --example > mine.toml
    """
    import json

    from lpm.scenarios import described, schema

    print(described.example().rstrip("\n") if example else json.dumps(schema.json_schema(), indent=2))


@app.command()
def bench(
    task: Annotated[str, typer.Argument(help="sir, hk, ic, deffuant, voter, threshold, market, or network.")],
    agents: Annotated[str, typer.Option(metavar="N", help="Number of agents.")] = "1000000",
    graph: Annotated[str, typer.Option(metavar="er|ba|ws", help="Network: random, scale-free, small world.")] = "er",
    steps: Annotated[str, typer.Option(metavar="N", help="Number of steps; empty: the task's own, 50 or 20.")] = "",
    backend: Annotated[str, typer.Option(metavar="NAME", help="auto, xla, numba or pallas.")] = "auto",
    peers: Annotated[bool, _flag("--peers", "Time the peers that are installed as well.")] = False,
    as_json: Annotated[bool, _flag("--json", "One line of JSON.")] = False,
) -> None:
    """Time a task: seconds per step beside what the memory of this machine allows, measured in the same run.

    Example: lpm bench sir --agents 1000000 --graph er --peers
    """
    from lpm import asking, given
    from lpm import bench as timing

    timing.main(
        task,
        agents=given.whole(agents, "--agents") or 1,
        graph=given.one_of(graph, ("er", "ba", "ws"), "--graph", "network"),
        steps=given.whole(steps, "--steps") if steps else None,
        backend=given.one_of(backend, asking.BACKENDS, "--backend", "backend"),
        as_json=as_json,
        peers=peers,
    )


@app.command()
def doctor(as_json: Annotated[bool, _flag("--json", "One line of JSON.")] = False) -> None:
    """Tell devices, backends, versions and memory, and what would be chosen and why.

    Example: lpm doctor
    """
    import json

    from lpm import doctor as examination

    found = examination.examine()
    if as_json:
        print(json.dumps(found))
    else:
        from lpm import terminal

        terminal.show_health(found)


def _line(text: str) -> None:
    line = " ".join(text.split())  # a file's own bytes, quoted in a message, must not steer the terminal
    print("lpm: " + "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line), file=sys.stderr)


def _usage_error(error: BaseException) -> str | None:
    """Return the message of an error of typer's parser (whose home differs between its versions), else None."""
    if any(each.__name__ == "ClickException" for each in type(error).__mro__):
        report: Any = error
        text = str(report.format_message())
        lists = {"'name'.": "lpm list", "'scenario'.": "lpm list", "'SET'.": "lpm data"}.get(text.rsplit(" ", 1)[-1])
        return text if lists is None else f"{text.rstrip('.')}; {lists} tells what there is"
    return None


def _left(own: bool) -> int:
    """Return status 1 after Ctrl-C, or end our own process with it at once."""
    if own:  # compiled loops still run in threads: an interpreter that is taken down under them ends in a SIGSEGV
        sys.stdout.flush()
        os._exit(1)
    return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; None = those of the process.

    Returns:
        The exit status: 0, 1 or 2.
    """
    status = _main(arguments)
    if arguments is None and cluster.torn():  # what is left of a broken runtime waits for processes that are gone
        sys.stdout.flush()
        os._exit(status)
    return status


def _main(arguments: Sequence[str] | None) -> int:
    command = typer.main.get_command(app)
    try:
        given = sys.argv[1:] if arguments is None else list(arguments)
        status = command.main(args=given, prog_name="lpm", standalone_mode=False)
        sys.stdout.flush()
        if status == 130:  # typer's way of telling a KeyboardInterrupt
            raise KeyboardInterrupt
        return status if isinstance(status, int) else 0
    except InputError as error:
        _line(str(error))
        return 2
    except (KeyboardInterrupt, typer.Abort):
        _line("stopped")
        return _left(arguments is None)
    except Stopped as stop:
        _line(str(stop))
        return _left(arguments is None)
    except BrokenPipeError:  # the reader of a pipe has gone, as in lpm list | head -1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        usage = _usage_error(error)
        if usage is not None:
            _line(usage or "lpm --help tells the commands")
            return 2
        if os.environ.get("LPM_DEBUG"):
            raise
        kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
        _line(str(error) if isinstance(error, Fault) else f"failed: {kind}{error} (LPM_DEBUG=1 shows where)")
        return 1
