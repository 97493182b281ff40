"""The commands of `lpm data`: what data sets there are, where they lie, and how they get here."""

from __future__ import annotations

from typing import Annotated

import typer

commands = typer.Typer(help="Data sets with pinned sums.", rich_markup_mode="rich")


@commands.callback(invoke_without_command=True)
def data(context: typer.Context) -> None:
    """List the data sets: size, pinned sum, whether they are here, licence, where from.

    Set LPM_DATA to a folder that holds them (folder/file) to use local copies; their sums are checked all the same.

    Examples: lpm data | lpm data fetch nyc_covid/data-by-day.csv.gz
    """
    if context.invoked_subcommand is None:
        from lpm import data as datasets
        from lpm import terminal

        terminal.show_data(datasets.registry())


@commands.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="SET", help="Name of a data set, as lpm data lists it.")],
) -> None:
    """Fetch a data set, check its sum, and print where it lies.

    Example: lpm data fetch nyc_covid/data-by-day.csv.gz
    """
    from lpm import data as datasets

    print(datasets.path(name, "data fetch"))


@commands.command("path")
def path_(
    name: Annotated[str, typer.Argument(metavar="SET", help="Name of a data set, as lpm data lists it.")],
) -> None:
    """Print where a data set lies here, without fetching it.

    Example: lpm data path nyc_covid/data-by-day.csv.gz
    """
    from lpm import data as datasets

    print(datasets.local(name, "data path"))
