"""An operator's change under way: one transaction, and what it did in the workspace's chain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kora.domain.events import EventType
from kora.store.sql.log import ChainLog
from kora.store.sql.place import Connection, Place
from kora.store.sql.rows import json_array
from kora.store.sql.statements import BoardStatements
from kora.store.sql.turn import MINUTE_US


@dataclass(slots=True)
class Change:
    """The workspace's chain is this transaction's own, and `now_us` was read after it was got."""

    connection: Connection
    say: BoardStatements
    workspace_id: str
    chain_id: str
    now_us: int
    log: ChainLog
    who: str
    steers: bool = False
    """something else than tickets was changed, which runtimes may go by"""

    def acted(self, verb: str, ticket_id: str, ticket_no: int, *, before: object, after: dict[str, Any]) -> None:
        """The log says who did what to which ticket; of its fields, those that it changed."""
        payload = {"who": self.who, "verb": verb, "target": ticket_id, "before": before, "after": after}
        self.log.append(EventType.OPERATOR_ACTED, payload, ticket_id=ticket_id, ticket_no=ticket_no)

    def record(
        self, verb: str, target: str, *, before: Mapping[str, object], after: Mapping[str, object], event_id: str
    ) -> None:
        """The log says who did what, of no ticket; not again, if it has the event of this id."""
        asked = (json_array([event_id]), json_array([]), self.workspace_id)
        if not self.connection.execute(self.say.log.known_events, asked).fetchall():
            self.told(verb, target, before=before, after=after, event_id=event_id)

    def told(
        self,
        verb: str,
        target: str,
        *,
        before: Mapping[str, object] | None,
        after: Mapping[str, object],
        event_id: str | None = None,
    ) -> None:
        """The log says who did what, of no ticket."""
        self.steers = True
        payload = {"who": self.who, "verb": verb, "target": target, "before": before, "after": after}
        self.log.append(EventType.OPERATOR_ACTED, payload, event_id=event_id)

    def tally(self, what: str, count: int, *, worked_us: int = 0) -> None:
        """So many more of these, for the report."""
        bound = (self.workspace_id, self.now_us // MINUTE_US, self.chain_id, what, count, 0, worked_us)
        self.connection.execute(self.say.log.tally, bound)


@contextmanager
def changing(connection: Connection, place: Place, say: BoardStatements, who: str) -> Iterator[Change]:
    """All that is done inside, with its events, is committed together, or nothing is.

    The operators' chain of a workspace is named `workspace:` and its id.
    """
    with connection.writing():
        chain_id = f"workspace:{place.workspace_id}"
        now_us, head = connection.open_chain(chain_id)
        log = ChainLog(
            connection, say.log, workspace_id=place.workspace_id, chain_id=chain_id, now_us=now_us, head=head
        )
        yield Change(connection, say, place.workspace_id, chain_id, now_us, log, who)
        log.close()
