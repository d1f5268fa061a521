"""Documents that come with a request: read one after the other, in a thread beside the server, and no more than may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from shokunin.answer import Inputs
from shokunin.errors import DocumentError, MissingExtraError
from shokunin.serve.refusal import Refusal, overloaded

TOKENS = 1000
"""A document counts as so many tokens before anybody knows what it says."""
NOT_HERE = "documents are not read by this server; install the extra: pip install 'shokunin[documents]'"


class Documents:
    """Reads documents.

    Args:
        read: the text and the layout of a document, given what is in its file; None: none are read. Called from one thread.
        close: ends what reads them.
        waiting: documents that may wait; more are turned away.
    """

    def __init__(
        self,
        read: Callable[[bytes], Inputs] | None = None,
        close: Callable[[], None] = lambda: None,
        *,
        waiting: int = 32,
    ) -> None:
        self._read = read
        self._end = close
        self._limit = waiting
        self._waiting = 0
        self._thread: ThreadPoolExecutor | None = None

    async def read(self, data: bytes, param: str) -> Inputs | str:
        """What is in a document, or why it cannot be read. Cancel it, and it is not begun.

        Raises:
            Refusal: 400, documents are not read here; 503, too many are waiting.
        """
        if self._read is None:
            raise Refusal(400, NOT_HERE, "documents_not_read", param)
        if self._waiting >= self._limit:
            raise overloaded(f"{self._waiting} documents are waiting already; ask again in a moment")
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "documents")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, data)
        except DocumentError as error:
            return f"{error.reason}; {error.advice}"
        except MissingExtraError as error:
            message = f"the document must be read by OCR, and {error.library!r} is not installed on this server"
            raise Refusal(
                400, f"{message}: pip install 'shokunin[{error.extra}]'", "documents_not_read", param
            ) from error
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Stop reading."""
        self._end()
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
