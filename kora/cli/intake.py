"""A file of tickets: every line is checked before the board hears of the first."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import orjson
from pydantic import ValidationError

from kora.cli.progress import Step, bars
from kora.config.faults import explained, said
from kora.domain.ticket import NewTicket
from kora.errors import BoardError, ImportRefusedError

FAULTS_NAMED: Final = 10_000
LINE_BYTES: Final = 8 * 1_048_576
_BIG_BYTES: Final = 2 * 1_048_576
_IN_MEMORY_BYTES: Final = 16 * 1_048_576
_BOM: Final = b"\xef\xbb\xbf"


@contextmanager
def checked(name: str, *, agents: Collection[str] = ()) -> Iterator[Iterator[NewTicket]]:
    """The file's tickets, one by one, all known to be good, their agents among these.

    Raises `ImportRefusedError`, which names each bad line.
    """
    shown = "stdin" if name == "-" else name
    with _open(name, shown) as file:
        size = file.seek(0, os.SEEK_END)
        with bars(shown=size >= _BIG_BYTES) as bar:
            _check(file, shown, agents, bar("checking", size))
            # Read a second time rather than kept: a file may be larger than the memory.
            yield _tickets(file, shown, agents, bar("adding", size))


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


def _check(file: IO[bytes], shown: str, agents: Collection[str], step: Step) -> None:
    faults: list[str] = []
    total = 0
    for number, line in _lines(file, step):
        parsed = _parsed(line, agents)
        if isinstance(parsed, NewTicket):
            continue
        total += 1
        if len(faults) < FAULTS_NAMED:
            faults.append(f"line {number}: {parsed}")
    if faults:
        raise ImportRefusedError(shown, faults, total=total)


def _tickets(file: IO[bytes], shown: str, agents: Collection[str], step: Step) -> Iterator[NewTicket]:
    for number, line in _lines(file, step):
        parsed = _parsed(line, agents)
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


def _parsed(line: bytes, agents: Collection[str]) -> NewTicket | str:
    if len(line) > LINE_BYTES:
        return f"longer than {LINE_BYTES:,} bytes"
    fault = _no_object(line)
    if fault is not None:
        return fault
    try:
        ticket = NewTicket.model_validate_json(line, strict=True)
    except ValidationError as error:
        return "; ".join(explained(error, NewTicket))
    if ticket.agent is not None and ticket.agent not in agents:
        return f"agent: the configuration has no [agents.{ticket.agent}]; there are: {', '.join(agents) or 'none'}"
    return ticket


def _no_object(line: bytes) -> str | None:
    try:
        value = orjson.loads(line.decode())
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start + 1}"
    except orjson.JSONDecodeError as error:
        return f"no JSON at character {error.pos + 1}: {error.msg}"
    return None if isinstance(value, dict) else f"must be a JSON object, not {said(value)}"
