"""Which encoding of the time before UTF-8 some bytes are in, told by the characters that its languages use most."""

from __future__ import annotations

import re

from charset_normalizer import from_bytes

# Encoding, characters to expect, and the share of the non-ASCII characters that they make up in ordinary text.
_EXPECTED = (
    ("cp932", "[\u3040-\u30ff、。「」]", 0.4),
    ("euc_jp", "[\u3040-\u30ff、。「」]", 0.4),
    (
        "gb18030",
        "[的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成"
        "方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心本前开但因只从想实，。？：请]",
        0.35,
    ),
    (
        "big5",
        "[的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家種事成"
        "方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心本前開但因只從想實，。？：請]",
        0.35,
    ),
    ("euc_kr", "[\uac00-\ud7a3]", 0.9),
    ("cp1251", "[оеаинтсрвлкмдпуяьызбгч](?=[а-яё])|(?<=[А-Яа-яё])[оеаинтсрвлкмдпуяьызбгч]", 0.8),
    ("cp1253", "[αοιεστνηυρπκμλςάίόέήύώδγω](?=[α-ώ])|(?<=[Α-ώ])[αοιεστνηυρπκμλςάίόέήύώδγω]", 0.85),
    ("cp1252", "[äöüßéèêëàâçîïôûùœñáíóúæøåãõìòÄÖÜÉÀÇ’“”–…€«»°¿¡]", 0.9),
    ("cp1250", "[áčďéěíňóřšťúůýžąćęłńśźżäöüßőűăâîşţÁČÉÍŘŠŽŁŚŻ’“”„–…€]", 0.9),
    ("cp1254", "[şğıİöüçâîûŞĞÜÖÇ’“”–…€]", 0.9),
)
LEAST = 0.5


def legacy_encodings(strange: bytes) -> list[str]:
    """The encodings that may fit, likeliest first: at best one of the common ones, else what a general detector says.

    Args:
        strange: lines with bytes that are not UTF-8.
    """
    scores: list[tuple[float, str]] = []
    for name, expected, usual in _EXPECTED:
        try:
            text = strange.decode(name)
        except UnicodeDecodeError:
            continue
        other = [c for c in text if not c.isascii()]
        if other:
            # Control characters and private use are never meant.
            wrong = sum(not c.isprintable() and c not in "\u3000\xa0" for c in other)
            hits = len(re.findall(expected, text))
            scores.append((min(1.0, hits / len(other) / usual) - 5 * wrong / len(other), name))
    scores.sort(key=lambda s: -s[0])  # stable: the order above decides between equals
    likely = [name for score, name in scores if score >= LEAST]
    if likely:
        return likely
    found = from_bytes(strange)
    return [*dict.fromkeys([*(match.encoding for match in found), *(name for score, name in scores if score >= 0)])]
