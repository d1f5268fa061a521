"""A tiny encoder with random weights, written in a moment: for tests and examples of the machinery, not for work.

Its folder looks like any base model's (`config.json`, `model.safetensors`, `tokenizer.json`), so everything that takes
a base takes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from shokunin.encoders.architecture import FAMILIES
from shokunin.files import write_json

HIRAGANA = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'" + HIRAGANA


def write_tiny_model(
    folder: Path, *, model_type: str = "bert", seed: int = 0, width: int = 32, layers: int = 2
) -> None:
    """Write a random encoder of `model_type` into the existing `folder`; a few thousand parameters, one token a letter.

    Args:
        folder: where `config.json`, `model.safetensors` and `tokenizer.json` go.
        model_type: one of `FAMILIES`.
        seed: for the weights.
        width: numbers in an embedding; a multiple of 4.
        layers: transformer layers.
    """
    family = FAMILIES[model_type]
    late = family.positions == "from_padding"
    specials = ["[CLS]", "[PAD]", "[SEP]", "[UNK]"] if late else ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    vocabulary = [*specials, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    pad, positions = int(late), 64
    _write_tokenizer(folder / "tokenizer.json", vocabulary)
    sizes = {
        "vocab_size": len(vocabulary),
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 2 * width,
        "max_position_embeddings": positions,
    }
    if model_type == "distilbert":
        names = ("vocab_size", "dim", "n_layers", "n_heads", "hidden_dim", "max_position_embeddings")
        config: dict[str, Any] = {**dict(zip(names, sizes.values(), strict=True)), "activation": "gelu"}
    else:
        config = {
            **sizes,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "type_vocab_size": 2 if model_type == "bert" else 1,
        }
    if family.relative_bias:
        config["relative_attention_num_buckets"] = 32
    write_json(folder / "config.json", {"model_type": model_type, "pad_token_id": pad, **config})
    save_file(
        _random_tensors(model_type, len(vocabulary), positions, width, layers, seed), folder / "model.safetensors"
    )


def _write_tokenizer(path: Path, vocabulary: list[str]) -> None:
    ids = {token: i for i, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")]
    )
    tokenizer.enable_padding(pad_id=ids["[PAD]"], pad_token="[PAD]")
    tokenizer.save(str(path))


def _random_tensors(
    model_type: str, words: int, positions: int, width: int, layers: int, seed: int
) -> dict[str, npt.NDArray[np.float32]]:
    family, random = FAMILIES[model_type], np.random.default_rng(seed)

    def draw(*shape: int) -> npt.NDArray[np.float32]:
        return np.asarray(random.standard_normal(shape) / np.sqrt(shape[-1]), np.float32)

    tensors = {
        "embeddings.word_embeddings.weight": draw(words, width),
        "embeddings.position_embeddings.weight": draw(positions, width) * np.float32(0.3),
    }
    if family.token_types:
        tensors["embeddings.token_type_embeddings.weight"] = draw(2 if model_type == "bert" else 1, width)
    if family.relative_bias:
        tensors["encoder.relative_attention_bias.weight"] = draw(32, 4)
    norms = ["embeddings.LayerNorm"]
    query, key, value, out, out_norm, up, down, down_norm = family.parts
    for number in range(layers):
        at = family.layer.format(number)
        norms += [at + out_norm, at + down_norm]
        sizes = {query: (width, width), key: (width, width), value: (width, width), out: (width, width)}
        for part, shape in {**sizes, up: (2 * width, width), down: (width, 2 * width)}.items():
            tensors[f"{at}{part}.weight"] = draw(*shape) * np.float32(2)
            tensors[f"{at}{part}.bias"] = draw(shape[0])
    for norm in norms:
        tensors[f"{norm}.weight"] = np.float32(1) + draw(width)
        tensors[f"{norm}.bias"] = draw(width)
    return tensors
