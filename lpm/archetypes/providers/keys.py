"""The key of a server: where it is from, where it may go, and how it stays out of what a server sends back."""

from __future__ import annotations

import json
import os
from typing import Any, cast

from lpm.errors import InputError

KEY = "LPM_LLM_KEY"
"""Environment variable that holds the key of the server."""

CLEAR = "LPM_LLM_HTTP"
"""Environment variable; "allow" = the key may be sent to another machine without encryption."""

SHORTEST = 8
"""Characters of the shortest key that is struck out: a dummy such as "1" or "yes" is no secret, and striking it would
change what a model says. Keys of services have 30 and more (a guess at what lies between)."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

FIELDS = frozenset({"content", "text", "refusal"})
"""Fields of a response whose text is kept with the answers; tokens and numbers are read, never kept as they came."""


def key_for(scheme: str, host: str) -> str:
    """Return the key that may be sent to an address, "" without one.

    Raises:
        InputError: It is none that a header can hold, or it would cross a network in the clear and `LPM_LLM_HTTP` does
            not allow it.
    """
    key = os.environ.get(KEY, "").strip()
    if not key.isascii() or not key.isprintable():
        raise InputError(f"{KEY}: expected a key of printable ASCII characters")
    if key and scheme != "https" and host not in LOOPBACK and os.environ.get(CLEAR) != "allow":
        raise InputError(
            f"provider server: the key in {KEY} would be sent to '{host}' without encryption; expected an https:// "
            f"address, no key, or {CLEAR}=allow (a network of your own, a tunnel)"
        )
    return key


def struck(text: str, key: str) -> str:
    """Return a text without the key."""
    return text.replace(key, "[key]") if len(key) >= SHORTEST else text


def clean(found: Any, key: str, fields: frozenset[str] | None = FIELDS) -> Any:
    """Take the key out of the texts of some fields of parsed JSON, in place, and return it; None = out of all texts.

    A loop: a function that calls itself would end at a depth that a server decides on.
    """
    whole = {"": found}
    ahead: list[tuple[Any, str]] = [(whole, "")]
    while ahead:
        held, name = ahead.pop()
        pairs = list(held.items()) if isinstance(held, dict) else list(enumerate(cast("list[Any]", held)))
        for place, value in cast("list[tuple[Any, Any]]", pairs):
            field = place if isinstance(place, str) else name
            if isinstance(value, dict | list):
                ahead.append((value, field))
            elif isinstance(value, str) and (fields is None or field in fields):
                held[place] = struck(value, key)
            if fields is None and isinstance(place, str) and struck(place, key) != place:
                held[struck(place, key)] = held.pop(place)
    return whole[""]


def message(text: str, key: str) -> str:
    """Return the body of an error on one line, without the key, also where JSON has escaped it."""
    try:
        text = json.dumps(clean(json.loads(text), key, None), ensure_ascii=False)
    except (ValueError, RecursionError):
        text = struck(text.replace("\\/", "/"), key)
    return " ".join(text.split())
