"""Fields of receipts by a language model as it is: told the fields alone, and shown two receipts before; on a fixed sample.

    python -m benchmarks.sroie_language [--receipts N] [--base MODEL] [--only NAME,NAME] [--out FOLDER]

The sample is spread evenly over the receipts of fold 0 of `benchmarks.sroie`; the others are what `field_candidates` learns from,
and what the two shown receipts are drawn from: the two whose words are most like the asked one's. Answers
are held to the fields' JSON Schema, greedy, and scored as there. What a model cannot read for its length is counted as wrong
and said. `regular_expressions` and `field_candidates` answer the very same receipts.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness, sroie
from benchmarks.geoquery import base_session
from shokunin.encoders.tfidf import fit_tfidf
from shokunin.fields.schema import json_schema
from shokunin.forms import Conversation, Document
from shokunin.language.base_models import DEFAULT_LANGUAGE_MODEL

CHEAP = ("regular_expressions", "field_candidates")
WRITERS = ("untuned", "few_shot")
SHOTS = 2
LONGEST = 160
TOLD = (
    "Extract from the receipt as JSON: company (who issued it), address (of the company), date (as printed), total (the amount "
    "to pay). Copy what is printed; null where it is not there."
)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--receipts", type=int, default=40)
    words.add_argument("--base", default=DEFAULT_LANGUAGE_MODEL)
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
        "load": round(os.getloadavg()[0], 1), "receipts": len(tested), "fold": 0, "shots": SHOTS, "competitors": {},
    }  # fmt: skip
    for name in asked.only.split(","):
        if name in CHEAP:
            given = sroie.COMPETITORS[name](receipts, train, tested)
            answers, facts = given.answers, given.facts
        else:
            answers, facts = written(receipts, train, tested, asked.base, shots=SHOTS if name == "few_shot" else 0)
        every: list[dict[str, Any]] = [{} for _ in receipts.documents]
        for row, answer in zip(tested, answers, strict=True):
            every[row] = answer
        result["competitors"][name] = {**sroie.measured(receipts, every, tested), "facts": facts}
        kept = {k: v for k, v in result["competitors"][name].items() if k not in ("right", "unseen_shops")}
        print(name, json.dumps(kept), flush=True)
    path = asked.out / f"sroie_language-{created.replace('-', '').replace(':', '')}-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(path.name)


def written(
    receipts: sroie.Receipts, train: np.ndarray, tested: np.ndarray, base: str, *, shots: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What the model writes for the tested receipts; where it has no answer, nothing is found."""
    texts = [_text(document) for document in receipts.documents]
    encoder, rows = fit_tfidf([texts[i] for i in train], limit=50_000)
    schema, session = json.dumps(json_schema(sroie.FIELDS)), base_session(base)
    forms = []
    for row in tested:
        near = (
            np.asarray((encoder.encode([texts[row]]) @ rows.T).todense())[0].argsort(kind="stable")[-shots:]
            if shots
            else ()
        )
        shown = [message for i in near for message in _pair(texts[train[i]], receipts.expected[train[i]])]
        asked = {"role": "user", "content": texts[row]}
        forms.append(Conversation(({"role": "system", "content": TOLD}, *shown, asked), schema, LONGEST))
    start, busy = time.perf_counter(), time.process_time()
    answers = session.run(forms)
    spent, busy = time.perf_counter() - start, time.process_time() - busy
    facts = {
        "base": base,
        "without_an_answer": sum(not one.finished for one in answers),
        "too_long": sum(one.problem is not None for one in answers),
        "mean_prompt_tokens": round(float(np.mean([one.tokens_in for one in answers])), 1),
        "seconds_a_receipt": round(spent / len(answers), 3),
        "processor_seconds_a_receipt": round(busy / len(answers), 3),
        "answers": [one.text for one in answers],
    }
    return [_read(one.text) for one in answers], facts


def _text(document: Document) -> str:
    return "\n".join(line.text for line in document.lines)


def _pair(text: str, expected: dict[str, Any]) -> list[dict[str, str]]:
    answer = json.dumps({field.name: expected.get(field.name) for field in sroie.FIELDS}, ensure_ascii=False)
    return [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]


def _read(text: str) -> dict[str, Any]:
    """The answer; one that was cut off is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


if __name__ == "__main__":
    main()
