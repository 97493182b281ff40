"""A language model in this process: a GGUF file, run by llama.cpp through the package xllamacpp, on one thread.

One thread, one prompt at a time: the threads of llama.cpp wait for each other in a loop, which on busy cores costs far
more than it gains. The engine keeps the last prompt: where `reuse` is set, only what follows the common beginning is
computed. That changes how the work is cut into batches and with it the last digits: the probabilities of a prompt
differ by up to 0.033 (measured) from those without reuse, and with reuse depend on what was asked before. So reuse is
part of the policy that answers are stored under, a build always asks in the same order and starts every archetype
afresh, and comparisons across policies, and of an archetype that was broken off in between, need a tolerance of 0.05.
Without reuse the same prompt gives the same bits.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lpm.archetypes.providers.reading import read
from lpm.archetypes.questions import Answer, Permit, Question, Unanswered, at_will
from lpm.errors import Fault, InputError

WINDOW = 4096
"""Tokens that prompt and answer may have together."""


class Embedded:
    """A model in this process.

    Attributes:
        name: "embedded".
        identity: File name and sha256 of the model, runtime and version.
        at_once: 1.
        gives: False.
        url: Where the engine itself listens, on this machine's loopback address only.
    """

    name, at_once, gives = "embedded", 1, False

    def __init__(self, model: Path | str, window: int = WINDOW):
        """Load a model.

        Args:
            model: A GGUF file.
            window: Tokens of the longest prompt with its answer.

        Raises:
            InputError: No such file, or none of that format, or the package is not installed.
            Fault: The engine does not load it.
        """
        path = Path(model)
        check(path)
        if importlib.util.find_spec("xllamacpp") is None:
            raise InputError("provider embedded: the package xllamacpp is not installed; pip install 'lpm[llm]'")
        runtime: Any = importlib.import_module("xllamacpp")  # an extra, without types
        self._lock = threading.Lock()
        settings: Any = runtime.CommonParams()
        settings.model.path = str(path)
        settings.n_ctx = window
        settings.n_parallel = 1
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
        settings.cache_ram_mib = 0  # a store of older prompts would make an answer depend on all that were asked before
        settings.warmup = settings.ui = False
        settings.verbosity = -1
        try:
            self._engine: Any = runtime.Server(settings)
        except RuntimeError as error:
            raise Fault(f"{path}: the engine cannot load this model: {error}") from error
        self.url = str(self._engine.listening_address)
        self.identity: Mapping[str, str] = {
            "model": path.name,
            "sha256": digest(path),
            "runtime": f"xllamacpp {importlib.metadata.version('xllamacpp')}",
            "window": str(window),
        }

    def close(self) -> None:
        """Let the model go; nothing can be asked any more."""
        self._engine = None

    def ask(self, question: Question, permit: Permit = at_will) -> Answer:
        """Return the answer; see `lpm.archetypes.questions.Provider`."""
        wanted: dict[str, object] = {
            "messages": messages(question),
            "max_tokens": question.tokens,
            "temperature": question.temperature,
            "cache_prompt": question.reuse,
            "seed": 0,
        }
        if question.labels:
            wanted |= {"logprobs": True, "top_logprobs": question.top}
        permit()
        with self._lock:
            began = time.perf_counter()
            try:
                found: Any = self._engine.handle_chat_completions(wanted)
            except (RuntimeError, ValueError) as error:
                raise Unanswered(f"the engine failed: {error}") from error
            spent = time.perf_counter() - began
        if isinstance(found, dict) and "error" in found:
            told = found["error"].get("message", "") if isinstance(found["error"], dict) else found["error"]
            raise InputError(f"provider embedded: the engine refuses the prompt: {str(told)[:200]}")
        answer = read(found, question)
        if answer is None:
            raise Unanswered("the engine told no probabilities")
        return Answer(
            answer.logprobs, answer.coverage, answer.text, answer.missing, answer.prompt_tokens, spent, answer.refused,
            answer.source,
        )  # fmt: skip


def messages(question: Question) -> list[dict[str, str]]:
    """Return a question as the messages of a chat."""
    told = [{"role": "system", "content": question.system}] if question.system else []
    return [*told, {"role": "user", "content": question.user}]


def check(path: Path) -> None:
    """Check that a file begins as a GGUF file does.

    Raises:
        InputError: It does not, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(4)
    except OSError as error:
        why = error.strerror or error
        raise InputError(f"model {path}: cannot be read: {why}; lpm llm install fetches a small one") from None
    if begin != b"GGUF":
        raise InputError(f"model {path}: expected a GGUF file, got one that begins with {begin!r}")


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
