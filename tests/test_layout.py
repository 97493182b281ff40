"""The house: links in place, layers one way, nothing unsafe, files of a readable length."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("lpm", "kernels", "calibration", "scenarios")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("name", ["kernels", "calibration", "scenarios"])
def test_links_are_in_place(name: str):
    assert (ROOT / "lpm" / name).resolve() == ROOT / name


@pytest.mark.parametrize("name", ["kernels", "calibration", "scenarios"])
def test_a_bare_import_is_refused(name: str):
    told = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 1 and f"import it as lpm.{name}" in told.stderr


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_layers_go_one_way():
    """Core <- kernels <- calibration, scenarios; the command line (and what only it calls) alone sees all."""
    above = {
        "lpm": ("lpm.kernels", "lpm.calibration", "lpm.scenarios"),
        "kernels": ("lpm.calibration", "lpm.scenarios"),
    }
    sees_all = {"cli.py", "__main__.py", "asking.py", "catalogue.py", "terminal.py", "doctor.py"}
    sees_all |= {"kernel.py"}  # its registry imports the table of contents, inside a function
    for folder, forbidden in above.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT / folder)
            if inside.parts[0] in ("kernels", "calibration", "scenarios") and folder == "lpm":
                continue
            if folder == "lpm" and inside.name in sees_all and len(inside.parts) == 1:
                continue
            if folder == "lpm" and inside.parts[0] in ("fitting", "sweeps", "planning", "studies"):
                continue  # what commands join
            wrong = {name for name in _imports(path) if name.startswith(forbidden)}
            assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize(("folders", "most"), [(FOLDERS, 300), (("tests",), 350)], ids=["sources", "tests"])
def test_files_are_of_a_readable_length(folders: tuple[str, ...], most: int):
    """One thing, one file; a file that grows beyond this holds two."""
    paths = {path for folder in folders for path in (ROOT / folder).rglob("*.py")}
    lines = {str(path.relative_to(ROOT)): path.read_text("utf-8").count("\n") for path in paths}
    assert not {name: length for name, length in lines.items() if length > most}


def test_nothing_is_pickled_or_evaluated():
    unsafe = re.compile(
        r"import (pickle|cloudpickle|marshal|shelve)\b|\bpickle\.|(?<![\w.])(eval|exec)\(|allow_pickle=True"
    )
    for path in SOURCES:
        found = unsafe.search(path.read_text("utf-8"))
        assert found is None, f"{path.relative_to(ROOT)}: {found}"


def test_import_is_light():
    heavy = "{'jax', 'polars', 'numba', 'orbax', 'pydantic', 'plotly'}"
    code = f"import sys, lpm, lpm.cli; print(sorted({heavy} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
