"""Plan: what is to be foreseen of a fleet, by which rungs, and how that is judged."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shokunin.series.labels import When
from shokunin.series.split import SHARES
from shokunin.series.trees import TreeOptions

RungName = Literal["base_rate", "last_outside", "outside_30", "statistics", "embedding", "text"]
RUNGS: tuple[RungName, ...] = ("base_rate", "last_outside", "outside_30", "statistics", "embedding", "text")


class Plan(BaseModel):
    """What is to be foreseen, and how it is judged.

    Attributes:
        window: readings that are looked at.
        horizons: in steps.
        when: the event comes `within` the horizon, or falls `at` its end exactly.
        target: `failures` (dates), `remaining` (a column with the remaining life), `label` (a column that is 1 in the
            bad state), `excursions` (a reading outside its own normal range: the published rule, and a proxy that no
            engineer has confirmed) or `normal` (no failures are known: whatever is unlike the normal period is told).
        column: the column of `remaining` or `label`; of `normal` a column that is 0 in normal time, if there is one.
        channels: of `excursions`: only these may leave their range; empty: any.
        offset: steps from the window's end from where horizons count (the published rule: 1).
        split: `time`, or `unit` (whole units are tested).
        fold, folds: of a split by unit.
        parts: of a split by unit: training units are dealt into so many, each scored by models of the others.
        shares: of a split by time.
        scale: measure each unit against itself, or all against the fleet; by default what fits the split. Units that
            are tested unseen have no training period to be measured against, so `unit` is refused for a split by unit.
        stride: a window every so many steps.
        rungs: what is tried.
        encoder, encoder_steps, lora_steps, text_model, most_windows, trees: as of the learner `boosted_trees`.
        keep_leaks: channels that seem to know the answer and are kept all the same.
        seed: of everything that is drawn.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    window: int = Field(default=90, ge=2)
    horizons: tuple[int, ...] = (30, 60, 90)
    when: When = "within"
    target: Literal["failures", "remaining", "label", "excursions", "normal"] = "failures"
    column: str | None = None
    channels: tuple[str, ...] = ()
    offset: int = Field(default=0, ge=0)
    split: Literal["time", "unit"] = "time"
    fold: int = Field(default=0, ge=0)
    folds: int = Field(default=5, ge=2)
    parts: int = Field(default=5, ge=2)
    shares: tuple[float, float, float] = SHARES
    scale: Literal["unit", "fleet"] | None = None
    stride: int = Field(default=1, ge=1)
    rungs: tuple[RungName, ...] = ("base_rate", "last_outside", "outside_30", "statistics")
    encoder: str = "own"
    encoder_steps: int = Field(default=400, ge=0)
    lora_steps: int = Field(default=200, ge=0)
    text_model: str | None = None
    most_windows: int = Field(default=200_000, ge=100)
    trees: TreeOptions = TreeOptions()
    keep_leaks: tuple[str, ...] = ()
    seed: int = 0

    @property
    def measured_by(self) -> Literal["unit", "fleet"]:
        """The scale: units that are tested unseen have no history of their own."""
        return self.scale or ("fleet" if self.split == "unit" else "unit")
