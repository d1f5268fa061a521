"""The data card: what a dataset is made of, as Markdown and as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from shokunin.curate.bars import bar_chart
from shokunin.dataset import Dataset

SHOWN_CLASSES = 40
SHOWN_ROWS = 10

Block = tuple[str, Any]
"""A piece of the card: `heading`, `text`, `list` (lines), `table` (header, rows), or `bars` ((name, count) pairs)."""


def card_markdown(dataset: Dataset) -> str:
    """The data card as Markdown (GitHub flavour)."""
    return "\n\n".join(_MARKDOWN[kind](value) for kind, value in _blocks(dataset)) + "\n"


def card_html(dataset: Dataset) -> str:
    """The data card as one HTML page without outside references."""
    body = "\n".join(_HTML[kind](value) for kind, value in _blocks(dataset))
    title = escape(f"Data card: {dataset.task.name}")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _blocks(dataset: Dataset) -> list[Block]:
    facts = dataset.facts
    return [
        ("title", f"Data card: {dataset.task.name}"),
        ("text", _summary(dataset)),
        *_warnings(facts),
        *_rows(facts),
        *_columns(facts),
        *_split(dataset),
        *_classes(facts),
        *_duplicates(facts),
        *_label_errors(facts),
        *_personal(facts),
        *_languages(facts),
        *_files(facts),
        ("text", f"Dataset digest: {dataset.digest}"),
    ]


def _summary(dataset: Dataset) -> str:
    rows = dataset.facts["rows"]
    aside = sum(rows["set_aside"].values())
    labels = f" {len(dataset.labels)} labels." if dataset.labels else ""
    return (
        f"{rows['in']:,} rows in, {rows['used']:,} used, {aside:,} set aside.{labels} "
        f"{dataset.sealed.count:,} test rows are sealed: nothing learns from them."
    )


def _warnings(facts: dict[str, Any]) -> list[Block]:
    return [("heading", "Worth a look"), ("list", facts["warnings"])] if facts.get("warnings") else []


def _rows(facts: dict[str, Any]) -> list[Block]:
    rows = facts["rows"]
    table = [[reason, n, ", ".join(rows["set_aside_first"].get(reason, []))] for reason, n in rows["set_aside"].items()]
    if not table:
        return [("heading", "Rows"), ("text", "Every row that came in is used.")]
    return [("heading", "Rows set aside"), ("table", (["reason", "rows", "the first of them"], table))]


def _columns(facts: dict[str, Any]) -> list[Block]:
    columns = facts["columns"]
    lines = list(columns["why"]) or [f"text: {', '.join(columns['inputs'])}", f"label: {columns['target']}"]
    return [("heading", "Columns"), ("list", lines)]


def _split(dataset: Dataset) -> list[Block]:
    split = dataset.facts["split"]
    counts = split["counts"]
    rows = [
        ["train", counts["train"], "what is learnt from"],
        ["validation", counts["validation"], split["validation"]],
        ["test (sealed)", counts["test"], split["test"]],
    ]
    if counts["none"]:
        rows.append(["none of these", counts["none"], "not learnt; tests whether a model can decline"])
    leaks = dataset.facts["leaks"]
    text = f"Kept on one side: {split['kept_together']}. Seed {split['seed']}."
    if "examples" in leaks:
        text += f" Training rows that repeat a test row: {leaks['exact']:,} exactly, {leaks['near']:,} nearly"
        text += f"; {leaks['action']}."
    blocks: list[Block] = [("heading", "Split"), ("table", (["part", "rows", "how"], rows)), ("text", text)]
    if leaks.get("examples"):
        table = [[e["train"], e["text"], e["test"], f"{e['similarity']:.2f}"] for e in leaks["examples"][:SHOWN_ROWS]]
        blocks.append(("table", (["training row", "its text", "test row", "similarity"], table)))
    return blocks


def _classes(facts: dict[str, Any]) -> list[Block]:
    if not facts["classes"]:
        return []
    counts = sorted(facts["classes"].items(), key=lambda item: (-item[1], item[0]))
    blocks: list[Block] = [("heading", "Labels"), ("bars", counts[:SHOWN_CLASSES])]
    if len(counts) > SHOWN_CLASSES:
        rest = counts[SHOWN_CLASSES:]
        blocks.append(("text", f"and {len(rest)} labels more, with {rest[0][1]:,} to {rest[-1][1]:,} rows each."))
    return blocks


def _duplicates(facts: dict[str, Any]) -> list[Block]:
    found = facts["duplicates"]
    word = "labels" if facts["classes"] else "answers"
    text = (
        f"{found['exact']:,} rows repeat an earlier row's text; {found['near']:,} more texts are nearly another one's "
        f"(similarity {found['threshold']} or more). Largest group: {found['largest_group']:,} rows. "
        f"Texts that come with different {word}: {found['conflicting_labels']:,}."
    )
    blocks: list[Block] = [("heading", "Duplicates"), ("text", text)]
    if found["conflicts"]:
        table = [
            [c["text"], ", ".join(f"{label} × {n}" for label, n in c["labels"].items()), c["kept"] or "none"]
            for c in found["conflicts"][:SHOWN_ROWS]
        ]
        blocks.append(("table", ([f"same text, different {word}", word, "kept"], table)))
    if found["pairs"]:
        table = [[p["a"], p["b"], f"{p['similarity']:.2f}"] for p in found["pairs"][:SHOWN_ROWS]]
        blocks.append(("table", (["nearly the same", "", "similarity"], table)))
    return blocks


def _label_errors(facts: dict[str, Any]) -> list[Block]:
    search = facts["label_error_search"]
    if "skipped" in search:
        return [("heading", "Labels to look at"), ("text", f"Wrong labels were not searched for: {search['skipped']}.")]
    if not search["searched"]:
        return []
    text = (
        f"{search['found']:,} of {search['searched']:,} rows may be labelled wrongly (confident learning on "
        "out-of-fold probabilities). They are still used: look before changing any, hard rows look like wrong ones."
    )
    blocks: list[Block] = [("heading", "Labels to look at"), ("text", text)]
    if facts["label_errors"]:
        table = [[e["origin"], e["text"], e["given"], e["suggested"]] for e in facts["label_errors"][: 2 * SHOWN_ROWS]]
        blocks.append(("table", (["row", "text", "given", "suggested"], table)))
    return blocks


def _personal(facts: dict[str, Any]) -> list[Block]:
    kinds, rows = facts["personal_data"], facts["personal_data_rows"]
    if not kinds:
        return [("heading", "Personal data"), ("text", f"None found. {_NOT_FOUND}")]
    what = "masked" if rows["masked"] else "left as it is; masking is a choice"
    text = f"In {rows['with_any']:,} rows, {what}. {_NOT_FOUND}"
    table = [[kind.replace("_", " "), n] for kind, n in kinds.items()]
    return [("heading", "Personal data"), ("table", (["kind", "found"], table)), ("text", text)]


def _languages(facts: dict[str, Any]) -> list[Block]:
    total = sum(facts["languages"].values()) or 1
    table = [[_language(code), n, f"{n / total:.1%}"] for code, n in facts["languages"].items()]
    note = "Told by script and frequent words; short texts are often undetermined."
    return [("heading", "Languages"), ("table", (["language", "rows", "share"], table[:SHOWN_ROWS])), ("text", note)]


def _files(facts: dict[str, Any]) -> list[Block]:
    if not facts["files"]:
        return []
    table = [
        [f["name"], f["format"], f.get("encoding", ""), f"{f['bytes']:,}" if "bytes" in f else "", f.get("sha256", "")]
        for f in facts["files"]
    ]
    return [("heading", "Files"), ("table", (["file", "format", "encoding", "bytes", "SHA-256"], table))]


_NOT_FOUND = "Names and postal addresses are not looked for."
_LANGUAGES = {
    **{"en": "English", "ja": "Japanese", "zh": "Chinese", "ko": "Korean", "de": "German", "fr": "French"},
    **{"es": "Spanish", "it": "Italian", "pt": "Portuguese", "nl": "Dutch", "ru": "Russian", "uk": "Ukrainian"},
    **{"ar": "Arabic", "he": "Hebrew", "hi": "Hindi", "th": "Thai", "el": "Greek", "vi": "Vietnamese"},
    **{"id": "Indonesian", "pl": "Polish", "tr": "Turkish", "sv": "Swedish", "und": "undetermined"},
}


def _language(code: str) -> str:
    return _LANGUAGES.get(code, code)


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _markdown_table(value: tuple[list[str], list[list[Any]]]) -> str:
    header, rows = value
    lines = [header, ["---:" if rows and isinstance(v, int) else "---" for v in rows[0]], *rows]
    return "\n".join("| " + " | ".join(_markdown_text(_cell(v)) for v in line) + " |" for line in lines)


def _markdown_text(text: str) -> str:
    """Text of the data as text, not as markup, on one line."""
    text = " ".join(text.split())
    for character in "\\`*_[]<>|#":
        text = text.replace(character, "\\" + character)
    return text


def _markdown_bars(counts: list[tuple[str, int]]) -> str:
    most = max((n for _, n in counts), default=1) or 1
    rows: list[list[Any]] = [[label, n, "█" * max(1, round(20 * n / most))] for label, n in counts]
    return _markdown_table((["label", "rows", ""], rows))


def _html_table(value: tuple[list[str], list[list[Any]]]) -> str:
    header, rows = value
    numbers = [isinstance(v, int) for v in rows[0]] if rows else [False] * len(header)
    head = "".join(
        f"<th{' class=n' if number else ''}>{escape(name)}</th>" for name, number in zip(header, numbers, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(f'<td{" class=n" if isinstance(v, int) else ""} dir="auto">{escape(_cell(v))}</td>' for v in row)
        + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


_MARKDOWN: dict[str, Callable[[Any], str]] = {
    "title": lambda v: f"# {_markdown_text(v)}",
    "heading": lambda v: f"## {_markdown_text(v)}",
    "text": _markdown_text,
    "list": lambda v: "\n".join(f"- {_markdown_text(line)}" for line in v),
    "table": _markdown_table,
    "bars": _markdown_bars,
}
_HTML: dict[str, Callable[[Any], str]] = {
    "title": lambda v: f"<h1>{escape(v)}</h1>",
    "heading": lambda v: f"<h2>{escape(v)}</h2>",
    "text": lambda v: f"<p>{escape(v)}</p>",
    "list": lambda v: "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in v) + "</ul>",
    "table": _html_table,
    "bars": bar_chart,
}
_STYLE = """
:root{color-scheme:light dark;--ink:#1d2327;--soft:#5d6870;--line:#d9dee2;--paper:#fff;--bar:#2b6c8f}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9eb;--soft:#9aa5ad;--line:#39424a;--paper:#14181b;--bar:#5aa6cf}}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.7rem;margin:0 0 .5rem}h2{font-size:1.15rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line)}
p{overflow-wrap:anywhere}.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .7rem .35rem 0;border-bottom:1px solid var(--line)}
td{overflow-wrap:break-word}th{white-space:nowrap}th.n{text-align:right}
th{color:var(--soft);font-weight:600}td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
svg{width:100%;height:auto;font:13px system-ui,sans-serif}svg text{fill:var(--ink)}svg rect{fill:var(--bar)}
"""
