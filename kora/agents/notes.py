"""What a callable's attempt leaves to be read."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from kora.agents.lines import LineSplitter, clean
from kora.redact import of_this_process

if TYPE_CHECKING:
    from kora.agents.record import Record

_LAST_OUTPUT_CHARACTERS: Final = 500

logger = logging.getLogger(__name__)


class Notes:
    """Texts, line by line, in the attempt's record. For any thread of the callable, and for no actor: it may wait.

    A finalizer of the callable's may run amid a write, and log: its text is written next, by the write that it is in.
    Nothing is logged under the lock: a handler of the callable's may forward the log to these notes.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._mutex = threading.RLock()
        self._unwritten: deque[tuple[str, list[bytes]]] = deque()
        self._is_writing = False
        self.last_line = ""
        """the last one that was logged and is not blank"""

    def keep(self, stream: str, text: str) -> None:
        """Keep the text; nothing any more once the notes are closed."""
        splitter = LineSplitter()
        lines = [*splitter.feed(str.encode(text, errors="replace")), *splitter.end()]
        last = next((line for line in reversed(lines) if line.strip()), None) if stream == "log" else None
        last_line = None if last is None else of_this_process().head(clean(last).strip(), _LAST_OUTPUT_CHARACTERS)
        with self._mutex:
            if last_line is not None:
                self.last_line = last_line
            self._unwritten.append((stream, lines))
            fault = "" if self._is_writing else self._write()
        if fault:
            logger.warning("%s", fault)

    def close(self) -> None:
        """Keep no more. This can take a second: the record is compressed."""
        with self._mutex:
            self._record.end()
        self._record.close()

    def _write(self) -> str:
        """Write what is unwritten; what is to be warned of, or nothing. The caller holds the mutex."""
        fault = ""
        self._is_writing = True
        try:
            while self._unwritten:
                fault = self._record.put(*self._unwritten.popleft()) or fault
        finally:
            self._is_writing = False
        return fault
