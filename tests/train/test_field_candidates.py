"""field_candidates learns where fields stand from past documents, and says when one is not there."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shokunin.engines import engine_for
from shokunin.engines.field_candidates import FieldsSession
from shokunin.errors import ArtefactError, UsageError
from shokunin.fields.schema import guess_fields
from shokunin.fields.scoring import field_scores
from shokunin.forms import Document, Field, FieldLessons, FoundFields, Line
from shokunin.progress import silent
from shokunin.train.field_candidates import EATS, Options, fit, forecast
from shokunin.weights import Weights

THINGS = "bolt nut cable lamp paint brush hammer saw glue tape pipe valve hinge lock chain rope sand cement tile brick".split()  # noqa: SIM905
QUICK = Options(rounds=40)


def invoices(count: int, boxes: bool = False, seed: int = 0) -> FieldLessons:
    """Invoices with a number, a date (missing in one of six), a total and one to four items."""
    rng = random.Random(seed)
    documents, expected = [], []
    for _ in range(count):
        number, cents = f"INV-{rng.randint(1000, 9999)}", 0
        day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(2010, 2024)
        lines = [
            f"Acme {rng.choice(THINGS).title()} Ltd",
            f"Invoice no: {number}",
            f"Order: {rng.randint(1000, 9999)}-A",
        ]
        dated = rng.random() > 1 / 6
        lines += [f"Date: {day:02}.{month:02}.{year}"] if dated else ["Cash only"]
        items = []
        for _ in range(rng.randint(1, 4)):
            name = f"{rng.choice(['red', 'blue', 'big', 'small'])} {rng.choice(THINGS)}"
            quantity, price = rng.randint(1, 9), rng.randint(100, 9999)
            cents += quantity * price
            lines.append(f"{name}   {quantity}   {price / 100:.2f}")
            items.append({"description": name, "quantity": quantity, "price": f"{price / 100:.2f}"})
        lines += [f"Total   {cents / 100:.2f}", f"Paid   {(cents + 500) / 100:.2f}", "Thank you"]
        documents.append(Document(tuple(_line(text, n, boxes) for n, text in enumerate(lines))))
        date = f"{year}-{month:02}-{day:02}" if dated else None
        expected.append({"company": lines[0], "number": number, "date": date, "total": cents / 100, "items": items})
    return FieldLessons(tuple(documents), tuple(expected), guess_fields(expected), np.arange(count))


def _line(text: str, number: int, boxes: bool) -> Line:
    return Line(text, (10.0, 20.0 * number, 10.0 + 8 * len(text), 20.0 * number + 15) if boxes else None)


def fitted(lessons: FieldLessons, folder: Path, options: Options = QUICK) -> Weights:
    folder.mkdir()
    return fit(lessons, options, folder, seed=0, progress=silent)


def opened(weights: Weights) -> FieldsSession:
    session = engine_for(weights.format).load(weights)
    assert isinstance(session, FieldsSession)
    return session


def values(found: FoundFields) -> dict[str, Any]:
    return {name: field.value for name, field in found.items()}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return fitted(invoices(80), tmp_path_factory.mktemp("fields") / "weights")


@pytest.fixture(scope="module")
def session(weights: Weights) -> FieldsSession:
    return opened(weights)


def test_it_finds_every_sort_of_field_in_new_documents(session: FieldsSession) -> None:
    new = invoices(60, seed=1)
    assert {f.type for f in new.fields} == {"text", "id", "date", "money", "list"}
    found = session.run(new.documents)
    scores = field_scores(new.fields, new.expected, [values(f) for f in found])
    for field in new.fields:
        assert scores.f1(field.name) > 0.9, field.name
    # Answers are written as the lessons were: a date in ISO, a total that is a number.
    dates = [f["date"].value for f in found if f["date"].value is not None]
    assert all(len(d) == 10 and d[4] == "-" for d in dates)
    assert all(isinstance(f["total"].value, float) for f in found)


def test_what_is_not_there_is_none_and_its_score_says_so(session: FieldsSession) -> None:
    new = invoices(60, seed=2)
    gone = [f for f, row in zip(session.run(new.documents), new.expected, strict=True) if row["date"] is None]
    assert len(gone) > 3
    assert all(f["date"].value is None and f["date"].span is None and f["date"].score > 0 for f in gone)


def test_spans_are_where_the_values_stand(session: FieldsSession) -> None:
    new = invoices(20, seed=3)
    for document, found in zip(new.documents, session.run(new.documents), strict=True):
        start, end = found["number"].span or (0, 0)
        assert document.text[start:end] == found["number"].value
        start, end = found["company"].span or (0, 0)
        assert document.text[start:end] == found["company"].value


def test_scores_are_honest_log_odds(tmp_path: Path) -> None:
    """Where a document says two dates and nothing tells which, the chance is about a half, and the score near zero."""
    rng = np.random.default_rng(0)
    days = [(f"{rng.integers(1, 29):02}.03.2020", f"{rng.integers(1, 29):02}.04.2020") for _ in range(160)]
    documents = tuple(
        Document((Line(f"{a} or {b}"),)) if rng.random() < 0.5 else Document((Line(f"{b} or {a}"),)) for a, b in days
    )
    expected = tuple({"date": pair[rng.integers(2)]} for pair in days)
    lessons = FieldLessons(documents, expected, (Field("date", "date"),), np.arange(160))
    found = opened(fitted(lessons.take(np.arange(80)), tmp_path / "w")).run(documents[80:])
    assert abs(np.mean([f["date"].score for f in found])) < 1.0


def test_a_document_does_not_depend_on_its_neighbours(session: FieldsSession) -> None:
    documents = list(invoices(5, seed=4).documents)
    assert session.run(documents) == [session.run([d])[0] for d in documents]
    assert session.run([]) == []


def test_the_same_lessons_and_seed_make_the_same_files(tmp_path: Path) -> None:
    lessons = invoices(30)
    one, two = (fitted(lessons, tmp_path / name) for name in ("one", "two"))
    for path in one.folder.iterdir():
        assert path.read_bytes() == (two.folder / path.name).read_bytes(), path.name


def test_boxes_put_words_beside_each_other(tmp_path: Path) -> None:
    """Labels and amounts come in two columns, one after the other: only the boxes tell which belongs to which."""
    rng = random.Random(0)

    def receipt() -> tuple[Document, dict[str, Any]]:
        said = {
            "TOTAL": rng.randint(100, 9999) / 100,
            "CASH": rng.randint(100, 9999) / 100,
            "CHANGE": rng.randint(100, 9999) / 100,
        }
        names = rng.sample(sorted(said), 3)
        left = [Line(name, (10, 30 * n, 80, 30 * n + 20)) for n, name in enumerate(names)]
        right = [Line(f"{said[name]:.2f}", (300, 30 * n, 380, 30 * n + 20)) for n, name in enumerate(names)]
        rng.shuffle(right)
        return Document((*left, *right)), {"total": f"{said['TOTAL']:.2f}"}

    made = [receipt() for _ in range(120)]
    lessons = FieldLessons(
        tuple(d for d, _ in made), tuple(e for _, e in made), (Field("total", "money"),), np.arange(120)
    )
    train, test = lessons.take(np.arange(80)), lessons.take(np.arange(80, 120))
    found = opened(fitted(train, tmp_path / "w")).run(test.documents)
    assert np.mean([f["total"].value == e["total"] for f, e in zip(found, test.expected, strict=True)]) > 0.9


def test_the_memory_gives_the_spelling_of_past_rows_and_may_be_left_out(tmp_path: Path) -> None:
    """The documents misspell a shop, one of four times; the rows never do."""
    rng = random.Random(0)
    shops = ["GERBANG ALAF RESTAURANTS", "SANYU STATIONERY SHOP", "UNIHAKKA INTERNATIONAL", "KEDAI PAPAN YEW CHUAN"]

    def receipt(n: int) -> tuple[Document, dict[str, Any]]:
        shop = shops[n % 4]
        at = rng.randrange(8, len(shop) - 1)
        wrong = shop[:at] + "_Q"[shop[at] != "Q"] + shop[at + 1 :] if rng.random() < 0.25 else shop
        return Document((Line(wrong), Line(f"TEL {rng.randint(1000, 9999)}"), Line(f"{rng.choice(THINGS)} 9.00"))), {
            "shop": shop
        }

    made = [receipt(n) for n in range(160)]
    lessons = FieldLessons(tuple(d for d, _ in made), tuple(e for _, e in made), (Field("shop"),), np.arange(160))
    train, test = lessons.take(np.arange(100)), lessons.take(np.arange(100, 160))
    with_memory = opened(fitted(train, tmp_path / "with")).run(test.documents)
    without = opened(fitted(train, tmp_path / "without", Options(rounds=40, memory=False))).run(test.documents)
    wanted = [e["shop"] for e in test.expected]
    assert np.mean([f["shop"].value == w for f, w in zip(with_memory, wanted, strict=True)]) > 0.95
    for document, found in zip(test.documents, with_memory, strict=True):
        assert (found["shop"].span is None) == (found["shop"].value not in document.text)
    for document, found in zip(test.documents, without, strict=True):
        assert found["shop"].value is None or found["shop"].value in document.text


def test_a_field_that_no_document_says_is_never_found(tmp_path: Path) -> None:
    lessons = invoices(20)
    expected = tuple({"total": row["total"], "mood": "cheerful"} for row in lessons.expected)
    weights = fitted(
        FieldLessons(lessons.documents, expected, (Field("total", "money"), Field("mood")), lessons.groups),
        tmp_path / "w",
    )
    assert weights.facts["never_found"] == ["mood"]
    found = opened(weights).run(lessons.documents[:3])
    assert all(f["mood"].value is None and f["mood"].score < 0 and f["total"].value is not None for f in found)


@pytest.mark.parametrize(
    ("lessons", "said"),
    [
        (invoices(3), "too few"),
        (FieldLessons(invoices(9).documents, ({},) * 9, (Field("a"),), np.arange(9)), "no document has a value"),
        (FieldLessons(invoices(9).documents, ({},) * 9, (), np.arange(9)), "no field"),
        (
            FieldLessons(invoices(9).documents, invoices(9).expected, invoices(9).fields, np.zeros(9, np.int64)),
            "1 groups",
        ),
    ],
)
def test_lessons_that_teach_nothing_are_refused(lessons: FieldLessons, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        fit(lessons, QUICK, tmp_path, seed=0, progress=silent)
    assert list(tmp_path.iterdir()) == []


def test_the_least_that_is_enough_works(tmp_path: Path) -> None:
    lessons = invoices(4)
    assert len(opened(fitted(lessons, tmp_path / "w")).run(lessons.documents)) == 4


def test_of_many_documents_a_sample_is_learned_from(tmp_path: Path) -> None:
    weights = fitted(invoices(30), tmp_path / "w", Options(rounds=5, max_documents=12))
    assert weights.facts["documents"] == 12


def test_options_are_checked() -> None:
    assert EATS == "labelled_fields"
    assert 0 < forecast(invoices(10), Options()) < 60
    with pytest.raises(ValidationError):
        Options(depth=3)  # type: ignore[call-arg]


def test_only_safe_files_and_damage_is_an_error_of_ours(weights: Weights, tmp_path: Path) -> None:
    names = sorted(p.name for p in weights.folder.iterdir())
    assert {Path(n).suffix for n in names} == {".json", ".safetensors", ".txt"}
    for victim in names:
        for damage in (b"\x80\x04nonsense", b"", None):
            copy = tmp_path / "copy"
            shutil.copytree(weights.folder, copy)
            if damage is None:
                (copy / victim).unlink()
            else:
                (copy / victim).write_bytes(damage)
            with pytest.raises(ArtefactError):
                opened(Weights(copy, weights.form, weights.format)).run(invoices(1).documents)
            shutil.rmtree(copy)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NUMBER = st.floats(-1e3, 1e3) | st.floats()


@given(
    st.lists(
        st.builds(Line, TEXT, st.none() | st.tuples(NUMBER, NUMBER, NUMBER, NUMBER), st.integers(0, 3)), max_size=6
    )
)
def test_any_document_gets_every_field(session: FieldsSession, lines: list[Line]) -> None:
    document = Document(tuple(lines))
    (found,) = session.run([document])
    assert set(found) == {"company", "number", "date", "total", "items"}
    for field in found.values():
        assert np.isfinite(field.score)
        assert field.value is not None or field.span is None
        if field.span is not None:
            assert 0 <= field.span[0] < field.span[1] <= len(document.text)
