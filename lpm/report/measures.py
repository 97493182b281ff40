"""The arms on the page: their interventions, and how they differ from those of the first arm."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lpm.report.folder import Folder
from lpm.report.tables import table, two
from lpm.report.wording import PER_CENT, dated, escaped, plain
from lpm.sources import NO_SOURCE


def arms_table(folder: Folder) -> str:
    """Return the arms, each with its interventions."""
    costs = folder.run.get("costs") or {}
    told: list[dict[str, Any]] = folder.run.get("arms") or [{"name": arm} for arm in folder.arms]
    first: list[dict[str, Any]] = told[0].get("interventions") or []
    parts: list[str] = []
    for arm in told:
        name = str(arm.get("name"))
        number = folder.arms.index(name) if name in folder.arms else 0
        bills = [f"{float(bill['total']):,.0f} {escaped(bill.get('unit', ''))}" for bill in costs.get(name) or []]
        priced = f" Cost: {', '.join(bills)} (mean over seeds)." if bills else ""
        parts.append(
            f'<h3><span class="chip-dot" data-arm="{number}"></span>{escaped(name)}</h3>'
            f"<p>{escaped(dated(arm.get('description') or ''))}{priced}</p>"
        )
        acts: list[dict[str, Any]] = arm.get("interventions") or []
        if arm is not told[0]:
            parts.append(_beside(first, acts, str(told[0].get("name"))))
            acts = [item for item in acts if item not in first]
        rows = [
            [
                two(escaped(_called(item)), escaped(dated(item.get("description", "")))),
                escaped(_when(item.get("when"))),
                escaped(_whom(item.get("whom"))),
                "<br>".join(escaped(part) for part in plain(item.get("what")).split("; ")),
                escaped(plain(item.get("source") or NO_SOURCE)),
            ]
            for item in acts
        ]
        if rows:
            parts.append(table(["Intervention", "When", "Whom", "What", "Source"], rows, kind="arms"))
        elif not arm.get("interventions"):
            parts.append("<p>No interventions.</p>")
    return "".join(parts)


def _called(item: Mapping[str, Any]) -> str:
    """Return the name of a measure; one that the scenario gives none, which is counted, by what it does."""
    name = str(item.get("name") or item.get("label") or "")
    return plain(item.get("what")) if re.fullmatch(r"(own )?intervention \d+", name) and item.get("what") else name


def _beside(first: Sequence[Mapping[str, Any]], acts: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return which measures of the first arm an arm keeps as they are, and which it leaves out."""
    names = [item.get("name") for item in acts]
    kept = [escaped(_called(item)) for item in first if item in acts]
    gone = [escaped(_called(item)) for item in first if item.get("name") not in names]
    words = f"As in \u201c{escaped(name)}\u201d: {'; '.join(kept)}. " if kept else ""
    words += f"Left out: {'; '.join(gone)}." if gone else ""
    return f'<p class="note">{words}</p>' if words else ""


def _whom(value: Any) -> str:
    """Return whom a measure concerns; one on layers or parameters concerns everybody."""
    told = "everybody" if value in (None, "", "the whole run") else plain(value)
    return re.sub(r"(\d)%", rf"\1{PER_CENT}", told)


def _when(value: Any) -> str:
    """Return when a measure is in force; an arm's shift in days is told as earlier or later."""

    def moved(found: re.Match[str]) -> str:
        days = found.group(2)
        return f"({days} day{'s' * (days != '1')} {'earlier' if found.group(1) else 'later'})"

    return re.sub(r"\(shifted by (-?)(\d+) d\)", moved, plain(value))
