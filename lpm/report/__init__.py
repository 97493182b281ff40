"""The report of a run: one self-contained page, made from the files of the run's folder alone."""

from __future__ import annotations

from pathlib import Path


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run's folder and return its path.

    Reads `trajectory.parquet` and `run.json`; `effects.parquet` (computed where it is missing) and `observed.parquet`
    where they are there. The page loads nothing from a network: style, script, plotly.js and data are inside it.

    Args:
        folder: The run's folder.

    Raises:
        InputError: A missing or damaged file.
        Fault: The page cannot be written.
    """
    from lpm.errors import faults
    from lpm.report.folder import read_folder
    from lpm.report.page import page
    from lpm.results import write_bytes

    content = page(read_folder(Path(folder))).encode("utf-8")
    with faults():
        return write_bytes(Path(folder) / "report.html", content)
