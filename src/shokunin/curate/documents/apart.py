"""Documents read by a process of its own: a file that crashes, hangs or fills the libraries costs that one document.

```
parent → child   4 bytes length, JSON {"name", "limits"}; 4 bytes length, the document
child → parent   4 bytes length, JSON {"progress": […]}, any number of times; then {"lines": […]} or what went wrong
```
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from shokunin.curate.documents.limits import DocumentLimits
from shokunin.errors import DocumentError, MissingExtraError
from shokunin.forms import Document, Line
from shokunin.progress import Progress, silent

LOADING = 60.0
"""Seconds that the process may take for its first sign of life: libraries and models are loaded before that."""


class ApartReader:
    """Reads documents, one at a time, in a process that is started for the first and lives on; any thread may ask."""

    def __init__(self, limits: DocumentLimits | None = None) -> None:
        self._limits = limits or DocumentLimits()
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def read(self, source: Path | bytes, *, name: str | None = None, progress: Progress = silent) -> Document:
        """As `read_document`, which see.

        Raises:
            DocumentError: as there; or the document takes too long or too much memory, or crashes the libraries.
            MissingExtraError: a library is not installed.
        """
        from shokunin.curate.read_documents import bytes_of

        name = name or ("document" if isinstance(source, bytes) else str(source))
        data = source if isinstance(source, bytes) else bytes_of(source, name, self._limits)
        with self._lock:
            if self._child is None:
                self._child = _Child(self._limits)
            try:
                return self._child.read(data, name, progress)
            except BaseException as error:
                if not isinstance(error, (DocumentError, MissingExtraError)) or self._child.gone:
                    self._child.end()  # it may be in the middle of something
                    self._child = None
                raise

    def close(self) -> None:
        """End the process, whatever it is doing."""
        child = self._child
        if child is not None:
            child.end()  # whoever waits for it is told that it has gone, and lets go of the lock
        with self._lock:
            if self._child is child:
                self._child = None


class _Child:
    def __init__(self, limits: DocumentLimits) -> None:
        self.limits = limits
        self.gone = False
        # -P: the current folder is the user's, and holds no libraries of ours.
        command = [sys.executable, "-P", "-m", "shokunin.curate.documents.apart", str(limits.memory_bytes)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._to, self._from = self.process.stdin, self.process.stdout
        self._said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._listener = threading.Thread(target=_listen, args=(self._from, self._said), daemon=True)
        self._listener.start()
        self.end = weakref.finalize(self, _end, self.process, self._to, self._from, self._listener)

    def read(self, data: bytes, name: str, progress: Progress) -> Document:
        try:
            _send(self._to, json.dumps({"name": name, "limits": self.limits.model_dump()}).encode())
            _send(self._to, data)
        except OSError as error:
            raise self._died(name) from error
        seconds = LOADING + self.limits.page_seconds
        while True:
            try:
                said = self._said.get(timeout=seconds)
            except queue.Empty:
                self.gone = True
                reason = f"a page takes longer than {self.limits.page_seconds:g} seconds"
                raise DocumentError(name, reason, "export the document again, or leave it out") from None
            if said is None:
                raise self._died(name)
            if "progress" in said:
                seconds = self.limits.page_seconds
                progress(*said["progress"])
                continue
            return _understood(said)

    def _died(self, name: str) -> DocumentError:
        self.gone = True
        reason = "the libraries that read documents crash on it, or run out of memory"
        return DocumentError(name, reason, "export the document again, or leave it out")


def _understood(said: dict[str, Any]) -> Document:
    if "lines" in said:
        return Document(
            tuple(Line(text, None if box is None else tuple(box), page) for text, box, page in said["lines"])
        )
    if "missing" in said:
        missing = MissingExtraError(said["missing"], said["extra"])
        missing.args = (said["message"],)
        raise missing
    raise DocumentError(said["name"], said["reason"], said["advice"])


def _listen(stream: IO[bytes], said: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    """Passes on what the process says; None when it has ended."""
    try:
        while (frame := _receive(stream)) is not None:
            said.put(json.loads(frame))
    except (OSError, ValueError):
        pass
    said.put(None)


def _end(process: subprocess.Popen[bytes], to: IO[bytes], out: IO[bytes], listener: threading.Thread) -> None:
    process.kill()
    process.wait()
    listener.join()
    out.close()
    with suppress(OSError):  # what was still to be written has no reader any more
        to.close()


def _send(stream: IO[bytes], data: bytes) -> None:
    stream.write(len(data).to_bytes(4, "big"))
    stream.write(data)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes | None:
    head = stream.read(4)
    if len(head) < 4:
        return None
    length = int.from_bytes(head, "big")
    data = stream.read(length)
    return data if len(data) == length else None


def main() -> None:
    """The process: read what is asked for until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks decides when to stop
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a library that prints must not disturb the answers
    _bound_memory(int(sys.argv[1]))
    while (asked := _receive(sys.stdin.buffer)) is not None:
        data = _receive(sys.stdin.buffer)
        if data is None:
            return
        _send(out, json.dumps(_answer(json.loads(asked), data, out)).encode())


def _answer(asked: dict[str, Any], data: bytes, out: IO[bytes]) -> dict[str, Any]:
    from shokunin.curate.read_documents import read_document

    limits = DocumentLimits.model_validate(asked["limits"])

    def watch(seconds: float) -> None:
        # Whoever asked ends this process in time; this is for the case that he is no more.
        faulthandler.dump_traceback_later(2 * seconds, exit=True)

    def progress(what: str, done: float, total: float | None) -> None:
        _send(out, json.dumps({"progress": [what, done, total]}).encode())
        watch(limits.page_seconds)

    watch(LOADING + limits.page_seconds)
    try:
        document = read_document(data, name=asked["name"], limits=limits, progress=progress)
    except DocumentError as error:
        return {"name": asked["name"], "reason": error.reason, "advice": error.advice}
    except MissingExtraError as error:
        return {"missing": error.library, "extra": error.extra, "message": str(error)}
    finally:
        faulthandler.cancel_dump_traceback_later()
    return {"lines": [[line.text, line.box, line.page] for line in document.lines]}


def _bound_memory(size: int) -> None:
    try:
        import resource
    except ModuleNotFoundError:
        return  # Windows has no such limit
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard == resource.RLIM_INFINITY or size < hard:
        resource.setrlimit(resource.RLIMIT_AS, (size, hard))


if __name__ == "__main__":
    main()
