"""Keep bundles of the released format: writes the missing ones of `tests/bundles/format-<n>-<weights format>.zip`.

A bundle is the promise that a specialist of that format loads in every later release. It is made once, when a format
of folders or of weights is new, and never again. It goes the whole way that a user goes, on rows and an encoder small
enough for a repository.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from shokunin import pipeline, registry
from shokunin.encoders.tiny_model import write_tiny_model
from shokunin.project import open_project
from shokunin.specialist import FORMAT

BUNDLES = Path(__file__).parents[1] / "bundles"
LEARNERS = {"text_linear": "linear_text", "encoder_head": "onnx_text"}
WHO = ("", "hello, ", "please help: ", "good morning, ", "hi there, ")
SAYINGS = {
    "invoice": (
        "the invoice {} is wrong",
        "send me invoice {}",
        "I was charged twice on bill {}",
        "請求書{}の金額が違います",
    ),
    "parcel": ("where is my parcel {}?", "parcel {} never arrived", "track delivery {}", "荷物{}が届きません"),
    "refund": ("I want my money back for {}", "refund order {}", "when is {} paid back?", "注文{}の返金をお願いします"),
}


def rows(count: int, seed: int) -> list[dict[str, str]]:
    """Made-up inquiries, each with its label."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        label = chance.choice(sorted(SAYINGS))
        made.append(
            {
                "text": chance.choice(WHO) + chance.choice(SAYINGS[label]).format(chance.randrange(1000, 9999)),
                "label": label,
            }
        )
    return made


def main() -> None:
    """Train on the rows, publish, export."""
    for learner, weights_format in LEARNERS.items():
        file = BUNDLES / f"format-{FORMAT}-{weights_format}.zip"
        if file.exists():
            print(f"{file.name} is there and stays as it is")
            continue
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder) / "base"
            base.mkdir()
            write_tiny_model(base)
            pipeline.train(
                rows(120, 0), name="inquiries", test=rows(60, 1), learners=[learner], base=str(base), project=folder
            )
            specialist = registry.export(open_project(Path(folder)).specialists, "inquiries@1", file)
        assert specialist.weights.format == weights_format
        print(f"{file.name}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
