"""Where lines go out: a stream that may be slow, full or gone."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from loguru import Message

    from kora.logging.lines import Lines, Said

Listener: TypeAlias = "Callable[[Said], None]"
LINES_WAITING: Final = 10_000
_FLUSH_SECONDS: Final = 2.0


class _Piece(NamedTuple):
    """What is written whole or not at all, and how many lines are lost if it is not."""

    text: str
    lines: int = 1


class Outlet:
    """Writes lines in a thread of its own, so that nobody waits for the stream.

    When the stream does not keep up, the oldest lines are dropped; when it refuses them (a full disk, a reader that has
    gone) they are lost, and the next ones are tried. Both are counted, and said as soon as anything can be said again.
    """

    def __init__(self, stream: TextIO, lines: Lines) -> None:
        self.lines = lines
        self.listeners: list[Listener] = []
        self._stream = stream
        self._waiting: deque[str] = deque()
        self._dropped = 0
        self._lost = 0
        self._fault = ""
        self._is_torn = False
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def take(self, message: Message) -> None:
        """Queue the record's line; returns at once."""
        said = self.lines.said(message)
        for listener in list(self.listeners):
            listener(said)
        line = self.lines.of(said)
        with self._changed:
            if len(self._waiting) >= LINES_WAITING:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(line)
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, for as long as anybody should wait for a log."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_FLUSH_SECONDS)

    def _run(self) -> None:
        while pieces := self._next():
            self._put(pieces)

    def _next(self) -> list[_Piece]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            pieces = [_Piece(line) for line in self._waiting]
            self._waiting.clear()
            dropped, self._dropped = self._dropped, 0
        if dropped:
            pieces.insert(0, self._note(dropped, "older log lines dropped: they were not read fast enough"))
        if self._lost and pieces:
            pieces.insert(0, self._note(self._lost, f"log lines lost: {self._fault}"))
        return pieces

    def _note(self, count: int, what: str) -> _Piece:
        return _Piece(self.lines.note(f"{count} {what}"), count)

    def _put(self, pieces: list[_Piece]) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        contents = [piece.text.encode(encoding, "backslashreplace") for piece in pieces]
        if self._is_torn:
            # The last line that was written was not written to its end.
            contents[0] = b"\n" + contents[0]
        written, self._fault = _write(self._stream, b"".join(contents), encoding)
        whole, left = 0, written
        while whole < len(contents) and left >= len(contents[whole]):
            left -= len(contents[whole])
            whole += 1
        if written:
            self._is_torn = left > 0
        self._lost = sum(piece.lines for piece in pieces[whole:])


def _write(stream: TextIO, content: bytes, encoding: str) -> tuple[int, str]:
    """How many bytes were written, and what stopped that."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return _write_as_text(stream, content, encoding)
    written, whole = 0, memoryview(content)
    try:
        # Past the stream's own buffer, which keeps what a full disk refuses, and tells nobody how much that is.
        while written < len(content):
            written += _write_some(descriptor, whole[written:])
    except OSError as error:
        return written, error.strerror or str(error)
    return written, ""


def _write_some(descriptor: int, content: memoryview) -> int:
    try:
        return os.write(descriptor, content)
    except BlockingIOError:
        # The stream's other users made it so that it does not wait; this thread may.
        ready = select.poll()
        ready.register(descriptor, select.POLLOUT)
        ready.poll()
        return 0


def _write_as_text(stream: TextIO, content: bytes, encoding: str) -> tuple[int, str]:
    try:
        stream.write(content.decode(encoding))
        stream.flush()
    except (OSError, ValueError) as error:
        return 0, str(error)
    return len(content), ""
