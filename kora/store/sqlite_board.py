"""An operator's handle on a SQLite store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from kora.clock import to_us
from kora.domain.events import EventType
from kora.domain.ids import new_id
from kora.domain.ticket import NewTicket, QueueState, Status
from kora.store.sqlite_connection import PATIENT_SECONDS, Place, connect, writing
from kora.store.sqlite_errors import translated
from kora.store.sqlite_log import ChainLog
from kora.store.sqlite_rows import rfc3339
from kora.store.sqlite_statements import ADD_OBJECTIVE, ADD_TICKET, LAST_TICKET_NO

_TICKETS_AT_A_TIME: Final = 500


@dataclass(frozen=True, slots=True)
class _Added:
    ticket_no: int
    ticket_id: str
    actor_id: str
    queue_state: QueueState
    next_eligible_at: int | None
    captured_at: int
    said: NewTicket


class SqliteBoard:
    """Implements `Board`. The operators' chain of a workspace is named `workspace:` and its id."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._connection = connect(place.path, wait_seconds=PATIENT_SECONDS)

    def add(self, tickets: Iterable[NewTicket], *, who: str) -> list[str]:
        """Add all or none; the new ids in the order given. Taken as a stream: what it raises undoes all."""
        place, connection = self._place, self._connection
        ids: list[str] = []
        with writing(connection, place.path):
            now_us = place.time.now_us()
            chain_id = f"workspace:{place.workspace_id}"
            log = ChainLog(connection, workspace_id=place.workspace_id, chain_id=chain_id, now_us=now_us)
            (last_no,) = connection.execute(LAST_TICKET_NO).fetchone()
            numbered = (self._place_of(number, ticket, now_us) for number, ticket in enumerate(tickets, last_no + 1))
            for some in _batches(numbered):
                connection.executemany(ADD_TICKET, [self._row(added, now_us) for added in some])
                connection.executemany(
                    ADD_OBJECTIVE, [(added.ticket_no, added.said.ticket_objective) for added in some]
                )
                for added in some:
                    payload = {
                        "who": who,
                        "verb": "add",
                        "target": added.ticket_id,
                        "before": None,
                        "after": _after(added),
                    }
                    log.append(EventType.OPERATOR_ACTED, payload, ticket_id=added.ticket_id, ticket_no=added.ticket_no)
                log.flush()
                ids += [added.ticket_id for added in some]
            log.close()
        return ids

    def close(self) -> None:
        """Give the connection back."""
        with translated(self._place.path):
            self._connection.close()

    def _place_of(self, number: int, said: NewTicket, now_us: int) -> _Added:
        due = None if said.next_eligible_at is None else to_us(said.next_eligible_at)
        return _Added(
            ticket_no=number,
            ticket_id=new_id(),
            actor_id=said.assigned_to_actor_id or self._place.actor_id,
            queue_state=QueueState.READY if due is None or due <= now_us else QueueState.WAITING,
            next_eligible_at=due,
            captured_at=now_us if said.sea_captured_at is None else to_us(said.sea_captured_at),
            said=said,
        )

    def _row(self, added: _Added, now_us: int) -> tuple[object, ...]:
        return (
            added.ticket_no,
            added.ticket_id,
            self._place.workspace_id,
            added.actor_id,
            int(added.queue_state),
            added.said.sea_priority.rank,
            now_us,
            added.next_eligible_at,
            added.said.sea_idea_kind,
            added.captured_at,
            added.said.ticket_title,
        )


def _after(added: _Added) -> dict[str, Any]:
    """The ticket as added, but for the objective, which may be a megabyte and never changes."""
    return {
        "ticket_title": added.said.ticket_title,
        "sea_status": Status.ASSIGNED.value,
        "sea_priority": added.said.sea_priority.value,
        "sea_idea_kind": added.said.sea_idea_kind,
        "sea_captured_at": rfc3339(added.captured_at),
        "assigned_to_actor_id": added.actor_id,
        "next_eligible_at": None if added.next_eligible_at is None else rfc3339(added.next_eligible_at),
    }


def _batches(added: Iterator[_Added]) -> Iterator[list[_Added]]:
    while some := list(islice(added, _TICKETS_AT_A_TIME)):
        yield some
