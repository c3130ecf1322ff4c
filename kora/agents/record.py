"""What an attempt printed, kept in a file of its own."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Final

from kora.agents.lines import clean
from kora.clock import TimeSource, from_us

RECORD_BYTES: Final = 16 * 1_024 * 1_024

logger = logging.getLogger(__name__)


class Record:
    """Appends 'TIME STREAM LINE' to a file of at most `RECORD_BYTES`.

    The file is made at the first line, for its owner's eyes only.

    A file that cannot be written costs the record and one WARNING, never the attempt. What was written before a crash
    is there after it.
    """

    def __init__(self, path: Path, time_source: TimeSource) -> None:
        self._path = path
        self._time_source = time_source
        self._fd: int | None = None
        self._room = RECORD_BYTES
        self._over = False

    def write(self, stream: str, lines: list[bytes]) -> None:
        """Keep these lines, with the time of now."""
        if self._over or not lines:
            return
        moment = from_us(self._time_source.now_us()).isoformat(timespec="microseconds").replace("+00:00", "Z")
        prefix = f"{moment} {stream} ".encode()
        block = prefix + (b"\n" + prefix).join(lines) + b"\n"
        if not block.isascii() or b"\0" in block:
            block = clean(block).encode()
        if len(block) > self._room:
            kept = block[: block.rfind(b"\n", 0, self._room) + 1]
            block = kept + f"{moment} kora [cut: more than {RECORD_BYTES:,} bytes were printed]\n".encode()
            self._over = True
        self._room -= len(block)
        try:
            self._append(block)
        except OSError as error:
            self._over = True
            logger.warning("%s: what the attempt prints is no longer kept: %s", self._path, error)
        if self._over:
            self.close()

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = None

    def _append(self, block: bytes) -> None:
        if self._fd is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        left = memoryview(block)
        while left:
            left = left[os.write(self._fd, left) :]
