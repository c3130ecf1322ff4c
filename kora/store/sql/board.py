"""An operator's handle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from kora.clock import MICROSECONDS
from kora.domain.ticket import NewTicket, Ticket
from kora.store.sql import add, steer, verbs
from kora.store.sql.change import Change, changing
from kora.store.sql.place import Place
from kora.store.sql.statements import BoardStatements

if TYPE_CHECKING:
    from kora.domain.control import Command, StopLevel
    from kora.domain.cost import Pool, Ramp

_FORGOTTEN_US: Final = 86_400 * MICROSECONDS


class Board:
    """Implements `Board`. Each change is one transaction."""

    def __init__(self, place: Place, say: BoardStatements, *, is_patient: bool = True) -> None:
        self._place = place
        self._say = say
        self._connection = place.connect(is_patient=is_patient)

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

    def stop(self, level: StopLevel, *, reason: str, enforce_seconds: float, who: str) -> Command:
        """A command of this level stands in the log; from its commit on no turn of any runtime claims anything."""
        with self._changing(who) as change:
            return steer.stop(change, level, reason=reason, enforce_seconds=enforce_seconds)

    def reset(self, *, reason: str, who: str) -> list[Command]:
        """A reset stands in the log, and what was open is superseded by it; those commands."""
        with self._changing(who) as change:
            return steer.reset(change, reason=reason)

    def escalate(self, command_id: str, *, reason: str, enforce_seconds: float, who: str) -> Command | None:
        """A command of level 4 by a watcher takes the place of this one; None when it is not to be escalated."""
        with self._changing(who) as change:
            return steer.escalate(change, command_id, reason=reason, enforce_seconds=enforce_seconds)

    def expire(self, command_id: str, holder: str, *, detail: str, who: str) -> None:
        """The runtime is gone: there is nothing left to be stopped."""
        with self._changing(who) as change:
            steer.expire(change, command_id, holder, detail=detail)

    def revoke(self, runtime_id: str, *, reason: str, who: str) -> None:
        """Whatever this runtime still writes is refused, for good."""
        with self._changing(who) as change:
            steer.revoke(change, runtime_id, reason=reason)

    def watch(self, watcher_id: str, *, host: str, pid: int) -> None:
        """This watcher is there."""
        with self._connection.writing():
            now_us = self._connection.now_us()
            bound = (self._place.workspace_id, watcher_id, host, pid, now_us)
            self._connection.execute(self._say.steering.watch, bound)

    def unwatch(self, watcher_id: str) -> None:
        """This watcher has ended; one that was not seen for a day has, too."""
        with self._connection.writing():
            then_us = self._connection.now_us() - _FORGOTTEN_US
            self._connection.execute(self._say.steering.unwatch, (self._place.workspace_id, watcher_id, then_us))

    def reconcile(self, reported_micro_usd: int, *, who: str) -> Pool:
        """At least this much is spent since the last refresh, or since the month began."""
        with self._changing(who) as change:
            return steer.reconcile(change, reported_micro_usd)

    def refresh_credit(self, ramp: Ramp, *, who: str) -> Pool:
        """Nothing is spent from now on, and what was deferred for cost is eligible again, as the ramp lets it."""
        with self._changing(who) as change:
            return steer.refresh_credit(change, ramp)

    def bump_epoch(self, *, reason: str, who: str) -> int:
        """The new epoch; attempts so far count no more."""
        with self._changing(who) as change:
            return steer.bump_epoch(change, reason=reason)

    def _changing(self, who: str) -> AbstractContextManager[Change]:
        return changing(self._connection, self._place, self._say, who)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()
