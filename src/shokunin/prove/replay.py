"""Replay: the model you tested is the model you ship. The sealed rows go through the running server, both endpoints."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import httpx
import numpy as np

from shokunin.answer import Inputs
from shokunin.dataset import Example
from shokunin.errors import ReplayError
from shokunin.progress import Progress, silent

TYPED_ROWS = 256
TYPED_CHARACTERS = 400_000
TYPED_AT_ONCE = 2
PART_SECONDS = 5.0
"""How long a batch may take, by the speed that the single requests just had: the server gives up after a minute."""
SHOWN = 3
NO_VALUE = ("unanswerable_input", "invalid_value", "no_answer")
"""Error codes by which the chat endpoint says what an Answer says by a problem."""


@dataclass(frozen=True)
class Disagreement:
    """A row that the server answered otherwise than the tested predictor.

    Attributes:
        origin: the row.
        endpoint: `chat` or `typed`.
        tested: the answer when it was tested; None: it had a problem.
        served: the answer now; None: there was none.
        error: what the server said instead of an answer, if it did.
    """

    origin: str
    endpoint: str
    tested: str | None
    served: str | None
    error: str | None = None


@dataclass(frozen=True)
class ReplayResult:
    """What came back from the running server.

    Attributes:
        rows: rows sent, each once to the chat endpoint and once to the typed one.
        disagreements: rows answered otherwise by either endpoint.
        cases: every such answer.
        exact: whether no disagreement at all is allowed.
        tolerance: the share of rows that may disagree if not `exact`.
        concurrency: chat requests under way at a time.
        requests_per_second: chat requests answered per second, at that concurrency.
        latency_ms: `p50`, `p95`, `p99` of one chat request over HTTP, at that concurrency.
        typed_rows_per_second: rows per second through the typed endpoint in batches.
    """

    rows: int
    disagreements: int
    cases: tuple[Disagreement, ...]
    exact: bool
    tolerance: float
    concurrency: int
    requests_per_second: float
    latency_ms: dict[str, float]
    typed_rows_per_second: float

    @property
    def allowed(self) -> int:
        """How many rows may disagree."""
        return 0 if self.exact else int(self.tolerance * self.rows)


def replay(
    base_url: str,
    model: str,
    examples: Sequence[Example],
    expected_values: Sequence[str | None],
    *,
    exact: bool,
    said: Sequence[str | None] | None = None,
    tolerance: float = 0.01,
    concurrency: int = 8,
    progress: Progress = silent,
) -> ReplayResult:
    """Send every row to the server at `base_url` and compare with what the predictor said when it was tested.

    Args:
        base_url: the server, for instance `http://127.0.0.1:8321`.
        model: the name to ask for, exact version included.
        examples: the rows.
        expected_values: as many values, as the predictor gave them; None where it had a problem.
        exact: whether every label must be the same (unquantised weights).
        said: what the chat endpoint is to reply, where that is not the value itself.
        tolerance: otherwise, the share of rows that may differ.
        concurrency: requests under way at a time.
        progress: told after each answer.

    Raises:
        ReplayError: the server cannot be reached, stops answering, or serves no such model.
    """
    if len(examples) != len(expected_values):
        raise ReplayError(
            f"{len(examples)} rows but {len(expected_values)} tested answers; they must belong to each other"
        )
    rows = [example.inputs for example in examples]
    chat, typed = _run(lambda: _send_all(base_url, model, rows, concurrency, progress))
    cases, differing = [], set()
    for endpoint, expected, replies in (
        ("chat", said or expected_values, chat.replies),
        ("typed", expected_values, typed.replies),
    ):
        for i, (example, tested, reply) in enumerate(zip(examples, expected, replies, strict=True)):
            if reply.value != tested or reply.failed:
                cases.append(Disagreement(example.origin, endpoint, tested, reply.value, reply.said))
                differing.add(i)
    return ReplayResult(
        rows=len(rows),
        disagreements=len(differing),
        cases=tuple(cases),
        exact=exact,
        tolerance=tolerance,
        concurrency=concurrency,
        requests_per_second=_rate(len(rows), chat.seconds),
        latency_ms=_percentiles([reply.seconds for reply in chat.replies]),
        typed_rows_per_second=_rate(len(rows), typed.seconds),
    )


def check_replay(result: ReplayResult) -> None:
    """Do nothing when the served model answers as the tested one did.

    Raises:
        ReplayError: more rows differ than allowed; the message shows some.
    """
    if result.disagreements <= result.allowed:
        return
    shown = "; ".join(_say(case) for case in result.cases[:SHOWN])
    raise ReplayError(
        f"the running server answers {result.disagreements} of {result.rows} sealed rows otherwise than in the test "
        f"({result.allowed} may differ): {shown}. Nothing was published; run the same command again, and if it stays "
        "so, train without the compression or the engine that causes it"
    )


def replay_to_dict(result: ReplayResult) -> dict[str, Any]:
    """The plain values for the report; of the cases at most 20."""
    return {**asdict(result), "allowed": result.allowed, "cases": [asdict(case) for case in result.cases[:20]]}


@dataclass(frozen=True, slots=True)
class _Reply:
    """One answer: its value, how long it took, what was said instead of a value, and whether that was a failure."""

    value: str | None
    seconds: float = 0.0
    said: str | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class _Sent:
    """The replies in the order of the rows, and how long all took."""

    replies: list[_Reply]
    seconds: float


def _run(work: Callable[[], Coroutine[Any, Any, tuple[_Sent, _Sent]]]) -> tuple[_Sent, _Sent]:
    """Run to the end, also where an event loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


async def _send_all(
    base_url: str, model: str, rows: Sequence[Inputs], concurrency: int, progress: Progress
) -> tuple[_Sent, _Sent]:
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    tell = _Counter(progress, 2 * len(rows))
    # A proxy named in the environment is not for our own machine.
    async with httpx.AsyncClient(base_url=base_url, limits=limits, timeout=120, trust_env=False) as client:
        try:
            known = await client.get(f"/v1/models/{model}")
            if known.status_code != 200:
                raise ReplayError(f"the server at {base_url} does not serve {model!r}: {_message(known)}")
            chat = await _spread([[row] for row in rows], lambda part: _chat(client, model, part[0]), concurrency, tell)
            most = max(1, int(_rate(len(rows), chat.seconds) * PART_SECONDS))
            typed = await _spread(
                list(_parts(rows, most)), lambda part: _typed(client, model, part), TYPED_AT_ONCE, tell
            )
        except httpx.HTTPError as error:
            what = str(error) or type(error).__name__
            raise ReplayError(f"the server at {base_url} stopped answering: {what}; nothing was published") from error
    return chat, typed


async def _spread(
    parts: list[list[Inputs]],
    send: Callable[[list[Inputs]], Coroutine[Any, Any, list[_Reply]]],
    concurrency: int,
    tell: Callable[[int], None],
) -> _Sent:
    """Send the parts, `concurrency` at a time; the replies come back in the order of the parts."""
    replies: list[list[_Reply]] = [[] for _ in parts]
    todo = iter(enumerate(parts))

    async def work() -> None:
        for i, part in todo:
            replies[i] = await send(part)
            tell(len(part))

    start = time.perf_counter()
    workers = [asyncio.create_task(work()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
    return _Sent([reply for part in replies for reply in part], time.perf_counter() - start)


async def _chat(client: httpx.AsyncClient, model: str, row: Inputs) -> list[_Reply]:
    """One row as the last user message: the text, or the fields as a JSON object."""
    content = next(iter(row.values())) if len(row) == 1 else json.dumps(dict(row), ensure_ascii=False)
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    start = time.perf_counter()
    reply = await client.post("/v1/chat/completions", json=body)
    seconds = time.perf_counter() - start
    if reply.status_code == 200:
        return [_Reply(reply.json()["choices"][0]["message"]["content"], seconds)]
    return [_Reply(None, seconds, _message(reply), failed=_code(reply) not in NO_VALUE)]


async def _typed(client: httpx.AsyncClient, model: str, part: list[Inputs]) -> list[_Reply]:
    reply = await client.post(f"/v1/specialists/{model}/predict", json={"inputs": [dict(row) for row in part]})
    if reply.status_code != 200:
        return [_Reply(None, said=_message(reply), failed=True)] * len(part)
    answers = reply.json()["answers"]
    if len(answers) != len(part):
        raise ReplayError(f"the server gave {len(answers)} answers to {len(part)} rows; nothing was published")
    return [_Reply(answer["value"], said=answer["problem"]) for answer in answers]


def _parts(rows: Sequence[Inputs], most: int) -> Iterator[list[Inputs]]:
    """The rows in batches that stay small in number, at most `most`, and in characters."""
    part: list[Inputs] = []
    size = 0
    for row in rows:
        length = sum(map(len, row.values()))
        if part and (len(part) >= min(most, TYPED_ROWS) or size + length > TYPED_CHARACTERS):
            yield part
            part, size = [], 0
        part.append(row)
        size += length
    if part:
        yield part


class _Counter:
    """Adds up what is done and passes it on."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def __call__(self, count: int) -> None:
        self._done += count
        self._progress("replaying the test rows through the server", self._done, self._total)


def _error(reply: httpx.Response) -> dict[str, Any]:
    try:
        error = reply.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def _message(reply: httpx.Response) -> str:
    return f"HTTP {reply.status_code}: {_error(reply).get('message', 'no reason given')}"


def _code(reply: httpx.Response) -> str | None:
    code = _error(reply).get("code")
    return code if isinstance(code, str) else None


def _say(case: Disagreement) -> str:
    served = case.error if case.served is None and case.error else repr(case.served)
    return f"{case.origin} ({case.endpoint}) was {case.tested!r}, is {served}"


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {"p50": 0.0, "p95": 0.0, "p99": 0.0}
    return {f"p{q}": float(np.percentile(seconds, q) * 1000) for q in (50, 95, 99)}
