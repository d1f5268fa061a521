"""A plain folder of safetensors as a base: written once for the engine, and refused where its parts do not belong together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from shokunin.errors import BaseModelError
from shokunin.language.base_models import IR, resolve
from shokunin.language.folder_gguf import folder_gguf
from shokunin.language.gguf_header import read_header
from shokunin.language.prepared import prepare
from shokunin.language.safetensors_folder import FolderTensors
from tiny_decoder import tiny_decoder

pytest.importorskip("gguf")
pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "folder-gguf-1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("made") / "tiny", sure=0.4)


@pytest.fixture
def folder(tmp_path: Path, made: Path) -> Path:
    shutil.copytree(made, tmp_path / "tiny")
    return tmp_path / "tiny"


def change(file: Path, **keys: Any) -> None:
    said = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**said, **keys}), encoding="utf-8")


def test_it_is_written_once_and_its_size_is_told_first(folder: Path, cache: Path) -> None:
    told: list[tuple[str, float, float | None]] = []
    file, digest = folder_gguf(resolve(str(folder)), progress=lambda *one: told.append(one))
    tensors = load_file(folder / "model.safetensors")
    assert told[0][1:] == (0, len(tensors)) and told[-1][1:] == (len(tensors), len(tensors))
    assert str(folder) in told[0][0] and "MB" in told[0][0]
    assert [p.name for p in cache.iterdir()] == [digest] and file == cache / digest / "model.gguf"
    header = read_header(file)
    assert header.types["token_embd.weight"] == 8 and header.licence is None
    assert header.chat_template == (folder / "chat_template.jinja").read_text(encoding="utf-8")
    told.clear()
    assert folder_gguf(resolve(str(folder)), progress=lambda *one: told.append(one)) == (file, digest)
    assert told == []
    # Other words around the same weights are another model.
    (folder / "chat_template.jinja").write_text(f"{header.chat_template} ", encoding="utf-8")
    assert folder_gguf(resolve(str(folder)))[1] != digest


def test_of_several_templates_the_default_one_is_written(folder: Path) -> None:
    text = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").unlink()
    several = [{"name": "tool_use", "template": "other"}, {"name": "default", "template": text}]
    change(folder / "tokenizer_config.json", chat_template=several)
    assert read_header(folder_gguf(resolve(str(folder)))[0]).chat_template == text


def test_an_end_of_answers_that_the_template_alone_knows_is_written(folder: Path) -> None:
    change(folder / "tokenizer_config.json", eos_token="<|endoftext|>")
    facts = read_header(folder_gguf(resolve(str(folder)))[0]).facts
    assert (facts["tokenizer.ggml.eos_token_id"], facts["tokenizer.ggml.eot_token_id"]) == (0, 2)


def test_the_engine_answers_as_the_folder_does(folder: Path) -> None:
    pytest.importorskip("openvino_genai")
    from shokunin.engines import transformers_text
    from shokunin.engines.language_model import LanguageSession
    from shokunin.forms import Conversation
    from shokunin.language.prepared import prepare
    from shokunin.language.runner import runner_for
    from shokunin.weights import Weights

    asked = [Conversation(({"role": "user", "content": text},), longest=8) for text in ("sky 12", "the river", "a")]
    served = LanguageSession(runner_for(prepare(resolve(str(folder))))).run(asked)
    exact = transformers_text.load(Weights(folder, "conversation", "hf_text")).run(asked)
    for one, other in zip(served, exact, strict=True):
        assert one.tokens_in == other.tokens_in
        assert one.logprobs[0] == pytest.approx(other.logprobs[0], abs=0.1)


def test_it_is_served_under_its_name(folder: Path) -> None:
    pytest.importorskip("openvino_genai")
    from shokunin.pipeline.local_models import open_local

    told: list[str] = []
    local = open_local([str(folder)], progress=lambda what, done, total: told.append(what))
    assert list(local) == ["tiny"] and local["tiny"].model.kind == "safetensors"
    assert [what.split()[0] for what in dict.fromkeys(told)] == ["writing", "preparing"]


def test_numbers_of_every_kind_and_of_several_files(tmp_path: Path, folder: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file as load_torch
    from safetensors.torch import save_file as save_torch

    tensors = load_torch(folder / "model.safetensors")
    kinds = [torch.bfloat16, torch.float16, torch.float32, torch.float64]
    kept = {name: tensor.to(kinds[n % 4]) for n, (name, tensor) in enumerate(tensors.items())}
    (folder / "model.safetensors").unlink()
    for n in range(2):
        part = {name: tensor for m, (name, tensor) in enumerate(kept.items()) if m // 5 % 2 == n}
        save_torch(part, folder / f"model-{n + 1:05}-of-00002.safetensors")
    read = FolderTensors(folder, "tiny")
    assert set(read) == set(kept) and len(read) == len(kept)
    for name, tensor in kept.items():
        assert read.shapes[name] == tuple(tensor.shape)
        assert read[name].dtype == np.float32 and np.array_equal(read[name], tensor.float().numpy()), name
    assert folder_gguf(resolve(str(folder)))[0].is_file()
    save_torch({name: kept[name] for name in list(kept)[:1]}, folder / "other.safetensors")
    with pytest.raises(BaseModelError, match=r"in 'model-0000.-of-00002.safetensors' and in 'other.safetensors'"):
        FolderTensors(folder, "tiny")


def _template(folder: Path) -> None:
    text = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").write_text(text.replace("im_end", "eot"), encoding="utf-8")


def _failing(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] + 1 }}", encoding="utf-8")


def _far_token(folder: Path) -> None:
    said = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    far = {**said["added_tokens"][-1], "id": 900, "content": "<|far|>"}
    said["added_tokens"].append(far)
    said["model"]["vocab"]["<|far|>"] = 900
    (folder / "tokenizer.json").write_text(json.dumps(said), encoding="utf-8")


def _tensor_gone(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors")


def _cut(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-9])


def _config(**keys: Any) -> Callable[[Path], None]:
    return lambda folder: change(folder / "config.json", **keys)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_template, r"do not belong together: the template writes '<\|eot\|>', which is no token"),
        (_failing, "TypeError"),
        (_far_token, "has a token 900, and the embedding 320 rows"),
        (_tensor_gone, "'model.layers.1.mlp.up_proj.weight' is missing; expected one of the shape"),
        (_cut, "'model.safetensors' of .* is damaged"),
        (_config(vocab_size=100), r"do not belong together: .* the embedding 100 rows"),
        (_config(hidden_size=32), "has the shape .* by its config.json"),
        (_config(model_type="gpt_neox"), "its architecture is 'gpt_neox', not one of .*optimum-cli export openvino"),
        (
            _config(rope_parameters={"rope_type": "llama3", "rope_theta": 1.0}),
            r"rotary positions are scaled \(llama3\)",
        ),
        (_config(rope_parameters=None, rope_scaling={"type": "linear"}), r"rotary positions are scaled \(linear\)"),
        (_config(hidden_act="gelu"), "its activation is 'gelu'"),
        (_config(model_type="mistral", sliding_window=64), "slides over 64 tokens"),
        (_config(quantization_config={"quant_method": "gptq"}), "take the model that is not quantised"),
        (_config(num_attention_heads="four"), "is not readable"),
        (lambda folder: (folder / "tokenizer_config.json").unlink(), "tokenizer_config.json"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "is not readable|cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "is not readable"),
    ],
)
def test_what_cannot_be_served_is_told_and_leaves_nothing(
    folder: Path, cache: Path, damage: Callable[[Path], None], why: str
) -> None:
    damage(folder)
    with pytest.raises(BaseModelError, match=why):
        folder_gguf(resolve(str(folder)))
    assert not cache.exists() or list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_template, "which is no token"),
        (_failing, "TypeError"),
        (_far_token, "has a token 900, and the embedding 320 rows"),
        (_tensor_gone, "'model.layers.1.mlp.up_proj.weight' is missing"),
    ],
)
def test_nothing_is_trained_on_parts_of_two_models(folder: Path, damage: Callable[[Path], None], why: str) -> None:
    pytest.importorskip("peft")
    from shokunin.progress import silent
    from shokunin.train import causal_lora
    from tiny_decoder import colours

    damage(folder)
    with pytest.raises(BaseModelError, match=why):
        causal_lora.fit(colours(), causal_lora.Options(base=str(folder)), folder.parent, seed=0, progress=silent)


def test_an_added_token_that_no_message_is_written_with_needs_no_row(folder: Path) -> None:
    rows = json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    idle = {**tokenizer["added_tokens"][0], "id": rows, "content": "<image_soft_token>"}
    change(folder / "tokenizer.json", added_tokens=[*tokenizer["added_tokens"], idle])
    for file in IR:
        (folder / file).touch()
    assert prepare(resolve(str(folder))).folder == folder
    with (folder / "chat_template.jinja").open("a", encoding="utf-8") as template:
        template.write("<image_soft_token>")
    with pytest.raises(BaseModelError, match=f"has a token {rows}, and the embedding {rows} rows"):
        prepare(resolve(str(folder)))
