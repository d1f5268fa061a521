"""The embeddings request and reply as OpenAI clients speak them: texts in, vectors as numbers or base64 out."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from shokunin.serve.body import parse, unsupported
from shokunin.serve.embedding import Embedder
from shokunin.serve.refusal import Refusal
from shokunin.serve.reply_parts import to_json


class EmbeddingsRequest(BaseModel):
    """The body of `POST /v1/embeddings`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Annotated[str, Field(min_length=1)]
    input: str | Annotated[list[str] | list[int] | list[list[int]], Field(min_length=1)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None

    @property
    def texts(self) -> list[str]:
        """The inputs as a list."""
        return [self.input] if isinstance(self.input, str) else [t for t in self.input if isinstance(t, str)]


def parse_embeddings(body: bytes, *, inputs: int, chars: int) -> EmbeddingsRequest:
    """The embeddings request in a body of JSON; at most `inputs` texts, together at most `chars` characters.

    Raises:
        Refusal: 400, naming a field that is unknown, of a wrong value, or asks for what an encoder cannot give.
    """
    request = parse(EmbeddingsRequest, body)
    if isinstance(request.input, list) and not all(isinstance(text, str) for text in request.input):
        raise unsupported("input", "send the input as text; token ids of another model's tokenizer cannot be read here")
    if len(request.texts) > inputs:
        raise Refusal(400, f"at most {inputs} inputs at a time", "invalid_value", "input")
    if "" in request.texts:
        raise Refusal(400, "`input` holds an empty text", "invalid_value", "input")
    if sum(map(len, request.texts)) > chars:
        raise Refusal(400, f"the inputs are longer than {chars} characters", "context_length_exceeded", "input")
    return request


def check_dimensions(request: EmbeddingsRequest, embedder: Embedder) -> None:
    """Let a request pass that asks for vectors as they are.

    Raises:
        Refusal: 400, it asks for shorter ones; a vector that was not trained for it loses its meaning when cut.
    """
    if request.dimensions not in (None, embedder.dimensions):
        raise unsupported(
            "dimensions", f"the vectors of {embedder.name!r} have {embedder.dimensions} dimensions; leave it out"
        )


def embeddings(request: EmbeddingsRequest, vectors: npt.NDArray[np.float32], tokens: int) -> bytes:
    """The body of the reply; base64 is of little-endian float32."""
    plain = vectors.astype("<f4")
    values: list[Any] = (
        [base64.b64encode(row.tobytes()).decode() for row in plain]
        if request.encoding_format == "base64"
        else plain.tolist()
    )
    return to_json(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": i, "embedding": value} for i, value in enumerate(values)],
            "model": request.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )
