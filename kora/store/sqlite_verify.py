"""Recomputing the hash chains of a workspace."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Final

from kora.domain.events import GENESIS, event_hash
from kora.store.port import ChainFault, ChainReport
from kora.store.sqlite_connection import Place, snapshot
from kora.store.sqlite_statements import ALL_EVENTS, ALL_HEADS

_EVENTS_AT_A_TIME: Final = 500

Head = tuple[int, bytes]


def verify(connection: sqlite3.Connection, place: Place) -> ChainReport:
    """What is wrong with the workspace's log, as of one moment; memory grows with the number of chains only.

    The first broken event in the order of arrival is named; if none is, the first chain whose head disagrees with its
    events.
    """
    # Damaged text is to be reported as an event's fault, not to end the reading.
    connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    try:
        with snapshot(connection, place.path):
            heads = {
                chain_id: (seq, digest)
                for chain_id, seq, digest in connection.execute(ALL_HEADS, (place.workspace_id,))
            }
            return _verify(_stream(connection, place.workspace_id), heads)
    finally:
        connection.text_factory = str


def _stream(connection: sqlite3.Connection, workspace_id: str) -> Iterator[tuple[Any, ...]]:
    cursor = connection.execute(ALL_EVENTS, (workspace_id,))
    try:
        while rows := cursor.fetchmany(_EVENTS_AT_A_TIME):
            yield from rows
    finally:
        cursor.close()


def _verify(rows: Iterator[tuple[Any, ...]], heads: dict[str, Head]) -> ChainReport:
    tails: dict[str, Head] = {}
    events = 0
    fault: ChainFault | None = None
    for row in rows:
        events += 1
        chain_id, chain_seq, this = row[7], row[8], row[10]
        fault = _fault_of_event(row, tails.get(chain_id, (0, GENESIS)))
        if fault is not None:
            break
        tails[chain_id] = (chain_seq, this)
    if fault is None:
        fault = _fault_of_heads(tails, heads)
    return ChainReport(events=events, chains=len(tails.keys() | heads.keys()), fault=fault)


def _fault_of_event(row: tuple[Any, ...], tail: Head) -> ChainFault | None:
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
