"""A language model behind any OpenAI-compatible chat endpoint: vLLM, llama-server, Ollama, OpenAI and others.

What is asked is what they have in common: `POST URL/chat/completions` with `max_tokens: 1, logprobs: true,
top_logprobs: 20, temperature: 0`. A server that tells no probabilities is asked for samples instead, if that is wanted.

Whatever may pass is tried again, a bounded number of times with growing pauses: time-outs, cut connections, 408, 409,
425, 429 and 5xx (where the server says `Retry-After`, that long), broken JSON, answers of no use in form or size. A
wrong address, key or model ends the build at once. The key comes from the environment, is sent in one header to this
address only (no redirect is followed) and is struck out of the texts that the server sends back. A key that would
cross a network in the clear is refused: an address on another machine has to be https://, or `LPM_LLM_HTTP` says
"allow" (a network of one's own, a tunnel).
"""

from __future__ import annotations

import email.utils
import json
import re
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx

from lpm.archetypes.providers.embedded import messages
from lpm.archetypes.providers.keys import KEY as KEY
from lpm.archetypes.providers.keys import LOOPBACK, clean, key_for, message
from lpm.archetypes.providers.reading import of_samples, read
from lpm.archetypes.questions import Answer, Permit, Question, Unanswered, at_will
from lpm.errors import InputError

T = TypeVar("T")

LARGEST = 1 << 20
"""Bytes of a response that are read; that of one token with 20 alternatives has about 3,000."""

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Statuses after which another attempt may succeed."""


class Server:
    """A model behind a chat endpoint; may be asked by many threads.

    Attributes:
        name: "server".
        identity: URL, model and the revision that the caller names.
        at_once: As many as the limits of the build allow.
        gives: False.
        close: Closes the connections; called by itself when nobody holds the server any more.
    """

    name, at_once, gives = "server", 1024, False

    def __init__(
        self,
        url: str,
        model: str,
        *,
        revision: str = "",
        timeout: float = 60.0,
        attempts: int = 4,
        pause: float = 0.5,
        longest_pause: float = 60.0,
        connections: int = 64,
        sleep: Callable[[float], None] | None = None,
    ):
        """Take an address; nothing is sent yet.

        Args:
            url: Base of the API, "http://127.0.0.1:8000/v1"; "/chat/completions" is added where it is not there.
            model: The model's name there.
            revision: What the model is beyond its name, as far as the user knows (a date, a commit): a name is kept by
                servers while the model behind it changes, and answers are stored under both.
            timeout: Longest wait for one whole response [s].
            attempts: Most requests for one answer.
            pause: Wait before the second attempt [s]; doubled before each further one.
            longest_pause: The longest wait that is heeded, also where the server asks for more [s].
            connections: Most connections held open.
            sleep: How to wait; None = as the permit of a question does.

        Raises:
            InputError: The URL is none, or carries a key, or the key would be sent over http:// to another machine.
        """
        self._url = _address(url)
        if not model.strip():
            raise InputError("provider server: expected the name of a model (--model NAME), got ''")
        if attempts < 1 or timeout <= 0:
            raise InputError("provider server: expected attempts >= 1 and timeout > 0")
        self.identity: Mapping[str, str] = {"url": str(self._url), "model": model, "revision": revision}
        self._timeout, self._attempts, self._sleep = timeout, attempts, sleep
        self._pause, self._longest = pause, longest_pause
        self._key = key_for(self._url.scheme, self._url.host)
        self._told = self._silent = False  # whether this server was found to tell probabilities, or to tell none
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        self._client = httpx.Client(
            headers=headers,
            timeout=timeout,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=self._url.host not in LOOPBACK,  # a proxy is for what lies outside
        )

        self.close = weakref.finalize(self, self._client.close)

    def ask(self, question: Question, permit: Permit = at_will) -> Answer:
        """Return the answer; see `lpm.archetypes.questions.Provider`."""
        began = time.perf_counter()
        answer = None
        if not (self._silent and question.labels and question.samples):
            answer = self._read(question, permit)
        if answer is None and not question.samples:
            raise InputError(
                "provider server: this server tells no token probabilities; draw samples instead (--samples 20), "
                "or ask for percentages (the form 'percent')"
            )
        if answer is None:
            self._silent = True
            answer = self._sampled(question, permit)
        return replace(answer, seconds=time.perf_counter() - began)

    def _read(self, question: Question, permit: Permit) -> Answer | None:
        bare = 0

        def once() -> Answer | None:
            nonlocal bare
            wanted = self._body(question, question.temperature, question.tokens)
            if question.labels:
                wanted |= {"logprobs": True, "top_logprobs": question.top}
            answer = read(self._post(wanted), question)
            bare += answer is None
            if answer is None and (self._told or bare == 1):  # perhaps a fault of this one response
                raise Unanswered("no probabilities")
            self._told = self._told or (answer is not None and answer.source == "logprobs")
            return answer

        return self._tried(once, permit)

    def _sampled(self, question: Question, permit: Permit) -> Answer:
        """Return what drawn answers amount to, each with a seed of its own."""
        texts: list[str] = []
        tokens = 0
        plain = replace(question, labels=())
        for seed in range(question.samples):
            wanted = self._body(question, 1.0, max(question.tokens, 3)) | {"seed": seed}
            answer = self._tried(lambda wanted=wanted: read(self._post(wanted), plain), permit)
            if answer is not None:
                texts.append(answer.text)
                tokens += answer.prompt_tokens
        return of_samples(texts, question, tokens)

    def _body(self, question: Question, temperature: float, tokens: int) -> dict[str, object]:
        return {
            "model": self.identity["model"],
            "messages": messages(question),
            "max_tokens": tokens,
            "temperature": temperature,
            **({"cache_prompt": question.reuse} if self._url.host in LOOPBACK else {}),  # llama.cpp's own
        }

    def _tried(self, once: Callable[[], T], permit: Permit) -> T:
        """Return the first result in a bounded number of attempts.

        Raises:
            Unanswered: None came; the reason is that of the last attempt.
        """
        why = ""
        for attempt in range(self._attempts):
            permit()
            asked = 0.0
            try:
                return once()
            except _Later as error:
                why, asked = str(error), error.seconds
            except Unanswered as error:
                why = str(error)
            except httpx.TimeoutException:
                why = "timed out"
            except httpx.TransportError as error:
                why = f"connection lost ({type(error).__name__})"
            if attempt + 1 < self._attempts:
                (self._sleep or permit.rest)(min(max(asked, self._pause * 2**attempt), self._longest))
        raise Unanswered(why)

    def _post(self, wanted: Mapping[str, object]) -> object:
        """Send one request and return the JSON of its response."""
        ends = time.monotonic() + self._timeout
        with self._client.stream("POST", self._url, json=wanted) as response:
            content = bytearray()
            for block in response.iter_bytes():
                content += block
                if len(content) > LARGEST:
                    raise Unanswered("huge answer")
                if time.monotonic() > ends:  # one that sends a byte now and then never times out by itself
                    raise Unanswered("timed out")
            status = response.status_code
            if status in PASSING:
                raise _Later(f"status {status}", _waiting(response.headers.get("retry-after", "")))
            text = content.decode("utf-8", "replace")
            if status != 200:
                return self._refused(status, text, wanted)
        try:
            return clean(json.loads(text), self._key)
        except (ValueError, RecursionError):
            raise Unanswered("invalid JSON") from None

    def _refused(self, status: int, text: str, wanted: Mapping[str, object]) -> object:
        """Return a response without probabilities where only these were refused.

        Raises:
            InputError: The server refuses the request itself.
        """
        if status in (400, 422) and "logprobs" in text and "logprobs" in wanted:
            return {"choices": [{"message": {"content": ""}}]}
        told = message(text, self._key)[:200]
        hint = f"; the key is read from {KEY}" if status in (401, 403) else ""
        raise InputError(f"provider server: {self._url} refuses with status {status}: {told!r}{hint}")


class _Later(Exception):
    """The server asks to come back; `seconds` 0 = it does not say when."""

    def __init__(self, why: str, seconds: float):
        super().__init__(why)
        self.seconds = seconds


def _waiting(told: str) -> float:
    """Return the seconds of a Retry-After header: a number or a date; 0 where it says neither."""
    if told.strip().isdecimal():
        return float(told)
    try:
        return max((email.utils.parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return 0.0


def _address(url: str) -> httpx.URL:
    try:
        found = httpx.URL(url.strip())
    except (httpx.InvalidURL, TypeError) as error:
        raise InputError(f"provider server: '{url}' is no URL: {error}") from None
    if found.scheme not in ("http", "https") or not re.fullmatch(r"[\w.:-]+", found.host):
        raise InputError(f"provider server: expected a URL like http://127.0.0.1:8000/v1, got '{url}'")
    if found.userinfo or found.query or found.fragment:
        raise InputError(
            f"provider server: expected a URL without user, password or query (it is stored with the answers); "
            f"set {KEY} to the key"
        )
    path = found.path.rstrip("/")
    return found.copy_with(path=path if path.endswith("/chat/completions") else f"{path}/chat/completions")


def models(url: str, timeout: float = 10.0) -> Sequence[str]:
    """Return the names of the models that a server tells, () where it tells none.

    Raises:
        InputError: The URL is none, or the key would be sent over http:// to another machine.
    """
    address = _address(url)
    address = address.copy_with(path=address.path.removesuffix("/chat/completions") + "/models")
    key = key_for(address.scheme, address.host)
    try:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        found: Any = httpx.get(address, headers=headers, timeout=timeout, trust_env=address.host not in LOOPBACK).json()
        return [str(each["id"]) for each in found["data"]]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return ()
