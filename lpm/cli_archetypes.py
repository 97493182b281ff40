"""The commands of `lpm archetypes`: from a population to a table of behaviour, and questions to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

commands = typer.Typer(
    help="Kinds of people, and what a language model (or you) say each would do in which situation.",
    rich_markup_mode="rich",
    no_args_is_help=True,
)

Scenario = Annotated[
    str, typer.Argument(help="A built-in name, or the path of a TOML file, with a table \\[archetypes].")
]
Provider = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="embedded, server, recorded, table or rule; unless given the recorded table, else the embedded model.",
    ),
]
Url = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Server: base of an OpenAI-compatible API; its key is read from LPM_LLM_KEY."),
]
Model = Annotated[
    str | None, typer.Option(metavar="NAME|FILE", help="Server: the model's name there; embedded: a GGUF file.")
]
Number = Annotated[str | None, typer.Option(metavar="K", help="Number of clusters, where the scenario clusters.")]
Agents = Annotated[str | None, typer.Option(metavar="N", help="Agents that archetypes are made of (at most 100000).")]
File = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Recorded: a table of behaviour; table: probabilities (.csv, .parquet)."),
]
Answers = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File of answers (SQLite); else answers.sqlite in the cache.")
]
Concurrency = Annotated[str, typer.Option(metavar="N", help="Server: questions under way together.")]
Rate = Annotated[float | None, typer.Option("--per-second", metavar="R", help="Most requests a second.")]
Calls = Annotated[str | None, typer.Option(metavar="N", help="Most requests in all; what is answered is kept.")]
Samples = Annotated[str, typer.Option(metavar="N", help="Answers drawn where a server tells no probabilities.")]


def _flag(name: str, told: str) -> Any:
    return typer.Option(name, help=told, metavar="")


def _asked(
    provider: str | None, url: str | None, model: str | None, file: Path | None, answers: Path | None, form: str | None,
    concurrency: str, rate: float | None, calls: str | None, samples: str,
) -> Any:  # fmt: skip
    from lpm import given
    from lpm.archetypes.limits import Limits
    from lpm.studies import study

    most = None if calls is None else given.whole(calls, "--calls")
    limits = Limits(given.whole(concurrency, "--concurrency") or 1, rate, most)
    drawn = 0 if samples.strip() == "0" else given.whole(samples, "--samples") or 0
    return study.Asked(provider or "", url or "", model or "", file, answers, form, drawn, limits)


def _study(scenario: str, agents: str | None, archetypes: str | None) -> Any:
    from lpm import given
    from lpm.studies import study

    return study.study(scenario, given.whole(agents, "--agents"), given.whole(archetypes, "--archetypes"))


@commands.command()
def build(
    scenario: Scenario,
    provider: Provider = None,
    url: Url = None,
    model: Model = None,
    archetypes: Number = None,
    agents: Agents = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The table (NAME-archetypes.parquet unless given).")
    ] = None,
    file: File = None,
    answers: Answers = None,
    form: Annotated[
        str | None, typer.Option(metavar="FORM", help="yes-no, letters or percent; else as the scenario says.")
    ] = None,
    fill: Annotated[
        str | None,
        typer.Option(metavar="HOW", help="Unusable cells: uniform, 'archetype mean' or 'context mean'; else left so."),
    ] = None,
    concurrency: Concurrency = "8",
    per_second: Rate = None,
    calls: Calls = None,
    samples: Samples = "0",
    prices: Annotated[
        str | None, typer.Option(metavar="IN,OUT", help="Price of a million tokens, asked and answered.")
    ] = None,
    dry_run: Annotated[bool, _flag("--dry-run", "Tell questions, tokens, time and price; ask nothing.")] = False,
    quiet: Annotated[bool, _flag("--quiet", "No progress, no summary: only the table's path.")] = False,
) -> None:
    """Ask what every archetype would do in every context, and write the table of behaviour.

    Answers are kept as they come: nothing is asked twice, and a build that was stopped goes on where it was.

    lpm archetypes build nyc-covid --provider embedded --dry-run

    lpm archetypes build my.toml --provider server --url http://127.0.0.1:8000/v1 --model qwen --out behaviour.parquet
    """
    from lpm import progress
    from lpm.archetypes.table import FILLS
    from lpm.errors import unknown
    from lpm.studies import study
    from lpm.studies import terminal_table as terminal_archetypes

    asked = _asked(provider, url, model, file, answers, form, concurrency, per_second, calls, samples)
    cost = terminal_archetypes.prices(prices)
    if fill is not None and fill not in FILLS:
        raise unknown("--fill", "way", fill, FILLS)
    if out is not None:
        terminal_archetypes.target(out)
    made = _study(scenario, agents, archetypes)
    target = terminal_archetypes.target(out or Path(f"{made.scenario.name}-archetypes.parquet"))
    if dry_run:
        print(study.estimate(made, asked, cost).told())
        return
    with progress.bar(quiet) as told, progress.heeding(told) as heeded:
        table = study.build(made, asked, heeded)
    table = table if fill is None else table.filled(fill)
    table.write(target)
    if quiet:
        print(target)
    else:
        terminal_archetypes.show_built(table, target)


@commands.command()
def show(
    name: Annotated[str, typer.Argument(help="A scenario, or the path of a table of behaviour (.parquet).")],
    archetype: Annotated[
        str | None, typer.Option(metavar="A", help="All contexts of one archetype, in the place of the summary.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a picture of the table (.html).")
    ] = None,
) -> None:
    """Show a table of behaviour: who, in which situation, does what; and where it comes from.

    lpm archetypes show nyc-covid --picture table.html
    """
    from lpm import given
    from lpm.errors import InputError
    from lpm.studies import study
    from lpm.studies import terminal_table as terminal_archetypes

    one = terminal_archetypes.numbers(archetype, "--archetype")
    if len(one) > 1:
        raise InputError(f"--archetype: expected one number, got {given.shown(archetype)}")
    terminal_archetypes.show_table(table := study.found(name), one[0] if one else None)
    if picture is not None:
        from lpm.archetypes.pictures import write_picture

        print(write_picture(table, picture))


@commands.command()
def check(
    scenario: Scenario,
    agents: Agents = None,
    archetypes: Number = None,
) -> None:
    """Check archetypes and table: do rare people survive, are the answers of use, does context matter at all?

    Exit status 2 where the scenario cannot be run with its table.

    lpm archetypes check nyc-covid
    """
    from lpm.studies import study
    from lpm.studies import terminal_table as terminal_archetypes

    made = _study(scenario, agents, archetypes)
    terminal_archetypes.show_clusters(made)
    table = study.table_of(made)
    if table is None:
        print(f"no table yet: lpm archetypes build {scenario} makes one")
        return
    terminal_archetypes.show_checks(table)
    study.check(made, table)
    whole = "" if made.people.height == made.whole else f" of {made.whole:,}"
    print(f"the scenario can be run with this table: looked at {made.people.height:,}{whole} agents")


@commands.command()
def interview(
    scenario: Annotated[
        str, typer.Argument(help="A scenario with a table \\[archetypes]; may be left out with --run.")
    ] = "",
    ask: Annotated[list[str] | None, typer.Option("--ask", metavar="TEXT", help="A question; several times.")] = None,
    kind: Annotated[str, typer.Option(metavar="KIND", help="free, yes-no or choice (of --options).")] = "free",
    options: Annotated[str | None, typer.Option(metavar="A,B", help="What can be chosen.")] = None,
    who: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Archetypes, as lpm archetypes show lists them; else the five of most people."
        ),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option(metavar="I,J", help="Agents by id, asked through their archetype's card and their own columns."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Agents as a run with --save-agents has left them; the folder is only read."),
    ] = None,
    arm: Annotated[str | None, typer.Option(metavar="NAME", help="Arm of the run; else its first.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of the run; else its first.")] = None,
    at: Annotated[
        list[str] | None, typer.Option(metavar="NAME=V", help="The situation: incidence=100; several times.")
    ] = None,
    time: Annotated[
        float | None, typer.Option(metavar="T", help="The moment, as it is written down; not with --run.")
    ] = None,
    provider: Provider = "embedded",
    url: Url = None,
    model: Model = None,
    archetypes: Number = None,
    agents: Agents = None,
    answers: Answers = None,
    concurrency: Concurrency = "8",
    per_second: Rate = None,
    calls: Calls = None,
    samples: Samples = "0",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the answers (.parquet or .csv) as well.")
    ] = None,
    quiet: Annotated[bool, _flag("--quiet", "No progress.")] = False,
) -> None:
    """Ask archetypes, or agents, a question in words. What a model says is no data about people.

    lpm archetypes interview nyc-covid --ask "Would you visit a friend today?" --kind yes-no --at incidence=300

    lpm archetypes interview --run runs/nyc-covid-1 --agent 17,4031 --ask "What do you do tonight?"
    """
    from lpm import given, progress
    from lpm.archetypes.interviews import Inquiry
    from lpm.errors import InputError
    from lpm.studies import interviewing, terminal_interviews
    from lpm.studies import terminal_table as terminal_archetypes

    if not ask:
        raise InputError('interview: expected a question, as in --ask "Would you visit a friend today?"')
    if run is None and (arm is not None or seed is not None):
        raise InputError("--arm, --seed: expected --run, the run whose arm or seed it is")
    choice = tuple(each.strip() for each in options.split(",")) if options else ()
    inquiries = [Inquiry(text, kind, choice) for text in ask]
    asked = _asked(provider, url, model, None, answers, None, concurrency, per_second, calls, samples)
    situation = terminal_archetypes.values(at or ())
    kinds, persons = terminal_archetypes.numbers(who, "--who"), terminal_archetypes.numbers(agent, "--agent")
    writer = terminal_archetypes.writer(out)
    size, count = given.whole(agents, "--agents"), given.whole(archetypes, "--archetypes")
    source = interviewing.Source(scenario, run, arm, seed, size, count)
    with progress.bar(quiet) as told, progress.heeding(told) as heeded:
        made = interviewing.interview(source, asked, inquiries, kinds, persons, situation, time, heeded)
    terminal_interviews.show(made)
    if out is not None:
        writer(made.frame)
        print(given.shown(str(out)))
