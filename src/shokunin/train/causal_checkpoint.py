"""What a training run has reached, kept in the cache so that an interrupted run goes on where it stopped.

A run is named by everything that decides its result (base, options, rows, seed), so that it never goes on from another
one's state. Numbers are safetensors, the rest is JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from shokunin.encoders.cache import cache_folder
from shokunin.files import read_json, remove_folder, write_json, writing_bytes

LAYOUT = 1
SECONDS_BETWEEN = 60.0


@dataclass
class Reached:
    """How far a run is.

    Attributes:
        step: optimiser steps done.
        steps: how many there shall be.
        tokens: of the rows trained on so far, each row's own.
        computed: tokens that went through the model for them.
        seconds: spent in training steps.
        losses: per epoch, nats a token of an answer.
        held_back: the same on the rows held back, at the end of each epoch.
        best: the epoch with the lowest of these.
        running: sum of losses and tokens of the epoch under way.
    """

    steps: int
    step: int = 0
    tokens: int = 0
    computed: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    held_back: list[float] = field(default_factory=list)
    best: int = -1
    running: tuple[float, int] = (0.0, 0)


class Checkpoint:
    """The place of one run; `about` is all that decides its result."""

    def __init__(self, about: Mapping[str, Any]) -> None:
        name = hashlib.sha256(json.dumps({"layout": LAYOUT, **about}, sort_keys=True).encode()).hexdigest()[:32]
        self.folder = cache_folder() / "training" / name

    def save(self, reached: Reached, tensors: Mapping[str, torch.Tensor]) -> None:
        """Keep the state; a crash in between leaves the one before."""
        # The numbers are named by their step and the JSON, written last, points to them.
        name = f"state-{reached.step}.safetensors"
        with writing_bytes(self.folder / name, private=True) as file:
            file.write(save({key: value.detach().cpu().contiguous() for key, value in tensors.items()}))
        write_json(self.folder / "reached.json", {**asdict(reached), "state": name}, private=True)
        for old in self.folder.glob("state-*.safetensors"):
            if old.name != name:
                old.unlink(missing_ok=True)

    def read(self) -> tuple[Reached, dict[str, torch.Tensor]] | None:
        """What was kept, or None where there is nothing or it cannot be used."""
        place = self.folder / "reached.json"
        if not place.is_file():
            return None
        try:
            said = read_json(place)
            tensors = load((self.folder / said.pop("state")).read_bytes())
            said["running"] = tuple(said["running"])
            return Reached(**said), tensors
        except (OSError, ValueError, TypeError, KeyError, SafetensorError):
            remove_folder(self.folder)  # a damaged state is not worth more than a new start
            return None

    def remove(self) -> None:
        """The run is over."""
        remove_folder(self.folder)
