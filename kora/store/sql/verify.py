"""Recomputing the hash chains of a workspace: first what was archived, in the order of archiving, then what is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from kora.domain.events import GENESIS, event_hash
from kora.store.archive_file import ArchiveDamagedError, Head, Part, read
from kora.store.sql.place import Connection, Place
from kora.store.sql.statements import HistoryStatements
from kora.store.views import ChainFault, ChainReport

_EVENTS_AT_A_TIME: Final = 500


def verify(connection: Connection, place: Place, say: HistoryStatements) -> ChainReport:
    """What is wrong with the workspace's log, as of one moment; memory grows with the number of chains only.

    The first broken event in the order of arrival is named; if none is, the first chain whose head disagrees with its
    events. Of an archived one the fault also names the file.
    """
    checking = _Checking()
    # Damaged text is to be reported as an event's fault, not to end the reading.
    with connection.damage_shown():
        # Read outside the snapshot, which keeps a database from clearing up behind it; what is archived meanwhile is
        # read inside it.
        with connection.translated():
            _archived(checking, connection, say, place.workspace_id)
        with connection.snapshot():
            heads = {
                chain_id: (seq, digest)
                for chain_id, seq, digest in connection.execute(say.all_heads, (place.workspace_id,))
            }
            _archived(checking, connection, say, place.workspace_id)
            _cut_there(checking, connection, say, place.workspace_id)
            checking.events_of(_stored(connection, say, place.workspace_id))
    if checking.fault is None:
        checking.fault = _fault_of_heads(checking.tails, heads)
    return ChainReport(events=checking.events, chains=len(checking.tails.keys() | heads.keys()), fault=checking.fault)


@dataclass(slots=True)
class _Checking:
    """What was read so far, up to the first fault."""

    tails: dict[str, Head] = field(default_factory=dict)
    events: int = 0
    fault: ChainFault | None = None
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    """how many bytes and events of each archived file were read"""

    def events_of(self, rows: Iterator[tuple[Any, ...]]) -> None:
        """Take these for what comes next; nothing after a fault."""
        if self.fault is not None:
            return
        for row in rows:
            self.events += 1
            chain_id = row[7]
            self.fault = fault_of_event(row, self.tails.get(chain_id, (0, GENESIS)))
            if self.fault is not None:
                return
            self.tails[chain_id] = (row[8], row[10])


def fault_of_event(row: tuple[Any, ...], tail: Head) -> ChainFault | None:
    """What is wrong with an event that is to follow this end of its chain."""
    _, event_id, event_type, occurred_at, workspace_id, ticket_id, payload, chain_id, chain_seq, prev, this = row
    if chain_seq != tail[0] + 1:
        return ChainFault(chain_id, chain_seq, event_id, f"event {tail[0] + 1} of its chain should stand here")
    if prev != tail[1]:
        return ChainFault(chain_id, chain_seq, event_id, "it does not follow the event before it")
    try:
        recomputed = event_hash(
            prev,
            chain_id=chain_id,
            chain_seq=chain_seq,
            event_id=event_id,
            event_type=event_type,
            occurred_at_us=occurred_at,
            workspace_id=workspace_id,
            ticket_id=ticket_id,
            payload=payload,
        )
    except TypeError:
        return ChainFault(chain_id, chain_seq, event_id, "its text cannot be read")
    if recomputed != this:
        return ChainFault(chain_id, chain_seq, event_id, "its hash does not match what it says")
    return None


def _archived(checking: _Checking, connection: Connection, say: HistoryStatements, workspace_id: str) -> None:
    """Read on, in each file, from where it was read to; as far as the store has recorded it."""
    for file, archive_id, end, events, last_seq in connection.execute(say.archives_written, (workspace_id,)).fetchall():
        begin, before = checking.files.get(file, (0, 0))
        if checking.fault is not None or end == begin:
            continue
        part = Part(archive_id, workspace_id, begin, end, events - before, last_seq)
        try:
            checking.events_of(read(Path(file), part))
        except ArchiveDamagedError as error:
            anchors = _anchors(connection, say, workspace_id)
            checking.fault = _fault_of_archive(checking.tails, anchors, f"{file}: {error}")
        else:
            if checking.fault is not None:
                checking.fault = replace(checking.fault, fault=f"{checking.fault.fault} (archived in {file})")
        checking.files[file] = (end, events)


def _anchors(connection: Connection, say: HistoryStatements, workspace_id: str) -> dict[str, Head]:
    """Where each chain was cut that was."""
    found = connection.execute(say.anchors, (workspace_id,)).fetchall()
    return {chain_id: (seq, digest) for chain_id, seq, digest in found}


def _fault_of_archive(tails: dict[str, Head], anchors: dict[str, Head], fault: str) -> ChainFault:
    """The fault of the first chain whose archived events are not all there."""
    for chain_id in sorted(anchors):
        seq, _ = tails.get(chain_id, (0, GENESIS))
        if seq < anchors[chain_id][0]:
            return ChainFault(chain_id, seq + 1, None, fault)
    return ChainFault(next(iter(sorted(anchors)), ""), 0, None, fault)


def _cut_there(checking: _Checking, connection: Connection, say: HistoryStatements, workspace_id: str) -> None:
    """A fault, unless every chain's archived events end where the store says that it was cut."""
    if checking.fault is not None:
        return
    anchors = _anchors(connection, say, workspace_id)
    for chain_id in sorted(anchors.keys() | checking.tails.keys()):
        seq, digest = checking.tails.get(chain_id, (0, GENESIS))
        cut = anchors.get(chain_id, (0, GENESIS))
        if cut != (seq, digest):
            fault = f"{cut[0]} events of the chain were archived, and the files that the store knows hold {seq}"
            checking.fault = ChainFault(chain_id, min(seq, cut[0]) + 1, None, fault)
            return


def _stored(connection: Connection, say: HistoryStatements, workspace_id: str) -> Iterator[tuple[Any, ...]]:
    after, full = 0, True
    while full:
        rows = connection.execute(say.events_after, (workspace_id, after, _EVENTS_AT_A_TIME)).fetchall()
        yield from rows
        full = len(rows) == _EVENTS_AT_A_TIME
        after = rows[-1][0] if rows else after


def _fault_of_heads(tails: dict[str, Head], heads: dict[str, Head]) -> ChainFault | None:
    for chain_id in sorted(tails.keys() | heads.keys()):
        seq, digest = tails.get(chain_id, (0, GENESIS))
        head = heads.get(chain_id)
        if head is None:
            return ChainFault(chain_id, seq, None, "the chain's head is missing")
        if head[0] > seq:
            return ChainFault(
                chain_id, seq + 1, None, f"the chain was cut: its head says {head[0]} events, {seq} are there"
            )
        if head != (seq, digest):
            return ChainFault(chain_id, seq, None, f"the chain's head says {head[0]} events, and not these")
    return None
