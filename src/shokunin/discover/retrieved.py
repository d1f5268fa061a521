"""Whether a wording brings documents along: a long slot that the replies are taken from."""

from __future__ import annotations

import re
from statistics import median

from shokunin.discover.wording import Wording

LONG = 200
"""Characters of the longest slot, usually; a shorter one is a question, not a document."""
TIMES = 3
"""A document is so many times as long as the question beside it."""
TAKEN = 0.5
"""Share of a reply's words that stand in the documents, usually."""
NAMED = re.compile(
    r"(?i)\b(context|contexts|document|documents|doc|passages?|sources?|excerpts?|articles?|knowledge|search results|"
    r"snippets?|references?)\b|文脈|資料|文書|抜粋|検索結果|参考"
)
_WORD = re.compile(r"[^\W\d_]{4,}|[\u3040-\u30ff\u4e00-\u9fff]{2}")


def reads_documents(wording: Wording) -> bool:
    """Whether the prompts hold documents and a question about them, and the replies are mostly words of the documents."""
    template = wording.template
    if template is None or not NAMED.search(wording.said):
        return False
    looked_at = wording.looked_at
    pairs = [
        (sorted(values.values(), key=len), call.reply)
        for call in looked_at
        if call.reply and (values := template.match_texts(call.messages)) and len(values) >= 2
    ]
    if len(pairs) < len(looked_at) / 2:
        return False
    documents, questions = [slots[-1] for slots, _ in pairs], [slots[0] for slots, _ in pairs]
    if median(map(len, documents)) < max(LONG, TIMES * median(map(len, questions))):
        return False
    shares = []
    for slots, reply in pairs:
        there, words = set(_WORD.findall(" ".join(slots[1:]).lower())), _WORD.findall(reply.lower())
        shares.append(sum(word in there for word in words) / len(words) if words else 0.0)
    return median(shares) >= TAKEN
