from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shokunin.fields.candidates import learned_cuts, mentions, segments, word_key
from shokunin.fields.memory import learn_memory, memory_from_dict
from shokunin.fields.places import Places
from shokunin.fields.spelling import key
from shokunin.forms import Document, Line


def boxed(*lines: tuple[str, tuple[float, float, float, float]]) -> Document:
    return Document(tuple(Line(text, box) for text, box in lines))


RECEIPT = boxed(
    ("ACME LTD", (100, 0, 300, 20)),
    ("TOTAL", (10, 50, 80, 70)),
    ("CASH", (10, 75, 80, 95)),
    ("RM 9.00", (300, 52, 380, 72)),
    ("RM 10.00", (300, 76, 380, 96)),
)


def test_lines_side_by_side_are_a_row() -> None:
    page = Places(RECEIPT)
    assert page.rows == [[0], [1, 3], [2, 4]]
    assert page.left_of(3) == "TOTAL" and page.right_of(2) == "RM 10.00"
    assert page.above[4] == 3 and page.below[3] == 4 and page.above[0] == -1
    assert page.row_texts[1] == "TOTAL RM 9.00"


def test_pages_stand_under_each_other() -> None:
    page = Places(Document((Line("a", (0, 0, 10, 10), 0), Line("b", (0, 0, 10, 10), 1))))
    assert page.rows == [[0], [1]]


def test_without_boxes_a_line_is_a_row() -> None:
    page = Places(Document((Line("Total   9.00"), Line(""), Line("x"))))
    assert page.rows == [[0], [1], [2]] and page.line_at(page.text.index("x")) == 2


def test_amounts_inside_dates_are_none() -> None:
    page = Places(Document((Line("18.11.18 paid 9.00"),)))
    assert [m.value for m in mentions(page, "money")] == ["9"]
    assert [m.value for m in mentions(page, "date")] == ["2018-11-18"]


def test_codes_may_be_written_in_groups() -> None:
    page = Places(Document((Line("IBAN DE12 3456 7890, ref: #A-77."),)))
    values = [m.value for m in mentions(page, "id")]
    assert "DE1234567890" in values and "A77" in values


def test_lines_are_cut_behind_colons_at_gaps_and_at_learned_words() -> None:
    page = Places(Document((Line("Bill to: Ann Lee   Ship to: Bob"), Line("ACME LTD (519-X)"), Line("TOTAL 12:30"))))
    pieces = [page.text[s.start : s.end] for s in segments(page)]
    assert pieces == ["Bill to:", "Ann Lee", "Ship to:", "Bob", "ACME LTD", "(519-X)", "TOTAL 12:30"]
    before, behind = learned_cuts([("BY ACME LTD TEL 1", (3, 11))] * 2)
    assert (before, behind) == (("BY",), ("TEL",))
    page = Places(Document((Line("OWNED BY DOVE SDN TEL 77"),)))
    assert [page.text[s.start : s.end] for s in segments(page, before, behind)] == ["OWNED BY", "DOVE SDN", "TEL 77"]


def test_the_memory_finds_what_is_nearly_the_same() -> None:
    memory = learn_memory(["LOT 1851-A, JALAN KPB 6", "LOT 1851-A JALAN KPB 6", "NO 3, JALAN BESAR", 5, None])
    known = key("LOT 1851-A, JALAN KPB 6")
    assert memory.count(known) == 2 and memory.spellings[known] == "LOT 1851-A JALAN KPB 6"
    assert memory.nearest(key("LOT 1851-A, JALAN KP3 6"))[0] == known
    assert memory.nearest(key("SOMETHING ELSE")) == ("", 0.0)
    assert memory_from_dict(memory.to_dict()).to_dict() == memory.to_dict()


NUMBERS = st.floats(-1e4, 1e4) | st.floats()
LINES = st.lists(
    st.builds(
        Line,
        st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
        st.none() | st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
        st.integers(0, 2),
    ),
    max_size=8,
)


@given(LINES)
def test_any_document_is_bearable(lines: list[Line]) -> None:
    page = Places(Document(tuple(lines)))
    assert sorted(n for row in page.rows for n in row) == list(range(len(lines)))
    assert len(page.above) == len(page.below) == len(lines)
    for kind in ("date", "money", "number", "id"):
        for mention in mentions(page, kind):  # type: ignore[arg-type]
            assert 0 <= mention.start < mention.end <= len(page.text)
    for piece in segments(page):
        assert page.text[piece.start : piece.end].strip() == page.text[piece.start : piece.end] != ""
    assert word_key(page.text) is not None


@pytest.mark.parametrize(
    "piece", ["(", " ", "1'234", "123 ", "1,234,", "9", ":", "(1) ", "a:", "1.2.", "1.2.2018 ", "令和1", "\t("]
)
def test_a_long_line_of_one_thing_takes_no_longer_than_its_length(piece: str) -> None:
    """Quadratic work on a hundred thousand characters would not end within the limit of a test."""
    page = Places(Document((Line(piece * (100_000 // len(piece))),)))
    for kind in ("date", "money", "number", "id"):
        mentions(page, kind)  # type: ignore[arg-type]
    assert len(segments(page)) <= 100_000
