"""Pieces of text to lines in reading order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shokunin.curate.documents.pieces import Piece, lines_of


def piece(text: str, left: float, top: float, size: float = 10) -> Piece:
    box = (left, top, left + 0.5 * size * len(text), top + size)
    return Piece(text, box, box)


def said(*pieces: Piece) -> list[str]:
    return [line.text for line in lines_of(pieces, 0)]


def test_a_value_stays_on_the_line_of_its_name_with_the_gap_kept() -> None:
    assert said(piece("9.00", 300, 100), piece("Total", 50, 100)) == ["Total" + 45 * " " + "9.00"]


def test_the_place_in_a_line_tells_the_place_on_paper() -> None:
    (line,) = lines_of([piece("Pens", 50, 100), piece("12", 200, 100), piece("3.50", 300, 100)], 0)
    assert line.box == (50, 100, 320, 110)
    per_character = (320 - 50) / len(line.text)
    assert abs(50 + per_character * line.text.index("12") - 200) < 10
    assert abs(50 + per_character * line.text.index("3.50") - 300) < 10


def test_words_far_apart_are_two_lines() -> None:
    assert said(piece("Invoice address", 50, 100), piece("Delivery address", 300, 100)) == [
        "Invoice address",
        "Delivery address",
    ]


def test_two_addresses_side_by_side_are_read_one_after_the_other() -> None:
    left = ["Strategic Corp", "Fakestreet 46", "3500 MJ Utrecht", "Nederland"]
    right = ["Other Corp", "Weena 664", "3012 CN Rotterdam"]
    pieces = [piece(text, 50, 100 + 12 * n) for n, text in enumerate(left)]
    pieces += [piece(text, 300, 100 + 12 * n) for n, text in enumerate(right)]
    heading, below = piece("INVOICE", 50, 60), piece("Thank you", 50, 300)
    assert said(below, *pieces, heading) == ["INVOICE", *left, *right, "Thank you"]


def test_names_with_values_and_tables_are_read_row_by_row() -> None:
    named = [
        piece(text, x, 100 + 12 * n) for n in range(4) for text, x in ((f"Name {'abcd'[n]}:", 50), ("Alpha beta", 300))
    ]
    assert said(*named)[:2] == ["Name a:", "Alpha beta"]
    table = [
        piece(text, x, 100 + 12 * n) for n in range(4) for text, x in (("Blue pens", 50), ("12", 200), ("41.90", 300))
    ]
    assert [" ".join(row.split()) for row in said(*table)] == ["Blue pens 12 41.90"] * 4


def test_a_slanted_row_is_one_line() -> None:
    words = [piece(text, 50 + 60 * n, 100 + 2.5 * n) for n, text in enumerate(["1.00", "2.00", "3.00", "4.00", "5.00"])]
    assert [" ".join(row.split()) for row in said(*words)] == ["1.00 2.00 3.00 4.00 5.00"]


def test_what_is_printed_twice_to_look_bold_is_said_once() -> None:
    assert said(piece("Total", 50, 100), piece("Total", 50.4, 100)) == ["Total"]


def test_japanese_pieces_that_touch_have_no_blank_between() -> None:
    def wide(text: str, left: float) -> Piece:
        box = (left, 100.0, left + 10 * len(text), 110.0)
        return Piece(text, box, box)

    assert said(wide("合計", 50), wide("金額", 70)) == ["合計金額"]


places = st.floats(0, 1000, allow_nan=False)


@given(
    st.lists(
        st.tuples(st.text("ab1 :", min_size=1).map(str.strip).filter(bool), places, places, st.floats(0, 50)),
        max_size=30,
    )
)
def test_no_text_is_lost(given_pieces: list[tuple[str, float, float, float]]) -> None:
    pieces = [piece(f"{text}{n}", x, y, size) for n, (text, x, y, size) in enumerate(given_pieces)]
    letters = sorted("".join(p.text for p in pieces).replace(" ", ""))
    assert sorted("".join(said(*pieces)).replace(" ", "")) == letters
    assert all("\n" not in line for line in said(*pieces))
