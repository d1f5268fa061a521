"""The rung in which each field is read by those that read it best: how it is chosen, written and read again."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shokunin.dataset import Example
from shokunin.engines import engine_for
from shokunin.errors import ArtefactError
from shokunin.files import read_json, write_json
from shokunin.forms import FieldLessons, FoundFields
from shokunin.pipeline import ladder
from shokunin.pipeline.by_member import Member, fields_by_member
from shokunin.pipeline.judged import Judged, judged_by
from shokunin.pipeline.mixing import written
from shokunin.pipeline.rungs import Climb, session_of
from shokunin.progress import silent
from shokunin.task import Task
from shokunin.tasks.extract_fields import FieldsCodec, codec
from shokunin.train import field_candidates
from shokunin.weights import Weights

TASK = Task(
    "slips", "extract_fields", ("text",), metric="field_f1", options={"fields": {"shop": "text", "total": "money"}}
)


def examples(count: int, seed: int) -> list[Example]:
    rng = random.Random(seed)
    made = []
    for row in range(count):
        shop, total = (
            f"{rng.choice(['Mori', 'Sato', 'Ueda', 'Abe'])} Stores",
            f"{rng.randint(1, 99)}.{rng.randint(10, 99)}",
        )
        text = f"{shop}\nNo {rng.randint(1000, 9999)}\nTax {rng.randint(1, 9)}.10\nTotal {total}\nCash {rng.randint(100, 200)}.00"
        made.append(Example({"text": text}, json.dumps({"shop": shop, "total": total}), f"rows:{row}", row))
    return made


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Member], Judged]:
    """One that was taught the shop alone, and one that was taught the total alone; the second is larger."""
    told = codec(TASK, Path())
    lessons = told.lessons(examples(80, 1), "labelled_fields")
    assert isinstance(lessons, FieldLessons)
    judged = judged_by(examples(60, 2), told, "field_f1", labels=False)
    out = []
    for name, known, rounds in (("shops", "shop", 10), ("totals", "total", 60)):
        taught = replace(lessons, expected=tuple({known: row[known]} for row in lessons.expected))
        options = field_candidates.Options(rounds=rounds, memory=False, max_features=200 if rounds == 10 else 60_000)
        weights = field_candidates.fit(taught, options, tmp_path_factory.mktemp(name), seed=0, progress=silent)
        raw = session_of(weights).run(told.encode(judged.inputs, "labelled_fields"))
        out.append(Member(name, weights, raw))
    return out, judged


EVERYTHING = np.ones(60, bool)


def right(judged: Judged, raw: list[FoundFields]) -> float:
    return judged.score(raw, 0).value


class TestTheChoice:
    def test_each_field_is_read_by_the_one_that_learned_it(self, members: tuple[list[Member], Judged]) -> None:
        both, judged = members
        made = fields_by_member(both, judged, EVERYTHING, 0)
        assert made is not None
        weights, raw, asked = made
        assert weights.plan.fields == {"shop": (0,), "total": (0, 1)}
        assert right(judged, raw) > 0.95 > 0.7 > max(right(judged, list(m.raw)) for m in both)
        assert asked == [1.0, 1.0] and weights.size_bytes() == sum(m.weights.size_bytes() for m in both)

    def test_one_that_reads_everything_as_well_needs_no_other(self, members: tuple[list[Member], Judged]) -> None:
        both, judged = members
        made = fields_by_member(both, judged, EVERYTHING, 0)
        assert made is not None
        best = Member("all", both[0].weights, made[1])
        assert fields_by_member([best, both[1]], judged, EVERYTHING, 0) is None

    def test_what_no_test_can_tell_apart_is_left_to_the_smaller(self, members: tuple[list[Member], Judged]) -> None:
        both, judged = members
        assert fields_by_member(both, judged, np.arange(60) < 3, 0) is None
        assert fields_by_member(both, judged, np.arange(60) < 8, 0) is not None

    def test_rows_that_carry_the_promise_have_no_part_in_it(self, members: tuple[list[Member], Judged]) -> None:
        both, judged = members
        rows = np.arange(60) < 30
        spoiled = [
            replace(e, expected=json.dumps({"shop": "?", "total": "?"})) if i >= 30 else e
            for i, e in enumerate(judged.examples)
        ]
        first = fields_by_member(both, judged, rows, 0)
        second = fields_by_member(both, replace(judged, examples=tuple(spoiled)), rows, 0)
        assert first is not None and second is not None and first[0].plan == second[0].plan


class TestAsARung:
    def test_the_ladder_adds_and_keeps_it(self, members: tuple[list[Member], Judged]) -> None:
        both, judged = members
        climbs = [Climb(m.name, m.weights, m.raw, 1.0, 2.0) for m in both]
        made = ladder._by_member(climbs, judged, lambda n: EVERYTHING[:n], 0)
        assert [c.name for c in made] == ["shops|totals"] and made[0].train_seconds == 2.0 and made[0].latency_ms == 4.0
        chosen = ladder._choose(
            sorted([*climbs, *made], key=lambda c: c.weights.size_bytes()), judged, {}, out_of_fold=False, seed=0
        )
        assert chosen.chosen.name == "shops|totals"
        assert ladder._by_member(climbs[:1], judged, lambda n: EVERYTHING[:n], 0) == []

    def test_what_is_written_answers_as_the_members_did(
        self, members: tuple[list[Member], Judged], tmp_path: Path
    ) -> None:
        both, judged = members
        made = fields_by_member(both, judged, EVERYTHING, 0)
        assert made is not None
        weights = written(made[0], tmp_path / "out")
        assert weights.format == "fields_by_member" and weights.form == "labelled_fields" and weights.exact
        assert weights.facts["read_by"]["shop"][0] == "shops"
        told: FieldsCodec = judged.codec  # type: ignore[assignment]
        forms = told.encode(judged.inputs, "labelled_fields")
        assert engine_for(weights.format).load(weights).run(forms) == made[1] == session_of(made[0]).run(forms)
        assert engine_for(weights.format).load(weights).run([]) == []

    @pytest.mark.parametrize(
        "change",
        [
            {"keep": 1.0},
            {"keep": "x"},
            {"members": []},
            {"members": 3},
            {"fields": {"shop": [7]}},
            {"fields": {"shop": []}},
            {"fields": {"other": [0]}},
        ],
    )
    def test_damage_is_an_error_of_ours(
        self, members: tuple[list[Member], Judged], tmp_path: Path, change: dict[str, Any]
    ) -> None:
        made = fields_by_member(*members, EVERYTHING, 0)
        assert made is not None
        weights: Weights = written(made[0], tmp_path / "out")
        path = weights.folder / "fields_by_member.json"
        write_json(path, {**read_json(path), **change})
        with pytest.raises(ArtefactError):
            engine_for(weights.format).load(weights)

    def test_a_damaged_member_is_an_error_of_ours(self, members: tuple[list[Member], Judged], tmp_path: Path) -> None:
        made = fields_by_member(*members, EVERYTHING, 0)
        assert made is not None
        weights = written(made[0], tmp_path / "out")
        (weights.folder / "1" / "fields.json").write_text("{")
        with pytest.raises(ArtefactError):
            engine_for(weights.format).load(weights)
