"""A chat endpoint on the loopback address that answers by a formula, or misbehaves as told."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def chance(prompt: str) -> float:
    """P(yes) of a prompt, 0.1 .. 0.9, by its content alone."""
    return 0.1 + 0.8 * int(hashlib.sha256(prompt.encode()).hexdigest()[:8], 16) / 2**32


def told(tokens: dict[str, float], text: str) -> dict[str, Any]:
    """A chat completion with these tokens' probabilities."""
    named = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in tokens.items()]
    return {
        "choices": [
            {
                "message": {"role": "assistant", "content": text},
                "finish_reason": "length",
                "logprobs": {"content": [{"token": text, "logprob": named[0]["logprob"], "top_logprobs": named}]},
            }
        ],
        "usage": {"prompt_tokens": 50},
    }


def well(request: dict[str, Any]) -> dict[str, Any]:
    """The answer of a well-behaved model."""
    p = 0.9 * chance(request["messages"][0]["content"] + request["messages"][-1]["content"].split("Answer")[0])
    return told({"Yes": p, " no": 0.9 - p, "Maybe": 0.1}, "Yes" if p > 0.45 else "no")


Trouble = Callable[[BaseHTTPRequestHandler, dict[str, Any], int], bool]
"""Misbehaves with (handler, request, number of the request) and returns True, or leaves the answer to `well`."""


@dataclass
class Endpoint:
    """One endpoint under way.

    Attributes:
        url: Base of the API.
        seen: Requests, in order of arrival.
        headers: Their headers.
        most: The most that were under way together.
    """

    url: str = ""
    seen: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    most: int = 0


@contextmanager
def endpoint(trouble: Trouble | None = None, latency: float = 0.0) -> Generator[Endpoint]:
    """Serve in threads of this process."""
    made = Endpoint()
    lock, flying = threading.Lock(), 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            nonlocal flying
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                made.seen.append(request)
                made.headers.append({k.lower(): v for k, v in self.headers.items()})
                number = len(made.seen)
                flying += 1
                made.most = max(made.most, flying)
            try:
                if latency:
                    time.sleep(latency)
                if trouble is None or not trouble(self, request, number):
                    reply(self, well(request))
            except OSError:  # the client has gone
                self.close_connection = True
            finally:
                with lock:
                    flying -= 1

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing of clients that have gone."""

    server = Quiet(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def reply(handler: BaseHTTPRequestHandler, body: object, status: int = 200, **headers: str) -> None:
    """Send one response."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} x", "content-type: application/json", f"content-length: {len(content)}"]
    head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    handler.wfile.write("\r\n".join([*head, "", ""]).encode() + content)
    handler.wfile.flush()
