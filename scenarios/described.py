"""What the keys of a scenario file mean, in one place: the docstrings of its tables."""

from __future__ import annotations

import inspect
import re
from importlib import resources
from typing import Any

_ENTRY = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def attributes(described: Any) -> dict[str, str]:
    """Return what a table's docstring says of its keys, a text each on one line."""
    return _entries(inspect.getdoc(described) or "")


def _entries(text: str) -> dict[str, str]:
    _, found, block = text.partition("Attributes:\n")
    return {name: " ".join(told.split()) for name, told in _ENTRY.findall(block)} if found else {}


def with_descriptions(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON Schema whose keys have the descriptions that stand in the docstrings of their tables."""
    for table in (schema, *schema.get("$defs", {}).values()):
        text = str(table.get("description", ""))
        if text:
            table["description"] = " ".join(text.partition("Attributes:\n")[0].split())
        for name, told in _entries(text).items():
            if name in table.get("properties", {}):
                table["properties"][name]["description"] = told
    return schema


def example() -> str:
    """Return the text of a scenario with every common key and a comment on each."""
    return (resources.files("lpm.scenarios") / "examples" / "annotated.toml").read_text(encoding="utf-8")
