"""What `lpm archetypes` takes and shows: prices and situations as they are typed; tables of behaviour in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table as Shown
from rich.text import Text

from lpm.errors import InputError
from lpm.given import shown
from lpm.terminal import console

if TYPE_CHECKING:
    import polars as pl

    from lpm.archetypes.table import Table
    from lpm.studies.study import Study

ROWS = 12
"""Archetypes or contexts that a summary shows; the rest is counted."""

LONGEST = 70
"""Characters of a card in a table."""


def prices(text: str | None) -> tuple[float, float] | None:
    """Return the two prices of `--prices`.

    Raises:
        InputError: They are not two numbers.
    """
    if text is None:
        return None
    try:
        asked, told = (float(each) for each in text.split(","))
    except ValueError:
        raise InputError(f"--prices: expected two numbers such as 0.15,0.6, got {shown(text)}") from None
    return asked, told


def values(given: Sequence[str]) -> dict[str, float]:
    """Return the values of `--at NAME=V`.

    Raises:
        InputError: One is not of this form, or stands twice.
    """
    found: dict[str, float] = {}
    for each in given:
        name, _, value = each.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not np.isfinite(number) or name in found:
            raise InputError(f"--at: expected NAME=NUMBER, every name once, got {shown(each)}")
        found[name] = number
    return found


def numbers(text: str | None, option: str) -> list[int]:
    """Return whole numbers by commas, [] for nothing.

    Raises:
        InputError: Something else.
    """
    if text is None:
        return []
    parts = [each.strip() for each in text.split(",")]
    if not all(each.isascii() and each.isdigit() and len(each) < 10 for each in parts):
        raise InputError(f"{option}: expected numbers by commas such as 0,3,17, got {shown(text)}")
    return [int(each) for each in parts]


def writer(path: Path | None) -> Callable[[pl.DataFrame], Any]:
    """Return what writes a frame into a file, checked before anything is asked.

    Raises:
        InputError: The file is neither .parquet nor .csv, or its folder is not there.
    """
    if path is None:
        return lambda frame: None
    if path.suffix not in (".parquet", ".csv") or not path.parent.is_dir():
        raise InputError(f"--out: expected a file .parquet or .csv in a folder that is there, got {shown(str(path))}")
    return lambda frame: frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_csv(path)


def target(path: Path) -> Path:
    """Return where a table is to be written, checked before anything is asked.

    Raises:
        InputError: It is no .parquet file, its folder cannot be one, or a file is there that is no table of behaviour.
    """
    from lpm.archetypes.table import FORMAT

    where = shown(str(path))
    if path.suffix != ".parquet":
        raise InputError(f"--out: expected a file NAME.parquet, got {where}")
    if path.parent.exists() and not path.parent.is_dir():
        raise InputError(f"--out: {where}: expected a folder before the name, got a file")
    if path.exists():
        import polars as pl

        try:
            mine = path.is_file() and pl.read_parquet_metadata(path).get("format") == FORMAT
        except (OSError, pl.exceptions.PolarsError):
            mine = False
        if not mine:
            raise InputError(f"--out: {where} is there and no table of behaviour; it is not written over")
    return path


def show_built(table: Table, path: Path) -> None:
    """Print what a build made."""
    screen = console()
    size = "x".join(map(str, table.logit.shape))
    missing = int((~table.cells_usable).sum())
    screen.print(
        Text(f"{path}: {size} archetypes x contexts x actions, {table.logit.nbytes / 1e3:,.1f} kB on a device")
    )
    if missing:
        screen.print(Text(f"{missing} of {table.cells_usable.size} cells are of no use:", style="bold"))
        for name, value in table.provenance.items():
            if name.startswith("unusable: "):
                screen.print(Text(f"  {value} answers: {name.removeprefix('unusable: ')}"))
        screen.print(Text("ask again, or fill them: --fill 'archetype mean'"))
    _bounded(screen, table)
    other = table.provenance.get("cards_unlike_recorded")
    if other:
        screen.print(Text(f"{other} archetypes were recorded with another card, found by "
                          f"{table.provenance['looked_up_by']}"))  # fmt: skip
    screen.print(Text(f'to use it: put the file beside the scenario, and table = "{path.name}" into its [archetypes]'))
    screen.print(Text(f"lpm archetypes show {path} shows it"))


def show_table(table: Table, archetype: int | None) -> None:
    """Print a table of behaviour: chances over all contexts by archetype, or all contexts of one archetype.

    Raises:
        InputError: There is no such archetype.
    """
    screen, count = console(), table.archetypes.height
    if archetype is not None and not 0 <= archetype < count:
        raise InputError(f"--archetype: expected 0 to {count - 1}, got {archetype}")
    chance, share = table.probability, table.weight / table.weight.sum()
    people = _mean(chance, 0, table.weight[:, None, None])
    if archetype is None:
        screen.print(Text("Mean chance over the contexts, by archetype", style="bold"))
        made = _listing("archetype", "people", "card", *table.actions)
        mean = _mean(chance, 1)
        for a in range(min(count, ROWS)):
            card = " ".join(str(table.archetypes["card"][a]).split())
            card = card if len(card) <= LONGEST else f"{card[: LONGEST - 3]}..."
            _row(made, str(a), f"{share[a]:.1%}", card, *(_share(each) for each in mean[a]))
        screen.print(made)
        if count > ROWS:
            screen.print(Text(f"... and {count - ROWS} more (--archetype A shows one)", style="dim"))
        screen.print()
        screen.print(Text("Chance of all people, by context", style="bold"))
        _contexts(screen, table, people, ROWS)
    else:
        screen.print(Text(str(table.archetypes["card"][archetype])))
        screen.print()
        _contexts(screen, table, chance[archetype], table.contexts.size)
    screen.print()
    for name, value in table.provenance.items():
        screen.print(Text(f"{name}: {value}", style="dim"))


def show_clusters(made: Study) -> None:
    """Print who is in which archetype, and whether rare people can still be seen."""
    screen, clusters = console(), made.clusters
    part = f" (the scenario has {made.whole:,})" if made.whole > made.people.height else ""
    screen.print(Text(f"{clusters.size} archetypes of {made.people.height:,} agents{part}", style="bold"))
    listing = _listing("archetype", "people", "card")
    weight = clusters.archetypes["weight"].to_numpy()
    for a in range(min(clusters.size, ROWS)):
        _row(listing, str(a), f"{weight[a] / weight.sum():.1%}", " ".join(made.cards[a].split())[: 2 * LONGEST])
    screen.print(listing)
    if clusters.size > ROWS:
        rest = float(weight[ROWS:].sum() / weight.sum())
        screen.print(Text(f"... and {clusters.size - ROWS} more, {rest:.0%} of the people", style="dim"))
    screen.print()
    screen.print(Text("Rare values (at most 5 % of people, or in the tails of a number)", style="bold"))
    listing = _listing("column", "rare values", "people", "shown", "coverage")
    for name, rare, share, kept, coverage in clusters.tails(made.people).iter_rows():
        if name == "all together" and clusters.facts["method"] == "groups":
            continue  # an exact group is a combination: all of them are there
        told = "-" if coverage is None else f"{coverage:.2f}"
        _row(listing, str(name), str(rare), f"{share:.1%}", str(kept), told)
    screen.print(listing)
    screen.print(Text("coverage 1 = every rare value stands on the cards of as many people as have it", style="dim"))


def show_checks(table: Table) -> None:
    """Print how far the answers behind a table can be trusted, and how much it depends on who and where."""
    screen, chance = console(), table.probability
    missing = int((~table.cells_usable).sum())
    screen.print()
    screen.print(Text(f"Table: {table.cells_usable.size} cells, {missing} of no use", style="bold"))
    listing = _listing("measure", "lowest", "median", "highest", "what it says")
    meant = {
        "coverage": "probability that the model gave to the answers asked for",
        "order_spread": "by how much a probability moves with the order of the answers",
        "entropy": "of an answer [nat]; 0 = it never doubts",
    }
    for name, told in meant.items():
        known = getattr(table, name)[np.isfinite(getattr(table, name))]
        if known.size:
            _row(listing, name, *(f"{np.quantile(known, q):.2f}" for q in (0, 0.5, 1)), told)
        else:
            _row(listing, name, "-", "-", "-", f"{told} (not known of this table)")
    screen.print(listing)
    weight = np.broadcast_to(table.weight[:, None], chance.shape[:2])
    apart = 0.5 * np.abs(chance - _mean(chance, 0, table.weight[:, None, None])).sum(-1)
    moved = 0.5 * np.abs(chance - _mean(chance, 1)[:, None]).sum(-1)
    who, where = (_share(float(_mean(each, None, weight)), 3) for each in (apart, moved))
    screen.print(
        Text(
            f"total variation from the mean: between archetypes {who}, between contexts {where} "
            f"(0 = who and where make no difference)"
        )
    )
    _bounded(screen, table)


def _contexts(screen: Any, table: Table, chance: np.ndarray, most: int) -> None:
    listing = _listing(*(f"{v.name} [{v.unit}]" for v in table.contexts.variables), *table.actions)
    cells = table.contexts.cells()
    for cell in cells[:most]:
        told = [f"{value:g}" for value in cell.values()]
        _row(listing, *told, *(_share(each) for each in chance[cells.index(cell)]))
    screen.print(listing)
    if len(cells) > most:
        screen.print(Text(f"... and {len(cells) - most} more contexts", style="dim"))


def _mean(values: np.ndarray, axis: int | None, weight: np.ndarray | float = 1.0) -> np.ndarray:
    """Return the weighted mean over what is usable, along an axis or of all; NaN where nothing is."""
    known = np.isfinite(values) * np.asarray(weight)
    whole = known.sum(axis)
    sums = (known * np.where(np.isfinite(values), values, 0)).sum(axis)
    return np.where(whole > 0, sums / np.where(whole > 0, whole, 1), np.nan)


def _bounded(screen: Any, table: Table) -> None:
    """Print how many answers left a label out: its probability is then only known to be no higher."""
    for name, value in table.provenance.items():
        kind, _, what = name.removeprefix("recorded_").partition(": ")
        if kind == "bounded":
            screen.print(Text(f"{value} answers: {what}: its probability is an upper bound"))


def _share(value: float, digits: int = 2) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


def _row(listing: Shown, *cells: str) -> None:
    listing.add_row(*(Text(each) for each in cells))  # cards and answers are data: a "[" in them is no markup


def _listing(*headings: str) -> Shown:
    made = Shown(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made
