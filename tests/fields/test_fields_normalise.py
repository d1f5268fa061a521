from __future__ import annotations

import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shokunin.fields.amounts import find_amounts, plain, read_amount
from shokunin.fields.dates import ORDERS, find_dates, read_date, usual_order
from shokunin.fields.normalise import canonical, find_spans, same
from shokunin.fields.spelling import fold, key, keyed
from shokunin.forms import Field

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("25/12/2018", "2018-12-25"),
        ("2018-12-25", "2018-12-25"),
        ("25.12.2018 13:14", "2018-12-25"),
        ("(25-12-18)", "2018-12-25"),
        ("25 DEC 2018", "2018-12-25"),
        ("December 25th, 2018", "2018-12-25"),
        ("1. März 2019", "2019-03-01"),
        ("25 de diciembre de 2018", "2018-12-25"),
        ("25 grudnia 2018", "2018-12-25"),
        ("20181225", "2018-12-25"),
        ("2018年12月25日", "2018-12-25"),
        ("平成30年12月25日", "2018-12-25"),
        ("令和元年5月1日", "2019-05-01"),
        ("R5.3.1", "2023-03-01"),
        ("２０１８／１２／２５", "2018-12-25"),
        ("no date", None),
        ("31/02/2018", None),
        ("1/2/2018 - 3/2/2018", None),
    ],
)
def test_dates_are_read_in_many_spellings(written: str, meant: str | None) -> None:
    assert canonical(written, "date") == meant


def test_the_order_decides_where_both_numbers_may_be_the_day() -> None:
    assert [canonical("03/04/2018", "date", order=order) for order in ORDERS[:2]] == ["2018-04-03", "2018-03-04"]
    assert canonical("25/12/2018", "date", order="mdy") == "2018-12-25", "no date the other way round"


def test_the_order_is_told_by_dates_that_make_sense_one_way_only() -> None:
    assert usual_order(find_dates("03/04/2018 12/25/2018")) == "mdy"
    assert usual_order(find_dates("03/04/2018 25.12.2018")) == "dmy"
    assert usual_order(find_dates("03/04/2018")) is None


@given(st.dates(datetime.date(1970, 1, 1), datetime.date(2069, 12, 31)), st.sampled_from(["-", "/", "."]))
def test_a_written_date_is_found_where_it_stands(day: datetime.date, mark: str) -> None:
    text = f"Invoice of {day.day:02}{mark}{day.month:02}{mark}{day.year}, paid"
    assert canonical(day.isoformat(), "date") == day.isoformat()
    ((start, end),) = find_spans(text, day.isoformat(), "date")
    assert text[start:end] == f"{day.day:02}{mark}{day.month:02}{mark}{day.year}"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("9.00", "9"),
        ("RM 9.50", "9.5"),
        ("1,234.50", "1234.5"),
        ("1.234,50 €", "1234.5"),
        ("1 234,50", "1234.5"),
        ("CHF 1'234.50", "1234.5"),
        ("¥1,234", "1234"),
        ("１２３円", "123"),
        ("(12.00)", "-12"),
        ("-$9.50", "-9.5"),
        ("$-9.50", "-9.5"),
        ("12.00-", "-12"),
        ("1,234.00- USD", "-1234"),
        ("¥1,234-", "1234"),
        ("合計¥1,234-", "1234"),
        ("合計¥ 1,234-", "1234"),
        ("￥１，２３４－", "1234"),
        ("1,234円-", "1234"),
        ("合計 1,234円― (税込)", "1234"),
        ("¥-1,234-", "-1234"),
        ("▲1,234", "-1234"),
        ("△ ¥1,234-", "-1234"),
        ("値引▲1,234円", "-1234"),
        ("△△123", "123"),
        (".50", "0.5"),
        ("1.234", "1234"),
        ("nothing", None),
        ("3.00 of 5.00", None),
    ],
)
def test_money_is_read_in_many_spellings(written: str, meant: str | None) -> None:
    assert canonical(written, "money") == meant


def test_in_a_number_one_point_is_decimal() -> None:
    assert canonical("1.234", "number") == "1.234"
    assert canonical(3.0, "number") == "3"
    assert canonical(True, "number") is None


@given(st.decimals(-(10**9), 10**9, places=2))
def test_an_amount_survives_thousands_and_decimal_marks(value: Decimal) -> None:
    for text in (f"{value:,.2f}", f"{value:,.2f}".translate(str.maketrans(",.", ".,")), f"{value:.2f}"):
        assert read_amount(text) == value, text
    assert Decimal(plain(value)) == value


def test_the_signs_of_an_amount_are_of_its_place() -> None:
    text = "小計 ¥1,500- 値引 ▲500円- 計1,000円-1,200円"
    found = [(text[a.start : a.end], a.value) for a in find_amounts(text)]
    assert found == [("¥1,500-", 1500), ("▲500円-", -500), ("1,000円", 1000), ("1,200円", 1200)]
    assert find_spans(text, -500, "money") == [(text.index("▲"), text.index(" 計"))]


def test_an_id_has_no_blanks_and_no_dashes() -> None:
    assert canonical("inv–001 23", "id") == "INV00123"
    assert same(Field("n", "id"), "INV-001-23", "inv 00123")


def test_texts_are_the_same_by_letters_and_digits() -> None:
    field = Field("company")
    assert same(field, "MR. D.I.Y. (M) SDN BHD", "Mr DIY (M)\nSDN. BHD.")
    assert not same(field, "LOT 1/5", "LOT 15")
    assert not same(field, "A+", "A")
    assert same(field, None, "") and not same(field, None, "x")


def test_lists_are_compared_row_by_row() -> None:
    field = Field("lines", "list", (Field("what"), Field("price", "money")))
    assert same(field, [{"what": "nut", "price": 1}], [{"what": "Nut", "price": "1.00"}])
    assert not same(field, [{"what": "nut", "price": 1}], [{"what": "nut", "price": 1}] * 2)
    assert not same(field, [{"what": "nut", "price": 1}], "nut")


def test_a_text_is_found_over_line_breaks_but_not_inside_words() -> None:
    text = "X\nNO.2, JALAN BESAR,\n81750 JOHOR\nTEL 1"
    ((start, end),) = find_spans(text, "No 2 Jalan Besar 81750 Johor", "text")
    assert text[start:end] == "NO.2, JALAN BESAR,\n81750 JOHOR"
    assert find_spans("SUBTOTAL", "total", "text") == []
    assert find_spans("A 1, 5", "5", "text") == [(5, 6)]
    assert find_spans("Maß", "s", "text") == []
    assert find_spans("株式会社山田商店", "山田", "text") == [(4, 6)]


@settings(max_examples=300)
@given(TEXTS)
def test_any_text_is_bearable(text: str) -> None:
    assert len(fold(text)) == len(text)
    letters, places = keyed(text)
    assert len(letters) == len(places) and all(0 <= p < max(len(text), 1) for p in places) and places == sorted(places)
    for date in find_dates(text):
        assert 0 <= date.start < date.end <= len(text)
        assert read_date(text[date.start : date.end]) is not None
    for amount in find_amounts(text):
        assert 0 <= amount.start <= amount.inner_start < amount.inner_end <= amount.end <= len(text)
        assert amount.value.is_finite()
    for kind in ("text", "date", "money", "number", "id"):
        value = canonical(text, kind)  # type: ignore[arg-type]
        assert value is None or value
        assert same(Field("f", kind), text, text)  # type: ignore[arg-type]
        for start, end in find_spans(f"{text}\n{text}", text, kind):  # type: ignore[arg-type]
            assert 0 <= start < end <= 2 * len(text) + 1


@given(TEXTS, TEXTS, TEXTS)
def test_a_text_is_found_where_it_was_put(before: str, value: str, behind: str) -> None:
    if not key(value):
        return
    text = f"{before}\n{value}\n{behind}"
    spans = find_spans(text, value, "text")
    assert spans and all(key(text[a:b]) == key(value) for a, b in spans)
