"""A light guess of a text's language: by script, and for Latin script by a vote of function words.

It is for counting what a data set is made of, not for deciding about single texts: a text without a function word is
`und` (undetermined), a Japanese text without kana passes for Chinese, and only the languages below are told apart.
"""

from __future__ import annotations

import re

# Scripts that one language (or one main language) is written in; the first script with enough letters wins.
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff\uff66-\uff9f]")),
    ("ko", re.compile(r"[\uac00-\ud7af\u1100-\u11ff\u3130-\u318f]")),
    ("zh", re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("uk", re.compile(r"[іїєґІЇЄҐ]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("vi", re.compile(r"[\u1ea0-\u1ef9ăđơưĂĐƠƯ]")),
)

_WORDS = {
    "en": "a an the and is are was to of in it you i my for on with that this have not be do can what how at your me",
    "de": "der die das und ist nicht ich sie ein eine zu mit für auf den dem es im wie mein wir haben kann bitte wo",
    "fr": "le la les et est une des du je pas vous que pour dans sur avec mon ma ce nous qui ne au comment mes c'est",
    "es": "el la los las y es una que no en por para con mi se del lo como está qué cómo yo pero su tengo puedo al",
    "it": "il lo la gli è un una che non di per con mi sono del della come ho mia mio nel alla posso più si da perché",
    "pt": "os é um uma que não de para com meu minha do da na em como eu por você está mas posso se foi ao isso",
    "nl": "de het een en niet ik van op met voor dat die mijn zijn heb kan hoe je wat te er we naar maar ook bij om",
    "id": "yang dan ini itu saya tidak untuk dengan ke dari ada apa bagaimana bisa sudah akan pada anda kami juga",
    "pl": "w na z nie jest się że jak mój moja dla czy co ale przez mam jestem od są być tylko",
    "tr": "ve bir bu için ile ne değil mi çok nasıl ben var yok benim daha gibi ama olarak kadar",
    "sv": "och att det är en ett jag inte på med för som har min hur kan vad av till den vi",
}
_VOTES: dict[str, tuple[str, ...]] = {}
for _code, _line in _WORDS.items():
    for _word in _line.split():
        _VOTES[_word] = (*_VOTES.get(_word, ()), _code)
_LETTER = re.compile(r"[^\W\d_]")
_LATIN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
LONGEST = 1000


def language_of(text: str) -> str:
    """The ISO 639-1 code of a text's language as far as it can be told, else `und`."""
    text = text[:LONGEST]
    if not text.isascii():
        letters = len(_LETTER.findall(text))
        for code, script in _SCRIPTS:
            # Japanese mixes kana with Chinese characters, so a little kana is enough; a foreign name is not.
            if len(script.findall(text)) > letters * (0.05 if code in ("ja", "uk", "vi") else 0.4):
                return code
    votes: dict[str, int] = {}
    for word in _LATIN.findall(text.casefold()):
        for code in _VOTES.get(word, ()):
            votes[code] = votes.get(code, 0) + 1
    if not votes:
        return "und"
    best = max(votes.values())
    leaders = [code for code, count in votes.items() if count == best]
    return leaders[0] if len(leaders) == 1 else "und"
