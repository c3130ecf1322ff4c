"""What becomes of the tickets that wait for others, when one of those ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kora.domain.events import EventType
from kora.store.sql.log import ChainLog
from kora.store.sql.place import Connection
from kora.store.sql.rows import json_array
from kora.store.sql.statements import DependentStatements


class Saying(Protocol):
    """Statements that have these among them."""

    @property
    def dependents(self) -> DependentStatements:
        """Those of this module."""


class Writing(Protocol):
    """A transaction under way, with the chain that its events go to: a turn's, or an operator's."""

    connection: Connection
    log: ChainLog
    workspace_id: str
    now_us: int

    @property
    def say(self) -> Saying:
        """Its statements."""


def completed(turn: Writing, ticket_nos: Sequence[int]) -> None:
    """What waited for these counts its open blockers anew, and is in the queue again when there are none left.

    Counted, not counted down: so it is right whatever was done to the blockers before.
    """
    if ticket_nos:
        turn.connection.execute(turn.say.dependents.free_dependents, (json_array(list(ticket_nos)), turn.now_us))


def failed(turn: Writing, ticket_nos: Sequence[int]) -> None:
    """What waited for these waits for an operator instead, and the log says for which of them.

    It goes no further: what waits for *that* goes on waiting.
    """
    if not ticket_nos:
        return
    found = turn.connection.execute(
        turn.say.dependents.dependents_of_failed, (json_array(list(ticket_nos)),)
    ).fetchall()
    turn.connection.execute(turn.say.dependents.block_dependents, (json_array([ticket_no for ticket_no, *_ in found]),))
    for ticket_no, ticket_id, blocker_id in found:
        payload = {
            "sea_ticket_id": ticket_id,
            "workspace_id": turn.workspace_id,
            "reason": "blocked_by",
            "blocked_by": blocker_id,
        }
        turn.log.append(EventType.BLOCKED, payload, ticket_id=ticket_id, ticket_no=ticket_no)
