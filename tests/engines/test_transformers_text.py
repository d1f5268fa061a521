"""transformers_text: rows do not depend on their neighbours, and what cannot be answered says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from shokunin.errors import ArtefactError
from shokunin.forms import Conversation
from shokunin.weights import Weights
from tiny_decoder import tiny_decoder

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from shokunin.engines import transformers_text  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    folder = tiny_decoder(tmp_path_factory.mktemp("models") / "tiny")
    return Weights(folder, "conversation", "hf_text")


def _asked(text: str, longest: int = 12) -> Conversation:
    return Conversation(({"role": "user", "content": text},), longest=longest)


def test_rows_of_a_batch_are_those_of_the_rows_alone(weights: Weights) -> None:
    session = transformers_text.load(weights)
    asked = [_asked("sky"), _asked("the river and the state " * 3, 5), _asked("a"), _asked("border 12345", 20)]
    together = session.run(asked)
    for form, one in zip(asked, together, strict=True):
        alone = session.run([form])[0]
        assert (one.text, one.finished, one.tokens_in) == (alone.text, alone.finished, alone.tokens_in)
        assert one.logprobs == pytest.approx(alone.logprobs, abs=1e-4)
        assert len(one.logprobs) == form.longest or one.finished


def test_logprobs_are_those_of_the_model(weights: Weights) -> None:
    session = transformers_text.load(weights, threads=1)
    written = session.run([_asked("sky", 6)])[0]
    ids = session._prompt(_asked("sky", 6))[1]
    expected = []
    with torch.no_grad():
        for _ in range(len(written.logprobs)):
            scores = session._model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)
            expected.append(scores.max().item())
            ids = [*ids, int(scores.argmax())]
    assert written.logprobs == pytest.approx(expected, abs=1e-4)


def test_what_cannot_be_answered_says_why(weights: Weights) -> None:
    session = transformers_text.load(weights)
    long, schema, good = session.run(
        [_asked("river " * 400), Conversation(({"role": "user", "content": "a"},), schema="{}"), _asked("a")]
    )
    assert "256 in all" in (long.problem or "") and long.text == ""
    assert "schema" in (schema.problem or "")
    assert good.problem is None


def test_damaged_weights_are_told(tmp_path: Path, weights: Weights) -> None:
    with pytest.raises(ArtefactError, match="not 'gguf'"):
        transformers_text.load(Weights(weights.folder, "conversation", "gguf"))
    with pytest.raises(ArtefactError, match=r"config\.json"):
        transformers_text.load(Weights(tmp_path, "conversation", "hf_text"))
    folder = tiny_decoder(tmp_path / "damaged")
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ArtefactError, match="is damaged"):
        transformers_text.load(Weights(folder, "conversation", "hf_text"))
