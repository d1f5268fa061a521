"""Sessions together: what several of them read with one encoder goes through it in one run, equal texts once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from shokunin.engines import Session

if TYPE_CHECKING:
    from shokunin.encoders.text_runner import Encoder, Reader
    from shokunin.engines import ReadingSession

Read = Sequence[npt.NDArray[np.float32]]
"""What each of a session's readers gave."""


def read_together(work: Sequence[tuple[Session, Sequence[Any]]]) -> list[Read]:
    """What the readers of each session give for its forms; nothing for a session that has none."""
    wanted: dict[Encoder, dict[tuple[str, int], int]] = {}
    places: list[list[tuple[Encoder, list[int]]]] = []
    for session, forms in work:
        mine = []
        for reader in _readers(session):
            row_of = wanted.setdefault(reader.encoder, {})
            rows = [row_of.setdefault((text, reader.max_length), len(row_of)) for text in forms]
            mine.append((reader.encoder, rows))
        places.append(mine)
    values = {e: e.run([text for text, _ in asked], [n for _, n in asked]) for e, asked in wanted.items() if asked}
    return [[values[e][rows] if rows else np.zeros((0, e.width), np.float32) for e, rows in mine] for mine in places]


def finish(session: Session, forms: Sequence[Any], read: Read) -> npt.NDArray[np.float32]:
    """Raw log-scores, as `run` gives them."""
    return cast("ReadingSession", session).finish(forms, read) if read else session.run(forms)


def first_encoder(session: Session) -> Encoder | None:
    """The encoder that the session shares with others, or None; of several the first."""
    return next((reader.encoder for reader in _readers(session)), None)


def _readers(session: Session) -> Sequence[Reader]:
    readers: Sequence[Reader] = getattr(
        session, "readers", ()
    )  # asking for the protocol takes as long as a head's work
    return readers
