"""Judge a specialist that tells what is unlike normal time by readings it has not seen: with its threshold as it is.

Without failures only the owner's budget can be judged. With a log of failures that became known since, its alarms are
judged too: failures with an alarm before them, days ahead, false alarms, beside plain limits on each sensor and beside
whoever rings as often at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shokunin.errors import DataError, UsageError
from shokunin.pipeline.answering import codec_of
from shokunin.pipeline.fleet_folder import REPLAYED, sealed_windows
from shokunin.pipeline.fleet_given import given_readings, learnt_of, source_of
from shokunin.pipeline.fleet_rows import Rows, failures_in
from shokunin.pipeline.fleet_seen import Seen, unseen
from shokunin.pipeline.normal_choice import PLAIN
from shokunin.pipeline.normal_given import Given, normal_given_report
from shokunin.pipeline.normal_period import states_of
from shokunin.progress import Progress, silent
from shokunin.project import Project
from shokunin.report import Report
from shokunin.series.columns import Columns
from shokunin.series.labels import apart
from shokunin.series.quietness import detection, stand_of
from shokunin.series.readings import Readings
from shokunin.series.ringing import Met, met, rang, usual_horizon
from shokunin.series.strangeness import StrangeModel, read_strange
from shokunin.series.windows import Windows, windows_of
from shokunin.specialist import Specialist
from shokunin.tasks.anticipate_failures import FailuresCodec, Options, options_of

States = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Watched:
    """The windows that are judged.

    Attributes:
        readings: the channels that are looked at.
        windows: n of them, none of which it has learnt from.
        state: int8 (n,), of each window's newest step: 1 bad, 0 normal, -1 nobody said; without a label column all -1.
        clean: mask (n,), no step of the window is in the bad state.
        seen: what is known of the others.
        of: windows there were.
    """

    readings: Readings
    windows: Windows
    state: States
    clean: npt.NDArray[np.bool_]
    seen: Seen
    of: int


def prove_normal(
    specialist: Specialist,
    data: Rows,
    failures: str | Path | None,
    horizon: int | None,
    place: Project,
    *,
    progress: Progress = silent,
) -> Report:
    """The report on new readings.

    Args:
        specialist: open; trained with the target `normal`.
        data: a table of readings as in training: a file, or rows.
        failures: a file with the units and times of failures, if any are known.
        horizon: steps before a failure in which an alarm counts for it; None: `ringing.usual_horizon`.
        place: the project.
        progress: told how far it is.

    Raises:
        DataError: the tables do not fit each other or the specialist, or nothing is left to be judged by.
        UsageError: the horizon makes no sense.
    """
    told = options_of(specialist.task)
    if horizon is not None and horizon < 1:
        raise UsageError(f"--horizon {horizon}: an alarm counts for a failure that comes at least 1 step after it")
    codec = codec_of(specialist)
    assert isinstance(codec, FailuresCodec)
    columns, model = codec.shape.columns, read_strange(specialist.weights.folder)
    source = source_of(data)
    whole = given_readings(data, columns, told, progress, labelled=False)
    _every_channel(whole, columns, Path(source).name, specialist.id)
    log = None if failures is None else failures_in(Path(failures), columns, whole)
    watched = _watched(whole, told, learnt_of(specialist, place), specialist.id)
    judged = _judged(specialist, columns, told, model, watched, log, horizon, source, failures)
    windows = sealed_windows(watched.readings, watched.windows, np.arange(len(watched.windows)), codec.shape, REPLAYED)
    return normal_given_report(specialist, judged, windows, progress=progress)


def _every_channel(readings: Readings, columns: Columns, source: str, name: str) -> None:
    """A channel that never speaks would pass for one that is always normal."""
    places = [readings.channels.index(channel) for channel in columns.channels]
    mute = [readings.channels[i] for i in places if all(np.isnan(s.values[:, i]).all() for s in readings.stretches)]
    if mute:
        shown = ", ".join(map(repr, mute[:5]))
        raise DataError(
            f"{source!r} has no reading of {shown}, which {name!r} looks at; without, nobody can say what is normal"
        )


def _watched(readings: Readings, told: Options, known: Mapping[str, Any] | None, name: str) -> Watched:
    """The windows that it has not learnt from."""
    taken: Sequence[npt.NDArray[np.float32]] | None = None
    if told.column is not None and told.column in readings.channels:
        readings, found = apart(readings, [told.column])
        taken = found[told.column]
        if all(np.isnan(column).all() for column in taken):
            taken = None
    windows = windows_of(readings, told.window, stride=told.stride)
    state, clean = np.full(len(windows), -1, dtype=np.int8), np.ones(len(windows), dtype=bool)
    if taken is not None:
        state, clean = states_of(windows, [np.where(np.isnan(v), -1, v > 0).astype(np.int8) for v in taken])
    seen = unseen(readings, windows, known, name)
    rows = np.flatnonzero(seen.unseen)
    if not len(rows):
        raise DataError(
            f"of {len(windows):,} windows none can prove anything: {seen.told} Give newer readings, or those of other units"
        )
    return Watched(readings, windows.take(rows), state[rows], clean[rows], seen, len(windows))


def _judged(
    specialist: Specialist,
    columns: Columns,
    told: Options,
    model: StrangeModel,
    watched: Watched,
    log: Mapping[str, Sequence[int]] | None,
    horizon: int | None,
    source: str,
    failures: str | Path | None,
) -> Given:
    readings, windows, grid = watched.readings, watched.windows, watched.readings.grid
    labelled = bool((watched.state >= 0).any())
    known: Met | None = None
    # Where a column says what was normal, time about which it is silent counts neither for nor against.
    calm = watched.clean & (watched.state == 0) if labelled else watched.clean.copy()
    if log is not None:
        own = {unit: steps for unit, steps in log.items() if unit in readings.units}
        span = usual_horizon(told.window, told.alarms_a_week, grid) if horizon is None else horizon
        known = met(readings, windows, own, span)
        known = replace(known, labels=np.where(watched.clean | (known.labels != 0), known.labels, -1).astype(np.int8))
        calm = known.labels == 0
    if not calm.any():
        raise DataError(
            f"no window of {source!r} is calm, so nobody can say how often it rings for nothing: "
            + (
                f"a failure comes within {grid.span(known.horizon)} of every one, or the readings end before that is known; "
                "choose a shorter --horizon, or give a longer history"
                if known is not None
                else f"the column {told.column!r} calls none of them normal"
            )
        )
    stand = stand_of(told.window, told.alarms_a_week, grid)
    scores = model.scores(readings, windows)
    plain_at = specialist.weights.facts.get("plain_threshold")
    plain = None
    if plain_at is not None and model.detector != PLAIN:
        limits = replace(model, detector=PLAIN, threshold=float(plain_at))
        plain = rang(
            windows, limits.scores(readings, windows), limits.threshold, calm, known, stand, grid, stride=told.stride
        )
    either = np.flatnonzero(watched.clean & (watched.state == 0) | (watched.state == 1))
    return Given(
        options=told,
        columns=columns,
        readings=readings,
        windows=windows,
        state=watched.state,
        calm=calm,
        model=model,
        scores=scores,
        stand=stand,
        found=rang(windows, scores, model.threshold, calm, known, stand, grid, stride=told.stride),
        plain=plain,
        known=known,
        labelled=detection(windows.take(either), watched.state[either], scores[either], model.threshold)
        if labelled
        else None,
        failures={} if log is None else log,
        seen=watched.seen,
        of=watched.of,
        source=source,
        log=None if failures is None else str(failures),
    )
