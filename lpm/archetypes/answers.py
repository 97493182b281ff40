"""Every answer ever given, in one SQLite file that a person can read; nothing is asked twice.

An answer is stored under the SHA-256 of the provider's identity (model, its sha256, runtime, version), the prompt, the
labels, the options and the policy, so another model, wording or policy is another question. The table `answers` holds
prompt and answer as plain text: `sqlite3 FILE "select system, user, text, logprobs from answers"`.

A row is committed as soon as its answer is there (write-ahead log): a process that is killed at any moment loses only
what was under way. Keys of servers are part of no identity and are stored nowhere.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lpm.archetypes.questions import Answer, Question
from lpm.errors import Fault, InputError

if TYPE_CHECKING:
    import polars as pl

APPLICATION = 0x6C706D61
"""Mark of these files ("lpma" in ASCII), SQLite's `application_id`."""

VERSION = 1

COLUMNS = (
    "key", "provider", "identity", "policy", "system", "user", "labels", "options", "logprobs", "coverage", "text",
    "missing", "prompt_tokens", "seconds", "refused", "source", "made",
)  # fmt: skip


def key_of(identity: Mapping[str, str], question: Question, policy: str) -> str:
    """Return what an answer is stored under: 64 hexadecimal digits."""
    named = [
        sorted(identity.items()), question.system, question.user, question.labels, sorted(question.options().items()),
        policy,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(named, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


class Answers:
    """The file of answers; used by one thread (a build writes from its main thread only).

    Attributes:
        path: The file; None = in memory, forgotten at the end.
    """

    def __init__(self, path: Path | str | None):
        """Open or create the file.

        Raises:
            InputError: The file is of another program or damaged, or was written by a later version.
            Fault: It cannot be opened or written.
        """
        self.path = None if path is None else Path(path)
        try:
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._rows = sqlite3.connect(self.path or ":memory:", timeout=60, isolation_level=None)
        except (OSError, sqlite3.OperationalError) as error:
            raise Fault(f"{self.path}: cannot be opened: {error}") from error
        try:
            self._prepare()
        except sqlite3.OperationalError as error:
            self._rows.close()
            raise Fault(f"{self.path}: cannot be written: {error}") from error
        except sqlite3.DatabaseError as error:
            self._rows.close()
            raise InputError(
                f"{self.path}: expected a file of answers, got another or a damaged one: {error}"
            ) from None
        except InputError:
            self._rows.close()
            raise

    def _prepare(self) -> None:
        (mark,), (version,) = (self._rows.execute(f"pragma {n}").fetchone() for n in ("application_id", "user_version"))
        (tables,) = self._rows.execute("select count(*) from sqlite_master").fetchone()
        if tables and (mark != APPLICATION or version > VERSION):
            got = f"version {version} of them" if mark == APPLICATION else "an SQLite file of another program"
            raise InputError(f"{self.path}: expected a file of answers of version {VERSION}, got {got}")
        self._rows.execute("pragma journal_mode = wal")
        self._rows.execute("pragma synchronous = normal")  # a killed process loses nothing, a power cut the last rows
        if not tables:
            typed = ", ".join(f"{name} {_type(name)}" for name in COLUMNS)
            self._rows.execute("begin immediate")
            self._rows.execute(f"create table if not exists answers ({typed}) without rowid")
            self._rows.execute(f"pragma application_id = {APPLICATION}")
            self._rows.execute(f"pragma user_version = {VERSION}")
            self._rows.execute("commit")

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._rows.close()

    def __len__(self) -> int:
        """Return how many answers there are."""
        return int(self._rows.execute("select count(*) from answers").fetchone()[0])

    def find(self, identity: Mapping[str, str], question: Question, policy: str) -> Answer | None:
        """Return the answer to a question, None when it was never given.

        Raises:
            InputError: The file is damaged.
        """
        asked = (
            "select logprobs, coverage, text, missing, prompt_tokens, seconds, refused, source from answers where key=?"
        )
        try:
            row = self._rows.execute(asked, (key_of(identity, question, policy),)).fetchone()
            if row is None:
                return None
            logprobs, missing = json.loads(row[0]), tuple(json.loads(row[3]))
        except (sqlite3.DatabaseError, ValueError) as error:
            raise InputError(f"{self.path}: a damaged file of answers: {error}") from None
        covered = math.nan if row[1] is None else row[1]  # SQLite keeps NaN as NULL
        return Answer(logprobs, covered, row[2], missing, row[4], row[5], row[6], row[7])

    def keep(self, provider: str, identity: Mapping[str, str], question: Question, policy: str, answer: Answer) -> None:
        """Store an answer; the first one to a question stays.

        Raises:
            Fault: It cannot be written, as when the disk is full.
        """
        row = (
            key_of(identity, question, policy), provider, _text(dict(sorted(identity.items()))), policy,
            _valid(question.system), _valid(question.user), _text(question.labels), _text(question.options()),
            _text(dict(answer.logprobs)), answer.coverage, _valid(answer.text), _text(answer.missing),
            answer.prompt_tokens, round(answer.seconds, 4), answer.refused, answer.source,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
        try:
            self._rows.execute(f"insert or ignore into answers values ({', '.join('?' * len(row))})", row)
        except sqlite3.DatabaseError as error:
            raise Fault(f"{self.path}: an answer cannot be written: {error}") from error

    def identities(self) -> list[dict[str, str]]:
        """Return whose answers there are: the identity of every model, those with most answers first."""
        asked = "select identity from answers group by identity order by count(*) desc, identity"
        return [json.loads(row[0]) for row in self._rows.execute(asked)]

    def pace(self, identity: Mapping[str, str]) -> tuple[int, float, float]:
        """Return (answers, mean seconds each, prompt tokens per character) of a model; zeros without one."""
        asked = (
            "select count(*), avg(seconds), 1.0*sum(prompt_tokens)/sum(length(system)+length(user)) from answers"
            " where identity=?"
        )
        count, seconds, tokens = self._rows.execute(asked, (_text(dict(sorted(identity.items()))),)).fetchone()
        return int(count), float(seconds or 0), float(tokens or 0)

    def frame(self) -> pl.DataFrame:
        """Return all answers as they are stored, in the order of when they were made."""
        import polars as pl

        rows = self._rows.execute(f"select {', '.join(COLUMNS)} from answers order by made, key").fetchall()
        kinds = {"text": pl.String, "real": pl.Float64, "integer": pl.Int64}
        schema = {name: kinds[_type(name).split()[0]] for name in COLUMNS}
        return pl.DataFrame(rows, schema=schema, orient="row")


def _type(column: str) -> str:
    if column == "key":
        return "text primary key"
    return {"coverage": "real", "seconds": "real", "prompt_tokens": "integer"}.get(column, "text")


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _valid(text: str) -> str:
    """Return text that UTF-8 can hold: a lone surrogate of a model's answer becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
