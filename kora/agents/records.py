"""What attempts printed, read again: at any time, as it comes, and swept away when it is old."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kora.agents.lines import clean
from kora.agents.record import COMPRESSED, FOLDER, PART, PLAIN, compress, is_written, plain_path
from kora.clock import MICROSECONDS

_READ_BYTES: Final = 65_536
_UNPACKED_BYTES: Final = 1_048_576
_GZIP: Final = 31
_DAY_NS: Final = 86_400_000_000_000
_NS_PER_US: Final = 1_000_000_000 // MICROSECONDS
_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_A_RECORD: Final = re.compile(rf"({_UUID})({re.escape(PLAIN)}|{re.escape(COMPRESSED)}|{re.escape(PART)})")
_A_LINE: Final = re.compile(rb"(\S+) (\S+) (.*)", re.DOTALL)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RecordLine:
    """One line that an attempt printed."""

    at: datetime
    """when Kora read it"""
    stream: str
    """stdout, stderr, verify, git, or kora, which says what is not there"""
    text: str


def read(state_dir: Path, work_attempt_id: str) -> Iterator[RecordLine]:
    """What is kept of the attempt so far; nothing when it printed nothing, or was swept.

    A file that a crash or a full disk cut short, or that is damaged, is read as far as it goes.

    Raises:
        OSError: there is a record, and it cannot be read.
    """
    source = _open(state_dir, work_attempt_id)
    if source is None:
        return
    with source:
        yield from _lines(source.chunks())


def follow(state_dir: Path, work_attempt_id: str, *, wait: Callable[[], bool]) -> Iterator[RecordLine]:
    """What the attempt has printed, and then every line as it comes; ends when the record is closed.

    `wait` is called whenever there is no more: it blocks a little, and returns False to end, after a last look. An
    attempt that has printed nothing yet has no record yet: it, too, is waited for.

    Raises:
        OSError: there is a record, and it cannot be read.
    """
    going_on = True
    while (source := _open(state_dir, work_attempt_id)) is None:
        if not going_on:
            return
        going_on = wait()
    with source:
        yield from _lines(_chunks_as_they_come(source, wait))


class _Source:
    """An open record, plain or compressed."""

    def __init__(self, descriptor: int, *, packed: bool) -> None:
        self._fd = descriptor
        self._packed = packed

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    @property
    def is_closed(self) -> bool:
        """Whether nobody will add to it: a plain one that was compressed has no name any more."""
        return self._packed or os.fstat(self._fd).st_nlink == 0

    def chunks(self) -> Iterator[bytes]:
        """What it holds from here on, in pieces of bounded size."""
        if self._packed:
            yield from self._unpacked()
            return
        while chunk := os.read(self._fd, _READ_BYTES):
            yield chunk

    def _unpacked(self) -> Iterator[bytes]:
        unpacker = zlib.decompressobj(_GZIP)
        with contextlib.suppress(zlib.error):
            while not unpacker.eof and (packed := os.read(self._fd, _READ_BYTES)):
                while packed and not unpacker.eof:
                    yield unpacker.decompress(packed, _UNPACKED_BYTES)
                    packed = unpacker.unconsumed_tail
            yield unpacker.flush()


def _open(state_dir: Path, work_attempt_id: str) -> _Source | None:
    plain = plain_path(state_dir, work_attempt_id)
    if plain.parent != state_dir / FOLDER:
        return None
    # The plain one first, and the other after it: whatever is done to them meanwhile, one of both is found whole.
    for path, packed in ((plain, False), (plain.with_suffix(COMPRESSED), True)):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return _Source(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), packed=packed)
    return None


def _chunks_as_they_come(source: _Source, wait: Callable[[], bool]) -> Iterator[bytes]:
    going_on = True
    while True:
        closed = source.is_closed
        yield from source.chunks()
        if closed or not going_on:
            return
        going_on = wait()


def _lines(chunks: Iterator[bytes]) -> Iterator[RecordLine]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield from _parsed(line)
    yield from _parsed(rest)


def _parsed(line: bytes) -> Iterator[RecordLine]:
    """The line as it was written; nothing, if it breaks off before it says anything."""
    if (parts := _A_LINE.fullmatch(line)) is None:
        return
    moment, stream, text = parts.groups()
    with contextlib.suppress(ValueError):
        yield RecordLine(datetime.fromisoformat(clean(moment)).astimezone(UTC), clean(stream), clean(text))


@dataclass(slots=True)
class _Swept:
    removed: int = 0
    compressed: int = 0
    fault: str = ""


def sweep(state_dir: Path, *, keep_days: float, now_us: int, live: Callable[[str], bool]) -> int:
    """How many records were removed: those whose last line is older than `keep_days` (0: none is).

    Plain ones that a crash left behind are compressed. What belongs to an attempt that is `live`, or is being written
    by this process, stays as it is; so does whatever has no name of a record, is no regular file, or is a link.
    Killed at any point, it is finished by the next.
    """
    folder = state_dir / FOLDER
    keep_ns = int(keep_days * _DAY_NS)
    oldest_ns = now_us * _NS_PER_US - keep_ns if keep_ns > 0 else None
    swept = _Swept()
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            logger.warning("%s: is no folder, or a link; old records are not removed there", folder)
            return 0
        names = os.listdir(folder)  # noqa: PTH208 - thousands of names, no paths
    except FileNotFoundError:
        return 0
    for name in names:
        found = _A_RECORD.fullmatch(name)
        if found is None or live(found[1]) or is_written(plain_path(state_dir, found[1])):
            continue
        try:
            _sweep_one(folder / name, found[2], oldest_ns, swept)
        except FileNotFoundError:
            continue
        except OSError as error:
            swept.fault = swept.fault or f"{folder / name}: {error}"
    if swept.fault:
        logger.warning("a record could not be swept: %s", swept.fault)
    if swept.removed or swept.compressed:
        logger.info(
            "%s: %d records older than %g days removed, %d compressed",
            folder,
            swept.removed,
            keep_days,
            swept.compressed,
        )
    return swept.removed


def _sweep_one(path: Path, kind: str, oldest_ns: int | None, swept: _Swept) -> None:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return
    if kind == PART:
        path.unlink()
    elif oldest_ns is not None and status.st_mtime_ns < oldest_ns:
        path.unlink()
        swept.removed += 1
    elif kind == PLAIN:
        swept.compressed += compress(path)
