"""How `lpm plan` shows a plan in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from lpm.memory import in_words
from lpm.planning.memory import PARTS
from lpm.terminal import console

if TYPE_CHECKING:
    from lpm.planning.plan import Plan


def show_plan(plan: Plan) -> None:
    """Print a plan: memory by part, exchange, seconds, what limits, what is chosen and why."""
    screen = console()
    several = f"{plan.devices:,} x " if plan.devices > 1 else ""
    screen.print(Text(f"{plan.scenario}: {plan.agents:,} agents on {several}{plan.device}", style="bold"))
    arcs = ", ".join(f"{name} {count:,}" for name, count in plan.arcs.items() if count)
    if arcs:
        screen.print(Text(f"Arcs expected: {arcs}."), soft_wrap=not screen.is_terminal)
    screen.print()
    table = Table("memory of a device", "bytes", box=None, header_style="bold", pad_edge=False)
    for name, count in plan.memory.items():
        if count:
            table.add_row(PARTS[name], in_words(count))
    table.add_row(Text("in all", style="bold"), Text(in_words(plan.memory_total), style="bold"))
    table.add_row("there is", in_words(plan.memory_room))
    screen.print(table)
    if plan.building is not None:
        told = f"Building people and networks on one machine takes {in_words(plan.building)} of its memory."
        if plan.process is not None:
            told += f" The whole process takes {in_words(plan.process)} at its peak."
        screen.print(Text(told))
    screen.print()
    table = Table("seconds of a step", "ms", box=None, header_style="bold", pad_edge=False)
    for name, value in plan.step_seconds.items():
        if value:
            table.add_row(name, f"{1e3 * value:,.3g}")
    table.add_row(Text("in all", style="bold"), Text(f"{1e3 * plan.seconds_per_step:,.3g}", style="bold"))
    screen.print(table)
    screen.print(Text(f"{plan.seconds_told}.", style="dim"), soft_wrap=not screen.is_terminal)
    runs = f"{plan.runs:,} runs of {plan.steps:,} steps" if plan.runs > 1 else f"{plan.steps:,} steps"
    screen.print(Text(f"Stepping, {runs}: {_duration(plan.seconds)}."))
    if plan.devices > 1:
        screen.print()
        screen.print(Text(f"Each device sends {in_words(plan.exchange_bytes)} a step:"))
        for each in plan.exchange[:6]:
            shape = " x ".join(f"{length:,}" for length in each.shape) or "1"
            told = f"  {each.kind} of {shape} {each.dtype}, {each.times} times: {in_words(each.sent)}"
            screen.print(Text(told), soft_wrap=not screen.is_terminal)
        if plan.exchange[6:]:
            screen.print(Text(f"  {len(plan.exchange) - 6} more: {in_words(sum(e.sent for e in plan.exchange[6:]))}"))
    screen.print()
    table = Table("limit", "one device needs", "it has", "devices", box=None, header_style="bold", pad_edge=False)
    for limit in plan.limits:
        shown = in_words if "bytes" in limit.what else "{:,}".format
        table.add_row(limit.what, shown(limit.asked), shown(limit.most), _count(limit.devices))
    screen.print(table)
    screen.print(Text(_verdict(plan), style="bold"), soft_wrap=not screen.is_terminal)
    screen.print()
    table = Table("choice", "", "why", box=None, header_style="bold", pad_edge=False)
    for name, choice in (("backend", plan.backend), ("steps of a chunk", plan.chunk), ("runs of a sweep", plan.batch)):
        table.add_row(name, str(choice.value), Text(choice.why))
    screen.print(table)
    for note in plan.notes:
        screen.print(Text(f"Note: {note}", style="dim"), soft_wrap=not screen.is_terminal)


def _verdict(plan: Plan) -> str:
    if plan.needed is None:
        return "It does not fit on any number of these devices."
    least = f"{plan.needed:,} device{'s' if plan.needed > 1 else ''} of this kind"
    fits = plan.devices >= plan.needed and plan.memory_total <= plan.memory_room
    return f"It fits; the least is {least}." if fits else f"It does not fit on {plan.devices:,}; it takes {least}."


def _count(devices: int | None) -> str:
    return "no number helps" if devices is None else f"{devices:,} or more" if devices > 1 else "1"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.3g} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
