"""Raw outputs kept beside a finished rung, so that an interrupted training goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np

from shokunin.files import read_json, write_json
from shokunin.forms import Foreseen, Found, FoundFields, Raw, Sign, Strange, Written

_SCORES, _TOLD = "raw.npy", "raw.json"


def keep_raw(raw: Raw, folder: Path) -> None:
    """Write the raw outputs into the existing folder."""
    if isinstance(raw, np.ndarray):
        np.save(folder / _SCORES, raw, allow_pickle=False)
        return
    rows: list[Any] = []
    for row in raw:
        if isinstance(row, (Written, Foreseen, Strange)):
            rows.append({type(row).__name__.lower(): asdict(row)})
        else:
            rows.append({"found": {name: asdict(found) for name, found in row.items()}})
    write_json(folder / _TOLD, rows)


def kept_raw(folder: Path) -> Raw:
    """What `keep_raw` wrote there."""
    if (folder / _SCORES).is_file():
        return cast(Raw, np.load(folder / _SCORES, allow_pickle=False))
    rows = read_json(folder / _TOLD)
    if rows and "written" in rows[0]:
        return [Written(**{**r["written"], "logprobs": tuple(r["written"]["logprobs"])}) for r in rows]
    if rows and "foreseen" in rows[0]:
        return [_foreseen(r["foreseen"]) for r in rows]
    if rows and "strange" in rows[0]:
        return [_strange(r["strange"]) for r in rows]
    return cast(Sequence[FoundFields], [{name: _found(told) for name, told in r["found"].items()} for r in rows])


def _foreseen(told: dict[str, Any]) -> Foreseen:
    return Foreseen(tuple(told["logits"]), tuple(Sign(**sign) for sign in told["signs"]), told["known"])


def _strange(told: dict[str, Any]) -> Strange:
    pairs = {name: tuple((a, b) for a, b in told[name]) for name in ("apart", "still")}
    return Strange(**{**told, **pairs, "signs": tuple(Sign(**sign) for sign in told["signs"])})


def _found(told: dict[str, Any]) -> Found:
    span = told["span"]
    return Found(told["value"], told["score"], None if span is None else (span[0], span[1]))
