"""What a distillation came to: rows in and out with reasons, the teacher's score, the spend; as JSON and as words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from shokunin.distill.forecast import Forecast, Range
from shokunin.distill.gate import Gate
from shokunin.errors import DataError
from shokunin.metrics import Interval


@dataclass(frozen=True)
class Distilled:
    """The outcome of one run.

    Attributes:
        task: its name.
        teachers: the models that were asked.
        rows_in: rows without an answer, new inputs included.
        kept: rows that got one.
        dropped: how many did not, by reason.
        extended: of the new inputs: `written`, `kept`, `dropped` by reason; empty where none were asked for.
        owner: training rows with the owner's answers.
        foreseen: the forecast before the first call, and once more after the gate, for each teacher.
        gate: what the teacher is worth; None where the run ended before.
        spent: US dollars, by this and all earlier runs of the task; None where a price is not known.
        bought: replies bought by this run.
        reused: replies that were there already.
        judge: pairs compared and the judge's bias; empty where there was none.
        agreement: mean agreement of the kept rows.
        stopped: why the run ended early: `gate`, `budget`, `forecast`; None: it did not.
        dataset: the folder to train on; None where there is nothing new to learn.
        rows: the file with all training rows.
        folder: where everything is.
        warnings: what the reader should know.
    """

    task: str
    teachers: tuple[str, ...]
    rows_in: int = 0
    kept: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    extended: Mapping[str, Any] = field(default_factory=dict)
    owner: int = 0
    foreseen: tuple[tuple[Forecast, ...], ...] = ()
    gate: Gate | None = None
    spent: float | None = 0.0
    bought: int = 0
    reused: int = 0
    judge: Mapping[str, Any] = field(default_factory=dict)
    agreement: float | None = None
    stopped: str | None = None
    dataset: Path | None = None
    rows: Path | None = None
    folder: Path | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kept + sum(self.dropped.values()) != self.rows_in:
            raise DataError(
                f"{self.rows_in} rows came in but {self.kept} were kept and {sum(self.dropped.values())} dropped; this is a "
                "mistake in the program, not in the rows"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; paths as text."""
        gate = self.gate
        return {
            "task": self.task,
            "teachers": list(self.teachers),
            "stopped": self.stopped,
            "rows": {"in": self.rows_in, "kept": self.kept, "dropped": dict(self.dropped), "owner": self.owner},
            "extended": dict(self.extended),
            "gate": None if gate is None else {
                "verdict": gate.verdict, "rows": gate.rows, "metric": gate.metric, "score": _interval(gate.score),
                "kept": round(gate.kept, 4), "right_of_kept": _interval(gate.right_of_kept),
                "wrong": [dict(zip(("input", "owner", "teacher"), w, strict=True)) for w in gate.wrong],
            },
            "agreement": self.agreement,
            "judge": dict(self.judge),
            "cost_usd": self.spent,
            "calls": {"bought": self.bought, "reused": self.reused},
            "forecasts": [[_forecast(f) for f in step] for step in self.foreseen],
            "warnings": list(self.warnings),
            "dataset": None if self.dataset is None else str(self.dataset),
            "rows_file": None if self.rows is None else str(self.rows),
            "folder": None if self.folder is None else str(self.folder),
        }  # fmt: skip


def total(step: tuple[Forecast, ...]) -> Range | None:
    """US dollars of all teachers together; None where one's price is not known."""
    sums = Range(0.0, 0.0, 0.0)
    for one in step:
        if one.usd is None:
            return None
        sums = sums + one.usd
    return sums


def _interval(value: Interval | None) -> dict[str, float] | None:
    return None if value is None else {k: round(v, 4) for k, v in asdict(value).items()}


def _forecast(one: Forecast) -> dict[str, Any]:
    def plain(value: Range | None, digits: int) -> dict[str, float] | None:
        return None if value is None else {k: round(v, digits) for k, v in asdict(value).items()}

    return {
        "model": one.model,
        "purpose": one.purpose,
        "calls": round(one.calls),
        "tokens_in": plain(one.tokens_in, 0),
        "tokens_out": plain(one.tokens_out, 0),
        "usd": plain(one.usd, 6),
        "measured_on": one.measured,
    }
