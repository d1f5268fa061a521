"""The story of one row: from a line of a CSV to an answer served over HTTP, and back to a row."""

from __future__ import annotations

import csv
from pathlib import Path

import openai

import shokunin
from rows import rows
from shokunin.files import read_json
from shokunin.serve.process import ServerProcess


def test_one_row_to_one_served_answer(project: Path) -> None:
    with Path("inquiries.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(rows(400))

    specialist = shokunin.train("inquiries.csv", learners=["baseline", "text_linear"])

    # Read, cleaned, split: every row is accounted for.
    dataset = read_json(next(project.glob("tasks/inquiries/datasets/*/dataset.json")))
    counts = dataset["facts"]["rows"]
    assert counts["in"] == 400 == counts["used"] + sum(counts["set_aside"].values())
    assert dataset["test_rows"] > 0

    # Fitted, chosen, proven on rows it has not seen, replayed through a server.
    report = read_json(specialist.folder / "report.json")
    assert report["verdict"] == "pass"
    assert [r["learner"] for r in report["ladder"] if r["chosen"]] == ["text_linear"]
    assert report["scores"]["accuracy"]["low"] > report["baseline"]["scores"]["accuracy"]["high"]
    assert report["replay"]["rows"] == dataset["test_rows"]
    assert report["replay"]["disagreements"] == 0
    assert report["openings"] == 1
    assert specialist.folder == project / "specialists" / "inquiries" / "1"

    # Asked in Python and over HTTP, it says the same.
    question = "where is my parcel for order 12"
    here = specialist.predict(question)
    assert here.value == "delivery" and here.answered_by == "inquiries@1"
    with ServerProcess(["--project", str(project)]) as server:
        client = openai.OpenAI(base_url=f"{server.base_url}/v1", api_key="unused")
        reply = client.chat.completions.create(
            model="inquiries@champion", messages=[{"role": "user", "content": question}]
        )
        assert reply.choices[0].message.content == "delivery"
        assert [m.id for m in client.models.list()]
