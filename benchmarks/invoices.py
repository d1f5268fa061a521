"""Documents to text: what of the fields' values is in the text that is read of twelve invoices and two dozen receipts.

    python -m benchmarks.invoices [--quick]

Invoices: their text layer as we read it, beside the text that `pdftotext -layout` gave (it came with the data), and the same
pages drawn and read by OCR. Receipts: photographs and scans, read by OCR, beside what a person typed. A value counts as found
when one of its spellings by type (date, amount, text without blanks and punctuation) stands in the text, the same rule for
every text. Not every value can be found: some are the template's own words ("Invoice from …") and stand in no document.

Then a smoke test: each invoice gets its fields from a model that has seen the eleven others. Twelve documents of eleven issuers
prove nothing; it shows that the way from PDF to fields is whole. Intervals are bootstraps over documents.
Writes benchmarks/results/invoices-<time>-<commit>.json.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pypdfium2

from benchmarks import harness
from benchmarks.rows import data_file
from shokunin.curate.read_documents import read_document
from shokunin.engines import field_candidates as engine
from shokunin.fields.amounts import find_amounts
from shokunin.fields.dates import find_dates
from shokunin.fields.normalise import find_spans, is_missing
from shokunin.fields.scoring import field_scores
from shokunin.forms import Document, Field, FieldLessons, FieldType
from shokunin.progress import silent
from shokunin.train import field_candidates as learner

LIBRARIES = ("shokunin", "pypdfium2", "rapidocr", "onnxruntime", "opencv-python-headless", "lightgbm", "numpy")
WANTED = (Field("invoice_number", "id"), Field("date", "date"), Field("amount", "money"), Field("issuer", "text"))
NO_TEXT_OF_ITS_OWN = ("desc", "currency", "country_code", "unece_code", "payment_unece_code")
"""Fields that a template adds; they are counted apart."""
RESAMPLES = 2_000
Clocks = npt.NDArray[np.float64]
"""Seconds on the wall and of the processor; shape (2,)."""


def main() -> None:
    """Read everything, count, fit twelve times, write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="two of each, to see whether the script runs")
    options = parser.parse_args()
    result: dict[str, Any] = {
        "benchmark": "invoices",
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **harness.revision(),
        "quick": options.quick,
        "machine": harness.machine(),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "load_at_start": [round(x, 2) for x in os.getloadavg()],
    }
    invoices, documents, result["invoices"] = invoice_texts(2 if options.quick else None)
    print(json.dumps(result["invoices"], indent=1), flush=True)
    result["receipts"] = receipt_texts(2 if options.quick else None)
    print(json.dumps(result["receipts"], indent=1), flush=True)
    if not options.quick:
        result["leave_one_out"] = leave_one_out(invoices, documents)
        print(json.dumps(result["leave_one_out"], indent=1), flush=True)
    result["load_at_end"] = [round(x, 2) for x in os.getloadavg()]
    stamp = result["created"].replace("-", "").replace(":", "")
    path = harness.RESULTS / f"invoices-{stamp}-{result['commit']}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def invoice_texts(count: int | None) -> tuple[list[dict[str, Any]], list[Document], dict[str, Any]]:
    """The invoices, how we read them, and what of their values is in which text."""
    path = data_file("invoice2data_samples", "invoices.jsonl")
    invoices = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()][:count]
    documents, texts, pages, seconds, drawn_seconds = [], [], 0, [], []
    for invoice in invoices:
        data = (path.parent / invoice["file"]).read_bytes()
        start = clocks()
        document = read_document(data, name=invoice["id"])
        seconds.append(clocks() - start)
        is_pdf = invoice["file"].endswith(".pdf")
        pages += document.lines[-1].page + 1 if is_pdf else 0
        drawn = document.text
        if is_pdf:
            drawn, took = read_drawn(data)
            drawn_seconds += took
        documents.append(document)
        texts.append({"ours": document.text, "pdftotext": invoice["text"], "ours, drawn and read by OCR": drawn})
    held = [[(name, value) for name, value in flat(i["fields"]) if name not in NO_TEXT_OF_ITS_OWN] for i in invoices]
    found = {
        reader: [[bool(find_spans(text[reader], value, type_of(value))) for _, value in values] for text, values in
                 zip(texts, held, strict=True)]
        for reader in texts[0]
    }  # fmt: skip
    only = {"ours only": ("ours", "pdftotext"), "pdftotext only": ("pdftotext", "ours")}
    differences = {
        what: [
            f"{invoice['id']}: {name} = {value}"
            for invoice, values, mine, others in zip(invoices, held, found[one], found[other], strict=True)
            for (name, value), has, lacks in zip(values, mine, others, strict=True)
            if has and not lacks
        ]
        for what, (one, other) in only.items()
    }
    facts = {
        "documents": len(invoices),
        "pdf_pages": pages,
        "values": sum(map(len, held)),
        "share_found": {reader: interval(rows) for reader, rows in found.items()},
        "differences": differences,
        "text_layer_seconds_a_document": spread(seconds),
        "ocr_seconds_a_page": spread(drawn_seconds),
    }
    return invoices, documents, facts


def read_drawn(data: bytes) -> tuple[str, list[Clocks]]:
    """The pages of a PDF as pictures (200 dots per inch), read by OCR; and the seconds that each took."""
    texts, seconds = [], []
    with pypdfium2.PdfDocument(data) as pdf:
        for page in pdf:
            picture = io.BytesIO()
            page.render(scale=200 / 72).to_pil().save(picture, "PNG")
            start = clocks()
            texts.append(read_document(picture.getvalue()).text)
            seconds.append(clocks() - start)
            page.close()
    return "\n".join(texts), seconds


def receipt_texts(count: int | None) -> dict[str, Any]:
    """What of the four fields is in the OCR of each receipt whose picture there is, and in its transcription."""
    path = data_file("sroie_receipts", "receipts.jsonl")
    receipts = {r["id"]: r for r in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    pictures = sorted((path.parent / "images").glob("*.jpg"))[:count]
    types: dict[str, FieldType] = {"company": "text", "date": "date", "address": "text", "total": "money"}
    found: dict[str, dict[str, list[list[bool]]]] = {"ocr": {}, "typed by a person": {}}
    seconds, missed = [], []
    for picture in pictures:
        receipt = receipts[picture.stem]
        start = clocks()
        read = read_document(picture).text
        seconds.append(clocks() - start)
        typed = "\n".join(line["text"] for line in receipt["lines"])
        for name, kind in types.items():
            value = receipt["fields"].get(name)
            if is_missing(value):
                continue
            for reader, text in (("ocr", read), ("typed by a person", typed)):
                there = bool(find_spans(text, value, kind))
                found[reader].setdefault(name, []).append([there])
                if not there and reader == "ocr":
                    missed.append(f"{picture.stem}: {name} = {value}")
    return {
        "receipts": len(pictures),
        "share_found": {reader: {name: interval(rows) for name, rows in by.items()} for reader, by in found.items()},
        "missed_by_ocr": missed,
        "ocr_seconds_a_page": spread(seconds),
    }


def leave_one_out(invoices: Sequence[Mapping[str, Any]], documents: Sequence[Document]) -> dict[str, Any]:
    """Each invoice by a model of the others, beside what the rule of thumb says."""
    expected = [{f.name: invoice["fields"].get(f.name) for f in WANTED} for invoice in invoices]
    given, seconds = [], []
    for held_out in range(len(documents)):
        rest = [i for i in range(len(documents)) if i != held_out]
        lessons = FieldLessons(
            tuple(documents[i] for i in rest), tuple(expected[i] for i in rest), WANTED, np.arange(len(rest))
        )
        with tempfile.TemporaryDirectory() as folder:
            start = clocks()
            weights = learner.fit(lessons, learner.Options(), Path(folder), seed=0, progress=silent)
            seconds.append(clocks() - start)
            found = engine.load(weights).run([documents[held_out]])[0]
        given.append({name: one.value for name, one in found.items()})
    thumb = [rule_of_thumb(document) for document in documents]
    return {
        "what": "smoke test: twelve documents of eleven issuers prove nothing",
        "right": {
            who: right(expected, answers) for who, answers in (("field_candidates", given), ("rule of thumb", thumb))
        },
        "fit_seconds": spread(seconds),
    }


def right(expected: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Of each field, how many values are right, of those that there are; and the whole documents."""
    scores = field_scores(WANTED, expected, given)
    told = {}
    for field in WANTED:
        true, wrong, missed = scores.counts[field.name].sum(axis=0)
        told[field.name] = f"{true} of {true + missed}, {wrong} wrong"
    return {**told, "documents": f"{int(scores.exact.sum())} of {len(expected)}"}


def rule_of_thumb(document: Document) -> dict[str, Any]:
    """The first date, the largest amount with cents, the first line as issuer, no number."""
    dates = find_dates(document.text)
    largest = max((a.value for a in find_amounts(document.text) if a.decimals == 2), default=None)
    first = next((line.text for line in document.lines if line.text.strip()), None)
    date = dates[0].read("dmy").isoformat() if dates else None
    return {"date": date, "amount": None if largest is None else str(largest), "issuer": first}


def flat(fields: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """All single values of an invoice, those of its lines too."""
    values: list[tuple[str, Any]] = []
    for name, value in fields.items():
        if isinstance(value, list):
            for one in value:
                values += flat(one) if isinstance(one, dict) else [(name, one)]
        elif not is_missing(value):
            values.append((name, value))
    return values


def type_of(value: Any) -> FieldType:
    """By the value alone: the same for every text that is looked through."""
    if isinstance(value, float):
        return "money"
    if isinstance(value, int):
        return "number"
    return "date" if len(value) == 10 and value[4:5] == value[7:8] == "-" else "text"


def interval(rows: Sequence[Sequence[bool]]) -> dict[str, float]:
    """The share of what is so among all values, with a 95 % bootstrap interval over documents."""
    so, of = (np.asarray([f(row) for row in rows], dtype=float) for f in (sum, len))
    drawn = np.random.default_rng(0).integers(0, len(rows), (RESAMPLES, len(rows)))
    shares = so[drawn].sum(axis=1) / of[drawn].sum(axis=1)
    low, high = np.quantile(shares, (0.025, 0.975))
    return {"value": round(float(so.sum() / of.sum()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def clocks() -> Clocks:
    """Now, by the clock on the wall and by that of the processor: others may be at work on the machine."""
    return np.asarray([time.perf_counter(), time.process_time()])


def spread(seconds: Sequence[Clocks]) -> dict[str, dict[str, float]]:
    """Median, 95th percentile and largest, on the wall and of all cores together; the first one loads the models."""
    return {
        clock: {
            "p50": round(float(np.median(column)), 3),
            "p95": round(float(np.quantile(column, 0.95)), 3),
            "max": round(float(column.max()), 3),
        }
        for clock, column in zip(("wall", "processor"), np.asarray(seconds).T, strict=True)
    }


if __name__ == "__main__":
    main()
