"""The reading handle on a SQLite store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from kora.domain.control import ClaimPermission
from kora.domain.events import Event
from kora.domain.ticket import Status, Ticket
from kora.errors import NotFoundError, StoreUnusableError
from kora.store.port import ChainReport, Outstanding
from kora.store.sqlite_connection import Place, check_identity, connect, identity
from kora.store.sqlite_errors import translated
from kora.store.sqlite_rows import TicketRow, active_claim_of, event_of, json_array, ticket_of
from kora.store.sqlite_statements import (
    CLAIM_PERMISSION,
    EVENTS_AFTER,
    EVENTS_OF_TICKET_AFTER,
    EVENTS_OF_TYPES_AFTER,
    OUTSTANDING,
    TICKET,
    TICKETS_AFTER,
    TICKETS_OF_STATUS_AFTER,
)
from kora.store.sqlite_verify import verify

_WAIT_SECONDS: Final = 5.0
"""a reader waits only while another process recovers or closes the write-ahead log"""
_EVENTS_A_PAGE: Final = 500
_TICKETS_A_PAGE: Final = 64
"""few, because each may bring an objective of a megabyte"""


class SqliteReader:
    """Implements `Reader`. Long lists are read page by page, so that a slow consumer keeps no transaction open."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._identity = identity(place.path)
        self._connection = connect(place.path, wait_seconds=_WAIT_SECONDS, query_only=True)

    def claim_permission(self) -> ClaimPermission:
        """What the workspace's runtimes may claim; nothing, if the workspace has no row, or the file has gone."""
        check_identity(self._place.path, self._identity)
        rows = self._rows(CLAIM_PERMISSION, (self._place.workspace_id,))
        return ClaimPermission(rows[0][0]) if rows else ClaimPermission.NONE

    def outstanding(self) -> Outstanding:
        """What is left for this store's actor."""
        check_identity(self._place.path, self._identity)
        ((ready, waiting, held),) = self._rows(OUTSTANDING, (self._place.workspace_id, self._place.actor_id))
        return Outstanding(ready=bool(ready), waiting=bool(waiting), held=bool(held))

    def ticket(self, ticket_id: str) -> Ticket:
        """One ticket. Raises `NotFoundError`."""
        rows = self._rows(TICKET, (ticket_id, self._place.workspace_id))
        if not rows:
            raise NotFoundError(f"there is no ticket {ticket_id} in workspace {self._place.workspace_id}")
        return self._ticket(rows[0])

    def tickets(self, statuses: Sequence[Status] = (), limit: int | None = None) -> Iterator[Ticket]:
        """The board in the order of adding; only these statuses if any are named."""
        wanted = json_array([status.value for status in statuses])
        after, left = 0, limit
        while left is None or left > 0:
            page = _TICKETS_A_PAGE if left is None else min(left, _TICKETS_A_PAGE)
            rows = (
                self._rows(TICKETS_OF_STATUS_AFTER, (self._place.workspace_id, after, wanted, page))
                if statuses
                else self._rows(TICKETS_AFTER, (self._place.workspace_id, after, page))
            )
            yield from map(self._ticket, rows)
            if len(rows) < page:
                return
            after = rows[-1][0]
            left = None if left is None else left - page

    def events(
        self, *, ticket_id: str | None = None, event_types: Sequence[str] = (), after_seq: int = 0
    ) -> Iterator[Event]:
        """The log in the store's order of arrival."""
        after, full = after_seq, True
        while full:
            rows = self._events_page(ticket_id, event_types, after)
            yield from map(self._event, rows)
            full = len(rows) == _EVENTS_A_PAGE
            after = rows[-1][0] if rows else after

    def verify(self) -> ChainReport:
        """Recompute every chain of the workspace; the report names the first broken event."""
        return verify(self._connection, self._place)

    def close(self) -> None:
        """Give the connection back."""
        with translated(self._place.path):
            self._connection.close()

    def _events_page(self, ticket_id: str | None, event_types: Sequence[str], after: int) -> list[tuple[Any, ...]]:
        workspace_id = self._place.workspace_id
        wanted = json_array([str(event_type) for event_type in event_types]) if event_types else None
        if ticket_id is not None:
            return self._rows(EVENTS_OF_TICKET_AFTER, (ticket_id, workspace_id, after, wanted, _EVENTS_A_PAGE))
        if wanted is not None:
            return self._rows(EVENTS_OF_TYPES_AFTER, (workspace_id, after, wanted, _EVENTS_A_PAGE))
        return self._rows(EVENTS_AFTER, (workspace_id, after, _EVENTS_A_PAGE))

    def _rows(self, statement: str, bound: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with translated(self._place.path):
            return self._connection.execute(statement, bound).fetchall()

    def _ticket(self, row: tuple[Any, ...]) -> Ticket:
        named = TicketRow._make(row)
        try:
            return ticket_of(named, active_claim_of(named))
        except (ValueError, OverflowError) as error:
            raise StoreUnusableError(
                f"{self._place.path}: the row of ticket {named.ticket_id} is damaged ({error})"
            ) from error

    def _event(self, row: tuple[Any, ...]) -> Event:
        try:
            return event_of(row)
        except (ValueError, OverflowError) as error:
            raise StoreUnusableError(
                f"{self._place.path}: event {row[0]} is damaged ({error}); `events --verify` names the first that is"
            ) from error
