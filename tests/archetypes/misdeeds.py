"""What an endpoint can do wrong, and what the tests of the HTTP provider ask it."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from lpm.archetypes.contexts import Contexts, Variable
from lpm.archetypes.elicitation import Action
from lpm.archetypes.providers.server import LARGEST, Server
from lpm.archetypes.questions import Question
from tests.archetypes.endpoint import Trouble, reply

QUESTION = Question("You are a nurse.", "Would you? Answer yes or no.", ("yes", "no"))
CONTEXTS = Contexts((Variable("incidence", (0.0, 10.0), unit="cases", meaning="new cases"),))
ACTIONS = Action("mask", "wear a mask"), Action("none", "")
CARDS = ["A nurse of 70.", "A student of 19.", "A driver of 45."]
ASKED = 2 * (1 + len(CARDS) * CONTEXTS.size)

Slept = list[float]


def server(url: str, slept: Slept | None = None, **more: Any) -> Server:
    return Server(url, "m", sleep=(lambda s: None) if slept is None else slept.append, **more)


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: reply(handler, {"error": {"message": f"no {code}"}}, code, **headers)


def cut(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n{")
    handler.wfile.flush()
    handler.close_connection = True


def dripping(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.03)


def hung(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.6)
    handler.close_connection = True


def huge(handler: BaseHTTPRequestHandler) -> None:
    reply(handler, b'{"choices": "' + b"x" * (2 * LARGEST) + b'"}')


def bare(text: str, **more: Any) -> Callable[[BaseHTTPRequestHandler], None]:
    message = {"role": "assistant", "content": text, **more}
    return lambda handler: reply(handler, {"choices": [{"message": message, "finish_reason": "stop"}]})


MISDEEDS = {
    "500": (status(500), "status 500"),
    "429": (status(429), "status 429"),
    "503 with a wait": (status(503, retry_after="0.01"), "status 503"),
    "cut connection": (cut, "connection lost"),
    "hang": (hung, "timed out"),
    "a byte now and then": (dripping, "timed out"),
    "invalid JSON": (lambda handler: reply(handler, b'{"choices": [{'), "invalid JSON"),
    "deeply nested JSON": (lambda handler: reply(handler, b"[" * 100_000), "invalid JSON"),
    "another JSON": (lambda handler: reply(handler, [1, 2]), "no answer in the response"),
    "no choices": (lambda handler: reply(handler, {"choices": []}), "no answer in the response"),
    "huge answer": (huge, "huge answer"),
}


def always(deed: Callable[[BaseHTTPRequestHandler], None]) -> Trouble:
    def trouble(handler: BaseHTTPRequestHandler, request: dict[str, Any], number: int) -> bool:
        deed(handler)
        return True

    return trouble


def now_and_then(deed: Callable[[BaseHTTPRequestHandler], None], every: int) -> Trouble:
    def trouble(handler: BaseHTTPRequestHandler, request: dict[str, Any], number: int) -> bool:
        if number % every == 0:
            deed(handler)
        return number % every == 0

    return trouble
