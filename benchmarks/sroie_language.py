"""Fields of receipts by a language model: told the fields alone, shown two receipts before, and tuned; on a fixed sample.

    python -m benchmarks.sroie_language [--receipts N] [--base MODEL] [--minutes M] [--only NAME,NAME] [--out FOLDER]

The sample is spread evenly over the receipts of fold 0 of `benchmarks.sroie`. The others are what `field_candidates` learns
from, what `causal_lora` tunes the base on (`tuned`: so many minutes, else its defaults; a tenth is held back, as always), and
what the two shown receipts are drawn from: the two whose words are most like the asked one's. `untuned` and `tuned` are asked
in the same words. Answers are held to the fields' JSON Schema, greedy, and scored as there. What a model cannot read for its
length is counted as wrong and said. `regular_expressions` and `field_candidates` answer the very same receipts.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness, sroie
from benchmarks.geoquery import base_session, public
from shokunin.encoders.tfidf import fit_tfidf
from shokunin.engines import engine_for
from shokunin.fields.schema import conforming, json_schema
from shokunin.forms import Conversation, Conversations, Document
from shokunin.language.base_models import DEFAULT_LANGUAGE_MODEL
from shokunin.progress import silent
from shokunin.train import learner

CHEAP = ("regular_expressions", "field_candidates")
WRITERS = ("untuned", "few_shot", "tuned")
SHOTS = 2
SEED = 0
LONGEST = 160
TOLD = (
    "Extract from the receipt as JSON: company (who issued it), address (of the company), date (as printed), total (the amount "
    "to pay). Copy what is printed; null where it is not there."
)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--receipts", type=int, default=40)
    words.add_argument("--base", default=DEFAULT_LANGUAGE_MODEL)
    words.add_argument(
        "--minutes", type=float, default=15.0, help="for the steps of tuning; measuring them comes on top"
    )
    words.add_argument("--only", default=",".join((*CHEAP, *WRITERS)))
    words.add_argument("--out", type=Path, default=harness.RESULTS)
    asked = words.parse_args()
    receipts = sroie.read_receipts()
    fold = np.flatnonzero(receipts.fold == 0)
    tested = fold[np.unique(np.linspace(0, len(fold) - 1, asked.receipts).astype(int))]
    train = np.flatnonzero(receipts.fold != 0)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    result: dict[str, Any] = {
        "benchmark": "sroie_language", "created": created, **harness.revision(), "machine": harness.machine(),
        "load": round(os.getloadavg()[0], 1), "receipts": len(tested), "fold": 0, "shots": SHOTS, "minutes": asked.minutes,
        "competitors": {},
    }  # fmt: skip
    names = asked.only.split(",")
    if unknown := sorted(set(names) - {*CHEAP, *WRITERS}):
        raise SystemExit(f"unknown competitor {unknown[0]!r}; expected some of {', '.join((*CHEAP, *WRITERS))}")
    for name in names:
        if name in CHEAP:
            given = sroie.COMPETITORS[name](receipts, train, tested)
            answers, facts = given.answers, given.facts
        elif name == "tuned":
            answers, facts = tuned(receipts, train, tested, asked.base, minutes=asked.minutes)
        else:
            answers, facts = untuned(receipts, train, tested, asked.base, shots=SHOTS if name == "few_shot" else 0)
        every: list[dict[str, Any]] = [{} for _ in receipts.documents]
        for row, answer in zip(tested, answers, strict=True):
            every[row] = answer
        result["competitors"][name] = {**sroie.measured(receipts, every, tested), "facts": facts}
        kept = {k: v for k, v in result["competitors"][name].items() if k not in ("right", "unseen_shops")}
        print(name, json.dumps(kept), flush=True)
    path = asked.out / f"sroie_language-{created.replace('-', '').replace(':', '')}-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(path.name)


def untuned(
    receipts: sroie.Receipts, train: np.ndarray, tested: np.ndarray, base: str, *, shots: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What the model as it is writes for the tested receipts, shown so many of the others."""
    texts = [_text(document) for document in receipts.documents]
    encoder, rows = fit_tfidf([texts[i] for i in train], limit=50_000)
    forms = []
    for row in tested:
        near = (
            np.asarray((encoder.encode([texts[row]]) @ rows.T).todense())[0].argsort(kind="stable")[-shots:]
            if shots
            else ()
        )
        shown = [message for i in near for message in _pair(texts[train[i]], receipts.expected[train[i]])]
        forms.append(_asked(texts[row], shown))
    return _answered(base_session(base), forms, {"base": base})


def tuned(
    receipts: sroie.Receipts, train: np.ndarray, tested: np.ndarray, base: str, *, minutes: float
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What the model writes after `causal_lora` has tuned it on the other receipts for so many minutes."""
    texts = [_text(document) for document in receipts.documents]
    module = learner("causal_lora")
    options = module.Options(base=base, minutes=minutes)
    lessons = Conversations(
        tuple(_asked(texts[i]) for i in train), tuple(_answer(receipts.expected[i]) for i in train), train
    )
    with tempfile.TemporaryDirectory(prefix="receipts-") as folder:
        start, busy = time.perf_counter(), time.process_time()
        weights = module.fit(lessons, options, Path(folder), seed=SEED, progress=silent)
        facts = {
            "base": base,
            "lessons": len(train),
            "fit_seconds": round(time.perf_counter() - start, 1),
            "fit_cpu_seconds": round(time.process_time() - busy, 1),
            "size_mb": round(weights.size_bytes() / 1e6, 2),
            **{name: value for name, value in public(weights.facts).items() if name != "base"},
        }
        return _answered(engine_for(weights.format).load(weights), [_asked(texts[row]) for row in tested], facts)


def _answered(
    session: Any, forms: Sequence[Conversation], facts: dict[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What is written for each; where there is no answer, nothing is found."""
    start, busy = time.perf_counter(), time.process_time()
    answers = session.run(forms)
    spent, busy = time.perf_counter() - start, time.process_time() - busy
    facts = {
        **facts,
        "without_an_answer": sum(not one.finished for one in answers),
        "too_long": sum(one.problem is not None for one in answers),
        "mean_prompt_tokens": round(float(np.mean([one.tokens_in for one in answers])), 1),
        "seconds_a_receipt": round(spent / len(answers), 3),
        "processor_seconds_a_receipt": round(busy / len(answers), 3),
        "answers": [one.text for one in answers],
    }
    return [_read(one.text) for one in answers], facts


def _asked(text: str, shown: Sequence[dict[str, str]] = ()) -> Conversation:
    messages = ({"role": "system", "content": TOLD}, *shown, {"role": "user", "content": text})
    return Conversation(messages, json.dumps(json_schema(sroie.FIELDS)), LONGEST)


def _text(document: Document) -> str:
    return "\n".join(line.text for line in document.lines)


def _pair(text: str, expected: dict[str, Any]) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}, {"role": "assistant", "content": _answer(expected)}]


def _answer(expected: dict[str, Any]) -> str:
    return json.dumps(conforming(sroie.FIELDS, expected), ensure_ascii=False)


def _read(text: str) -> dict[str, Any]:
    """The answer; one that was cut off is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


if __name__ == "__main__":
    main()
