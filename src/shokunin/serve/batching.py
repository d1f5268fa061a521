"""Batching: requests that arrive while the specialist is busy share its next run; nobody waits for a batch to fill.

One thread a specialist owns its predictor. It takes whatever is waiting, at most `batch` rows, and runs. An idle server
therefore starts a row at once; under load the batches grow by themselves. A request with many rows takes turns
with the others.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from shokunin.answer import Answer, Inputs, Predictor
from shokunin.serve.refusal import overloaded

FAILED = "the specialist failed on this input; the server's log has the reason"
_log = logging.getLogger("shokunin.serve")


@dataclass(eq=False, slots=True)
class _Job:
    """The rows of one request, and where their answers go."""

    rows: Sequence[Inputs]
    done: asyncio.Future[list[Answer]]
    loop: asyncio.AbstractEventLoop
    taken: int = 0
    answers: list[Answer] = field(default_factory=list)

    def finish(self) -> None:
        """Hand the answers over; runs in the event loop."""
        if not self.done.done():
            self.done.set_result(self.answers)


class Batcher:
    """Lets many requests share one predictor, which is called from one thread only."""

    def __init__(self, predictor: Predictor, name: str, *, batch: int, waiting: int) -> None:
        self._predictor = predictor
        self._name = name
        self._batch = batch
        self._limit = waiting
        self._waiting = 0
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=f"specialist {name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows that wait for their turn."""
        return self._waiting

    def submit(self, rows: Sequence[Inputs]) -> asyncio.Future[list[Answer]]:
        """A future of as many answers in the same order; cancel it and the rows that have not started are dropped.

        Raises:
            Refusal: 503, too many rows are waiting or the server is stopping.
        """
        loop = asyncio.get_running_loop()
        job = _Job(rows, loop.create_future(), loop)
        if not rows:
            job.finish()
            return job.done
        with self._wake:
            if self._closing:
                raise overloaded("the server is stopping; ask again when it is back")
            if self._waiting + len(rows) > self._limit:
                raise overloaded(
                    f"{self._waiting} inputs are waiting for {self._name!r} already; ask again in a moment"
                )
            self._waiting += len(rows)
            self._jobs.append(job)
            self._wake.notify()
        job.done.add_done_callback(lambda done: self._drop(job) if done.cancelled() else None)
        return job.done

    def close(self, seconds: float = 5.0) -> bool:
        """Answer what is waiting, take nothing more, and stop; False if the predictor is still busy after `seconds`."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _drop(self, job: _Job) -> None:
        with self._wake:
            if job in self._jobs:
                self._jobs.remove(job)
                self._waiting -= len(job.rows) - job.taken

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._jobs and not self._closing:
                    self._wake.wait()
                if not self._jobs:
                    return
                parts = self._take()
            answers = iter(self._answer([row for job, first, last in parts for row in job.rows[first:last]]))
            for job, first, last in parts:
                job.answers.extend(next(answers) for _ in range(first, last))
            self._deliver([job for job, _, last in parts if last == len(job.rows)])

    def _take(self) -> list[tuple[_Job, int, int]]:
        """The next batch as (job, first row, row after the last); a job with rows left goes to the end of the queue."""
        parts, room = [], self._batch
        for _ in range(len(self._jobs)):
            job = self._jobs.popleft()
            last = min(len(job.rows), job.taken + room)
            parts.append((job, job.taken, last))
            room -= last - job.taken
            self._waiting -= last - job.taken
            job.taken = last
            if last < len(job.rows):
                self._jobs.append(job)
            if room == 0:
                break
        return parts

    def _answer(self, rows: list[Inputs]) -> list[Answer]:
        """As many answers as rows. A predictor that raises is asked again row by row, to spare the neighbours."""
        try:
            answers = self._predictor.predict(rows)
            if len(answers) != len(rows):
                raise RuntimeError(f"{len(answers)} answers to {len(rows)} inputs")
            return answers
        except Exception:
            _log.exception("%s failed on %d inputs", self._name, len(rows))
            if len(rows) == 1:
                return [Answer(None, 0.0, self._name, problem=FAILED, sure=False)]
            return [self._answer([row])[0] for row in rows]

    def _deliver(self, jobs: list[_Job]) -> None:
        """Wake the event loop once for all jobs of a batch (all jobs of a server share one loop)."""
        if jobs:
            try:
                jobs[0].loop.call_soon_threadsafe(_finish, jobs)
            except RuntimeError:
                _log.warning("%s: the server stopped before %d answers were given", self._name, len(jobs))


def _finish(jobs: list[_Job]) -> None:
    for job in jobs:
        job.finish()
