"""Who answers: a model in this process, a server, a recording, a table of the user's own, formulas.

`provider` makes one by its name on the command line; the modules here are imported only for the one that is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from lpm.archetypes.answers import Answers
from lpm.archetypes.questions import Provider
from lpm.errors import InputError, unknown

T = TypeVar("T")

NAMES = ("embedded", "server", "recorded", "table", "rule")
"""The providers there are."""


def provider(
    name: str,
    *,
    model: str = "",
    url: str = "",
    revision: str = "",
    answers: Answers | None = None,
    path: Path | None = None,
    formulas: Mapping[str, str] | None = None,
) -> Provider:
    """Return a provider by its name.

    Args:
        name: "embedded", "server", "recorded", "table" or "rule".
        model: embedded: a GGUF file ("" = the one that `lpm llm install` fetched); server: the model's name there;
            recorded: whose answers, where there are those of several.
        url: server: base of the API.
        revision: server: what the model is beyond its name.
        answers: recorded: the file of answers.
        path: recorded: a table's parquet file instead of answers; table: a CSV or parquet file of probabilities.
        formulas: rule: by action.

    Raises:
        InputError: An unknown name, or what it needs is missing.
    """
    if name == "embedded":
        from lpm.archetypes import install
        from lpm.archetypes.providers.embedded import Embedded

        return Embedded(Path(model) if model else install.installed())
    if name == "server":
        from lpm.archetypes.providers.server import Server

        return Server(_needed(url, "server", "--url"), model, revision=revision)
    if name == "recorded":
        from lpm.archetypes.providers.recorded import Recorded, RecordedTable

        if path is not None:
            from lpm.archetypes import table

            return RecordedTable(table.read(path))
        return Recorded(_needed(answers, "recorded", "a table or a file of answers"), model)
    if name == "table":
        import polars as pl

        from lpm.archetypes.providers.given import Given

        file = _needed(path, "table", "a file")
        try:
            frame = pl.read_parquet(file) if file.suffix == ".parquet" else pl.read_csv(file)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise InputError(f"{file}: cannot be read as a table: {str(error).splitlines()[0]}") from None
        return Given(frame, str(file))
    if name == "rule":
        from lpm.archetypes.providers.rule import Rule

        return Rule(_needed(formulas, "rule", "a formula for every action"))
    raise unknown("--provider", "provider", name, NAMES)


def _needed(value: T | None, name: str, what: str) -> T:
    if value is None or value == "":
        raise InputError(f"provider {name}: expected {what}, got nothing")
    return value
