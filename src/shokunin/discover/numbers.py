"""Numbers as people and models write them, in English, in much of Europe and in Japan, units and currencies left aside."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 40
_ABOUT = r"(?:about |approximately |approx\.? |around |ca\.? |~|≈|約|およそ|ほぼ)?"
_CURRENCY = r"[$€£¥₹]?"
_BODY = r"(?P<body>\d[\d.,' ]*|\.\d+)"
_UNIT = r"(?P<unit>%|[$€£¥₹円元]|[A-Za-zµ°/]{1,8}[23]?)?"
_NUMBER = re.compile(rf"{_ABOUT}\s*(?P<sign>[-+]?)\s*{_CURRENCY}\s*(?P<minus>-?){_BODY}\s*{_UNIT}\.?")
_PARTS = r"(?:\d[\d,]*(?:\.\d+)?[千万億兆])+\d*"
_JAPANESE = re.compile(rf"{_ABOUT}\s*(?P<sign>[-+]?)¥?(?P<body>{_PARTS})\s*[^\W\d_]{{0,3}}")
_PART = re.compile(r"(\d[\d,]*(?:\.\d+)?)([千万億兆]?)")
_TIMES = {"": 1, "千": 1e3, "万": 1e4, "億": 1e8, "兆": 1e12}
_WORDS = {"k": 1e3, "K": 1e3, "M": 1e6, "mn": 1e6, "million": 1e6, "bn": 1e9, "billion": 1e9}
_BY_SPACE = re.compile(r"\d{1,3}(?:[ ']\d{3})+(?=\D|\Z)")
_BY_COMMA = re.compile(r"\d{1,3}(?:,\d{2,3})*,\d{3}")  # 1,234,567, and 12,34,567 as in India
_BY_POINT = re.compile(r"\d{1,3}(?:\.\d{3})+")


def number_of(answer: str) -> float | None:
    """The number that an answer is; None if it is none.

    `1.234,56` and `1,234.56` are one number. Where a single mark could be either, as in `1.234`, a point divides the decimals
    and a comma the thousands.
    """
    if len(answer) > LONGEST:
        return None
    plain = unicodedata.normalize("NFKC", answer).replace("\u2212", "-").strip("\"'`*。 \t\r\n")
    found = _JAPANESE.fullmatch(plain)
    if found is not None:
        value = sum(float(digits.replace(",", "")) * _TIMES[unit] for digits, unit in _PART.findall(found["body"]))
        return -value if found["sign"] == "-" else value
    found = _NUMBER.fullmatch(plain)
    size = None if found is None else _size(found["body"].strip())
    if found is None or size is None:
        return None
    size *= _WORDS.get(found["unit"] or "", 1)
    return -size if "-" in found["sign"] + found["minus"] else size


def _size(body: str) -> float | None:
    """What digits with marks between them come to; None where the marks stand at no sensible places."""
    if " " in body or "'" in body:
        grouped = _BY_SPACE.match(body)
        if grouped is None:
            return None
        body = re.sub("[ ']", "", grouped[0]) + body[grouped.end() :]
    body = body.rstrip(".,")
    comma, point = body.rfind(","), body.rfind(".")
    if comma >= 0 and point >= 0:
        whole, mark = (body[:comma], ".") if comma > point else (body[:point], ",")
        if not (_BY_POINT if mark == "." else _BY_COMMA).fullmatch(whole):
            return None
        body = whole.replace(mark, "") + "." + body[max(comma, point) + 1 :]
    elif comma >= 0:
        thousands = _BY_COMMA.fullmatch(body) and not body.startswith("0")
        body = body.replace(",", "") if thousands else body.replace(",", ".")
    elif body.count(".") > 1 and _BY_POINT.fullmatch(body):
        body = body.replace(".", "")
    try:
        return float(body)
    except ValueError:  # several marks that divide nothing
        return None
