"""What the processes of one run have to agree on before it begins."""

from __future__ import annotations

from typing import Any

from lpm.scenarios import manifest, resolved
from lpm.scenarios.schema import Scenario


def facts(scenario: Scenario, **options: Any) -> dict[str, Any]:
    """Return what `lpm.cluster.joined` compares: versions, options, the scenario's text, and a sum over its files.

    Args:
        scenario: What is to be run.
        **options: Of the command, by keyword.
    """
    return {
        "versions": manifest.versions(),
        "options": {f"--{name.replace('_', '-')}": value for name, value in options.items()},
        "scenario": resolved.of_run(scenario),
        "inputs": resolved.fingerprint(scenario),
    }
