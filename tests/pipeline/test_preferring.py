"""A judge between a specialist's written answers and those of another, through a scripted server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_other_kinds import replies

import shokunin
from rows import rows as labelled
from shokunin import pipeline
from shokunin.errors import DataError, UsageError
from shokunin.pipeline.costing import measured_of
from shokunin.project import open_project
from shokunin.prove.render import report_html, report_json
from shokunin.serve.scripted_upstream import Act, ScriptedUpstream, Seen

MAIL = "kim@example.com"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, shokunin.Specialist]:
    project = tmp_path_factory.mktemp("replies")
    specialist = shokunin.train(
        replies(120), name="replies", kind="generate_text", learners=["nearest_answer", "answer_templates"], project=project,
        replayed=False,
    )  # fmt: skip
    return project, specialist


@contextmanager
def judging(decide: Any) -> Iterator[ScriptedUpstream]:
    """A judge that decides by the two answers in the order in which it sees them."""

    def script(seen: Seen) -> Act:
        shown = json.loads(seen.json["messages"][-1]["content"])
        return Act(decide(shown["answer A"], shown["answer B"]))

    with ScriptedUpstream(script) as server:
        yield server


def rows_with(others: Sequence[str | None]) -> list[dict[str, str]]:
    fresh = replies(400)[300 : 300 + len(others)]
    return [{**row, "large": row["reply"] if o is None else o} for row, o in zip(fresh, others, strict=True)]


def prove(trained: tuple[Path, shokunin.Specialist], rows: Any, url: str, against: str | None = "column:large") -> Any:
    return pipeline.prove(trained[1], rows, against=against, judge=f"{url}#wise", project=trained[0])


def test_only_what_survives_the_swap_counts(trained: tuple[Path, shokunin.Specialist]) -> None:
    rude = "Come back tomorrow."
    wordy = "Dear customer, thank you so very much for your kind letter."
    rows = rows_with([rude] * 12 + [wordy] * 6 + [None] * 4)

    def decide(a: str, b: str) -> str:
        if rude in (a, b):
            return "B" if a == rude else "A"
        return "A"  # of the others it likes what it reads first

    with judging(decide) as server:
        made = prove(trained, rows, server.base_url)
        judged = made.against["judge"]
        assert len(server.requests) == 2 * 18  # what is word for word the same is not asked about
    assert (judged["won"], judged["lost"], judged["swayed"], judged["tied"], judged["unasked"]) == (12, 0, 6, 4, 4)
    assert judged["score"]["value"] == pytest.approx((12 + 2) / 16)
    assert judged["bias"] == {"pairs": 18, "consistent": 0.6667, "first": 0.6667}
    assert judged["cost"] == 0 and "measurably better" in judged["sentence"]
    assert report_json(made)["against"]["judge"] == judged
    assert "A judge between the two" in report_html(made)


def test_a_missing_answer_loses_unasked(trained: tuple[Path, shokunin.Specialist]) -> None:
    with judging(lambda a, b: "T") as server:
        judged = prove(trained, rows_with(["", "", "Fine."]), server.base_url).against["judge"]
        assert len(server.requests) == 2
    assert (judged["won"], judged["tied"], judged["unasked"]) == (2, 1, 2)


def test_a_judge_that_says_nothing_readable_is_told_and_one_that_fails_is_an_error(
    trained: tuple[Path, shokunin.Specialist],
) -> None:
    with judging(lambda a, b: "Both have their merits.") as server:
        judged = prove(trained, rows_with(["No."] * 3), server.base_url).against["judge"]
        assert (judged["unread"], judged["score"]) == (3, None)
    refusing = ScriptedUpstream(lambda seen: Act(status=400, body=b"{}"))
    with refusing as server, pytest.raises(DataError, match="the judge 'wise' answered none of 6 questions"):
        prove(trained, rows_with(["No."] * 3), server.base_url)


def test_what_may_not_leave_is_masked_or_not_shown(
    trained: tuple[Path, shokunin.Specialist], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = trained[0]
    monkeypatch.setattr("shokunin.pipeline.teachers.is_loopback", lambda url: False)
    settings = project / "shokunin.toml"
    rows = [{**row, "message": f"{row['message']} {MAIL}"} for row in rows_with([f"Write to {MAIL}."] * 3)]
    try:
        settings.write_text('[gateway]\negress = "masked"\n[prices."wise"]\ninput = 1.0\noutput = 1.0\n')
        with judging(lambda a, b: "A") as server:
            judged = prove(trained, rows, server.base_url).against["judge"]
            assert server.requests and not any(MAIL in request.body.decode() for request in server.requests)
            assert judged["cost"] > 0
        settings.write_text('[gateway]\negress = "never"\n')
        with (
            judging(lambda a, b: "A") as server,
            pytest.raises(UsageError, match="nothing of task 'replies' may leave"),
        ):
            prove(trained, rows, server.base_url)
    finally:
        settings.unlink(missing_ok=True)


def test_what_cannot_be_judged_is_refused_before_anything_is_asked(
    trained: tuple[Path, shokunin.Specialist], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="say with --against"):
        prove(trained, rows_with(["No."]), "http://127.0.0.1:9", against=None)
    with pytest.raises(UsageError, match="is no upstream of this project"):
        pipeline.prove(trained[1], None, against="column:x", judge="nobody#wise", project=trained[0])
    labels = shokunin.train(labelled(120), name="inquiries", learners=["baseline"], project=tmp_path, replayed=False)
    with pytest.raises(UsageError, match="'classify_text', where right and wrong can be looked up"):
        prove((tmp_path, labels), labelled(20), "http://127.0.0.1:9")


def test_what_written_answers_cost_is_not_said_to_come_from_labels(trained: tuple[Path, shokunin.Specialist]) -> None:
    place = open_project(trained[0])
    texts = [{"message": row["message"]} for row in replies(40)]
    known = measured_of(trained[1], place, texts=texts, local_share=0.5, ladder=[], recorded=None)
    assert known.origins["output_tokens"] == "estimated from its sample answers"
    assert known.origins["input_tokens"] == "estimated from a plain question and 40 rows"
    assert 5 < known.values["output_tokens"] < 30
