"""The three pipes between the runtime and one attempt."""

from __future__ import annotations

import contextlib
import os
from types import TracebackType
from typing import Final, Self

from kora.errors import AgentError

CHUNK_BYTES: Final = 65_536
_LEFT_OVER_BYTES: Final = 4 * 1_024 * 1_024


class Pipes:
    """stdin, stdout and stderr of one attempt; leaving the context closes all. The runtime's ends never block.

    Raises:
        AgentError: the machine has no descriptors left for it.
    """

    def __init__(self, document: bytes) -> None:
        self._left = memoryview(document)
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

    def write(self) -> bool:
        """Write what the agent takes of the document now; True once it has all, or has closed its stdin."""
        try:
            while self._left:
                self._left = self._left[os.write(self.stdin, self._left) :]
        except BlockingIOError:
            return False
        except BrokenPipeError:
            # An agent need not read what it is told.
            pass
        self._close(self.stdin)
        return True

    def close_theirs(self) -> None:
        """Close the agent's ends here: it has its own now."""
        self._close(*self.theirs)

    def read_left_over(self, descriptor: int) -> bytes:
        """What still lies in a pipe whose writers are gone; bounded, should the agent have lent it to somebody else."""
        chunks: list[bytes] = []
        room = _LEFT_OVER_BYTES
        with contextlib.suppress(BlockingIOError):
            while room > 0 and (chunk := os.read(descriptor, CHUNK_BYTES)):
                chunks.append(chunk)
                room -= len(chunk)
        return b"".join(chunks)

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe2(os.O_CLOEXEC)
        self._open.update(ends)
        return ends

    def _close(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            if descriptor in self._open:
                self._open.remove(descriptor)
                os.close(descriptor)
