"""Marks for a written answer beside the answer that was expected: exact, ROUGE-L, chrF; each from 0 to 1.

The marks are of one row; the mean over rows is the score, so that every row counts the same and two models can be compared
row by row. (chrF of a whole corpus, as machine translation reports it, adds up the counts first and is another number.)
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator

WORDS = re.compile(r"\w+")
LONGEST_CHARACTERS = 6
"""chrF counts sequences of 1 to so many characters."""
BETA = 2.0
"""chrF2: recall counts for twice as much as precision."""
UNSPACED = re.compile("[぀-ヿ㐀-鿿가-힣ｦ-ﾟ]")
"""Kana, Han and Hangul: scripts in which a word for ROUGE is one character."""


def exact_match(expected: str, given: str) -> float:
    """1 where both say the same after `normalised`, else 0."""
    return float(normalised(expected) == normalised(given))


def rouge_l(expected: str, given: str) -> float:
    """ROUGE-L, the F with equal weight of precision and recall of the longest common subsequence of words.

    Words are runs of letters and digits in lower case, not stemmed; a character of a script without spaces is a word (Lin,
    ROUGE, ACL workshop 2004). Two texts without any word agree fully; one alone does not agree at all.
    """
    wanted, got = _words(expected), _words(given)
    if not wanted or not got:
        return float(not wanted and not got)
    common = _longest_common(wanted, got)
    return 2 * common / (len(wanted) + len(got))


def chrf(expected: str, given: str) -> float:
    """chrF2 of one sentence: F with beta 2 of the mean precision and mean recall of 1- to 6-character sequences.

    White space is left out; an order in which neither text has a sequence is not counted (Popović, chrF, WMT 2015). Two empty
    texts agree fully.
    """
    wanted, got = ("".join(normalised(text).split()) for text in (expected, given))
    if not wanted or not got:
        return float(not wanted and not got)
    precision, recall, orders = 0.0, 0.0, 0
    for n in range(1, LONGEST_CHARACTERS + 1):
        a, b = Counter(_sequences(wanted, n)), Counter(_sequences(got, n))
        if not a and not b:
            break
        both = sum((a & b).values())
        precision += both / b.total() if b else 0.0
        recall += both / a.total() if a else 0.0
        orders += 1
    precision, recall = precision / orders, recall / orders
    if precision + recall == 0:
        return 0.0
    # The sums of shares come out a hair above 1 for equal texts.
    return min(1.0, (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall))


MARKS: dict[str, Callable[[str, str], float]] = {"exact_match": exact_match, "rouge_l": rouge_l, "chrf": chrf}
"""Every mark that needs nothing but the two texts, by name: mark(expected, given)."""


def normalised(text: str) -> str:
    """The text with full-width and half-width spellings made one (NFKC) and every run of white space a single space."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _words(text: str) -> list[str]:
    words: list[str] = []
    for word in WORDS.findall(normalised(text).lower()):
        words += UNSPACED.sub(lambda found: f" {found.group()} ", word).split()
    return words


def _longest_common(a: list[str], b: list[str]) -> int:
    """The length of the longest common subsequence, in O(len(a) len(b)) steps and O(len(b)) memory."""
    row = [0] * (len(b) + 1)
    for word in a:
        before = 0
        for j, other in enumerate(b):
            above = row[j + 1]
            row[j + 1] = before + 1 if word == other else max(above, row[j])
            before = above
    return row[-1]


def _sequences(text: str, n: int) -> Iterator[str]:
    return (text[i : i + n] for i in range(len(text) - n + 1))
