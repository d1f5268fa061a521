from __future__ import annotations

import datetime
from typing import Any

import pytest

from shokunin.fields.dates import read_date
from shokunin.fields.style import format_date, learn_style, styles, write
from shokunin.forms import Field


@pytest.mark.parametrize(
    ("field", "pairs", "raw", "written"),
    [
        (Field("d", "date"), [("25/12/2018", "25/12/2018"), ("1 Jan 2019", "1 Jan 2019")], "2 Feb 2020", "2 Feb 2020"),
        (Field("d", "date"), [("25/12/2018", "2018-12-25"), ("1 Jan 2019", "2019-01-01")], "2.3.2020", "2020-03-02"),
        (Field("d", "date"), [("2018-12-25", "25 DEC 2018"), ("2019-03-01", "01 MAR 2019")], "2.3.2020", "02 MAR 2020"),
        (Field("d", "date"), [("2023年3月1日", "令和5年3月1日")], "2019/05/01", "令和元年5月1日"),
        (Field("t", "money"), [("RM 9.00", "9.00"), ("10.50", "10.50")], "RM 3.20", "3.20"),
        (Field("t", "money"), [("1.234,50 €", 1234.5), ("9,00", 9.0)], "2.000,10", 2000.1),
        (Field("t", "money"), [("¥1,234", 1234), ("56円", 56)], "2,000円", 2000),
        (Field("t", "money"), [("1234,5", "1,234.50"), ("9", "9.00")], "2.000,10", "2,000.10"),
        (Field("i", "id"), [("inv-1", "INV-1")], "inv-2", "INV-2"),
        (Field("i", "id"), [("inv-1 2", "INV12")], "a-b 3", "AB3"),
        (Field("a"), [("NO 1,\nBIG ROAD.", "NO 1, BIG ROAD"), ("A\nB", "A B")], "C,\nD;", "C, D"),
        (Field("a"), [("No 1\nBig Road", "NO 1, BIG ROAD")], "c\nd", "C, D"),
        (Field("a"), [("No 1\nBig Road", "No 1\nBig Road")], "c \n d", "c\nd"),
    ],
)
def test_answers_are_written_as_the_rows_write_them(
    field: Field, pairs: list[tuple[str, Any]], raw: str, written: Any
) -> None:
    answer = write(learn_style(field, pairs, "dmy"), field, raw, "dmy")
    assert answer == written and type(answer) is type(written)


def test_every_form_of_a_date_is_read_back() -> None:
    day = datetime.date(2019, 11, 28)
    for style in styles(Field("d", "date")):
        if style.form != "as_written":
            order = "mdy" if style.form.startswith("M") else "ymd" if style.form == "YY/MM/DD" else "dmy"
            assert read_date(format_date(day, style), order) == day, style


def test_without_rows_values_stay_as_they_are_written() -> None:
    assert write(learn_style(Field("t", "money"), [], "dmy"), Field("t", "money"), "RM 9.00", "dmy") == "RM 9.00"
