"""Traffic that nobody tagged, made of real rows: thirteen tasks of twelve applications, and what is hidden in it.

    python -m benchmarks.traffic_mix OUT_DIR --records 10000 --seed 0

Writes `OUT_DIR/history.jsonl` (23 days, so many records), `OUT_DIR/later.jsonl` (the seven days after them, as many as come
at the same rate) and `OUT_DIR/truth.json`. Lines are `{timestamp, client_id, request, response, …}` in the order of time, with
a rhythm of days and weeks. 2 % of them are corrupt: cut off, empty, replies of a server that failed, bytes that mean
nothing. No row of a data set is in both files, nor is its text; where more records are asked for than there are rows,
rows come again with small edits. The same seed gives the same files.

`truth.json`: `applications` (kind, labels or fields of each), `history` and `later` (for each `response.id` the `task`, the
`wording`, the `row` that it was made of, the right answer as `gold`, and `noise`, what is wrong with the reply), and `corrupt`
(for both files: line number and sort).
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np

from benchmarks import traffic_labelling as labelling
from benchmarks import traffic_writing as writing
from benchmarks.traffic_application import Application, Moment, Wording, edited
from benchmarks.traffic_rows import Item, endless, parts

START = datetime(2026, 10, 2, tzinfo=UTC).timestamp()
"""A Friday."""
HISTORY_DAYS, LATER_DAYS, DAY = 23, 7, 86_400.0
CORRUPT = 0.02
HOURS = (2, 1, 1, 1, 1, 2, 4, 8, 14, 18, 19, 18, 15, 17, 19, 18, 16, 13, 10, 9, 8, 7, 5, 3)
WEEKEND = 0.4
"""Of a weekday's traffic."""
CLIENTS = ("backend", "crm", "website", "batch-2")
CUSTOMERS = (
    "Alder & Sons", "Maria Fontana", "Okafor Ltd", "Kenji Watanabe", "Blue Heron Inn", "S. Lindqvist", "Rossi GmbH",
    "Priya Raman", "Hotel Corvus", "J. P. Moreau", "Cascade Outfitters", "Tom Becker", "Nadia El-Sayed", "Fjord Labs AB",
)  # fmt: skip
SNAPSHOTS = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
}


@dataclass
class Truth:
    """What one file holds: for each id the truth, for each corrupt line its sort."""

    lines: int = 0
    corrupt: dict[int, str] = field(default_factory=dict)


def main(tasks: Callable[[], list[Application]] | None = None, about: str | None = None) -> None:
    """Write the traffic of these tasks, by default of the mix; `about` is what `--help` says."""
    words = argparse.ArgumentParser(description=about or __doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("folder", type=Path)
    words.add_argument("--records", type=int, default=10_000, help="lines of history.jsonl")
    words.add_argument("--later", type=int, help="lines of later.jsonl; by default what the rate brings")
    words.add_argument("--seed", type=int, default=0)
    asked = words.parse_args()
    made = write_traffic(
        asked.folder, records=asked.records, seed=asked.seed, later=asked.later, tasks=(tasks or applications)()
    )
    for name, part in made.items():
        print(f"{name}: {part.lines} lines, {len(part.corrupt)} of them corrupt")


def applications() -> list[Application]:
    """All tasks of the mix."""
    return [
        labelling.bank(),
        labelling.speaker(),
        labelling.messages(),
        labelling.reviews(),
        labelling.hotels(),
        labelling.routes(),
        labelling.topics(),
        writing.receipts(),
        writing.queries(),
        labelling.documents(),
        writing.houses(),
        writing.passages(),
        writing.chat(),
    ]


def write_traffic(
    folder: Path,
    *,
    records: int,
    seed: int = 0,
    later: int | None = None,
    tasks: Sequence[Application] | None = None,
) -> dict[str, Truth]:
    """Make both files and the truth, by default of the mix; memory does not grow with the records, apart from their times."""
    folder.mkdir(parents=True, exist_ok=True)
    made_of = applications() if tasks is None else list(tasks)
    pools = [parts(task.items(), seed) for task in made_of]
    spans = {"history": (0.0, HISTORY_DAYS), "later": (HISTORY_DAYS, HISTORY_DAYS + LATER_DAYS)}
    weight = {name: float(_daily(*span).sum()) for name, span in spans.items()}
    counts = {
        "history": records,
        "later": round(records * weight["later"] / weight["history"]) if later is None else later,
    }
    made: dict[str, Truth] = {}
    with (folder / "truth.json").open("w", encoding="utf-8", newline="\n") as truth:
        about = {task.name: _about(task) for task in made_of}
        head = {"seed": seed, "days": {"history": HISTORY_DAYS, "later": LATER_DAYS}, "applications": about}
        truth.write(json.dumps(head, ensure_ascii=False, indent=1)[:-2])
        for part, (name, span) in enumerate(spans.items()):
            rng = random.Random(f"{seed} {name}")
            sources = [
                _Source(task, endless(pool[part], lambda item, r, how=task.edits: edited(item, how, r), rng), pool[0])
                for task, pool in zip(made_of, pools, strict=True)
            ]
            truth.write(f',\n "{name}": {{')
            with (folder / f"{name}.jsonl").open("wb") as lines:
                made[name] = _write_part(lines, truth, sources, _times(counts[name], *span, seed=seed), rng, name)
            truth.write("\n }")
        corrupt = {name: {str(n): sort for n, sort in part.corrupt.items()} for name, part in made.items()}
        truth.write(f',\n "corrupt": {json.dumps(corrupt)}\n}}\n')
    return made


@dataclass(frozen=True)
class _Source:
    """An application, its rows in the order in which they come, and those it shows as examples."""

    task: Application
    items: Iterator[Item]
    examples: Sequence[Item]


def _write_part(
    lines: IO[bytes], truth: IO[str], sources: Sequence[_Source], times: np.ndarray, rng: random.Random, name: str
) -> Truth:
    made = Truth(lines=len(times))
    shares = [source.task.share for source in sources]
    comma = ""
    for number, seconds in enumerate(times.tolist(), 1):
        source = rng.choices(sources, shares)[0]
        if rng.random() < CORRUPT:
            sort, line = _corrupt(source, seconds, rng)
            made.corrupt[number] = sort
            lines.write(line + b"\n")
            continue
        record, about = _record(source, seconds, rng)
        lines.write(_line(record) + b"\n")
        truth.write(f"{comma}\n  {json.dumps(record['response']['id'])}: {json.dumps(about, ensure_ascii=False)}")
        comma = ","
    return made


def _record(source: _Source, seconds: float, rng: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """One request and its reply, and what is true about them."""
    task, when = source.task, datetime.fromtimestamp(START + seconds, UTC)
    wording = _wording(task, seconds / DAY, rng)
    item = next(source.items)
    now = Moment(rng, when, rng.choice(CUSTOMERS), source.examples)
    asked = [{"role": role, "content": text} for role, text in wording.ask(item, now)]
    text, noise = wording.reply(item, now)
    model = rng.choices(*zip(*task.models, strict=True))[0]
    request: dict[str, Any] = {"model": model, "messages": asked}
    if task.kind != "chat":
        request["temperature"] = 0
    if wording.json:
        request["response_format"] = {"type": "json_object"}
    tokens = sum(_tokens(m["content"]) + 4 for m in asked) + 3, _tokens(text)
    took = (0.3 + 0.00004 * tokens[0] + 0.012 * tokens[1]) * rng.lognormvariate(0, 0.35)
    stamp = START + seconds
    response = {
        "id": f"chatcmpl-{rng.getrandbits(120):030x}",
        "object": "chat.completion",
        "created": int(stamp),
        "model": SNAPSHOTS[model],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
    }
    record = {
        "timestamp": round(stamp, 3),
        "client_id": rng.choice(CLIENTS),
        "request": request,
        "response": response,
        "status": 200,
        "seconds": round(took, 3),
    }
    about = {"task": task.name, "wording": wording.name, "row": item.row, "gold": item.gold, "noise": noise}
    return record, about


def _corrupt(source: _Source, seconds: float, rng: random.Random) -> tuple[str, bytes]:
    """A line that is no record of a call, and what sort it is."""
    sort = rng.choice(("cut", "cut", "empty object", "no object", "error 429", "error 500", "no choices", "binary"))
    if sort == "empty object":
        return sort, b"{}"
    if sort == "no object":
        return sort, rng.choice((b"null", b"[]", b'"ok"', b"upstream timed out", b"17"))
    if sort == "binary":
        junk = bytes(rng.choice((*range(1, 10), *range(11, 256))) for _ in range(rng.randint(20, 200)))
        return sort, b"\xff\xfe" + junk
    record, _ = _record(source, seconds, rng)
    if sort == "cut":
        line = _line(record)
        return sort, line[: rng.randint(20, len(line) - 2)].decode(errors="ignore").encode()
    if sort == "no choices":
        record["response"]["choices"] = []
        return sort, _line(record)
    status = int(sort.split()[1])
    error = {
        429: {
            "message": "Rate limit reached for requests",
            "type": "requests",
            "param": None,
            "code": "rate_limit_exceeded",
        },
        500: {"message": "The server had an error", "type": "server_error", "param": None, "code": None},
    }[status]
    return sort, _line({**record, "response": {"error": error}, "status": status})


def _wording(task: Application, day: float, rng: random.Random) -> Wording:
    used = [w for w in task.wordings if w.days[0] <= day < w.days[1]]
    return used[0] if len(used) == 1 else rng.choices(used, [w.weight for w in used])[0]


def _times(count: int, first: float, last: float, *, seed: int) -> np.ndarray:
    """Seconds since the start, sorted: more by day than by night, more on weekdays than at weekends."""
    rng = np.random.default_rng([seed, int(first)])
    daily = _daily(first, last)
    day = rng.choice(len(daily), size=count, p=daily / daily.sum())
    hours = np.asarray(HOURS) / sum(HOURS)
    hour = rng.choice(24, size=count, p=hours)
    return np.sort((first + day) * DAY + hour * 3600 + rng.random(count) * 3600)


def _daily(first: float, last: float) -> np.ndarray:
    """How much comes on each day."""
    weekdays = [datetime.fromtimestamp(START + day * DAY, UTC).weekday() for day in range(int(first), int(last))]
    return np.asarray([WEEKEND if weekday >= 5 else 1.0 for weekday in weekdays])


def _tokens(text: str) -> int:
    """About what a tokenizer would count: four bytes each."""
    return max(1, len(text.encode()) // 4)


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


def _about(task: Application) -> dict[str, Any]:
    return {
        "kind": task.kind,
        "labels": list(task.labels) or None,
        "fields": list(task.fields) or None,
        "wordings": {w.name: {"days": w.days, "weight": w.weight} for w in task.wordings},
        "models": [model for model, _ in task.models],
        "share": task.share,
    }


if __name__ == "__main__":
    main()
