"""An operator's handle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager

from kora.domain.ticket import NewTicket, Ticket
from kora.store.sql import add, verbs
from kora.store.sql.change import Change, changing
from kora.store.sql.place import Place
from kora.store.sql.statements import BoardStatements


class Board:
    """Implements `Board`. Each change is one transaction."""

    def __init__(self, place: Place, say: BoardStatements) -> None:
        self._place = place
        self._say = say
        self._connection = place.connect(is_patient=True)

    def add(self, tickets: Iterable[NewTicket], *, who: str) -> list[str]:
        """Add all or none; the new ids in the order given. Taken as a stream: what it raises undoes all."""
        with self._changing(who) as change:
            return add.add(change, tickets, actor_id=self._place.actor_id)

    def unblock(self, ticket_id: str, *, who: str) -> Ticket:
        """What waits for an operator is eligible again, or waits for those of its blockers that may still complete."""
        with self._changing(who) as change:
            return verbs.unblock(change, ticket_id)

    def force_retry(self, ticket_id: str, *, who: str) -> Ticket:
        """What failed for good is reopened; what waits for its time, or for the cost limit, is eligible now."""
        with self._changing(who) as change:
            return verbs.force_retry(change, ticket_id)

    def cancel(self, ticket_id: str, *, who: str) -> Ticket:
        """It has failed for good; a claim on it is void from this commit on."""
        with self._changing(who) as change:
            return verbs.cancel(change, ticket_id)

    def reassign(self, ticket_id: str, to_actor_id: str, *, who: str) -> Ticket:
        """It is another actor's."""
        with self._changing(who) as change:
            return verbs.reassign(change, ticket_id, to_actor_id)

    def record(
        self,
        verb: str,
        target: str,
        *,
        before: Mapping[str, object],
        after: Mapping[str, object],
        who: str,
        event_id: str,
    ) -> None:
        """What an operator did to something other than a ticket's row is on record, once."""
        with self._changing(who) as change:
            change.record(verb, target, before=before, after=after, event_id=event_id)

    def _changing(self, who: str) -> AbstractContextManager[Change]:
        return changing(self._connection, self._place, self._say, who)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()
