"""Tiny decoders with random weights, a byte-level tokenizer and a ChatML template, as folders that Transformers reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from shokunin.forms import Conversation, Conversations

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = ["the colour of the sky is blue", "SELECT name FROM city WHERE name = 'austin'", "river state border 12345"]


def tiny_decoder(
    folder: Path, family: str = "llama", *, seed: int = 0, tied: bool = True, sure: float = 0.08, width: int = 64
) -> Path:
    """A model of `family` (llama, qwen2, qwen3) in the new folder `folder`; the larger `sure`, the surer what it says."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        WORDS,
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "bos_token": "<|im_start|>",
            "pad_token": "<|im_end|>"}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(said), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    config = AutoConfig.for_model(
        family,
        vocab_size=320,
        hidden_size=width,
        intermediate_size=width * 3 // 2,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=width // 4,
        rms_norm_eps=1e-5,
        max_position_embeddings=256,
        tie_word_embeddings=tied,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.data.uniform_(0.8, 1.2)
            elif "embed" in name or "head" in name:
                parameter.data.normal_(0, sure)
            else:
                parameter.data.normal_(0, 0.5 if "bias" in name else 0.08)
    model.save_pretrained(folder)
    return folder


def colours(rows: int = 24) -> Conversations:
    """Lessons that a tiny model can learn: a fixed answer to each of four questions, after one long instruction."""
    pairs = [("sky", "blue"), ("grass", "green"), ("sun", "gold"), ("coal", "black")]
    asked, answers = [], []
    for n in range(rows):
        thing, colour = pairs[n % len(pairs)]
        system = {"role": "system", "content": "Say the colour of what is named, in one word."}
        asked.append(Conversation((system, {"role": "user", "content": f"{thing} {n}"}), longest=8))
        answers.append(colour)
    return Conversations(tuple(asked), tuple(answers), np.arange(rows))
