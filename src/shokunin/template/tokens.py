"""Tokens of a text, estimated: nobody here has the large model's tokenizer."""

from __future__ import annotations

import math
from collections.abc import Iterable

BYTES_PER_TOKEN = 4


def tokens_of(texts: Iterable[str]) -> int:
    """UTF-8 bytes by four, rounded up; for English and Japanese about right, for code and rare scripts on the low side."""
    return math.ceil(sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) / BYTES_PER_TOKEN)
