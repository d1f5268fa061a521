"""Characters folded one for one, so that a place in the folded text is the same place in the text itself."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹣－"), "-")
QUOTES = {ord("’"): "'", ord("‘"): "'", ord("“"): '"', ord("”"): '"', ord("\u00a0"): " ", ord("\u202f"): " "}
MEANT = frozenset("%&#@+±×÷≤≥°")
"""Signs that make another value, as those of currencies do: "A+" is not "A". Other punctuation means nothing."""


def fold(text: str) -> str:
    """Wide and compatibility letters as plain ones (NFKC where one character stays one), dashes and quotes as in ASCII."""
    return text if text.isascii() else "".join(map(_folded, text))


def key(text: str) -> str:
    """What two spellings of one text have in common: letters, digits and the signs of `MEANT`, folded and upper case.

    Blanks, line breaks and punctuation go; where they stood between two digits a blank stays, as "1/5" is not "15".
    """
    return keyed(text)[0]


def keyed(text: str) -> tuple[str, list[int]]:
    """The `key` of a text, and for each of its characters the place in `text` that it came from."""
    kept: list[str] = []
    places: list[int] = []
    gap = False
    for place, char in enumerate(fold(text).upper() if text.isascii() else map(_upper, text)):
        if not (char.isalnum() or char in MEANT or unicodedata.category(char[0]) == "Sc"):
            gap = True
            continue
        if gap and kept and kept[-1].isdigit() and char.isdigit():
            kept.append(" ")
            places.append(place - 1)
        gap = False
        kept.append(char)
        places.append(place)
    if any(len(char) > 1 for char in kept):  # "ß" is "SS" in upper case
        places = [place for place, char in zip(places, kept, strict=True) for _ in char]
    return "".join(kept), places


def tidy(text: str) -> str:
    """One line, single blanks, no punctuation at the ends but what closes something opened before."""
    one = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)).strip()
    one = one.strip(" \t,;:|_*~=")
    return one[:-1].rstrip() if one.endswith(".") and one.count(".") == 1 else one


@lru_cache(maxsize=8192)
def _folded(char: str) -> str:
    plain = unicodedata.normalize("NFKC", char)
    return (plain if len(plain) == 1 else char).translate(DASHES).translate(QUOTES)


@lru_cache(maxsize=8192)
def _upper(char: str) -> str:
    return _folded(char).upper()
