"""How an interview is shown in a terminal: who said what, how far the answer can be read, and which model it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from lpm.terminal import console

if TYPE_CHECKING:
    from lpm.studies.interviewing import Interview

HEADINGS = ("archetype", "agent", "question", "option", "chance", "coverage", "order", "answer")

CAUTION = "What a model says is no data about people."


def show(made: Interview) -> None:
    """Print the answers of an interview, what was told of the people and the moment, and who answered."""
    screen = console()
    listing = Table(box=None, header_style="bold", pad_edge=False)
    for heading in HEADINGS:
        listing.add_column(heading, overflow="fold")
    for row in made.frame.iter_rows(named=True):
        answer = row["why"] or ("" if row["option"] else row["text"])
        numbers = (row["probability"], row["coverage"], row["order_spread"])
        agent = "" if row["agent"] is None else str(row["agent"])
        cells = (str(row["archetype"]), agent, row["question"], row["option"] or "", *map(_number, numbers), answer)
        listing.add_row(*map(Text, cells))  # cards and answers are data: a "[" in them is no markup
    screen.print(listing)
    notes = [f"[{archetype}] {card}" for archetype, card in made.cards.items()]
    notes.append(f"told of the situation: {made.situation or 'nothing'}")
    notes.append(f"asked: {made.moment}")
    notes.append(f"answered by: {', '.join(f'{name} {value}' for name, value in made.model.items() if value)}")
    notes.append("coverage: probability on the answers asked for; order: by how much their order moves the chance")
    for note in notes:
        screen.print(Text(note, style="dim"))
    screen.print(Text(CAUTION, style="bold"))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
