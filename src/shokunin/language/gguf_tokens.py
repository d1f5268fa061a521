"""Byte-level BPE tokenizers between GGUF, where they are lists, and `tokenizer.json`.

How a text is cut before BPE has a short name in GGUF (`tokenizer.ggml.pre`) and is spelled out in `tokenizer.json`; the
table has the cuts that both sides are known to agree on. Others are refused: a tokenizer that is nearly right makes a
model that is nearly wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shokunin.errors import BaseModelError

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4
"""Kinds of token, as GGUF numbers them."""

_CONTRACTED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_QWEN2 = _CONTRACTED + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = _CONTRACTED + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _bytes(use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _cut(pattern: str) -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, _bytes(False)]}


CUTS: dict[str, dict[str, Any]] = {
    "gpt-2": _bytes(True),
    "smollm": {
        "type": "Sequence",
        "pretokenizers": [{"type": "Digits", "individual_digits": True}, _bytes(True)],
    },
    "qwen2": _cut(_QWEN2),
    "llama-bpe": _cut(_LLAMA3),
}
"""`tokenizer.ggml.pre` → `pre_tokenizer` of a tokenizer.json."""
COMPOSED = ("qwen2",)
"""Cuts that come with the normal form NFC."""


def tokenizer_json(facts: Mapping[str, Any], name: str) -> str:
    """The text of a `tokenizer.json` that cuts as the GGUF file with these facts does; `name` is for messages.

    Raises:
        BaseModelError: the file's tokenizer is of a kind that is not read here.
    """
    model, pre = facts.get("tokenizer.ggml.model"), facts.get("tokenizer.ggml.pre", "gpt-2")
    if model != "gpt2" or pre not in CUTS:
        raise BaseModelError(
            f"the tokenizer of {name!r} is {model!r} with cut {pre!r}; training reads 'gpt2' with one of "
            f"{', '.join(CUTS)} from GGUF. Give the same model as a folder with safetensors and tokenizer.json"
        )
    tokens, kinds = facts["tokenizer.ggml.tokens"], facts["tokenizer.ggml.token_type"]
    merges = [merge.split(" ") for merge in facts["tokenizer.ggml.merges"]]
    odd = next((merge for merge in merges if len(merge) != 2), None)
    if odd is not None:
        raise BaseModelError(
            f"the tokenizer of {name!r} is damaged: 'tokenizer.ggml.merges' has {' '.join(odd)!r}; expected two pieces with a "
            "space between them; fetch the file again, or convert the model again"
        )
    added = [
        {
            "id": number, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": kind == CONTROL,
        }
        for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind in (CONTROL, USER_DEFINED)
    ]  # fmt: skip
    made = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"} if pre in COMPOSED else None,
        "pre_tokenizer": CUTS[pre],
        "post_processor": None,
        "decoder": _bytes(True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": pre == "llama-bpe",
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": merges,
        },
    }
    return json.dumps(made, ensure_ascii=False)


def tokenizer_facts(text: str, vocabulary: int, name: str) -> dict[str, Any]:
    """The GGUF facts of a `tokenizer.json` for a model whose embedding has `vocabulary` rows.

    Raises:
        BaseModelError: no cut of GGUF is known to be the same.
    """
    read = json.loads(text)
    model, pre = read["model"], cut_of(read.get("pre_tokenizer"))
    normal = (read.get("normalizer") or {}).get("type")
    if model.get("type") != "BPE" or model.get("byte_fallback") or pre is None:
        raise BaseModelError(
            f"the tokenizer of {name!r} cuts in a way that GGUF has no name for here; known: {', '.join(CUTS)}"
        )
    if normal is not None and (normal != "NFC" or pre not in COMPOSED):
        raise BaseModelError(
            f"the tokenizer of {name!r} changes texts ({normal!r}) before it cuts them as {pre!r} does, and GGUF has no name "
            "for that here"
        )
    tokens = {number: token for token, number in model["vocab"].items()}
    kinds = dict.fromkeys(tokens, NORMAL)
    for added in read["added_tokens"]:
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    if max(tokens) >= vocabulary:
        raise BaseModelError(
            f"the tokenizer of {name!r} has token {max(tokens)}, the model only {vocabulary}; they do not belong together"
        )
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        # An embedding may have more rows than there are tokens; readers want a token for each.
        "tokenizer.ggml.tokens": [tokens.get(n, f"[PAD{n}]") for n in range(vocabulary)],
        "tokenizer.ggml.token_type": [kinds.get(n, 5) for n in range(vocabulary)],
        "tokenizer.ggml.merges": merges,
    }


def cut_of(pre_tokenizer: Mapping[str, Any] | None) -> str | None:
    """GGUF's name of a `pre_tokenizer`; None: it has none here."""
    if pre_tokenizer is None:
        return None
    wanted = _essence(pre_tokenizer)
    return next((name for name, cut in CUTS.items() if _essence(cut) == wanted), None)


def _essence(cut: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """What decides where a text is cut."""
    steps = cut["pretokenizers"] if cut.get("type") == "Sequence" else [cut]
    keys = ("type", "pattern", "behavior", "invert", "individual_digits", "add_prefix_space", "use_regex")
    return [tuple(repr(step.get(key)) for key in keys) for step in steps]
