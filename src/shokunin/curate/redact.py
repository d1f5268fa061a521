"""Personal data in texts: found with high precision (checksums where there are any), counted, and masked if asked."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

KINDS = ("url_credentials", "email", "iban", "credit_card", "my_number", "ip", "phone")
"""In order of precedence where two overlap."""


@dataclass(frozen=True, slots=True)
class Found:
    """A piece of personal data: its kind, and where in the text it is, as `text[start:end]`."""

    kind: str
    start: int
    end: int


def find_personal(text: str) -> list[Found]:
    """Personal data in a text, from left to right, without overlaps.

    E-mail addresses; telephone numbers (international, Japanese, North American and British forms); payment cards
    (issuer prefix and Luhn checksum); IBAN (length of the country and checksum, ISO 13616); IP addresses; web addresses
    with a password in them; Japan's individual number ("My Number": check digit, and the usual grouping or the word
    beside it). Names and postal addresses are not found.
    """
    if not _HINT.search(text):
        return []
    plain = text if text.isascii() else _LONG_VOWEL.sub("-", text.translate(_HALF_WIDTH))
    found: list[Found] = []
    for finder in (_url_credentials, _emails, _ibans, _cards, _my_numbers, _ipv4s, _ipv6s, _phones):
        found = list(_merged(found, finder(plain)))
    return found


def mask(text: str) -> str:
    """The text with each piece of personal data replaced by its kind in angle brackets, `<email>`."""
    parts: list[str] = []
    at = 0
    for item in find_personal(text):
        parts += (text[at : item.start], f"<{item.kind}>")
        at = item.end
    return "".join((*parts, text[at:]))


def mask_together(texts: Sequence[str]) -> list[str]:
    """Texts that belong together, such as a request and its answer, masked alike.

    What is personal data in one of them is masked in all of them, also where it could not be told there: a number that only the
    words beside it give away, say.
    """
    pieces: dict[str, str] = {}
    for text in texts:
        for item in find_personal(text):
            pieces.setdefault(text[item.start : item.end], item.kind)
    masked = [mask(text) for text in texts]
    for piece in sorted(pieces, key=len, reverse=True):  # a longer one may hold a shorter one
        whole = re.compile(rf"(?<![A-Za-z0-9]){re.escape(piece)}(?![A-Za-z0-9])")
        masked = [whole.sub(f"<{pieces[piece]}>", text) for text in masked]
    return masked


def _merged(taken: Sequence[Found], more: Iterable[Found]) -> Iterator[Found]:
    """Those that are taken and of the others those that overlap none, all in order, in one pass: texts may be long."""
    at, free = 0, 0
    for item in sorted(more, key=lambda f: f.start):
        while at < len(taken) and taken[at].start < item.end:
            free = max(free, taken[at].end)
            yield taken[at]
            at += 1
        if item.start >= free:
            free = item.end
            yield item
    yield from taken[at:]


# Full-width digits and signs, which Japanese keyboards give, one character for one so that places stay right.
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    0x3000: ord(" "),
    **{ord(dash): ord("-") for dash in "‐‑‒–—―−－"},
}
_LONG_VOWEL = re.compile(r"(?<=\d)[ーｰ](?=\d)")  # often typed for a dash, but part of words too
_HINT = re.compile(
    r"@|＠|://|：／／|\d.{0,3}?\d.{0,3}?\d.{0,3}?\d.{0,3}?\d|[0-9A-Fa-f]{0,4}::?[0-9A-Fa-f]{1,4}:|::1", re.S
)

_URL = re.compile(
    r"\b[A-Za-z][A-Za-z0-9+.\-]{1,20}://[^\s/:@<>\"']{1,100}:[^\s/@<>\"']{1,100}@[^\s<>\"'、。」）]{1,500}"
)
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+\-])[A-Za-z0-9][A-Za-z0-9._%+\-]{0,63}@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9\-])"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![\d.,\-+])\d(?:[ \-]?\d){12,18}(?![\d\-]|[.,]\d)")
_MY_NUMBER = re.compile(r"(?<![A-Za-z0-9\-])(?<!\d[ ])(\d{4})([ \-]?)(\d{4})\2(\d{4})(?![A-Za-z0-9\-]|[ ]\d)")
_MY_NUMBER_WORD = re.compile(r"マイナンバー|個人番号|my ?number", re.I)
_IPV4 = re.compile(r"(?<![A-Za-z0-9_.\-])(?:\d{1,3}\.){3}\d{1,3}(?![A-Za-z0-9_\-]|\.\d)")
_IPV6 = re.compile(r"(?<![A-Za-z0-9_:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![A-Za-z0-9_:])")
_VERSION_WORD = re.compile(r"(?:version|ver|v|release|firmware|build|バージョン|§|section)[\s.:]*$", re.I)
_PHONE = re.compile(
    r"""(?<![A-Za-z0-9_.,+\-/=#])(?:
      \+\d{1,3}[\s\-.]?(?:\(0?\d{1,4}\)[\s\-.]?)?\d{1,5}(?:[\s\-.]?\d{2,4}){1,4}   # +44 20 7946 0958
    | \(0\d{1,4}\)[\s\-]?\d{1,4}[\s\-]\d{4}                                        # (03) 1234-5678
    | 0\d{1,4}-\d{1,4}-\d{3,4}                                                     # 03-1234-5678, 090-1234-5678
    | 0\d{1,3}\(\d{1,4}\)\d{4}                                                     # 03(1234)5678
    | (?<!\d\s)0\d{2,4}\s\d{3,4}\s?\d{3,4}(?!\s\d)                                  # 020 7946 0958
    | 0\d{9,10}                                                                    # 09012345678
    | (?:1[\s\-.])?\([2-9]\d{2}\)[\s\-.]?\d{3}[\s\-.]\d{4}                         # (555) 123-4567
    | (?:1[\s\-.])?[2-9]\d{2}([\-.])\d{3}\1\d{4}                                   # 555-123-4567
    )(?![A-Za-z0-9_\-/]|[.,]\d)""",
    re.X,
)
# Lengths by country, from the SWIFT registry of IBAN formats.
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL",
        19: "MK SI",
        20: "AT BA EE KZ LT LU XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "FR GR IT MC SM",
        28: "AL AZ BY CY DO GT HU LB PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU",
        31: "MT SC",
    }.items()
    for country in countries.split()
}


def _url_credentials(text: str) -> Iterator[Found]:
    if "://" in text and "@" in text:
        yield from (Found("url_credentials", m.start(), m.end()) for m in _URL.finditer(text))


def _emails(text: str) -> Iterator[Found]:
    if "@" in text:
        yield from (Found("email", m.start(), m.end()) for m in _EMAIL.finditer(text))


def _ibans(text: str) -> Iterator[Found]:
    for m in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(m[0][:2])
        if length is None:
            continue
        # A word in capitals may follow the number; only as many characters as the country's numbers have belong to it.
        end, seen = m.start(), 0
        while seen < length and end < m.end():
            seen += text[end] != " "
            end += 1
        number = text[m.start() : end].replace(" ", "")
        whole = end == m.end() or text[end] == " "
        if seen == length and whole and int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97 == 1:
            yield Found("iban", m.start(), end)


def _cards(text: str) -> Iterator[Found]:
    for m in _CARD.finditer(text):
        digits = re.sub(r"\D", "", m[0])
        if _issuer(digits) and _luhn(digits) and len(set(digits)) > 1:
            yield Found("credit_card", m.start(), m.end())


def _issuer(digits: str) -> bool:
    """Whether prefix and length are those of a large card scheme."""
    n, two, three, four = len(digits), int(digits[:2]), int(digits[:3]), int(digits[:4])
    return (
        (digits[0] == "4" and n in (13, 16, 19))
        or ((51 <= two <= 55 or 2221 <= four <= 2720) and n == 16)
        or (two in (34, 37) and n == 15)
        or (3528 <= four <= 3589 and n == 16)
        or ((four == 6011 or 644 <= three <= 649 or two == 65) and n in (16, 19))
        or ((300 <= three <= 305 or two in (36, 38, 39)) and n == 14)
        or (two == 62 and 16 <= n <= 19)
    )


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        d = int(digit) * (1 + place % 2)
        total += d - 9 if d > 9 else d
    return total % 10 == 0


def _my_numbers(text: str) -> Iterator[Found]:
    for m in _MY_NUMBER.finditer(text):
        digits = m[1] + m[3] + m[4]
        beside = _MY_NUMBER_WORD.search(text, max(0, m.start() - 30), m.start()) is not None
        # One random number in ten passes the check digit, so the word must be near, or the usual grouping be there.
        if (beside or m[2]) and _my_number_check(digits) and len(set(digits)) > 2:
            yield Found("my_number", m.start(), m.end())


def _my_number_check(digits: str) -> bool:
    """The check digit of the Number Act's ordinance: weights 2 to 7 from the right, then 2 to 6."""
    weights = [2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6]
    remainder = sum(int(d) * w for d, w in zip(reversed(digits[:11]), weights, strict=True)) % 11
    return int(digits[11]) == (0 if remainder <= 1 else 11 - remainder)


def _ipv4s(text: str) -> Iterator[Found]:
    yield from _addresses(text, _IPV4.finditer(text))


def _ipv6s(text: str) -> Iterator[Found]:
    for m in _IPV6.finditer(text):
        if (m[0].count(":") >= 4 or "::" in m[0]) and sum(c != ":" for c in m[0]) >= 4:
            yield from _addresses(text, [m])  # else a time of day, or punctuation


def _addresses(text: str, matches: Iterable[re.Match[str]]) -> Iterator[Found]:
    for m in matches:
        try:
            address = ipaddress.ip_address(m[0])
        except ValueError:
            continue
        if not address.is_unspecified and not _VERSION_WORD.search(text, max(0, m.start() - 12), m.start()):
            yield Found("ip", m.start(), m.end())


def _phones(text: str) -> Iterator[Found]:
    for m in _PHONE.finditer(text):
        digits = re.sub(r"\D", "", m[0])
        if 9 <= len(digits) <= 15 and len(set(digits)) > 2:
            yield Found("phone", m.start(), m.end())
