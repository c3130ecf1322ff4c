"""A file of tickets: every line is checked before the board hears of the first."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import orjson
from pydantic import ValidationError

from kora.config.faults import explained, said
from kora.domain.ticket import NewTicket
from kora.errors import BoardError, ImportRefusedError

FAULTS_NAMED: Final = 10_000
LINE_BYTES: Final = 8 * 1_048_576
_BIG_BYTES: Final = 2 * 1_048_576
_IN_MEMORY_BYTES: Final = 16 * 1_048_576
_BOM: Final = b"\xef\xbb\xbf"

Step = Callable[[int], None]
"""told of every line how many bytes it took"""


@contextmanager
def checked(name: str) -> Iterator[Iterator[NewTicket]]:
    """The file's tickets, one by one, all known to be good. Raises `ImportRefusedError`, which names each bad line."""
    shown = "stdin" if name == "-" else name
    with _open(name, shown) as file:
        size = file.seek(0, os.SEEK_END)
        with _progress(size) as steps:
            _check(file, shown, steps("checking"))
            # Read a second time rather than kept: a file may be larger than the memory.
            yield _tickets(file, shown, steps("adding"))


def _open(name: str, shown: str) -> IO[bytes]:
    try:
        if name == "-":
            if sys.stdin is None:
                raise BoardError("stdin is closed; nothing was imported")
            return _spooled(sys.stdin.buffer)
        file = Path(name).open("rb")  # noqa: SIM115 - handed to the caller, who closes it
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        with file:
            return _spooled(file)
    except OSError as error:
        raise BoardError(f"{shown} cannot be read: {error.strerror}; nothing was imported") from None


def _spooled(source: IO[bytes]) -> IO[bytes]:
    spool: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - as above
    shutil.copyfileobj(source, spool)
    return spool


def _check(file: IO[bytes], shown: str, step: Step) -> None:
    faults: list[str] = []
    total = 0
    for number, line in _lines(file, step):
        parsed = _parsed(line)
        if isinstance(parsed, NewTicket):
            continue
        total += 1
        if len(faults) < FAULTS_NAMED:
            faults.append(f"line {number}: {parsed}")
    if faults:
        raise ImportRefusedError(shown, faults, total=total)


def _tickets(file: IO[bytes], shown: str, step: Step) -> Iterator[NewTicket]:
    for number, line in _lines(file, step):
        parsed = _parsed(line)
        if not isinstance(parsed, NewTicket):
            raise ImportRefusedError(shown, [f"line {number}: was changed while it was read"])
        yield parsed


def _lines(file: IO[bytes], step: Step) -> Iterator[tuple[int, bytes]]:
    file.seek(0)
    number = 0
    while line := file.readline(LINE_BYTES + 1):
        number += 1
        step(len(line))
        rest = line
        while len(rest) > LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(LINE_BYTES + 1)
            step(len(rest))
        if number == 1:
            line = line.removeprefix(_BOM)
        if line.strip():
            yield number, line


def _parsed(line: bytes) -> NewTicket | str:
    if len(line) > LINE_BYTES:
        return f"longer than {LINE_BYTES:,} bytes"
    try:
        value = orjson.loads(line.decode())
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start + 1}"
    except orjson.JSONDecodeError as error:
        return f"no JSON at character {error.pos + 1}: {error.msg}"
    if not isinstance(value, dict):
        return f"must be a JSON object, not {said(value)}"
    try:
        return NewTicket.model_validate_json(line, strict=True)
    except ValidationError as error:
        return "; ".join(explained(error, NewTicket))


@contextmanager
def _progress(size: int) -> Iterator[Callable[[str], Step]]:
    if size < _BIG_BYTES or not sys.stderr.isatty():
        yield lambda _: lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def steps(what: str) -> Step:
            task = progress.add_task(what, total=size)
            return lambda taken: progress.advance(task, taken)

        yield steps
