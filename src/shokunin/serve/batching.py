"""Batching: requests that arrive while a specialist is busy share its next run; nobody waits for a batch to fill.

An idle server starts a row at once; under load the batches grow by themselves. Predictors that share an encoder stand in
one lane: rows for any of them go through that encoder together. A lane runs one batch at a time, and a few threads, the
crew, work for all lanes; so a hundred specialists need no more threads than one. Specialists take turns in a lane, and a
request with many rows takes turns with the others.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from shokunin.answer import Answer, Inputs, JointPredictor, Predictor
from shokunin.serve.refusal import overloaded

FAILED = "the specialist failed on this input; the server's log has the reason"
FEWEST_THREADS = 4
"""Threads of a crew on a machine with fewer cores: one lane that takes long does not hold up the others."""
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


@dataclass(eq=False, slots=True)
class _Part:
    """Rows `first` to before `last` of a job, which are in the batch."""

    batcher: Batcher
    job: _Job
    first: int
    last: int

    def rows(self) -> Sequence[Inputs]:
        return self.job.rows[self.first : self.last]


class Crew:
    """The threads of one server; started as lanes need them, at most `threads` of them (default: one for each core)."""

    def __init__(self, threads: int | None = None) -> None:
        self.wake = threading.Condition()
        self._most = threads or max(FEWEST_THREADS, os.cpu_count() or 1)
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._ready: deque[_Lane] = deque()
        self._lanes: WeakValueDictionary[object, _Lane] = WeakValueDictionary()
        self.closing = False

    @property
    def threads(self) -> int:
        """Threads that were started."""
        return len(self._threads)

    def lane(self, predictor: Predictor) -> _Lane:
        """The lane of the predictors that share this one's encoder; its own, if it shares none."""
        group = predictor.group if isinstance(predictor, JointPredictor) else predictor
        with self.wake:
            lane = self._lanes.get(group)
            if lane is None:
                lane = self._lanes[group] = _Lane()
            return lane

    def ready(self, lane: _Lane) -> None:
        """The lane has work; the caller holds `wake`."""
        if lane.running:
            return
        lane.running = True
        self._ready.append(lane)
        if len(self._ready) > self._idle and len(self._threads) < self._most:
            thread = threading.Thread(target=self._work, name=f"crew {len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            thread.start()
        else:
            self.wake.notify()

    def close(self, seconds: float = 5.0) -> bool:
        """Answer what is waiting, take nothing more, and stop; False if a predictor is still busy after `seconds`."""
        end = time.monotonic() + seconds
        with self.wake:
            self.closing = True
            self.wake.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _work(self) -> None:
        while self._step():
            pass

    def _step(self) -> bool:
        """Wait for a lane and run its next batch; False at the end. Between steps a thread keeps no specialist in memory."""
        with self.wake:
            while not self._ready and not self.closing:
                self._idle += 1
                self.wake.wait()
                self._idle -= 1
            if not self._ready:
                return False
            lane = self._ready.popleft()
            parts = lane.take()
        try:
            lane.run(parts)
        finally:
            with self.wake:
                for part in parts:
                    part.batcher.running -= part.last - part.first
                lane.running = bool(lane.queue)
                if lane.running:
                    self._ready.append(lane)  # this thread goes on with whatever is first
                if any(part.batcher.closing for part in parts):
                    self.wake.notify_all()
        return True


class _Lane:
    """The batchers of predictors that can be asked in one go; those with work stand in the queue."""

    def __init__(self) -> None:
        self.queue: deque[Batcher] = deque()
        self.running = False

    def take(self) -> list[_Part]:
        """The next batch; a batcher with rows left goes to the end. The caller holds the crew's `wake`."""
        parts: list[_Part] = []
        room = self.queue[0].batch if self.queue else 0
        while self.queue and room > 0:
            batcher = self.queue.popleft()
            part = batcher.take(room)
            if part is not None:
                parts.append(part)
                room -= part.last - part.first
            if batcher.jobs:
                self.queue.append(batcher)
        return parts

    def run(self, parts: Sequence[_Part]) -> None:
        """Answer the batch and hand over what is complete."""
        if not parts:
            return
        for part, answers in zip(parts, _answered(parts), strict=True):
            part.job.answers.extend(answers)
        _deliver([part.job for part in parts if part.last == len(part.job.rows)])


class Batcher:
    """The way to one predictor: what waits for it, and how much may."""

    def __init__(self, predictor: Predictor, name: str, *, batch: int, waiting: int, crew: Crew | None = None) -> None:
        self.predictor = predictor
        self.name = name
        self.batch = batch
        self.jobs: deque[_Job] = deque()
        self.running = 0
        self.closing = False
        self._limit = waiting
        self._waiting = 0
        self._own = crew is None
        self._crew = crew or Crew(1)
        self._lane = self._crew.lane(predictor)

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
        with self._crew.wake:
            if self.closing or self._crew.closing:
                raise overloaded("the server is stopping; ask again when it is back")
            if self._waiting + len(rows) > self._limit:
                raise overloaded(f"{self._waiting} inputs are waiting for {self.name!r} already; ask again in a moment")
            self._waiting += len(rows)
            if not self.jobs:
                self._lane.queue.append(self)
            self.jobs.append(job)
            self._crew.ready(self._lane)
        job.done.add_done_callback(lambda done: self._drop(job) if done.cancelled() else None)
        return job.done

    def take(self, room: int) -> _Part | None:
        """At most `room` rows of the first job, which goes to the end if rows are left. The caller holds `wake`."""
        if not self.jobs:
            return None
        job = self.jobs.popleft()
        part = _Part(self, job, job.taken, min(len(job.rows), job.taken + room))
        count = part.last - part.first
        self._waiting -= count
        self.running += count
        job.taken = part.last
        if part.last < len(job.rows):
            self.jobs.append(job)
        return part

    def close(self, seconds: float = 5.0) -> bool:
        """Answer what is waiting and take nothing more; False if the predictor is still busy after `seconds`."""
        end = time.monotonic() + seconds
        with self._crew.wake:
            self.closing = True
            done = self._crew.wake.wait_for(lambda: not self.jobs and not self.running, seconds)
        return done and (not self._own or self._crew.close(max(0.0, end - time.monotonic())))

    def _drop(self, job: _Job) -> None:
        with self._crew.wake:
            if job in self.jobs:
                self.jobs.remove(job)
                self._waiting -= len(job.rows) - job.taken
                if not self.jobs:
                    self._lane.queue.remove(self)
                if self.closing:
                    self._crew.wake.notify_all()


def _answered(parts: Sequence[_Part]) -> Iterator[list[Answer]]:
    """The answers of each part: all predictors in one go; if that fails each by itself, and then row by row."""
    rows: dict[Batcher, list[Inputs]] = {}
    for part in parts:
        rows.setdefault(part.batcher, []).extend(part.rows())
    answers = {batcher: iter(given) for batcher, given in zip(rows, _all(rows), strict=True)}
    for part in parts:
        yield [next(answers[part.batcher]) for _ in range(part.first, part.last)]


def _all(rows: dict[Batcher, list[Inputs]]) -> list[list[Answer]]:
    first = next(iter(rows)).predictor
    if len(rows) > 1 and isinstance(first, JointPredictor):
        try:
            answers = first.predict_jointly([(batcher.predictor, asked) for batcher, asked in rows.items()])
            if [len(given) for given in answers] != [len(asked) for asked in rows.values()]:
                raise RuntimeError("another number of answers than of inputs")
            return answers
        except Exception:
            _log.exception("%d specialists failed together; each is asked by itself", len(rows))
    return [_one(batcher, asked) for batcher, asked in rows.items()]


def _one(batcher: Batcher, rows: list[Inputs]) -> list[Answer]:
    """As many answers as rows. A predictor that raises is asked again row by row, to spare the neighbours."""
    try:
        answers = batcher.predictor.predict(rows)
        if len(answers) != len(rows):
            raise RuntimeError(f"{len(answers)} answers to {len(rows)} inputs")
        return answers
    except Exception:
        _log.exception("%s failed on %d inputs", batcher.name, len(rows))
        if len(rows) == 1:
            return [Answer(None, 0.0, batcher.name, problem=FAILED, sure=False)]
        return [_one(batcher, [row])[0] for row in rows]


def _deliver(jobs: list[_Job]) -> None:
    """Wake the event loop once for all jobs of a batch (all jobs of a server share one loop)."""
    if jobs:
        try:
            jobs[0].loop.call_soon_threadsafe(_finish, jobs)
        except RuntimeError:
            _log.warning("the server stopped before %d answers were given", len(jobs))


def _finish(jobs: list[_Job]) -> None:
    for job in jobs:
        job.finish()
