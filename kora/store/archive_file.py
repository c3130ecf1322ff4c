"""Archived events as they lie in a file: gzip members, one a move, each of JSON lines.

A member's first line says what it holds and where each of its chains stood before; every further line is an event in
its wire format, from which its hash can be computed again. `zcat FILE` shows them all; beyond what the store knows of
the file, a move that was killed may stand in it, whose events were moved again into another.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from kora.clock import to_us
from kora.domain.events import canonical
from kora.errors import StoreError
from kora.store.sql.rows import rfc3339

FORMAT: Final = 1
LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""of a line that is read back: a damaged file must not fill the memory"""

_COMPRESSION: Final = 6
_BUFFER_BYTES: Final = 1 << 18

Row = tuple[Any, ...]
"""an event as the store's statements select it"""
Head = tuple[int, bytes]
"""a chain's last `chain_seq` so far, and the hash there"""


class ArchiveDamagedError(StoreError):
    """A file of archived events is not as it was written; the message says how."""


@dataclass(frozen=True, slots=True)
class Part:
    """What the store has recorded of a part of a file that begins where a member does, and ends where one does."""

    archive_id: str
    workspace_id: str
    begin: int
    end: int
    events: int
    last_seq: int


def member(archive_id: str, workspace_id: str, rows: Sequence[Row], before: Mapping[str, Head]) -> bytes:
    """One gzip member with these events. `before` says where each of their chains stood."""
    header = {
        "kora_archive": FORMAT,
        "archive_id": archive_id,
        "workspace_id": workspace_id,
        "first_seq": rows[0][0],
        "last_seq": rows[-1][0],
        "events": len(rows),
        "chains": {chain_id: [seq, digest.hex()] for chain_id, (seq, digest) in before.items()},
    }
    lines = [orjson.dumps(header), *map(_line, rows), b""]
    return gzip.compress(b"\n".join(lines), _COMPRESSION, mtime=0)


def read(path: Path, part: Part) -> Iterator[Row]:
    """The events of this part of the file.

    Raises `ArchiveDamagedError` where it cannot be read on, or is not what the store or the members' first lines say;
    memory does not grow with the file.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < part.end:
                raise ArchiveDamagedError(f"it was cut: {size:,} bytes of {part.end:,} are there")
            yield from _rows(file, part)
    except FileNotFoundError:
        raise ArchiveDamagedError("it is missing; it was written to this path: put the file back there") from None
    except (OSError, EOFError, zlib.error, ValueError, TypeError, LookupError) as error:
        raise ArchiveDamagedError(f"it is damaged: {error}") from error


def may_go_on(file: io.FileIO, known: int, archive_id: str) -> bool:
    """Whether the file is this archive, and has nothing behind what is known of it but a member that was broken off."""
    beginning = orjson.dumps({"kora_archive": FORMAT, "archive_id": archive_id})[:-1] + b","
    try:
        file.seek(0)
        if known and zlib.decompressobj(wbits=31).decompress(file.read(_BUFFER_BYTES), len(beginning)) != beginning:
            return False
        file.seek(known)
        unpacking, unpacked = zlib.decompressobj(wbits=31), b""
        while packed := file.read(_BUFFER_BYTES):
            while packed:
                lines = unpacking.decompress(packed, _BUFFER_BYTES)
                unpacked += lines[: len(beginning) - len(unpacked)]
                if unpacking.eof:
                    return False
                packed = unpacking.unconsumed_tail
    except zlib.error:
        return False
    return beginning.startswith(unpacked)


def _line(row: Row) -> bytes:
    seq, event_id, event_type, occurred_at, workspace_id, ticket_id, payload, chain_id, chain_seq, prev, this = row
    return orjson.dumps(
        {
            "seq": seq,
            "event_id": event_id,
            "event_type": event_type,
            "occurred_at": rfc3339(occurred_at),
            "workspace_id": workspace_id,
            "ticket_id": ticket_id,
            "payload": orjson.Fragment(payload),
            "chain_id": chain_id,
            "chain_seq": chain_seq,
            "prev_event_hash": prev.hex(),
            "this_event_hash": this.hex(),
        }
    )


def _rows(file: BinaryIO, part: Part) -> Iterator[Row]:
    file.seek(part.begin)
    with (
        gzip.GzipFile(fileobj=_Bytes(file, part.end - part.begin)) as unpacked,
        io.BufferedReader(unpacked, _BUFFER_BYTES) as lines,
    ):
        last_seq = events = 0
        while line := _line_of(lines):
            header = orjson.loads(line)
            for row in _rows_under(header, lines, part):
                if row[0] <= last_seq:
                    raise ArchiveDamagedError(f"it is damaged: event {row[0]} stands behind event {last_seq}")
                last_seq, events = row[0], events + 1
                yield row
    if events != part.events:
        raise ArchiveDamagedError(f"{events:,} events are in it where {part.events:,} were written")
    if last_seq != part.last_seq:
        raise ArchiveDamagedError(f"it ends with event {last_seq} where event {part.last_seq} was written last")


def _rows_under(header: dict[str, Any], lines: io.BufferedIOBase, part: Part) -> Iterator[Row]:
    """As many events as a member's first line says, which must be those that it says."""
    said = [header["kora_archive"], header["archive_id"], header["workspace_id"]]
    if said != [FORMAT, part.archive_id, part.workspace_id]:
        raise ArchiveDamagedError(f"it is another archive: {said} where {part.archive_id} was written")
    first_seq = last_seq = None
    stood: dict[str, list[Any]] = {}
    for _ in range(header["events"]):
        row = _row(_line_of(lines))
        first_seq, last_seq = first_seq or row[0], row[0]
        if row[7] not in stood:
            stood[row[7]] = [row[8] - 1, row[9].hex()]
        yield row
    if [header["first_seq"], header["last_seq"], header["chains"]] != [first_seq, last_seq, stood]:
        raise ArchiveDamagedError(f"the events up to {last_seq} are not those that the line before them says")


def _line_of(lines: io.BufferedIOBase) -> bytes:
    """The next line, empty at the end."""
    line = lines.readline(LINE_BYTES_MAX)
    if line and not line.endswith(b"\n"):
        raise ArchiveDamagedError("it is damaged: a line has no end")
    return line


def _row(line: bytes) -> Row:
    said = orjson.loads(line)
    chain_id, chain_seq = said["chain_id"], said["chain_seq"]
    if not (isinstance(chain_id, str) and isinstance(chain_seq, int)):
        raise TypeError("an event's chain is none")
    return (
        said["seq"],
        said["event_id"],
        said["event_type"],
        to_us(datetime.fromisoformat(said["occurred_at"])),
        said["workspace_id"],
        said["ticket_id"],
        canonical(said["payload"]),
        chain_id,
        chain_seq,
        bytes.fromhex(said["prev_event_hash"]),
        bytes.fromhex(said["this_event_hash"]),
    )


class _Bytes:
    """So many bytes of a file from where it stands, as gzip reads."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int) -> bytes:
        read = self._file.read(min(size, self._left))
        self._left -= len(read)
        return read

    def seek(self, place: int) -> None:
        """Nothing: read from front to back only."""
        raise io.UnsupportedOperation(f"seek to {place}")
