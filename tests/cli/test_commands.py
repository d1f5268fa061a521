"""The commands as a person or a script uses them: output, exit codes, and nothing left behind by bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rows import rows
from shokunin.cli import app

QUICK = ["--learner", "baseline", "--learner", "text_linear"]


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words])


def write(path: Path, made: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(made[0]))
        writer.writeheader()
        writer.writerows(made)
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write(folder / "inquiries.csv", rows(500))
    found = run("train", folder / "inquiries.csv", "--project", folder, "--output", "json", *QUICK)
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    assert report["specialist"] == "inquiries" and report["verdict"] == "pass" and report["version"] == 1
    assert (report["columns"]["inputs"], report["columns"]["target"]) == (["text"], "label")
    assert any("column 'label', by its name" in why for why in report["columns"]["why"])
    assert report["warnings"] == [] and report["not_promoted"] is None and Path(report["data_card"]).is_file()
    decided = json.loads(run("decisions", "list", "--project", folder, "--output", "json").stdout)["decisions"]
    assert [(one["what"], one["details"]["specialist"]) for one in decided] == [("specialist_promoted", "inquiries@1")]
    return folder


def test_the_json_of_train_has_the_fixed_names(shop: Path) -> None:
    report = json.loads(run("prove", "inquiries", "--project", shop, "--output", "json").stdout)
    assert {
        "specialist",
        "version",
        "verdict",
        "rows",
        "scores",
        "baseline",
        "ladder",
        "latency_ms",
        "threshold",
    } <= set(report)
    assert set(report["scores"]["accuracy"]) == {"value", "low", "high"}
    assert {"value", "coverage", "bound", "confidence"} <= set(report["threshold"])
    assert Path(report["page"]).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_each_proof_on_the_sealed_rows_is_counted(shop: Path) -> None:
    before = json.loads(run("prove", "inquiries", "--project", shop, "--output", "json").stdout)["openings"]
    assert json.loads(run("prove", "inquiries", "--project", shop, "--output", "json").stdout)["openings"] == before + 1


def test_proof_on_other_rows_against_recorded_answers(shop: Path) -> None:
    made = rows(80, seed=5)
    for i, row in enumerate(made):
        row["gpt"] = row["label"] if i % 4 else "delivery"
    file = write(shop / "later.csv", made)
    report = json.loads(
        run("prove", "inquiries", file, "--against", "column:gpt", "--project", shop, "--output", "json").stdout
    )
    right = sum(r["gpt"] == r["label"] for r in made) / len(made)
    assert report["against"]["scores"]["accuracy"]["value"] == pytest.approx(right)
    assert report["rows"] == 80
    answers = shop / "answers.txt"
    answers.write_text("\n".join(r["gpt"] for r in made) + "\n", encoding="utf-8")
    again = json.loads(
        run("prove", "inquiries", file, "--against", answers, "--project", shop, "--output", "json").stdout
    )
    assert again["against"]["scores"] == report["against"]["scores"]


@pytest.mark.parametrize("against", ["column:nothing", "nowhere", "http://127.0.0.1:1/v1"])
def test_an_impossible_comparison_is_refused(shop: Path, against: str) -> None:
    file = write(shop / "few.csv", rows(20, seed=6))
    found = run("prove", "inquiries", file, "--against", against, "--project", shop)
    assert found.exit_code == 2 and "error:" in found.stderr


def test_one_text(shop: Path) -> None:
    assert run("predict", "inquiries", "where is my parcel", "--project", shop).stdout.startswith("delivery")
    answer = json.loads(
        run("predict", "inquiries@1", "where is my parcel", "--project", shop, "--output", "json").stdout
    )
    assert answer["value"] == "delivery" and answer["answered_by"] == "inquiries@1"


def test_an_empty_text_is_a_problem_and_exit_code_2(shop: Path) -> None:
    assert run("predict", "inquiries", "  ", "--project", shop).exit_code == 2


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_file_in_and_a_file_out_keeps_every_row_and_column(shop: Path, suffix: str, tmp_path: Path) -> None:
    made = [
        {"nr": str(i), "text": r["text"], "note": 'a "quoted",\nnote\u2028'} for i, r in enumerate(rows(300, seed=9))
    ]
    made[7]["text"] = ""
    out = tmp_path / f"answers.{suffix}"
    found = run(
        "predict", "inquiries", write(tmp_path / "in.csv", made), "--out", out, "--project", shop, "--output", "json"
    )
    assert json.loads(found.stdout)["rows"] == 300 and json.loads(found.stdout)["problems"] == 1
    if suffix == "jsonl":
        answered = [json.loads(line) for line in out.read_text(encoding="utf-8").split("\n") if line]
    else:
        with out.open(newline="", encoding="utf-8") as file:
            answered = list(csv.DictReader(file, delimiter="\t" if suffix == "tsv" else ","))
    assert [{k: row[k] for k in ("nr", "text", "note")} for row in answered] == made
    assert answered[0]["answered_by"] == "inquiries@1" and 0 < float(answered[0]["confidence"]) <= 1
    assert answered[7]["answer"] == "" and "empty" in answered[7]["problem"]


def test_from_jsonl_to_jsonl_values_stay_what_they_are(shop: Path, tmp_path: Path) -> None:
    made: list[dict[str, object]] = [
        {"nr": 1, "text": "where is my parcel", "paid": 9.5, "vip": True, "tags": ["a", {"b": None}]},
        {"text": "send me the invoice", "nr": "2", "note": None},
    ]
    lines = [json.dumps(made[0]), "not json", json.dumps(made[1])]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = run("predict", "inquiries", tmp_path / "in.jsonl", "--out", tmp_path / "out.jsonl", "--project", shop)
    assert found.exit_code == 0, found.output
    out = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").split("\n") if line]
    added = ("answer", "confidence", "answered_by", "problem")
    assert [{key: value for key, value in row.items() if key not in added} for row in out] == [*made, {}]
    assert [row["answer"] for row in out] == ["delivery", "invoice", ""] and "in.jsonl:2" in out[2]["problem"]


def test_a_failed_prediction_leaves_the_old_file(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.csv"
    out.write_text("old", encoding="utf-8")
    bad = write(tmp_path / "in.csv", [{"nr": "1", "other": "x"}])
    assert run("predict", "inquiries", bad, "--out", out, "--project", shop).exit_code == 2
    assert out.read_text(encoding="utf-8") == "old" and sorted(p.name for p in tmp_path.iterdir()) == [
        "answers.csv",
        "in.csv",
    ]


def test_answers_go_into_a_folder_that_is_not_there_yet(shop: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "in.csv", rows(5))
    assert run("predict", "inquiries", file, "--out", tmp_path / "new" / "x.csv", "--project", shop).exit_code == 0
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["x.csv"]
    found = run("predict", "inquiries", file, "--out", file / "x.csv", "--project", shop)
    assert found.exit_code == 2 and "cannot write" in found.stderr


def test_an_unknown_specialist_names_the_near_one(shop: Path) -> None:
    found = run("predict", "inquiry", "x", "--project", shop)
    assert found.exit_code == 2 and "inquiries" in found.stderr


def test_errors_are_json_when_json_was_asked_for(shop: Path) -> None:
    found = run("predict", "nobody", "x", "--project", shop, "--output", "json")
    assert found.exit_code == 2 and json.loads(found.stdout)["error"]["type"] == "ProjectError"


def test_a_verdict_of_no_is_exit_code_1_and_no_champion(tmp_path: Path) -> None:
    made = [
        {"text": f"row {i} {i * 7919 % 104729}", "label": "yes" if i * 2654435761 % 97 < 48 else "no"}
        for i in range(300)
    ]
    found = run("train", write(tmp_path / "noise.csv", made), "--project", tmp_path, "--output", "json", *QUICK)
    assert found.exit_code == 1 and json.loads(found.stdout)["verdict"] == "fail"
    listed = json.loads(run("models", "list", "--project", tmp_path, "--output", "json").stdout)
    assert "champion" not in json.dumps(listed)


def test_train_shows_what_it_guessed_and_leaves_another_champion_alone(tmp_path: Path) -> None:
    made = [{**row, "label": row["label"].upper()} for row in rows(120, seed=2)]
    made[3]["text"] = ""
    folder = tmp_path / "shop"
    folder.mkdir()
    write(tmp_path / "inquiries.csv", rows(300))
    assert run("train", tmp_path / "inquiries.csv", "--project", folder, *QUICK).exit_code == 0
    found = run(
        "train", write(tmp_path / "later.csv", made), "--name", "inquiries", "--project", folder, "--max-error", "0.3", *QUICK
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    for said in ("label: column 'label', by its name", "text: column 'text'", "120 in, 119 used", "1 × no text"):
        assert said in found.stdout
    assert "warning     the test has only" in found.stdout
    card = next(line.split()[-1] for line in found.stdout.splitlines() if line.startswith("  data card"))
    assert Path(card).is_file()
    assert "not promoted" in found.stdout and "shokunin models promote inquiries@2" in found.stdout
    assert json.loads(run("models", "show", "inquiries@1", "--project", folder, "--output", "json").stdout)["aliases"]


BAD = {
    "empty": b"",
    "header only": b"text,label\n",
    "one class": b"text,label\n" + b"".join(b"message %d,a\n" % i for i in range(50)),
    "a class with one row, and one other": b"text,label\n"
    + b"".join(b"message %d,a\n" % i for i in range(50))
    + b"odd,b\n",
    "no label column": b"text\n" + b"".join(b"message number %d is here\n" % i for i in range(50)),
    "binary": bytes(range(256)) * 40,
    "duplicate header": b"text,label,text\n" + b"a message,a,x\nother,b,y\n" * 30,
    "mixed encodings": b"text,label\n"
    + ("grüße aus köln,a\n" * 30).encode()
    + ("grüße aus köln,b\n" * 30).encode("latin-1"),
    "an endless quote": b'text,label\n"never closed,a\n' + b"some text,b\n" * 30,
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_clear_error_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    file = tmp_path / "inquiries.csv"
    file.write_bytes(BAD[name])
    found = run("train", file, "--project", tmp_path, *QUICK)
    assert found.exit_code == 2, found.output
    assert found.stderr.startswith("error: ") and len(found.stderr) > 30
    left = [p for p in tmp_path.rglob("*") if p.is_file() and p != file]
    assert left == []


def test_an_ambiguous_label_column_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    made = [{"text": f"message number {i} is here", "one": "ab"[i % 2], "two": "xy"[i // 2 % 2]} for i in range(60)]
    file = write(tmp_path / "rows.csv", made)
    found = run("train", file, "--project", tmp_path, *QUICK)
    assert found.exit_code == 2 and "--target" in found.stderr and "'one'" in found.stderr and "'two'" in found.stderr


def test_a_cell_of_ten_million_characters_is_set_aside(tmp_path: Path) -> None:
    made = [*rows(300), {"text": "x" * 10_000_000, "label": "delivery"}]
    found = run("curate", write(tmp_path / "rows.csv", made), "--project", tmp_path, "--output", "json")
    counts = json.loads(found.stdout)["facts"]["rows"]
    assert counts["in"] == 301 and sum(counts["set_aside"].values()) >= 1


def test_test_rows_with_a_label_that_training_lacks(tmp_path: Path) -> None:
    test = write(tmp_path / "test.csv", [*rows(30, seed=3), {"text": "who are you", "label": "smalltalk"}])
    found = run("train", write(tmp_path / "train.csv", rows(300)), "--test", test, "--project", tmp_path, *QUICK)
    assert found.exit_code == 2 and "'smalltalk'" in found.stderr


def test_help_of_every_command_and_the_version() -> None:
    assert run("--version").stdout.startswith("shokunin 0.")
    for command in (
        "train",
        "curate",
        "prove",
        "predict",
        "serve",
        "compress",
        "models",
        "quickstart",
        "init",
        "cost",
        "doctor",
    ):
        assert run(command, "--help").exit_code == 0
    assert "hf:org/name[@rev]" in " ".join(run("train", "--help").stdout.split())
    for shown in (run("--help"), run("models", "--help")):
        assert "..." not in shown.stdout.partition("Commands:")[2], "a summary that does not fit its line"
