"""An operator's change under way: one transaction, and what it did in the workspace's chain."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kora.domain.events import EventType
from kora.store.sqlite_clock import now_for_writing_us
from kora.store.sqlite_connection import Place, writing
from kora.store.sqlite_log import ChainLog
from kora.store.sqlite_statements import IS_IN_LOG, TALLY
from kora.store.sqlite_turn import MINUTE_US


@dataclass(slots=True)
class Change:
    """The write lock is held, and `now_us` was read after it was got."""

    connection: sqlite3.Connection
    workspace_id: str
    chain_id: str
    now_us: int
    log: ChainLog
    who: str

    def acted(self, verb: str, ticket_id: str, ticket_no: int, *, before: object, after: dict[str, Any]) -> None:
        """The log says who did what to which ticket; of its fields, those that it changed."""
        payload = {"who": self.who, "verb": verb, "target": ticket_id, "before": before, "after": after}
        self.log.append(EventType.OPERATOR_ACTED, payload, ticket_id=ticket_id, ticket_no=ticket_no)

    def record(
        self, verb: str, target: str, *, before: Mapping[str, object], after: Mapping[str, object], event_id: str
    ) -> None:
        """The log says who did what, of no ticket; not again, if it has the event of this id."""
        (known,) = self.connection.execute(IS_IN_LOG, (event_id,)).fetchone()
        if not known:
            payload = {"who": self.who, "verb": verb, "target": target, "before": before, "after": after}
            self.log.append(EventType.OPERATOR_ACTED, payload, event_id=event_id)

    def tally(self, what: str, count: int, *, worked_us: int = 0) -> None:
        """So many more of these, for the report."""
        bound = (self.workspace_id, self.now_us // MINUTE_US, self.chain_id, what, count, 0, worked_us)
        self.connection.execute(TALLY, bound)


@contextmanager
def changing(connection: sqlite3.Connection, place: Place, who: str) -> Iterator[Change]:
    """All that is done inside, with its events, is committed together, or nothing is.

    The operators' chain of a workspace is named `workspace:` and its id.
    """
    with writing(connection, place.path):
        now_us = now_for_writing_us(connection, place)
        chain_id = f"workspace:{place.workspace_id}"
        log = ChainLog(connection, workspace_id=place.workspace_id, chain_id=chain_id, now_us=now_us)
        yield Change(connection, place.workspace_id, chain_id, now_us, log, who)
        log.close()
