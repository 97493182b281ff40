"""The page: its sections in reading order, with style, script, plotly.js and data inside it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from lpm.report import cascades, figures, findings, sections, tables, worlds
from lpm.report.folder import Folder, texts
from lpm.report.wording import dated, escaped


def page(folder: Folder) -> str:
    """Return the whole page as HTML."""
    run = folder.run
    data = figures.data(folder)
    parts = [
        ("curves", "How each measure unfolds", sections.curves(folder, data)),
        ("observed", "Beside what was observed", sections.observed(folder, data)),
        ("worlds", worlds.heading(folder), worlds.section(folder)),
        ("cascades", "Cascades", cascades.section(folder)),
        ("effects", "What each arm changes", sections.effects(folder, data)),
        ("groups", "Who is affected", sections.groups(folder, data)),
        ("population", "The population and its network", sections.population(folder, data)),
        ("arms", "Arms and interventions", sections.arms(folder, data)),
        ("assumptions", "Assumptions", _items([dated(line) for line in texts(run.get("assumptions"))], "ol")),
        ("parameters", "Parameters", tables.parameters_table(folder)),
        ("sources", "Data and sources", _items([dated(line) for line in _sources(folder)], "ul")),
        ("making", "How this was computed", tables.making_table(folder)),
    ]
    told = [(key, title, body) for key, title, body in parts if body]
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title, _ in told)
    body = "".join(f'<section id="{key}"><h2>{title}</h2>{content}</section>' for key, title, content in told)
    title = escaped(run.get("title") or run.get("name") or "Simulation")
    question = "".join(f'<p class="question">{escaped(dated(line))}</p>' for line in texts(run.get("description")))
    main = f"""
<header><div class="kicker">{_kicker(folder)}</div><h1>{title}</h1>{question}</header>
{findings.notice(folder)}
<p class="findings">{findings.key_findings(folder)}</p>
{findings.cards(folder)}
{findings.notes(folder)}
<nav aria-label="Sections">{links}</nav>
{body}
<footer>{escaped(run.get("name") or "")} {escaped(_made(folder))}. Every figure of this page is in the files \
trajectory.parquet, effects.parquet{_more(folder)} beside it.</footer>
"""
    return document(title, main, data, _resource("report.js"))


def document(title: str, main: str, data: Any, script: str) -> str:
    """Return a self-contained page: style, plotly.js, data and script are inside it.

    Args:
        title: As HTML.
        main: The content, as HTML.
        data: What the script reads from the element "data"; all texts in it are escaped for HTML.
        script: Draws the charts.
    """
    from plotly.offline import get_plotlyjs

    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
script-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>{_resource("report.css")}</style>
</head>
<body><main>{main}</main>
<script type="application/json" id="data">{_safe_json(data)}</script>
<script>{_safe_script(get_plotlyjs())}</script>
<script>{script}</script>
</body>
</html>
"""


def _resource(name: str) -> str:
    return files("lpm.report").joinpath(name).read_text("utf-8")


def _safe_json(data: Any) -> str:
    """Return JSON that cannot end its script element, whatever texts are in it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e").replace("\u2028", "\\u2028")


def _safe_script(text: str) -> str:
    """Return a script that does not end its element early."""
    return text.replace("</script", "<\\/script")


def _kicker(folder: Folder) -> str:
    run = folder.run
    parts = [findings.period(folder), f"{len(folder.arms)} arm{'s' * (len(folder.arms) != 1)}"]
    parts.append(f"{folder.seeds} seed{'s' * (folder.seeds != 1)} each")
    if run.get("people"):
        parts.append(f"{float(run['people']):,.0f} people")
    return " \u00b7 ".join(parts)


def _made(folder: Folder) -> str:
    version = (folder.run.get("versions") or {}).get("lpm")
    return f"was simulated with lpm {version}" if version else "was simulated with lpm"


def _more(folder: Folder) -> str:
    """Return the further files that the page rests on, as the end of an enumeration."""
    frames = {"unpredictability": folder.worlds, "published": folder.published, "cascades": folder.cascades}
    return "".join(f", {name}.parquet" for name, frame in frames.items() if frame is not None)


def _sources(folder: Folder) -> list[str]:
    shown = set(texts((folder.run.get("population") or {}).get("sources")))  # in the population's own section
    told = [source for source in texts(folder.run.get("sources")) if source not in shown]
    for frame in (folder.observed, folder.published):
        if frame is None or "source" not in frame.columns:
            continue
        for source in frame["source"].drop_nulls().unique(maintain_order=True):
            if source and not any(line.endswith(str(source)) for line in told):
                told.append(str(source))
    return told


def _items(lines: list[str], kind: str) -> str:
    return f"<{kind}>" + "".join(f"<li>{escaped(line)}</li>" for line in lines) + f"</{kind}>" if lines else ""
