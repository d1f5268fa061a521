"""Which column is the text and which the label: guessed from names and data, with the reasons said."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from shokunin.curate.table import quoted
from shokunin.errors import DataError

TEXT_NAMES = (
    *("text", "utterance", "message", "inquiry", "enquiry", "query", "question", "sentence", "body", "content"),
    *(
        "request",
        "comment",
        "review",
        "prompt",
        "complaint",
        "feedback",
        "description",
        "document",
        "abstract",
        "email",
    ),
    *(
        "本文",
        "テキスト",
        "文章",
        "問い合わせ",
        "お問い合わせ",
        "お問い合わせ内容",
        "問い合わせ内容",
        "問合せ",
        "問合せ内容",
    ),
    *("内容", "質問", "発話", "メッセージ", "コメント", "レビュー", "口コミ", "文", "依頼", "相談内容"),
)
LABEL_NAMES = (
    *("label", "intent", "category", "class", "target", "labels", "completion"),
    *("ラベル", "カテゴリ", "カテゴリー", "分類", "意図", "クラス", "正解"),
)
WEAK_LABEL_NAMES = (
    *("topic", "sentiment", "polarity", "tag", "type", "department", "queue", "team", "subject", "answer", "output"),
    *("種別", "区分", "種類", "感情", "極性", "担当", "部署", "タグ", "トピック"),
)
GROUP_NAMES = (
    *("group", "group_id", "customer", "customer_id", "user", "user_id", "thread", "thread_id", "conversation_id"),
    *("session_id", "ticket_id", "顧客番号", "顧客id", "会員番号", "スレッド"),
)
OTHER_NAMES = (
    *(
        "id",
        "index",
        "index_id",
        "row",
        "no",
        "number",
        "split",
        "fold",
        "usage",
        "date",
        "time",
        "timestamp",
        "created_at",
    ),
    *("system", "url", "番号", "日時", "日付"),
)
MOST_CLASSES = 1000
LONGEST_LABEL = 100


@dataclass(frozen=True)
class Columns:
    """What the columns are taken for.

    Attributes:
        inputs: the columns with the text.
        target: the column with the label.
        group: a column whose equal values should stay on one side of every split, or None.
        why: one sentence for each choice, for the user.
    """

    inputs: tuple[str, ...]
    target: str
    group: str | None
    why: tuple[str, ...]


@dataclass(frozen=True)
class _Facts:
    """What the sample says about a column."""

    filled: int
    distinct: int
    mean_length: float
    longest: int
    numeric: bool

    @property
    def could_be_label(self) -> bool:
        few = self.distinct <= MOST_CLASSES and self.distinct * 2 <= max(self.filled, 4)
        return self.filled > 0 and few and self.longest <= LONGEST_LABEL

    @property
    def could_be_text(self) -> bool:
        return self.filled > 0 and not self.numeric and self.distinct > 1


def guess_columns(
    columns: Sequence[str],
    sample_rows: Sequence[Mapping[str, str]],
    *,
    inputs: Sequence[str] | None = None,
    target: str | None = None,
    group: str | None = None,
    guess_group: bool = True,
    called: str = "label",
) -> Columns:
    """The text, label and group columns; what is given is taken as it is, the rest is guessed.

    A column is chosen by its name if the data do not speak against it (a label has few distinct, short values), else by
    the data alone if only one column fits. `guess_group=False`: a task says that there is none. `called` is what stands in
    a given target: "label" or "answer".

    Raises:
        DataError: a given column does not exist, or a guess would be a toss-up; the candidates are named.
    """
    for option, given in (("--input", inputs or ()), ("--target", [target] if target else [])):
        for name in given:
            _must_exist(name, columns, option)
    if group:
        _must_exist(group, columns, "`group`")
    facts = {name: _look_at(name, sample_rows) for name in columns}
    why: list[str] = []
    if target is None:
        target, reason = _guess_target(columns, facts, sample_rows, taken=inputs or ())
        why.append(f"label: column {target!r}, {reason}")
    else:
        why.append(f"label: column {target!r}, as you said")
    if inputs:
        chosen = tuple(dict.fromkeys(inputs))
        why.append(f"text: {quoted(chosen)}, as you said")
    else:
        text, reason = _guess_text(columns, facts, target, called)
        chosen = (text,)
        why.append(f"text: column {text!r}, {reason}")
    if target in chosen:
        raise DataError(f"column {target!r} cannot be both the text and the {called}; say --input COL and --target COL")
    if group is not None:
        why.append(f"group: column {group!r}, as you said; rows with the same value stay on one side of every split")
    elif guess_group:
        group = _guess_group(columns, facts, sample_rows, {*chosen, target})
        if group is not None:
            why.append(f"group: column {group!r} by its name; rows with the same value stay on one side of every split")
    return Columns(chosen, target, group, tuple(why))


def _must_exist(name: str, columns: Sequence[str], option: str) -> None:
    if name not in columns:
        near = get_close_matches(name, columns, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DataError(f"there is no column {name!r} ({option}); the columns are {quoted(columns)}{hint}")


def _look_at(name: str, rows: Sequence[Mapping[str, str]]) -> _Facts:
    values = [value for row in rows if (value := row.get(name, "").strip())]
    lengths = [len(v) for v in values]
    numeric = bool(values) and all(re.fullmatch(r"[-+]?[\d.,:/\s-]{1,30}", v) for v in values)
    return _Facts(len(values), len(set(values)), sum(lengths) / max(1, len(values)), max(lengths, default=0), numeric)


def _guess_target(
    columns: Sequence[str], facts: Mapping[str, _Facts], rows: Sequence[Mapping[str, str]], taken: Sequence[str]
) -> tuple[str, str]:
    open_columns = [name for name in columns if name not in taken and facts[name].filled]
    for names, what in ((LABEL_NAMES, "by its name"), (WEAK_LABEL_NAMES, "by its name")):
        # A name that says "label" is believed even if the sample shows many values; only long texts speak against it.
        found = [n for n in open_columns if _plain(n) in names and facts[n].longest <= 2 * LONGEST_LABEL]
        found = _without_codes(found, facts, rows)
        if len(found) == 1:
            return found[0], f"{what} ({facts[found[0]].distinct} values in the sample)"
        if found:
            raise _ambiguous("label", found, columns, "--target")
    words = {*LABEL_NAMES, *WEAK_LABEL_NAMES}
    found = [n for n in open_columns if facts[n].could_be_label and _ends_with(n, words)]
    found = _without_codes(found, facts, rows)
    if len(found) == 1:
        return found[0], f"by the end of its name ({facts[found[0]].distinct} values in the sample)"
    if found:
        raise _ambiguous("label", found, columns, "--target")
    known = {*TEXT_NAMES, *GROUP_NAMES, *OTHER_NAMES}
    found = [n for n in open_columns if facts[n].could_be_label and facts[n].distinct > 1 and _plain(n) not in known]
    if len(found) == 1:
        return found[0], f"the only column with few distinct values ({facts[found[0]].distinct} in the sample)"
    if found:
        raise _ambiguous("label", found, columns, "--target")
    raise DataError(
        f"no column looks like a label; the columns are {quoted(columns)}. A label column has few distinct, short "
        "values, and the first line of the file must name the columns; say which one it is: --target COL"
    )


def _guess_text(columns: Sequence[str], facts: Mapping[str, _Facts], target: str, called: str) -> tuple[str, str]:
    open_columns = [name for name in columns if name != target and facts[name].could_be_text]
    named = sorted((TEXT_NAMES.index(_plain(n)), n) for n in open_columns if _plain(n) in TEXT_NAMES)
    if len(named) == 1:
        return named[0][1], f"by its name (mean length {facts[named[0][1]].mean_length:.0f} characters)"
    if named:
        return _longest([n for _, n in named], facts, columns, "by its name and length")
    found = [n for n in open_columns if _ends_with(n, TEXT_NAMES)]
    if len(found) == 1:
        return found[0], f"by the end of its name (mean length {facts[found[0]].mean_length:.0f} characters)"
    others = {*GROUP_NAMES, *OTHER_NAMES}
    found = found or [n for n in open_columns if _plain(n) not in others and not facts[n].could_be_label]
    found = found or [n for n in open_columns if _plain(n) not in others]
    if not found:
        raise DataError(
            f"no column looks like text; the columns are {quoted(columns)}, and {target!r} is taken for the {called}. "
            "Say which one it is: --input COL"
        )
    return _longest(found, facts, columns, "the column with the longest texts")


def _longest(names: Sequence[str], facts: Mapping[str, _Facts], columns: Sequence[str], reason: str) -> tuple[str, str]:
    """The column whose texts are clearly the longest: twice as long as the next one's."""
    ranked = sorted(names, key=lambda n: -facts[n].mean_length)
    if len(ranked) > 1 and facts[ranked[0]].mean_length < 2 * facts[ranked[1]].mean_length:
        raise _ambiguous("text", ranked, columns, "--input")
    return ranked[0], f"{reason} (mean length {facts[ranked[0]].mean_length:.0f} characters)"


def _guess_group(
    columns: Sequence[str], facts: Mapping[str, _Facts], rows: Sequence[Mapping[str, str]], taken: set[str]
) -> str | None:
    for name in columns:
        look = facts[name]
        if name in taken or _plain(name) not in GROUP_NAMES or look.distinct < 20 or look.distinct == look.filled:
            continue
        values = [row.get(name, "") for row in rows]
        if max(values.count(v) for v in set(values) if v) <= len(rows) / 10:
            return name
    return None


def _without_codes(names: list[str], facts: Mapping[str, _Facts], rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Without the columns of numbers that only repeat another candidate in code (`3` for `nervous system`)."""
    kept = []
    for name in names:
        twins = [
            other
            for other in names
            if other != name
            and facts[name].numeric
            and not facts[other].numeric
            and len({(r.get(name), r.get(other)) for r in rows}) == facts[name].distinct == facts[other].distinct
        ]
        if not twins:
            kept.append(name)
    return kept


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", unicodedata.normalize("NFKC", name).strip().casefold())


def _ends_with(name: str, words: Sequence[str] | set[str]) -> bool:
    plain = _plain(name)
    return any(plain.endswith(word) if not word.isascii() else plain.split("_")[-1] == word for word in words)


def _ambiguous(what: str, found: Sequence[str], columns: Sequence[str], option: str) -> DataError:
    return DataError(
        f"more than one column could be the {what}: {quoted(found)} (of {quoted(columns)}); "
        f"say which one it is: {option} COL"
    )
