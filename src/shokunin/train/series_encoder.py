"""Where a time-series encoder comes from: taught here, a checkpoint, or random weights asked for by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from shokunin.errors import BaseModelError, MissingExtraError
from shokunin.files import sha256_of
from shokunin.progress import Progress
from shokunin.series.embedding import GRAPH
from shokunin.series.lessons import SeriesLessons
from shokunin.series.mixer import CONFIG, WEIGHTS, MixerShape, Tensors, about, random_mixer, read_mixer, save_mixer
from shokunin.series.mixer_graph import write_graph
from shokunin.series.scaling import Scale

OWN, RANDOM = "own", "random"


@dataclass(frozen=True)
class Source:
    """Where from, and how much teaching: batches of pretraining (`own` only) and of adapter training (all but `random`)."""

    name: str = OWN
    steps: int = 400
    lora_steps: int = 200


def prepared_encoder(
    source: Source, lessons: SeriesLessons, scale: Scale, folder: Path, *, seed: int, progress: Progress
) -> dict[str, Any]:
    """Write `encoder.onnx`, and the weights it is made of as `config.json` and `model.safetensors`, into the existing `folder`.

    Returns:
        What a specialist records of its encoder: source, sizes, digest, how teaching went.

    Raises:
        BaseModelError: the checkpoint cannot be found or read.
        MissingExtraError: teaching is asked for, and torch is not installed.
    """
    shape = MixerShape(context=lessons.windows.length, patch=min(8, lessons.windows.length))
    facts: dict[str, Any] = {"source": source.name if source.name in (OWN, RANDOM) else Path(source.name).name}
    if source.name in (OWN, RANDOM):
        tensors: Tensors = random_mixer(shape, seed)
    else:
        shape, tensors = read_mixer(_found(source.name))
    steps = source.steps if source.name == OWN else 0
    lora_steps = 0 if source.name == RANDOM else source.lora_steps
    if steps or lora_steps:
        fitting = _fitting()
        options = fitting.TeachingOptions(steps=steps, lora_steps=lora_steps)
        if steps:
            taught = fitting.pretrain(lessons, scale, shape, tensors, options, seed=seed, progress=progress)
            tensors, facts = taught.tensors, {**facts, **taught.facts}
        taught = fitting.adapt(lessons, scale, shape, tensors, options, seed=seed, progress=progress)
        tensors, facts = taught.tensors, {**facts, **taught.facts}
    save_mixer(folder, shape, tensors)
    write_graph(shape, tensors, lessons.windows.length, folder / GRAPH)
    return {**facts, **about(shape), "sha256": sha256_of(folder / WEIGHTS)}


def _fitting() -> Any:
    try:
        from shokunin.train import mixer_fitting
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in ("torch", "peft", "transformers"):
            raise
        raise MissingExtraError(library, "train") from error
    return mixer_fitting


def _found(name: str) -> Path:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    repository, _, revision = name.removeprefix("hf:").partition("@")
    try:
        return Path(
            snapshot_download(repository, revision=revision or None, allow_patterns=[CONFIG, WEIGHTS], token=None)
        )
    except HFValidationError as error:
        raise BaseModelError(
            f"there is no folder {name!r} with a time-series encoder; write {OWN!r}, {RANDOM!r}, a folder or hf:org/name"
        ) from error
    except LocalEntryNotFoundError as error:
        raise BaseModelError(
            f"{name!r} is not on this machine and the hub cannot be reached; give a folder, or teach one with {OWN!r}"
        ) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise BaseModelError(f"{name!r} could not be fetched: {error}; give a folder, or use {OWN!r}") from error
