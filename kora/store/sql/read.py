"""The reading handle."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby, islice
from typing import Any, Final

from kora.domain.control import Command
from kora.domain.events import Event
from kora.domain.operation import Operation
from kora.domain.ticket import Status, Ticket
from kora.errors import NotFoundError, StoreUnusableError
from kora.store.sql import history, steering
from kora.store.sql.place import Place
from kora.store.sql.report import active_work, fleet, report
from kora.store.sql.rows import TicketRow, active_claim_of, event_of, json_array, ticket_of
from kora.store.sql.statements import ReadStatements, ReportStatements
from kora.store.sql.verify import verify
from kora.store.steering import ChainHead, Steering
from kora.store.views import ActiveWork, AttemptRecord, BoardReport, ChainReport, Outstanding, RuntimeSeen

_EVENTS_A_PAGE: Final = 500
_NO_END: Final = 2**63 - 1
_TICKETS_A_PAGE: Final = 64
"""few, because each may bring an objective of a megabyte"""
_NUMBERS_A_PAGE: Final = 1_000
_STATUS: Final = TicketRow._fields.index("sea_status")


class Reader:
    """Implements `Reader`. Long lists are read page by page, so that a slow consumer keeps no transaction open."""

    def __init__(self, place: Place, say: ReadStatements, report: ReportStatements) -> None:
        self._place = place
        self._say = say
        self._report = report
        self._numbers_of = {
            Status.ASSIGNED: say.numbers_ordinary,
            Status.COMPLETED: say.numbers_ordinary,
            Status.CLAIMED: say.numbers_held,
            Status.IN_PROGRESS: say.numbers_held,
        }
        """every other status is exceptional"""
        self._connection = place.connect(only_reads=True)

    def steering(self) -> Steering:
        """What Control goes by, as of one moment. Raises `StoreError`, also if the file has gone."""
        self._place.check()
        with self._connection.snapshot(), self._damage_named():
            return steering.steering(self._connection, self._say.steering, self._place.workspace_id)

    def commands(self, limit: int | None = None) -> list[Command]:
        """The command log with every mark, the newest first."""
        with self._connection.snapshot(), self._damage_named():
            say, workspace_id = self._say.steering.control, self._place.workspace_id
            return steering.commands(self._connection, say, workspace_id, limit=limit)

    def heads(self, chain_ids: Sequence[str]) -> list[ChainHead]:
        """Where these chains of the workspace end, those of them that have begun."""
        with self._connection.translated():
            return steering.heads(self._connection, self._say.steering, self._place.workspace_id, chain_ids)

    def spend(self) -> dict[int, int]:
        """What was charged in each month, in micro-dollars, the newest first."""
        return dict(self._rows(self._say.steering.spend, (self._place.workspace_id,)))

    def outstanding(self) -> Outstanding:
        """What is left for this store's actor."""
        self._place.check()
        (found,) = self._rows(self._say.outstanding, (self._place.workspace_id, self._place.actor_id))
        ready, waiting, held, blocked = map(bool, found)
        return Outstanding(ready=ready, waiting=waiting, held=held, blocked=blocked)

    def ticket(self, ticket_id: str) -> Ticket:
        """One ticket. Raises `NotFoundError`."""
        rows = self._rows(self._say.ticket, (ticket_id, self._place.workspace_id))
        if not rows:
            raise NotFoundError(f"there is no ticket {ticket_id} in workspace {self._place.workspace_id}")
        return self._ticket(rows[0])

    def tickets(self, statuses: Sequence[Status] = (), limit: int | None = None) -> Iterator[Ticket]:
        """The board in the order of adding; only these statuses if any are named."""
        found = self._of_statuses(frozenset(statuses), limit) if statuses else self._all()
        return islice(map(self._ticket, found), limit)

    def events(
        self,
        *,
        ticket_id: str | None = None,
        event_types: Sequence[str] = (),
        after_seq: int = 0,
        up_to_now: bool = False,
    ) -> Iterator[Event]:
        """The log in the store's order of arrival, without what was archived; see `Reader` of the port."""
        after, full = after_seq, True
        while full:
            before = _NO_END if up_to_now else self._settled_seq()
            rows = self._events_page(ticket_id, event_types, after, before)
            yield from map(self._event, rows)
            full = len(rows) == _EVENTS_A_PAGE
            after = rows[-1][0] if rows else after

    def last_seq(self) -> int:
        """The place of the newest event of the whole store in the order of arrival; 0 for an empty log."""
        found = self._rows(self._say.last_seq, (self._place.workspace_id,))
        return int(found[0][0] or 0) if found else 0

    def changed(self) -> bool:
        """Whether another connection has committed since this was last asked, or since this handle was made.

        Raises `StoreUnusableError` when the file is not the one that was opened any more.
        """
        return self._connection.changed()

    def claims(self) -> list[ActiveWork]:
        """Every held claim of the workspace, the oldest first."""
        return active_work(self._connection, self._place, self._report)

    def fleet(self) -> list[RuntimeSeen]:
        """The workspace's runtimes that were seen within a day, or that hold claims; the newest first."""
        return fleet(self._connection, self._place, self._report)

    def attempts(self, ticket_id: str) -> list[AttemptRecord]:
        """The ticket's attempts, the first one first. Raises `NotFoundError`."""
        with self._connection.translated():
            return history.attempts(self._connection, self._say, self._place.workspace_id, ticket_id)

    def operations(self, ticket_id: str) -> list[Operation]:
        """The ticket's own operations, oldest attempt first. Raises `NotFoundError`."""
        with self._connection.translated():
            return history.operations(self._connection, self._say, self._place.workspace_id, ticket_id)

    def report(self, since: datetime) -> BoardReport:
        """The board and what happened to it since, as of one moment."""
        return report(self._connection, self._place, self._report, since)

    def verify(self) -> ChainReport:
        """Recompute every chain of the workspace, archived parts included; the report names the first broken event."""
        return verify(self._connection, self._place, self._say.history)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def _settled_seq(self) -> int:
        found = self._rows(self._say.settled_seq, (self._place.workspace_id,))
        return int(found[0][0]) if found else 0

    def _events_page(
        self, ticket_id: str | None, event_types: Sequence[str], after: int, before: int
    ) -> list[tuple[Any, ...]]:
        workspace_id = self._place.workspace_id
        wanted = json_array([str(event_type) for event_type in event_types]) if event_types else None
        if ticket_id is not None:
            return self._rows(
                self._say.events_of_ticket_after, (ticket_id, workspace_id, after, before, wanted, _EVENTS_A_PAGE)
            )
        if wanted is not None:
            return self._rows(self._say.events_of_types_after, (workspace_id, after, before, wanted, _EVENTS_A_PAGE))
        return self._rows(self._say.events_after, (workspace_id, after, before, _EVENTS_A_PAGE))

    def _all(self) -> Iterator[tuple[Any, ...]]:
        after, full = 0, True
        while full:
            rows = self._rows(self._say.tickets_after, (self._place.workspace_id, after, _TICKETS_A_PAGE))
            yield from rows
            full = len(rows) == _TICKETS_A_PAGE
            after = rows[-1][0] if rows else after

    def _of_statuses(self, statuses: frozenset[Status], limit: int | None) -> Iterator[tuple[Any, ...]]:
        """First the tickets' numbers, each status by itself, then the tickets: one may have moved on meanwhile."""
        wanted = _NUMBERS_A_PAGE if limit is None else min(limit, _NUMBERS_A_PAGE)
        merged = heapq.merge(*(self._numbers(status, wanted) for status in statuses))
        numbers = (number for number, _ in groupby(merged))
        while page := list(islice(numbers, _TICKETS_A_PAGE)):
            rows = self._rows(self._say.tickets_of_numbers, (json_array(page),))
            yield from (row for row in rows if row[_STATUS] in statuses)

    def _numbers(self, status: Status, at_a_time: int) -> Iterator[int]:
        workspace_id, statement = self._place.workspace_id, self._numbers_of.get(status, self._say.numbers_exceptional)
        after, full = 0, at_a_time > 0
        if status is Status.ASSIGNED:
            # Mostly the newest: what is completed before them need not be read.
            ((first,),) = self._rows(self._say.first_queued, (workspace_id,))
            after, full = (0, False) if first is None else (first - 1, full)
        while full:
            rows = self._rows(statement, (workspace_id, status.value, after, at_a_time))
            yield from (number for (number,) in rows)
            full = len(rows) == at_a_time
            after = rows[-1][0] if rows else after

    def _rows(self, statement: str, bound: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._connection.translated():
            return self._connection.execute(statement, bound).fetchall()

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, OverflowError) as error:
            raise StoreUnusableError(
                f"{self._place.name}: what the workspace is steered by is damaged ({error}); restore it from a backup"
            ) from error

    def _ticket(self, row: tuple[Any, ...]) -> Ticket:
        named = TicketRow._make(row)
        try:
            return ticket_of(named, active_claim_of(named))
        except (ValueError, OverflowError) as error:
            raise StoreUnusableError(
                f"{self._place.name}: the row of ticket {named.ticket_id} is damaged ({error})"
            ) from error

    def _event(self, row: tuple[Any, ...]) -> Event:
        try:
            return event_of(row)
        except (ValueError, OverflowError) as error:
            raise StoreUnusableError(
                f"{self._place.name}: event {row[0]} is damaged ({error}); `events --verify` names the first that is"
            ) from error
