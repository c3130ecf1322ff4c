"""The three pipes between the runtime and one attempt, and the bell that wakes its reader."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from kora.agents.wire import CHUNK_BYTES
from kora.errors import AgentError

UNREAD_BYTES: Final = 1_048_576
_LEFT_OVER_BYTES: Final = 4 * 1_024 * 1_024


class Pipes:
    """stdin, stdout and stderr of one attempt; leaving the context closes all. The runtime's ends never block.

    stdin is given the document, and ends there, unless it is to be kept open for what is said later.

    Raises:
        AgentError: the machine has no descriptors left for it.
    """

    def __init__(self, document: bytes, *, keep_stdin: bool = False) -> None:
        self._left = memoryview(document)
        self._said: deque[bytes] = deque()
        self._said_bytes = 0
        self._keep_stdin = keep_stdin
        self._open: set[int] = set()
        try:
            stdin_theirs, self.stdin = self._pipe()
            self.stdout, stdout_theirs = self._pipe()
            self.stderr, stderr_theirs = self._pipe()
            for descriptor in (self.stdin, self.stdout, self.stderr):
                os.set_blocking(descriptor, False)
        except OSError as error:
            self._close(*self._open)
            raise AgentError(f"no attempt could be prepared: {error}") from error
        self.theirs = (stdin_theirs, stdout_theirs, stderr_theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._close(*self._open)

    def say(self, line: bytes) -> bool:
        """Have this written to stdin, after all that was said before; False when the agent is not listening.

        More than `UNREAD_BYTES` that it has not read are not kept for it: its stdin is closed then.
        """
        if self.stdin not in self._open:
            return True
        if self._said_bytes > UNREAD_BYTES:
            self._close_stdin()
            return False
        self._said.append(line)
        self._said_bytes += len(line)
        return True

    def write(self) -> bool:
        """Write what the agent takes now; True once it has all that was said so far, or has closed its stdin."""
        if self.stdin not in self._open:
            return True
        try:
            while self._left or self._said:
                if not self._left:
                    line = self._said.popleft()
                    self._said_bytes -= len(line)
                    self._left = memoryview(line)
                self._left = self._left[os.write(self.stdin, self._left) :]
        except BlockingIOError:
            return False
        except BrokenPipeError:
            # An agent need not read what it is told.
            self._close_stdin()
            return True
        if not self._keep_stdin:
            self._close_stdin()
        return True

    def close_theirs(self) -> None:
        """Close the agent's ends here: it has its own now."""
        self._close(*self.theirs)

    def read_left_over(self, descriptor: int, read: Callable[[int], bytes] | None = None) -> bytes:
        """What still lies in a pipe whose writers are gone; bounded, should the agent have lent it to somebody else.

        `read` is how to read it, if not by `os.read`.
        """
        chunks: list[bytes] = []
        room = _LEFT_OVER_BYTES
        with contextlib.suppress(BlockingIOError):
            while room > 0 and (chunk := read(descriptor) if read else os.read(descriptor, CHUNK_BYTES)):
                chunks.append(chunk)
                room -= len(chunk)
        return b"".join(chunks)

    def _close_stdin(self) -> None:
        self._said.clear()
        self._left = memoryview(b"")
        self._close(self.stdin)

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe2(os.O_CLOEXEC)
        self._open.update(ends)
        return ends

    def _close(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            if descriptor in self._open:
                self._open.remove(descriptor)
                os.close(descriptor)


class Bell:
    """Wakes the reader of one attempt, from any thread; leaving the context silences it for good.

    Raises:
        AgentError: the machine has no descriptor left for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        try:
            self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError as error:
            raise AgentError(f"no attempt could be prepared: {error}") from error
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._open = False
            os.close(self.descriptor)

    def ring(self) -> None:
        """Make `descriptor` readable; once the bell is silenced, nothing."""
        with self._lock:
            if self._open:
                os.eventfd_write(self.descriptor, 1)

    def hear(self) -> None:
        """Have it readable no longer."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)
