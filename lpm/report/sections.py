"""The sections of the page that hold charts: each returns HTML whose charts the page's script draws."""

from __future__ import annotations

from typing import Any

from lpm.report import figures, findings, measures, tables, weekly
from lpm.report.folder import Folder, texts
from lpm.report.spread import band_rule
from lpm.report.wording import FEW, escaped, label, per, titled, unit_of


def _chips(folder: Folder, scope: str) -> str:
    chips = "".join(
        f'<button type="button" class="chip" data-scope="{scope}" data-arm="{index}"><i></i>{escaped(arm)}</button>'
        for index, arm in enumerate(folder.arms)
    )
    return f'<div class="chips" role="group" aria-label="Arms shown">{chips}</div>'


def _click(folder: Folder) -> str:
    return ' <span class="screen">Click an arm to hide or show it.</span>' if len(folder.arms) > 1 else ""


def _interval(folder: Folder) -> str:
    """Return what the bands are and what they hold."""
    rule = band_rule(folder.seeds)
    if not folder.banded:
        return f"{rule}."
    held = "chance only" if folder.run.get("draws") is None else "chance and parameters"
    return f"{rule} ({held})."


def _noise(data: dict[str, Any]) -> str:
    """Return what the grey pieces of R(t) are, "" where there are none."""
    if not any(any(spans) for rows in data["curves"]["noisy"].values() for spans in rows.values()):
        return ""
    return (
        f" R(t) is grey, without a band, where fewer than {figures.CLEAR:.0f} agents a step are infected: its ups and "
        "downs there are mostly chance; it is not told at all below 11."
    )


def curves(folder: Folder, data: dict[str, Any]) -> str:
    """Return the section of each metric by arm, with the choice of a group."""
    if not folder.metrics and not data["vectors"]:
        return "<p>No metrics were declared.</p>"
    shown, options, column = figures.listed_groups(folder), "", ""
    for index, group in enumerate(shown):
        head = group.split("=", 1)[0] if "=" in group else ""
        if head != column:
            options += ("</optgroup>" if column else "") + f'<optgroup label="{escaped(titled(head))}">'
            column = head
        options += f'<option value="{index}">{escaped(label(group) if "=" in group else "All people")}</option>'
    options += "</optgroup>" if column else ""
    select = f'<label>Group <select id="group">{options}</select></label>' if len(shown) > 1 else ""
    charts = ""
    for metric in folder.ordered():
        unit = per(metric.unit, str(folder.run.get("step", ""))) if metric.kind == "flow" else unit_of(metric.unit)
        unit = f"{escaped(unit)} \u00b7 " if unit else ""
        width = "full" if metric is folder.headline else ""
        charts += (
            f'<figure class="{width}"><h3>{escaped(metric.title)} <span class="unit">{unit}'
            f'<span class="group-name">All</span></span></h3>'
            f'<div class="chart" id="curve-{escaped(metric.name)}"></div></figure>'
        )
    for index, vector in enumerate(data["vectors"]):
        charts += (
            f'<figure><h3>{vector["title"]} <span class="unit">at the end</span></h3>'
            f'<div class="chart" id="vector-{index}"></div></figure>'
        )
    pieces = f" Each point is the mean of {data['curves']['every']} steps." if data["curves"]["every"] > 1 else ""
    more = ""
    for name, levels in folder.levels().items():
        if len(levels) > figures.LISTED:
            more += f" The first {figures.LISTED} of {len(levels)} levels of {escaped(name)} are listed."
    return (
        f'<p class="lede">{_interval(folder).capitalize()}{pieces}{_noise(data)}{more}{_click(folder)}</p>'
        f"{findings.reminder(folder)}"
        f'<div class="controls">{select}{_chips(folder, "curves")}</div><div class="grid two">{charts}</div>'
    )


def observed(folder: Folder, data: dict[str, Any]) -> str:
    """Return the section of weekly figures beside the observed ones, "" without any."""
    panels, score = data["weekly"], tables.score_table(folder)
    if not panels and not score:
        return ""
    parts: list[str] = [
        f'<p class="lede">{escaped(weekly.in_words(folder))} {_interval(folder).capitalize()} Only '
        f"<b>{escaped(folder.arms[0])}</b> is meant to be like what was observed.{_click(folder)}</p>"
        f'<div class="controls">{_chips(folder, "weekly")}<span class="chips"><span class="chip"><span class="dot">'
        "</span>observed</span></span></div>"
    ]
    metric = None
    for index, panel in enumerate(panels):
        if panel["metric"] != metric:
            parts.append("</div>" if metric is not None else "")
            parts.append(f'<h3>{panel["title"]} <span class="unit">{_every(panel)}</span></h3><div class="grid three">')
            metric = panel["metric"]
        parts.append(f'<figure><h4>{panel["label"]}</h4><div class="chart" id="weekly-{index}"></div></figure>')
    parts.append("</div>" if panels else "")
    if score:
        parts.append(
            "<h3>Error against the observed figures</h3>"
            f"{score}<p class='caption'>WAPE: absolute errors of the mean over seeds, summed over groups and intervals "
            "(weeks, and the part weeks at the ends), divided by the observed sum; 0 is perfect, and errors of two "
            "groups do not cancel. Days compared: from the first day of the first interval to the last day of the last "
            "one.</p>"
        )
    return "".join(parts)


def _every(panel: dict[str, Any]) -> str:
    return "a week" if panel["days"] == 7 else f"in {panel['days']} days"


def effects(folder: Folder, data: dict[str, Any]) -> str:
    """Return the section of effects against the first arm, "" with one arm."""
    if len(folder.arms) < 2:
        return ""
    first = escaped(folder.arms[0])
    forests, count = "", 0
    for metric in folder.ordered():
        if metric.kind == "flow" and metric.name in data["totals"]["values"] and "all" in folder.groups:
            count += 1
            word = "averted" if metric.harm else "change"
            forests += (
                f'<figure><h4>{escaped(metric.title)} {word} <span class="unit">{escaped(_total(metric.unit))}</span>'
                f'</h4><div class="chart forest" data-metric="{escaped(metric.name)}" '
                f'data-group="{folder.groups.index("all")}"></div></figure>'
            )
    interval = (
        f" Small print: 95 % interval ({escaped(_held(folder))}). Grey figures and hollow points: the interval "
        "contains 0, so no direction can be told from chance."
        if folder.banded
        else f" There are {FEW}: grey figures may be chance."
    )
    return (
        f'<p class="lede">Differences from <b>{first}</b>, seed by seed: the same chance meets every arm. Positive '
        f"figures under \u201caverted\u201d and \u201clower by\u201d are gains; \u201cchange\u201d is in per cent of "
        f"{first}.{interval} Peak: each seed's own highest value, then the mean over seeds; it is higher than the "
        " top of the mean curve above, since seeds peak on different days. The day of peak is the mean over seeds "
        f"too, and {tables.NOTHING} where some seed has none. The last column is the standard error of a difference "
        "taken seed by seed over that of seeds that are not paired: 1 = pairing does not help, 0.5 = it halves the "
        "error.</p>"
        f'<div class="grid {"three loose" if count % 3 == 0 else "two"}">{forests}</div>{tables.effect_tables(folder)}'
    )


def _total(unit: str) -> str:
    return f"{unit_of(unit)}, total" if unit_of(unit) else "total"


def _held(folder: Folder) -> str:
    return str(folder.effects["interval"][0]) if folder.effects.height else "chance only"


def groups(folder: Folder, data: dict[str, Any]) -> str:
    """Return the section of the breakdown by group, "" without groups."""
    singles, pairs, values = data["columns"]["singles"], data["columns"]["pairs"], data["totals"]["values"]
    if not singles or not values:
        return ""
    names = [metric for metric in folder.metrics if metric.name in values]
    first = folder.headline.name if folder.headline else ""
    picks = "".join(
        f'<option value="{escaped(m.name)}"{" selected" if m.name == first else ""}>{escaped(m.title)}'
        f"{', total' if m.kind == 'flow' else ', at the end'}</option>"
        for m in names
    )
    measure = (
        '<label>As <select id="measure"><option value="rate">per 100,000 people of the group</option>'
        '<option value="count">people</option></select></label>'
        if data["totals"]["people"]
        else ""
    )
    charts = "".join(
        f'<figure class="full"><h3>By {column["column"].lower()} <span class="unit measure-name"></span></h3>'
        f'<div class="chart" id="single-{index}"></div></figure>'
        for index, column in enumerate(singles)
    )
    heats = ""
    for index, pair in enumerate(pairs):
        one, two = (name.lower() for name in pair["columns"])
        cells = "".join(
            f'<figure><h4><span class="chip-dot" data-arm="{arm}"></span>{escaped(name)}'
            f'<span class="unit"> {"level" if arm == 0 else "against the first arm"}</span></h4>'
            f'<div class="chart" id="heat-{index}-{arm}"></div></figure>'
            for arm, name in enumerate(folder.arms)
        )
        heats += (
            f'<h3>By {one} and {two} <span class="unit measure-name"></span></h3>'
            f'<p class="caption">First panel: the level under {escaped(folder.arms[0])}. '
            "Other panels: what the arm changes; for harms blue is averted and orange is added, on one scale; "
            f"{'grey on white: cannot be told apart from chance' if folder.banded else FEW + ', may be chance'}.</p>"
            f'<div class="grid three">{cells}</div>'
        )
    return (
        f'<div class="controls"><label>Measure <select id="of">{picks}</select></label>{measure}'
        f'{_chips(folder, "totals")}</div><div class="grid two">{charts}</div>{heats}'
    )


def population(folder: Folder, data: dict[str, Any]) -> str:
    """Return the section of facts of population and network."""
    run = folder.run
    facts: dict[str, Any] = {}
    if run.get("people"):
        facts["People"] = f"{float(run['people']):,.0f}"
    if run.get("agents"):
        facts["Agents"] = f"{int(run['agents']):,}"
    if run.get("weight"):
        facts["People an agent stands for"] = f"{float(run['weight']):.4g}"
    if run.get("arcs"):
        facts["Arcs of all layers"] = f"{sum(int(count) for count in run['arcs'].values()):,}"
    facts |= (run.get("population") or {}).get("facts") or {}
    parts = [tables.facts_table(facts)] if facts else []
    if data["marginals"]:
        parts.append(
            "<h3>Marginals</h3><p class='caption'>Bars: generated population; black marks: published figures.</p>"
            f"{_marginals(data['marginals'])}{tables.marginals_table(folder)}"
        )
    sources = texts((run.get("population") or {}).get("sources"))
    if sources:
        lines = "".join(f"<li>{escaped(line)}</li>" for line in sources)
        parts.append(f"<h3>Sources of the published figures</h3><ul class='small'>{lines}</ul>")
    layers = tables.layers_table(folder)
    degrees = "".join(
        f'<figure><h4>{entry["name"]}</h4><div class="chart" id="degree-{index}"></div></figure>'
        for index, entry in enumerate(data["networks"])
        if "shares" in entry
    )
    if layers or degrees:
        parts.append(f"<h3>Network layers</h3>{layers}")
    if degrees:
        parts.append(
            "<h3>Contacts per agent</h3>"
            "<p class='caption'>Share of agents by their number of contacts in the layer.</p>"
            f'<div class="grid two">{degrees}</div>'
        )
    for index, entry in enumerate(data["networks"]):
        mixing = entry.get("mixing")
        if mixing:
            both = [which for which in ("generated", "published") if mixing.get(which)]
            charts = "".join(
                f'<figure><h4>{which.capitalize()}</h4><div class="chart" id="mixing-{index}-{which}"></div></figure>'
                for which in both
            )
            parts.append(
                f"<h3>Who meets whom: {entry['name'].lower()}</h3><p class='caption'>Contacts a person and day, by age "
                "of the person (row) and of the contact (column), on one scale.</p>"
                f'<div class="grid two">{charts}</div>{_matched(mixing)}'
            )
    return "".join(parts)


def _marginals(entries: list[dict[str, Any]]) -> str:
    """Return the places of the marginals' charts: those of one family below a heading of their own."""
    parts, family = "", None
    for index, entry in enumerate(entries):
        many = bool(entry["family"])
        if entry["family"] != family:
            family = entry["family"]
            heading = f"<h4 class='family'>{family}</h4>" if many else ""
            parts += f'{"</div>" if parts else ""}{heading}<div class="grid {"three" if many else "two"}">'
        name = f'<span class="unit">{entry["name"]}</span>' if many else entry["name"]
        parts += f'<figure><h4>{name}</h4><div class="chart" id="marginal-{index}"></div></figure>'
    return f"{parts}</div>"


def _matched(mixing: dict[str, Any]) -> str:
    """Return how near the generated contacts per person and day are to the published ones, by row of the matrix."""
    if not mixing.get("published"):
        return ""
    rows = [
        (abs(sum(made) - sum(told)) / sum(told), name, sum(made), sum(told))
        for name, made, told in zip(mixing["levels"], mixing["generated"], mixing["published"], strict=True)
        if None not in (*made, *told) and sum(told) > 0
    ]
    if not rows:
        return ""
    gap, name, made, told = max(rows)
    return (
        f"<p class='caption'>Contacts a day of all ages together differ most for {name}: {made:.3g} generated, "
        f"{told:.3g} published ({gap * 100:.1f}\u202f%).</p>"
    )


def arms(folder: Folder, data: dict[str, Any]) -> str:
    """Return the section of arms: when their interventions begin, and what they are."""
    chart = ""
    if data["calendar"]:
        chart = (
            "<h3>When interventions begin</h3><p class='caption'>One mark for each date on which interventions of the "
            'arm begin.</p><div class="chart" id="calendar"></div>'
        )
    return chart + measures.arms_table(folder)
