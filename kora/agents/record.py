"""What an attempt printed, kept in a file of its own: plain while it is written, compressed from then on."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import zlib
from collections import Counter
from pathlib import Path
from typing import Final

from kora.agents.lines import clean
from kora.clock import TimeSource, from_us
from kora.redact import of_this_process

RECORD_BYTES: Final = 16 * 1_024 * 1_024
FOLDER: Final = "attempts"
PLAIN: Final = ".log"
COMPRESSED: Final = ".log.gz"
PART: Final = ".log.gz.part"

_COPY_BYTES: Final = 262_144
_GZIP: Final = 31
_LEVEL: Final = 6

logger = logging.getLogger(__name__)

_writers: Counter[Path] = Counter()
_changed = threading.Condition()


def plain_path(state_dir: Path, work_attempt_id: str) -> Path:
    """Where an attempt's record stands while it is written; compressed, it has `.gz` added."""
    return state_dir / FOLDER / f"{work_attempt_id}{PLAIN}"


class Record:
    """Appends 'TIME STREAM LINE' to a file of at most `room_bytes`, and a line that says so if there was more.

    The file is made at the first line, for its owner's eyes only. Several records of one path share its file: the last
    to be closed compresses it. A file that cannot be written costs the record and one WARNING, never the attempt. What
    was written before a crash is there after it. The values of this process's secrets (see `kora.redact`) are not.
    """

    def __init__(self, path: Path, time_source: TimeSource, *, room_bytes: int = RECORD_BYTES) -> None:
        self._path = path
        self._time_source = time_source
        self._fd: int | None = None
        self._room_bytes = self._room = room_bytes
        self._redactor = of_this_process()
        self._over = False
        self._closed = False
        with _changed:
            _writers[path] += 1

    def write(self, stream: str, lines: list[bytes]) -> None:
        """Keep these lines, with the time of now. Nothing is kept any more once it is closed."""
        if fault := self.put(stream, lines):
            logger.warning("%s", fault)

    def put(self, stream: str, lines: list[bytes]) -> str:
        """As `write`, for one who holds a lock: the WARNING is handed back, to be logged without it. Mostly empty."""
        fault = ""
        if self._over or not lines:
            return fault
        moment = from_us(self._time_source.now_us()).isoformat(timespec="microseconds").replace("+00:00", "Z")
        prefix = f"{moment} {stream} ".encode()
        block = prefix + (b"\n" + prefix).join(lines) + b"\n"
        if not block.isascii() or b"\0" in block:
            block = clean(block).encode()
        block = self._redactor.without_values(block)
        if len(block) > self._room:
            kept = block[: block.rfind(b"\n", 0, self._room) + 1]
            block = kept + f"{moment} kora [cut: more than {self._room_bytes:,} bytes were printed]\n".encode()
            self._over = True
        self._room -= len(block)
        try:
            self._append(block)
        except OSError as error:
            self._over = True
            fault = f"{self._path}: what the attempt prints is no longer kept: {error}"
        if self._over:
            self._close_file()
        return fault

    def end(self) -> None:
        """Take no more."""
        self._over = True
        self._close_file()

    def close(self) -> None:
        """Take no more, and compress the file unless another record still writes it; that can take a second."""
        self.end()
        with _changed:
            if self._closed:
                return
            self._closed = True
            last = _writers[self._path] == 1
            if not last:
                _writers[self._path] -= 1
                return
        # Counted as a writer until it is done, so that a sweep leaves the file alone.
        try:
            compress(self._path)
        finally:
            with _changed:
                _writers[self._path] -= 1
                if not _writers[self._path]:
                    del _writers[self._path]
                _changed.notify_all()

    def _close_file(self) -> None:
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


def is_written(path: Path) -> bool:
    """Whether a record of this process still writes or compresses the file."""
    with _changed:
        return path in _writers


def await_closed(timeout_seconds: float) -> bool:
    """Wait until every record of this process is closed and compressed; False when that took too long.

    Nothing is lost then: the next sweep compresses what stayed plain.
    """
    with _changed:
        return _changed.wait_for(lambda: not _writers, timeout_seconds)


def compress(path: Path) -> bool:
    """Replace the plain file by its compressed form, which keeps the time of its last line. True if there was one.

    Killed at any point, the plain file is whole or the compressed one is: the latter gets its name when it is complete,
    and only then is the former removed. One that cannot be compressed stays as it is, with one WARNING.
    """
    part = path.with_suffix(PART)
    try:
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        logger.warning("%s: cannot be compressed: %s", path, error)
        return False
    try:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        _compress_into(part, source)
        part.rename(path.with_suffix(COMPRESSED))
        path.unlink()
    except OSError as error:
        logger.warning("%s: stays uncompressed: %s", path, error)
        with contextlib.suppress(OSError):
            part.unlink()
        return False
    finally:
        os.close(source)
    return True


def _compress_into(part: Path, source: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(part, flags, 0o600), "wb") as target:  # noqa: PTH123 - a descriptor has no path
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        while chunk := os.read(source, _COPY_BYTES):
            target.write(packer.compress(chunk))
        target.write(packer.flush())
        target.flush()
        told = os.fstat(source)
        os.utime(target.fileno(), ns=(told.st_atime_ns, told.st_mtime_ns))
