"""The end of one hash chain, inside one write transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kora.domain.events import EventType, canonical, chain_hash
from kora.domain.ids import new_ids
from kora.store.sql.place import Connection, Mark
from kora.store.sql.statements import LogStatements

Told = tuple[str, str, str | None, int | None, str | None]
"""the name of an event's type, its payload as `canonical` spells it, ticket's id, ticket's number, and own id: a fresh
one where it has none"""


class ChainLog:
    """Appends events to one chain; the chain must be this transaction's own from its making to its `close`.

    Events are written by `flush`, all at once; the chain's head by `close`, once.
    """

    def __init__(
        self,
        connection: Connection,
        say: LogStatements,
        *,
        workspace_id: str,
        chain_id: str,
        now_us: int,
        head: Mark,
    ) -> None:
        self._connection = connection
        self._say = say
        self._workspace_id = workspace_id
        self._chain_id = chain_id
        self._now_us = now_us
        self._tail: Mark = head
        self._begun_at = self._tail
        self._told: list[Told] = []
        """what has no place in the chain yet"""
        self._values: list[object] = []
        """of the events that have one, and are not written yet: one value after another"""

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
        self.extend([(event_type.value, canonical(payload), ticket_id, ticket_no, event_id)])

    def extend(self, told: Sequence[Told]) -> None:
        """So many more events, in the order given: what a turn tells of hundreds of tickets comes in one call."""
        self._told += told

    def link(self) -> None:
        """What was appended gets its place in the chain, and its hash: `flush` would, for whoever has to wait before.

        It is most of what is to be done here for an event, and needs nothing of the database.
        """
        told, self._told = self._told, []
        if not told:
            return
        chain_id, now_us, workspace_id, values = self._chain_id, self._now_us, self._workspace_id, self._values
        number, prev = self._tail
        bound = bytearray(prev)
        for (event_type, text, ticket_id, ticket_no, given_id), fresh_id in zip(told, new_ids(len(told)), strict=True):
            event_id = given_id or fresh_id
            number += 1
            prev = chain_hash(prev, (chain_id, number, event_id, event_type, now_us, workspace_id, ticket_id, text))
            values += (event_id, event_type, ticket_no or 0, text, number, bound, bound := bytearray(prev))
        self._tail = (number, prev)

    def flush(self) -> None:
        """What was appended is written."""
        self.link()
        if self._values:
            self._say.append_events.execute(
                self._connection, (self._now_us, self._workspace_id, self._chain_id), self._values
            )
            self._values.clear()

    def mark(self) -> Mark:
        """Where the chain stands, with all that was appended so far written."""
        self.flush()
        return self._tail

    def rewind(self, mark: Mark) -> None:
        """Forget what was appended since the mark; for use after rolling back to a savepoint taken with it."""
        self._tail = mark
        self._told.clear()
        self._values.clear()

    def close(self) -> None:
        """Write what is left, and the chain's new head."""
        self.flush()
        if self._tail != self._begun_at:
            self._connection.execute(self._say.move_chain_head, (self._workspace_id, self._chain_id, *self._tail))
            self._connection.proven_by(self._chain_id, self._tail)
