"""Moving old events into compressed files.

Events leave from the front of the log, so that of each chain a prefix goes; the chain's row keeps where it was cut and
the hash there. A move of some thousand events is first written to the file and synced, then taken out of the store in
one short transaction that also records the file's new length. Killed between the two, the file has a tail that the
store does not know: the next archiving cuts it off if it is no whole move, and else goes on in another file.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from kora.clock import from_us, to_us
from kora.domain.events import GENESIS, EventType, canonical
from kora.errors import StoreUnavailableError, StoreUnusableError
from kora.store.archive_file import Head, Row, member
from kora.store.sql.archive_place import OpenArchive, made, open_archive
from kora.store.sql.change import changing
from kora.store.sql.place import Connection, Place
from kora.store.sql.rows import rfc3339
from kora.store.sql.statements import ArchiveStatements
from kora.store.sql.verify import fault_of_event
from kora.store.views import ArchiveResult, LeftEvent

_TIMES_A_PAGE: Final = 20_000
_EVENTS_A_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """How much goes at a time, and into one file."""

    move_events: int = 5_000
    move_bytes: int = 8 * 1024 * 1024
    """of payloads: what a move takes of the memory is a small multiple of this"""
    file_bytes: int = 256 * 1024 * 1024
    """a file that has reached this is not written to any more"""


@dataclass(frozen=True, slots=True)
class _Span:
    events: int
    last_seq: int
    first_left: LeftEvent | None


@dataclass(slots=True)
class _Moving:
    connection: Connection
    place: Place
    say: ArchiveStatements
    directory: Path
    limits: Limits
    heads: dict[str, Head]
    """how far each chain was moved"""
    after_seq: int = 0
    events: int = 0
    until_us: int = 0


def archive(
    place: Place,
    say: ArchiveStatements,
    directory: Path,
    older_than: datetime,
    *,
    who: str,
    progress: Callable[[int, int], None],
    limits: Limits | None = None,
) -> ArchiveResult:
    """Move what `Store.archive` says. The log says first what is to be moved, and by whom.

    Raises `StoreUnusableError` for a directory or file that cannot be written and for a broken chain,
    `StoreUnavailableError` when the store stayed locked or another archiving is under way. What was moved until then is
    moved, the rest stands in the store.
    """
    with closing(place.connect(is_patient=True)) as connection:
        with connection.translated():
            span = _span(connection, place, say, to_us(older_than))
            if span.events == 0:
                return ArchiveResult(events=0, files=(), until=None, first_left=span.first_left)
            heads = _heads(connection, say, place.workspace_id)
        moving = _Moving(connection, place, say, made(directory), limits or Limits(), heads)
        after = {"older_than": rfc3339(to_us(older_than)), "events": span.events, "last_seq": span.last_seq}
        with changing(connection, place, say.board, who) as change:
            # Also the newest event of the store from now on, which is never moved: `seq` must not begin anew.
            acted = {"who": who, "verb": "archive", "target": str(moving.directory), "before": None, "after": after}
            change.log.append(EventType.OPERATOR_ACTED, acted)
        files = _move_all(moving, span, progress)
        until = from_us(moving.until_us) if moving.events else None
        return ArchiveResult(events=moving.events, files=files, until=until, first_left=span.first_left)


def _heads(connection: Connection, say: ArchiveStatements, workspace_id: str) -> dict[str, Head]:
    """How far each chain was moved that was moved at all."""
    found = connection.execute(say.history.anchors, (workspace_id,)).fetchall()
    return {chain_id: (seq, digest) for chain_id, seq, digest in found}


def _span(connection: Connection, place: Place, say: ArchiveStatements, before_us: int) -> _Span:
    """The longest beginning of the log in which every event is older.

    One that is dated in the future, by a clock that was wrong, is as old as what came after it: else nothing behind it
    would be moved for as long as its date says.
    """
    present_us, after = connection.wall_us(), 0
    events, last_seq = 0, 0
    first_left, passed = None, 0
    while page := connection.execute(say.page_of_times, (place.workspace_id, after, _TIMES_A_PAGE)).fetchall():
        for seq, occurred_at in page:
            if occurred_at < before_us:
                events, last_seq = events + passed + 1, seq
                first_left, passed = None, 0
                continue
            first_left, passed = first_left or LeftEvent(seq, from_us(occurred_at)), passed + 1
            if occurred_at <= present_us:
                return _Span(events, last_seq, first_left)
        after = page[-1][0]
    return _Span(events, last_seq, first_left)


def _move_all(moving: _Moving, span: _Span, progress: Callable[[int, int], None]) -> list[Path]:
    files: list[Path] = []
    progress(0, span.events)
    with ExitStack() as stack:
        file: OpenArchive | None = None
        while rows := _next(moving, span.last_seq):
            if file is None or file.size >= moving.limits.file_bytes:
                stack.close()
                file = stack.enter_context(
                    open_archive(
                        moving.connection,
                        moving.place,
                        moving.say,
                        moving.directory,
                        first_seq=rows[0][0],
                        file_bytes=moving.limits.file_bytes,
                    )
                )
                files.append(file.path)
            _move(moving, file, rows)
            progress(moving.events, span.events)
    return files


def _next(moving: _Moving, last_seq: int) -> list[Row]:
    """The next events to be moved, within the limits; none when all up to `last_seq` are."""
    rows: list[Row] = []
    size, after = 0, moving.after_seq
    while len(rows) < moving.limits.move_events and size < moving.limits.move_bytes:
        at_most = min(_EVENTS_A_PAGE, moving.limits.move_events - len(rows))
        with moving.connection.translated():
            page = moving.connection.execute(
                moving.say.history.events_after, (moving.place.workspace_id, after, at_most)
            ).fetchall()
        wanted = [row for row in page if row[0] <= last_seq]
        rows += wanted
        if not wanted or len(wanted) < len(page):
            break
        after = wanted[-1][0]
        size += sum(len(row[6]) for row in wanted)
    return rows


def _move(moving: _Moving, file: OpenArchive, rows: list[Row]) -> None:
    """These events stand in the file, and no more in the store; or nothing has changed for whoever asks the store."""
    before, after = _checked(moving, rows)
    end = file.append(member(file.archive_id, moving.place.workspace_id, rows, before))
    events, until_us = file.events + len(rows), max(row[3] for row in rows)
    workspace_id, last_seq = moving.place.workspace_id, rows[-1][0]
    with moving.connection.writing():
        changed = [
            moving.connection.executemany(
                moving.say.move_anchor,
                [(*head, workspace_id, chain_id, before[chain_id][0]) for chain_id, head in after.items()],
            ).rowcount,
            moving.connection.execute(moving.say.forget_events, (workspace_id, rows[0][0], last_seq)).rowcount,
            moving.connection.execute(
                moving.say.extend_archive, (end, events, last_seq, until_us, workspace_id, str(file.path), file.size)
            ).rowcount,
        ]
        if changed != [len(after), len(rows), 1]:
            _check_rows_of(after, moving)
            raise _overtaken(moving)
    file.size, file.events = end, events
    moving.heads |= after
    moving.events += len(rows)
    moving.after_seq, moving.until_us = last_seq, max(moving.until_us, until_us)


def _checked(moving: _Moving, rows: list[Row]) -> tuple[dict[str, Head], dict[str, Head]]:
    """Where the chains of these events stand before and after them. Raises `StoreUnusableError` for a broken one."""
    before: dict[str, Head] = {}
    after: dict[str, Head] = {}
    for row in rows:
        chain_id = row[7]
        tail = after.get(chain_id) or before.setdefault(chain_id, moving.heads.get(chain_id, (0, GENESIS)))
        fault = fault_of_event(row, tail)
        if fault is not None:
            if _heads(moving.connection, moving.say, moving.place.workspace_id) != moving.heads:
                raise _overtaken(moving)
            raise StoreUnusableError(
                f"{moving.place.name}: chain {chain_id} is broken at event {fault.chain_seq} ({fault.fault});"
                " it and what came later was not archived; see `events --verify`"
            )
        if canonical(orjson.loads(row[6])) != row[6]:
            raise StoreUnusableError(f"{moving.place.name}: event {row[1]} is not spelled as Kora spells; not archived")
        after[chain_id] = (row[8], row[10])
    return before, after


def _check_rows_of(chains: dict[str, Head], moving: _Moving) -> None:
    """Raises `StoreUnusableError` for a chain that has events but no row."""
    with_row = {
        chain_id
        for chain_id, *_ in moving.connection.execute(moving.say.history.all_heads, (moving.place.workspace_id,))
    }
    for chain_id in sorted(chains.keys() - with_row):
        raise StoreUnusableError(
            f"{moving.place.name}: the head of chain {chain_id} is missing; its events and what came later were not"
            " archived; see `events --verify`"
        )


def _overtaken(moving: _Moving) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"{moving.place.name}: another archiving of this workspace is under way; wait for its end"
    )
