"""`shokunin predict` with documents: one alone, a folder, and rows that name them."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

import shokunin
from shokunin.cli import app

WORDS = {
    "invoice": ["amount due", "please pay", "bank account", "net total", "payment terms"],
    "delivery": ["goods received", "driver", "pallets", "loading ramp", "signature of receiver"],
}


def pdf(lines: list[str]) -> bytes:
    """A PDF of one page, which its reader can only find by searching: it has no table of its objects."""
    content = b"\n".join(
        b"BT /F 11 Tf 1 0 0 1 60 %d Tm (%b) Tj ET" % (780 - 20 * n, line.encode()) for n, line in enumerate(lines)
    )
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [4 0 R] >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R /Resources << /Font << /F 3 0 R >> >> >>",
        b"<< /Length %d >> stream\n%b\nendstream" % (len(content), content),
    ]
    return (
        b"%PDF-1.4\n"
        + b"".join(b"%d 0 obj\n%b\nendobj\n" % (n, o) for n, o in enumerate(objects, 1))
        + (b"trailer << /Size 6 /Root 1 0 R >>\n%%EOF")
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose specialist has learnt kinds of documents from a folder of PDFs with answers."""
    place = tmp_path_factory.mktemp("shop")
    folder = place / "papers"
    folder.mkdir()
    draw, rows = random.Random(0), []
    for n in range(80):
        label = ("invoice", "delivery")[n % 2]
        name = f"{n}.pdf"
        (folder / name).write_bytes(
            pdf([f"Number {draw.randrange(10**6)}", *draw.sample(WORDS[label], 4), f"ref {n * 7919}"])
        )
        rows.append({"file": name, "label": label})
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 and then nothing")
    rows.append({"file": "broken.pdf", "label": "invoice"})
    with (folder / "answers.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["file", "label"])
        writer.writeheader()
        writer.writerows(rows)
    shokunin.train(folder, project=place, learners=["text_linear"], replayed=False)
    return place


def run(shop: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["predict", "papers", *arguments, "--project", str(shop)])
    return done.exit_code, done.output


def test_one_document(shop: Path, tmp_path: Path) -> None:
    path = tmp_path / "new"  # by what is in it, whatever it is called
    path.write_bytes(pdf(["Number 5", "please pay", "amount due", "bank account"]))
    code, said = run(shop, str(path), "--output", "json")
    assert code == 0 and json.loads(said)["value"] == "invoice"


def test_a_document_that_cannot_be_read(shop: Path) -> None:
    code, said = run(shop, str(shop / "papers" / "broken.pdf"))
    assert code == 2 and "the PDF is damaged; export it again" in said


def test_a_folder_and_rows_that_name_documents(shop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "incoming"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(pdf(["please pay", "amount due", "net total"]))
    (folder / "b.pdf").write_bytes(pdf(["goods received", "driver", "pallets"]))
    (folder / "c.pdf").write_bytes(b"%PDF-")
    code, said = run(shop, str(folder), "--out", str(tmp_path / "out.csv"), "--output", "json")
    assert code == 0 and (json.loads(said)["rows"], json.loads(said)["problems"]) == (3, 1)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["file", "answer", "confidence", "answered_by", "problem"]
    assert [(row["file"], row["answer"]) for row in found] == [("a.pdf", "invoice"), ("b.pdf", "delivery"), ("", "")]
    assert found[2]["problem"] == "c.pdf: the PDF is damaged"

    (folder / "rows.jsonl").write_text('{"document": "b.pdf", "weight": 1.5}\n', encoding="utf-8")
    code, _ = run(shop, str(folder / "rows.jsonl"), "--out", str(tmp_path / "out.jsonl"))
    row = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))
    assert code == 0 and (row["document"], row["weight"], row["answer"]) == ("b.pdf", 1.5, "delivery")
    assert "layout" not in row and "text" not in row


def test_a_folder_needs_a_place_for_its_answers(shop: Path) -> None:
    code, said = run(shop, "nothing of that name", "--out", str(shop / "out.csv"))
    assert code == 2 and "--out is for files of rows and folders of documents" in said


def test_a_tasks_rows_may_be_documents(shop: Path, tmp_path: Path) -> None:
    task = tmp_path / "papers"
    (task / "rows").parent.mkdir()
    (task / "rows").symlink_to(shop / "papers")
    (task / "task.toml").write_text('name = "papers"\ninputs = ["text"]\ntarget = "label"\n', encoding="utf-8")
    done = CliRunner().invoke(app, ["curate", str(task), "--project", str(tmp_path), "--output", "json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert "the PDF is damaged" in json.dumps(facts)


def test_documents_prove_a_specialist(shop: Path, tmp_path: Path) -> None:
    draw = random.Random(5)
    with (tmp_path / "held.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label"])
        for n in range(12):
            label = ("invoice", "delivery")[n % 2]
            (tmp_path / f"{n}.pdf").write_bytes(pdf([f"New {draw.randrange(10**6)}", *draw.sample(WORDS[label], 3)]))
            writer.writerow([f"{n}.pdf", label])
    asked = ["prove", "papers", str(tmp_path / "held.csv"), "--project", str(shop), "--output", "json"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code in (0, 1), done.output
    assert json.loads(done.stdout)["rows"] == 12
