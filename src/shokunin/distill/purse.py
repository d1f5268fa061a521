"""The purse: a hard cap on the spend. The most that a call can cost is set aside before it is made, and put right after."""

from __future__ import annotations

import threading

from shokunin.distill.journal import Journal
from shokunin.distill.teacher import FailedError, Question, Reply, Teacher, cost_of, most_it_can_cost

UNLIMITED = float("inf")


class BudgetSpentError(Exception):
    """The next call could cost more than is left."""


class Purse:
    """What may be spent, and the only way to buy. Safe to use from many threads.

    Attributes:
        budget: US dollars that the whole journal may cost, earlier runs included.
        empty: whether a call had to be left out.
    """

    def __init__(self, journal: Journal, budget: float = UNLIMITED) -> None:
        self.journal = journal
        self.budget = budget
        self.empty = False
        self._under_way = 0
        self._changed = threading.Condition()

    def buy(self, teacher: Teacher, question: Question, purpose: str) -> Reply:
        """The teacher's reply: the one that was bought before, or a new one, which is on disk when this returns.

        Raises:
            BudgetSpentError: it could cost more than is left, and no call under way can change that.
            FailedError: the teacher gave no reply.
        """
        key = question.key(teacher.name)
        bought = self.journal.find(key)
        if bought is not None:
            return bought
        attempt = _Attempt(self, most_it_can_cost(question, teacher.price))
        try:
            reply = teacher.ask(question, attempt)
            usd = cost_of(question, reply, teacher.price)
            attempt.keep(key, reply, usd, model=teacher.name, purpose=purpose)
        finally:
            attempt.lost()  # unless it has come to an end: then nothing
        return reply

    def reserve(self, most: float) -> int:
        """Set `most` aside, waiting for calls under way if there is not enough; the attempt's number."""
        with self._changed:
            while self.journal.spent + most > self.budget:
                if not self._under_way:
                    self.empty = True
                    raise BudgetSpentError
                self._changed.wait()
            number = self.journal.begin(most)
            self._under_way += 1
            return number

    def settled(self) -> None:
        """A call has ended."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()


class _Attempt:
    """What is set aside for the attempt at one request that is under way."""

    def __init__(self, purse: Purse, most: float) -> None:
        self._purse = purse
        self._most = most
        self._number: int | None = None

    def begin(self) -> None:
        self._number = self._purse.reserve(self._most)

    def refused(self) -> None:
        self._end(0.0)

    def lost(self) -> None:
        self._end(self._most)

    def keep(self, key: str, reply: Reply, usd: float, **about: str) -> None:
        if self._number is None:
            raise FailedError("a teacher must tell of its attempts")
        self._purse.journal.keep(self._number, key, reply, usd, **about)
        self._number = None
        self._purse.settled()

    def _end(self, usd: float) -> None:
        if self._number is not None:
            number, self._number = self._number, None
            try:
                self._purse.journal.end(number, usd)
            finally:
                self._purse.settled()  # else those that wait for it would wait for ever
