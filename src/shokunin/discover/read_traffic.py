"""Recorded traffic in files and folders as a stream of calls, however large they are, every record counted."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from shokunin.discover.counts import Counts
from shokunin.discover.forms import HEAD, Reader, reader_of
from shokunin.discover.lines import NOT_AN_OBJECT, NOT_JSON, NOT_UTF8, TOO_LONG
from shokunin.discover.opened import opened
from shokunin.discover.sources import Source, sources_in
from shokunin.discover.tables import BAD_CSV, NEVER_CLOSED, WIDTH
from shokunin.errors import DataError
from shokunin.recorded import LISTS, SHAPES, call_of, records_in
from shokunin.recorded.call import Call
from shokunin.recorded.record import ERROR, NO_REPLY, NOT_KEPT, UNKNOWN

SAMPLE = 1000
"""Records of a file that are looked at before it counts as no log."""
_STRANGE = frozenset((UNKNOWN, NOT_JSON, NOT_AN_OBJECT, NOT_UTF8, TOO_LONG, BAD_CSV, NEVER_CLOSED, WIDTH))
_ONLY = {
    ERROR: "all of them are error replies, from which nothing can be learned",
    NO_REPLY: "none of them has a reply; a log with the models' answers is needed",
    NOT_KEPT: "none of them has its texts; let the tool keep prompts and replies, then export again",
}


class Traffic:
    """Recorded calls in files, to be gone through as often as one likes, each time with the same result.

    Attributes:
        sources: the files, in the order in which they are read.
        passed_over: files in folders that are not read, since their names do not end as those of logs.
        counts: what became of the records of the last pass, so far.
        done: bytes on disk that the last pass has read so far.
        total: bytes on disk of all files.
    """

    def __init__(self, sources: Sequence[Source], passed_over: Sequence[Path] = ()) -> None:
        self.sources, self.passed_over = tuple(sources), tuple(passed_over)
        self.counts = Counts()
        self.done, self.total = 0, sum(source.size for source in sources)
        self._readers: dict[Source, Reader] = {}

    def __iter__(self) -> Iterator[Call]:
        """A pass over all calls, from the beginning.

        Raises:
            DataError: a file is no text or cannot be read to its end; at the end, if no record was a call.
        """
        counts = self.counts = Counts()
        self.done = before = 0
        for source in self.sources:
            for found, origin, done in self._results(source):
                self.done = before + done
                if isinstance(found, str):
                    counts.put_aside(found, origin)
                else:
                    counts.used += 1
                    yield found
            before += source.size
        self.done = self.total
        if not counts.used:
            raise DataError(f"{_named(self.sources)} has no call to learn from: {_why(counts)}")

    def check(self) -> None:
        """Look at the first records of the files, until one is recorded traffic.

        Raises:
            DataError: none is; a file is no text.
        """
        counts = Counts()
        for source in self.sources:
            for found, origin, _ in islice(self._results(source), SAMPLE):
                if not isinstance(found, str) or found not in _STRANGE:
                    return
                counts.put_aside(found, origin)
        if not counts.read:
            raise DataError(f"{_named(self.sources)} has no record; expected recorded calls, one JSON object a line")
        raise DataError(
            f"{_named(self.sources)} is not a log of a language model: {_why(counts)}; read are {', '.join(SHAPES)}"
        )

    def _results(self, source: Source) -> Iterator[tuple[Call | str, str, int]]:
        """(call or reason, origin, bytes done) for every record of a file."""
        name = source.name
        try:
            read = self._readers.get(source) or self._readers.setdefault(source, _reader(source))
            with opened(source.path, source.size) as (stream, measured):
                for number, value in read(stream):
                    origin = f"{name}:{number}"
                    if isinstance(value, str):
                        yield value, origin, measured.done
                    elif LISTS.isdisjoint(value):
                        yield call_of(value, origin), origin, measured.done
                    else:
                        for place, part in enumerate(records_in(value)):
                            one = f"{origin}.{place}" if place else origin
                            yield call_of(part, one), one, measured.done
        except DataError as error:
            raise DataError(f"{str(source.path)!r} cannot be read as a log: {error}") from error
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{str(source.path)!r} cannot be read to its end: {error}; get the file again") from error


def read_traffic(paths: Sequence[Path]) -> Traffic:
    """The traffic in files and folders; only the first records are looked at here.

    Files may be packed by gzip. What kind of file it is, its content says; several kinds may be mixed.

    Raises:
        DataError: a path is missing; there is no file, no record, or none that is recorded traffic; a file is unreadable.
    """
    found, passed_over = sources_in([Path(path) for path in paths])
    traffic = Traffic(found, passed_over)
    traffic.check()
    return traffic


def _reader(source: Source) -> Reader:
    with opened(source.path, source.size) as (stream, _):
        head = stream.read(HEAD)
        return reader_of(head, is_whole=not stream.read(1))


def _named(sources: Sequence[Source]) -> str:
    more = f" and {len(sources) - 1} more files together" if len(sources) > 1 else ""
    return f"{str(sources[0].path)!r}{more}"


def _why(counts: Counts) -> str:
    """What is the matter with all records, and the first place of each reason."""
    reasons = counts.to_dict()["set_aside"]
    if len(reasons) == 1 and reasons[0]["reason"] in _ONLY:
        return f"of {counts.read:,} records, {_ONLY[reasons[0]['reason']]}"
    told = "; ".join(f"{one['records']:,} times {one['reason']} ({one['first'][0]})" for one in reasons[:4])
    return f"of {counts.read:,} records none can be used: {told}"
