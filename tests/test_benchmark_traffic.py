"""The traffic of the discovery benchmarks, and its scoring: the same seed the same files, a truth that is whole, no leak."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.discover_scoring import read_truth, score
from benchmarks.rows import ROOT

DATA = Path(os.environ.get("SHOKUNIN_DATA", ROOT.parent / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the public data sets are not here")
RECORDS = 800


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from benchmarks.traffic_mix import write_traffic

    made = tmp_path_factory.mktemp("traffic")
    write_traffic(made, records=RECORDS, seed=3)
    return made


def records(path: Path) -> dict[str, dict[str, Any]]:
    """The records that are whole and have an answer, by their id."""
    found = {}
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            record = json.loads(line)
            if record["response"]["choices"]:
                found[record["response"]["id"]] = record
        except (ValueError, TypeError, KeyError):
            continue
    return found


def test_the_same_seed_makes_the_same_files_and_another_seed_others(folder: Path, tmp_path: Path) -> None:
    from benchmarks.traffic_mix import write_traffic

    write_traffic(tmp_path / "again", records=RECORDS, seed=3)
    write_traffic(tmp_path / "other", records=RECORDS, seed=4)
    for name in ("history.jsonl", "later.jsonl", "truth.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != (folder / name).read_bytes()


def test_the_truth_names_every_record_and_every_corrupt_line(folder: Path) -> None:
    truth = read_truth(folder)
    for part in ("history", "later"):
        lines = (folder / f"{part}.jsonl").read_bytes().count(b"\n")
        assert set(records(folder / f"{part}.jsonl")) == set(truth[part])
        assert len(truth[part]) + len(truth["corrupt"][part]) == lines
        assert 0.01 < len(truth["corrupt"][part]) / lines < 0.035
    assert {r["task"] for r in truth["history"].values()} == set(truth["applications"])
    assert len(truth["applications"]) >= 10


def test_history_and_later_share_no_row_and_no_time(folder: Path) -> None:
    truth = read_truth(folder)
    rows = [{record["row"] for record in truth[part].values()} for part in ("history", "later")]
    assert not rows[0] & rows[1]
    times = [[r["timestamp"] for r in records(folder / f"{part}.jsonl").values()] for part in ("history", "later")]
    assert times[0] == sorted(times[0])
    assert max(times[0]) < min(times[1])


def test_replies_are_right_most_of_the_time(folder: Path) -> None:
    truth = read_truth(folder)["history"]
    labelled = [r for r in truth.values() if r["task"] in ("banking77", "hwu64", "sms_spam", "sentiment_ja")]
    noise = Counter(r["noise"] for r in labelled)
    assert 0.01 < noise["wrong"] / len(labelled) < 0.045
    assert noise[""] / len(labelled) > 0.85
    for name, record in records(folder / "history.jsonl").items():
        if truth[name] in labelled and truth[name]["noise"] == "":
            assert truth[name]["gold"] in record["response"]["choices"][0]["message"]["content"]


def found_from(truth: dict[str, Any]) -> dict[str, Any]:
    """What a discovery without a fault would print."""
    tasks = []
    for name, about in truth["applications"].items():
        own = {i: r for i, r in truth["history"].items() if r["task"] == name}
        labels = sorted({r["gold"] for r in own.values()}) if about["labels"] else None
        verdict = "LEAVE" if about["kind"] == "chat" else "TRAIN"
        schema = about["fields"] and {"properties": {key: {"type": "string"} for key in about["fields"]}}
        tasks.append(
            {"name": name, "kind": about["kind"], "labels": labels, "schema": schema, "verdict": verdict}
            | {"record_ids": sorted(own)}
        )
    used, aside = len(truth["history"]), len(truth["corrupt"]["history"])
    return {"records": {"in": used + aside, "used": used, "set_aside": aside}, "tasks": tasks}


def test_the_truth_itself_scores_full_marks(folder: Path) -> None:
    truth = read_truth(folder)
    scored = score(found_from(truth), truth)
    assert scored["ari"] == 1
    assert scored["all_right"]


@pytest.mark.parametrize("fault", ["kind", "label", "field", "chat", "count", "split", "merged"])
def test_a_fault_is_seen(folder: Path, fault: str) -> None:
    truth = read_truth(folder)
    found = found_from(truth)
    tasks = {task["name"]: task for task in found["tasks"]}
    if fault == "kind":
        tasks["sql"]["kind"] = "classify_text"
    elif fault == "label":
        tasks["hwu64"]["labels"][0] = tasks["hwu64"]["labels"][0].upper()
    elif fault == "field":
        tasks["receipts"]["schema"]["properties"].pop("total")
    elif fault == "chat":
        tasks["chat"]["verdict"] = "TRAIN"
    elif fault == "count":
        found["records"]["set_aside"] -= 1
    elif fault == "split":
        half = tasks["banking77"]["record_ids"][::2]
        tasks["banking77"]["record_ids"] = tasks["banking77"]["record_ids"][1::2]
        found["tasks"].append({**tasks["banking77"], "name": "half", "record_ids": half})
    else:
        tasks["atlas_routing"]["record_ids"] += tasks["atlas_topics"].pop("record_ids")
        found["tasks"].remove(tasks["atlas_topics"])
    scored = score(found, truth)
    assert scored["ari"] < 0.99 if fault in ("split", "merged") else not scored["all_right"]
