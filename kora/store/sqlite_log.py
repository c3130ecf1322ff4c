"""The end of one hash chain, inside one write transaction."""

from __future__ import annotations

import sqlite3
from typing import Any

from kora.domain.events import GENESIS, EventType, canonical, event_hash
from kora.domain.ids import new_id
from kora.store.sqlite_statements import APPEND_EVENT, CHAIN_HEAD, MOVE_CHAIN_HEAD

Mark = tuple[int, bytes]


class ChainLog:
    """Appends events to one chain; the write lock must be held from its making to its `close`.

    Events are written by `flush`, in batches; the chain's head by `close`, once.
    """

    def __init__(self, connection: sqlite3.Connection, *, workspace_id: str, chain_id: str, now_us: int) -> None:
        self._connection = connection
        self._workspace_id = workspace_id
        self._chain_id = chain_id
        self._now_us = now_us
        head = connection.execute(CHAIN_HEAD, (workspace_id, chain_id)).fetchone()
        self._tail: Mark = head or (0, GENESIS)
        self._begun_at = self._tail
        self._rows: list[tuple[object, ...]] = []

    def append(
        self,
        event_type: EventType,
        payload: dict[str, Any],
        *,
        ticket_id: str | None = None,
        ticket_no: int | None = None,
        event_id: str | None = None,
    ) -> None:
        """One more event. Raises `TypeError` for a payload that JSON cannot spell; the chain is then as it was."""
        seq, prev = self._tail[0] + 1, self._tail[1]
        event_id, text = event_id or new_id(), canonical(payload)
        this = event_hash(
            prev,
            chain_id=self._chain_id,
            chain_seq=seq,
            event_id=event_id,
            event_type=event_type,
            occurred_at_us=self._now_us,
            workspace_id=self._workspace_id,
            ticket_id=ticket_id,
            payload=text,
        )
        self._rows.append(
            (
                event_id,
                event_type.value,
                self._now_us,
                self._workspace_id,
                ticket_no,
                text,
                self._chain_id,
                seq,
                prev,
                this,
            )
        )
        self._tail = (seq, this)

    def flush(self) -> None:
        """What was appended is written."""
        if self._rows:
            self._connection.executemany(APPEND_EVENT, self._rows)
            self._rows.clear()

    def mark(self) -> Mark:
        """Where the chain stands; taken only when all is flushed."""
        return self._tail

    def rewind(self, mark: Mark) -> None:
        """Forget what was appended since the mark; for use after rolling back to a savepoint taken with it."""
        self._tail = mark
        self._rows.clear()

    def close(self) -> None:
        """Write what is left, and the chain's new head."""
        self.flush()
        if self._tail != self._begun_at:
            self._connection.execute(MOVE_CHAIN_HEAD, (self._workspace_id, self._chain_id, *self._tail))
