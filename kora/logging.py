"""The log: lines for people on stderr, which never hold up whoever writes them."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import unicodedata
from collections import deque
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from loguru import Message

LINES_WAITING: Final = 10_000
_FLUSH_SECONDS: Final = 2.0
_COLOURS: Final = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}

# Letters that by Unicode's word are to be drawn as nothing, though their categories do not say so.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)


def escaped(text: str) -> str:
    r"""The text as one line that shows all it holds: control, bidi and invisible characters become \u…."""
    if text.isprintable() and not _INVISIBLE.search(text):
        return text
    return "".join(letter if _shows(letter) else _code(letter) for letter in text)


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log line from `level` on, the standard library's included, to the stream; by default to stderr."""
    from loguru import logger  # noqa: PLC0415 - a fifth of a second, which those who only escape do not pay

    shutdown()
    # loguru's own queue is a pipe of 64 KiB: once it is full, a sink that stalls stalls every actor that logs.
    outlet = _Outlet(sys.stderr if stream is None else stream)
    logger.remove()
    logger.add(
        outlet.take, level=level, format=lambda _: "{exception}", colorize=False, backtrace=False, diagnose=False
    )
    logging.basicConfig(handlers=[_Intercept()], level=level, force=True)
    # Every step of a migration is news to nobody.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    _current.append(outlet)


def shutdown() -> None:
    """Write out what still waits, for at most two seconds, and log no more."""
    if not _current:
        return
    from loguru import logger  # noqa: PLC0415 - as above

    logger.remove()
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)
    _current.pop().close()


_current: Final[list[_Outlet]] = []


class _Outlet:
    """Writes lines in a thread of its own. When the stream does not keep up, the oldest are dropped and counted."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._coloured = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def take(self, message: Message) -> None:
        """Queue the record's line; returns at once."""
        line = _line(message, coloured=self._coloured)
        with self._changed:
            if len(self._lines) >= LINES_WAITING:
                self._lines.popleft()
                self._dropped += 1
            self._lines.append(line)
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, for as long as anybody should wait for a log."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_FLUSH_SECONDS)

    def _write(self) -> None:
        while (text := self._next()) is not None:
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):
                # Nobody reads the log any more; work goes on.
                continue

    def _next(self) -> str | None:
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closing)
            if not self._lines:
                return None
            text = "".join(self._lines)
            if self._dropped:
                text = f"({self._dropped} older log lines dropped: they were not read fast enough)\n{text}"
            self._lines.clear()
            self._dropped = 0
            return text


class _Intercept(logging.Handler):
    """Hands the standard library's records to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        from loguru import logger  # noqa: PLC0415 - as above

        level: str | int = record.levelname if record.levelname in _COLOURS else record.levelno
        logger.opt(exception=record.exc_info).log(level, record.getMessage())


def _line(message: Message, *, coloured: bool) -> str:
    record = message.record
    level = f"{record['level'].name:<8}"
    colour = _COLOURS.get(record["level"].name)
    if coloured and colour:
        level = f"\x1b[{colour}m{level}\x1b[0m"
    thread = "runtime" if record["thread"].name == "MainThread" else record["thread"].name
    actor = escaped(str(record["extra"].get("actor", thread)))
    first, *others = [escaped(line) for line in record["message"].split("\n")]
    # What follows is set in, so that no message can pass for a line of its own.
    others += [escaped(line) for line in str(message).rstrip("\n").split("\n") if line]
    head = f"{record['time']:%Y-%m-%d %H:%M:%S.%f}"[:-3]
    return "\n".join([f"{head} {level} {actor:<12} {first}", *(f"    {line}" for line in others)]) + "\n"


def _shows(letter: str) -> bool:
    plain = letter.isprintable() or unicodedata.category(letter) == "Zs"
    return plain and not _INVISIBLE.match(letter)


def _code(letter: str) -> str:
    number = ord(letter)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"  # noqa: PLR2004 - where \u ends
