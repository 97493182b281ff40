"""Asks many questions of one provider: several at once, each of them once, within the limits, every answer kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import TypeVar

from lpm.archetypes.answers import Answers, key_of
from lpm.archetypes.limits import Gate, LimitReached, Limits
from lpm.archetypes.questions import Answer, Provider, Question, Unanswered
from lpm.errors import Fault

T = TypeVar("T")

Told = Callable[[str, int, int], None]
"""What a progress is told: stage, done, of how many."""


def untold(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass
class Tally:
    """What became of the questions.

    Attributes:
        total: Questions there are.
        found: Those that had been answered before, or had the very same prompt as another.
        asked: Those that were answered now.
        failed: Those without an answer, by reason.
        stopped: Why asking stopped before the end; "" = it did not.
    """

    total: int
    found: int = 0
    asked: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    stopped: str = ""

    @property
    def missing(self) -> int:
        """Questions without an answer."""
        return self.total - self.found - self.asked

    def check(self, answers: Answers) -> None:
        """Check that all are answered.

        Raises:
            Fault: Some are not: how many, why, and where the others are.
        """
        if not self.missing:
            return
        reasons = [f"{why}: {count}" for why, count in self.failed.most_common(5)]
        unasked = self.missing - self.failed.total()
        reasons += [f"not asked: {unasked}"] if unasked else []
        stopped = f"; {self.stopped}" if self.stopped else ""
        where = f"in {answers.path}; run it again to ask only the missing ones" if answers.path else "nowhere"
        raise Fault(
            f"{self.missing} of {self.total} questions have no answer ({', '.join(reasons)}){stopped}; "
            f"the {self.total - self.missing} answers are kept {where}"
        )


def poll(
    asked: Iterable[tuple[T, str, Question]],
    total: int,
    provider: Provider,
    policy: str,
    answers: Answers,
    limits: Limits,
    take: Callable[[T, Answer], None],
    told: Told = untold,
) -> Tally:
    """Answer questions, from the file where it has the answer, else by asking.

    An answer is written as soon as it is there. When asking stops early (a limit, too many failures in a row, an
    error, Ctrl-C), what is under way is waited for and kept.

    Args:
        asked: What a question is for, whom it concerns (an engine starts afresh where that changes), the question.
        total: How many there are, for the progress.
        provider: Who is asked.
        policy: What answers are stored under beside question and identity.
        answers: The file.
        limits: What it may cost.
        take: Called with every answer, in any order, by this thread.
        told: Progress.

    Raises:
        InputError: No question can be answered.
    """
    run = _Poll(provider, policy, answers, limits, take, told, Tally(total))
    many = min(limits.concurrency, provider.at_once)
    if many == 1:
        run.one_by_one(asked)
    else:
        run.together(asked, many)
    return run.tally


class _Poll:
    """One poll under way."""

    def __init__(
        self,
        provider: Provider,
        policy: str,
        answers: Answers,
        limits: Limits,
        take: Callable[[T, Answer], None],
        told: Told,
        tally: Tally,
    ):
        self.provider, self.policy, self.answers, self.tally = provider, policy, answers, tally
        self.identity = dict(provider.identity)
        self.limits, self.gate, self.told = limits, Gate(limits), told
        self.give: Callable[[object, Answer], None] = take  # pyright: ignore[reportAttributeAccessIssue]  # T is one type
        self.in_a_row = 0
        self.last: object = None

    def one_by_one(self, asked: Iterable[tuple[T, str, Question]]) -> None:
        """Ask in this thread."""
        for purpose, _, question in self.unknown(asked):
            try:
                answer = self.provider.ask(question, self.gate)
            except (Unanswered, LimitReached) as error:
                self.failed(error, 1)
            else:
                self.keep([purpose], question, answer)

    def together(self, asked: Iterable[tuple[T, str, Question]], many: int) -> None:
        """Ask in several threads; the file is read and written by this one."""
        flying: dict[Future[Answer], tuple[str, Question]] = {}
        wanted: dict[str, list[object]] = {}  # what the same prompt is under way for

        def land(least: int) -> None:
            while len(flying) > least:
                done, _ = wait(flying, return_when=FIRST_COMPLETED)
                for future in done:
                    key, question = flying.pop(future)
                    purposes = wanted.pop(key)
                    try:
                        answer = future.result()
                    except (Unanswered, LimitReached) as error:
                        self.failed(error, len(purposes))
                    else:
                        self.keep(purposes, question, answer)

        with ThreadPoolExecutor(many, thread_name_prefix="ask") as pool:
            try:
                for purpose, key, question in self.unknown(asked):
                    if key in wanted:
                        wanted[key].append(purpose)
                        continue
                    wanted[key] = [purpose]
                    flying[pool.submit(self.provider.ask, question, self.gate)] = key, question
                    land(2 * many - 1)  # as many wait their turn, so that no thread is ever idle
                land(0)
            except BaseException:
                self.gate.close()
                self.rescue(flying, wanted)
                raise

    def unknown(self, asked: Iterable[tuple[T, str, Question]]) -> Iterator[tuple[T, str, Question]]:
        """Yield the questions that nobody has answered yet with the key of each, until asking has to stop."""
        for purpose, concerned, question in asked:
            if self.tally.stopped:
                return
            answer = self.answers.find(self.identity, question, self.policy)
            if answer is not None:
                self.tally.found += 1
                self.give(purpose, answer)
                self.tell()
                continue
            if self.last != concerned:  # what an engine holds is of another person, or of an earlier process
                question = replace(question, reuse=False)
                self.last = concerned
            yield purpose, key_of(self.identity, question, self.policy), question

    def keep(self, purposes: list[object], question: Question, answer: Answer) -> None:
        """Write an answer and hand it on."""
        self.answers.keep(self.provider.name, self.identity, question, self.policy, answer)
        self.in_a_row = 0
        self.tally.asked += 1
        self.tally.found += len(purposes) - 1
        for purpose in purposes:
            self.give(purpose, answer)
        self.tell()

    def failed(self, error: Exception, count: int) -> None:
        """Count questions without an answer, and stop where no other will have one."""
        if isinstance(error, LimitReached):
            if not self.gate.closed:
                self.tally.stopped = str(error)
        else:
            self.tally.failed[str(error)] += count
            self.in_a_row += 1
            if self.in_a_row >= self.limits.failures and not self.tally.stopped:
                self.tally.stopped = f"{self.in_a_row} without an answer in a row"
        if self.tally.stopped:
            self.gate.close()

    def rescue(self, flying: dict[Future[Answer], tuple[str, Question]], wanted: dict[str, list[object]]) -> None:
        """Wait for what is under way after an error, and write the answers that still come."""
        for future, (key, question) in flying.items():
            if not future.cancel() and future.exception() is None:
                self.keep(wanted[key], question, future.result())

    def tell(self) -> None:
        """Tell the progress."""
        self.told("running", self.tally.found + self.tally.asked, self.tally.total)
