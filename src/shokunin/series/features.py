"""Windows to rows of numbers for the trees: one recipe for training, proof and serving.

Blocks, in the order of their columns: `statistics` (28 a channel), `recent` (4 a channel: how the last readings stand
to the normal range, and how much of the window was filled in; with several channels also what the plain rules look
at, the share of all channels), `embedding` (64 a channel with the default encoder)
and `text` (one vector a unit). The published method is the first, third and fourth on units with one channel: 28 + 64
+ 1,024 = 1,116.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shokunin.errors import UsageError
from shokunin.progress import Progress, silent
from shokunin.series import statistics as stats
from shokunin.series.embedding import SeriesEncoder
from shokunin.series.readings import Readings
from shokunin.series.scaling import Scale
from shokunin.series.text import Texts
from shokunin.series.windows import Windows, cut

Block = Literal["statistics", "recent", "embedding", "text"]
BLOCKS: tuple[Block, ...] = ("statistics", "recent", "embedding", "text")
RECENT = ("last", "last_outside", "outside_30", "filled")
TOGETHER = "all channels"
SHARES = ("last_outside", "outside_30")
"""Of all channels together: trees would need very many splits to find a mean over channels by themselves."""
LATELY = 30
"""Readings that `outside_30` looks back on."""
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """How a window becomes a row.

    Attributes:
        channels: names, in the order of the readings' columns.
        length: readings in a window.
        blocks: which blocks, in the order of `BLOCKS`.
        scale: what readings are measured against.
        encoder: for the block `embedding`.
        texts: for the block `text`.
    """

    channels: tuple[str, ...]
    length: int
    blocks: tuple[Block, ...]
    scale: Scale
    encoder: SeriesEncoder | None = None
    texts: Texts | None = None

    def __post_init__(self) -> None:
        if not self.blocks or list(self.blocks) != [b for b in BLOCKS if b in self.blocks]:
            raise UsageError(f"blocks {self.blocks!r}; expected some of {', '.join(BLOCKS)}, in this order")
        if "embedding" in self.blocks and (self.encoder is None or self.encoder.length != self.length):
            read = "none is given" if self.encoder is None else f"it reads {self.encoder.length}"
            raise UsageError(f"the block 'embedding' needs an encoder for windows of {self.length}; {read}")
        if "text" in self.blocks and self.texts is None:
            raise UsageError("the block 'text' needs the embedded texts of the units; none are given")

    def names(self) -> list[str]:
        """The columns' names: `CHANNEL.STATISTIC`, `all channels.outside_30`, `CHANNEL.embedding_7`, `text_7`."""
        out: list[str] = []
        for block in self.blocks:
            if block == "text":
                assert self.texts is not None
                out += [f"text_{i}" for i in range(self.texts.width)]
                continue
            each: Sequence[str] = stats.NAMES if block == "statistics" else RECENT
            if block == "embedding":
                assert self.encoder is not None
                each = [f"embedding_{i}" for i in range(self.encoder.width)]
            out += [f"{channel}.{name}" for channel in self.channels for name in each]
            if block == "recent" and len(self.channels) > 1:
                out += [f"{TOGETHER}.{name}" for name in SHARES]
        return out

    def rows(self, values: npt.NDArray[np.float32], filled: npt.NDArray[np.bool_], units: Sequence[str]) -> Matrix:
        """One row a window, float32 (n, columns).

        Args:
            values: readings in their own units, (n, length, channels); NaN where a channel is silent.
            filled: which of them were filled in.
            units: whose window each is.
        """
        n, width = len(values), len(self.channels)
        if values.shape != (n, self.length, width) or filled.shape != values.shape or len(units) != n:
            raise ValueError(
                f"windows of shape {values.shape} for {len(units)} units; expected (n, {self.length}, {width})"
            )
        places = self.scale.rows(units)
        scaled = np.empty_like(values)
        for row in np.unique(places):
            scaled[places == row] = self.scale.scaled(values[places == row], int(row))
        single = np.ascontiguousarray(scaled.transpose(0, 2, 1)).reshape(n * width, self.length)
        parts: list[Matrix] = []
        for block in self.blocks:
            if block == "statistics":
                parts.append(np.clip(stats.statistics(single), -3e38, 3e38).astype(np.float32).reshape(n, -1))
            elif block == "recent":
                parts.append(self._recent(values, scaled, filled, places))
            elif block == "embedding":
                assert self.encoder is not None
                parts.append(self.encoder.embed(single).reshape(n, -1))
            else:
                assert self.texts is not None
                parts.append(self.texts.of(units))
        return np.concatenate(parts, axis=1)

    def matrix(self, readings: Readings, windows: Windows, progress: Progress = silent) -> Matrix:
        """The rows of many windows."""
        out = np.empty((len(windows), len(self.names())), dtype=np.float32)
        names = np.asarray(readings.units, dtype=object)
        for here, values, filled in cut(readings, windows, None):
            out[here] = self.rows(values, filled, names[windows.unit[here]].tolist())
            progress("measuring windows", here.stop, len(windows))
        return out

    def _recent(
        self, values: npt.NDArray[np.float32], scaled: npt.NDArray[np.float32], filled: npt.NDArray[np.bool_], rows: Any
    ) -> Matrix:
        lately = values[:, -LATELY:]
        with np.errstate(invalid="ignore"):
            outside = (lately < self.scale.low[rows][:, None]) | (lately > self.scale.high[rows][:, None])
        outside &= ~filled[:, -LATELY:]
        each = [scaled[:, -1], outside[:, -1], outside.mean(axis=1), filled.mean(axis=1)]
        alone = np.stack(each, axis=2).astype(np.float32)
        if len(self.channels) == 1:
            return alone.reshape(len(values), -1)
        places = [RECENT.index(name) for name in SHARES]
        return np.concatenate([alone.reshape(len(values), -1), alone[:, :, places].mean(axis=1)], axis=1)
