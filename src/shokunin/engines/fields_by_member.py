"""Runs `fields_by_member` weights: each field of a document is read by the members that read it best, the smallest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from shokunin.engines import Session, engine_for
from shokunin.errors import ArtefactError
from shokunin.fields.by_member import Plan, Scale, read_by
from shokunin.files import read_json
from shokunin.forms import Document, FoundFields
from shokunin.weights import Weights

FORMATS = ("fields_by_member",)
FILE = "fields_by_member.json"
MOST_MEMBERS = 8


class ByMemberSession:
    """The members' sessions and who is asked for what."""

    def __init__(self, members: Sequence[Session], plan: Plan) -> None:
        self._members = members
        self._plan = plan

    def run(self, forms: Sequence[Document]) -> list[FoundFields]:
        """What was found in each document: one `Found` a field. A member reads a document only where it is needed."""
        return [read_by(self._plan, partial(self._ask, document))[0] for document in forms]

    def _ask(self, document: Document, member: int) -> FoundFields:
        found: FoundFields = self._members[member].run([document])[0]
        return found


def load(weights: Weights, *, threads: int | None = None) -> ByMemberSession:
    """Read `fields_by_member.json` and open every member.

    Raises:
        ArtefactError: the file is damaged, or a member is.
    """
    path = weights.folder / FILE
    about = read_json(path)
    try:
        members = [
            Weights(weights.folder / str(i), m["form"], m["format"], m["exact"], m["facts"])
            for i, m in enumerate(about["members"])
        ]
        plan = _plan(about)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtefactError(f"{str(path)!r} does not say which member reads which field: {error}") from error
    if not 1 <= len(members) <= MOST_MEMBERS or any(m.format in FORMATS for m in members):
        raise ArtefactError(f"{str(path)!r} must have 1 to {MOST_MEMBERS} members, none of them of its own format")
    return ByMemberSession([engine_for(m.format).load(m, threads=threads) for m in members], plan)


def _plan(about: Mapping[str, Any]) -> Plan:
    fields = {str(name): tuple(int(n) for n in readers) for name, readers in about["fields"].items()}
    scales = tuple(
        {name: Scale(float(s["temperature"]), float(s["offset"])) for name, s in m["scales"].items()}
        for m in about["members"]
    )
    for name, readers in fields.items():
        if not readers or not all(0 <= n < len(scales) and scales[n][name].temperature > 0 for n in readers):
            raise ValueError(f"the field {name!r} is read by nobody who is there")
    keep = float(about["keep"])
    if not 0 < keep < 1:
        raise ValueError(f"{keep} is no probability")
    return Plan(fields, scales, keep)
