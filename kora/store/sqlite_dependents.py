"""What becomes of the tickets that wait for others, when one of those ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Protocol

from kora.domain.events import EventType
from kora.store.sqlite_log import ChainLog
from kora.store.sqlite_rows import json_array
from kora.store.sqlite_turn_statements import BLOCK_DEPENDENTS, DEPENDENTS_OF_FAILED, FREE_DEPENDENTS


class Writing(Protocol):
    """A transaction under way, with the chain that its events go to: a turn's, or an operator's."""

    connection: sqlite3.Connection
    log: ChainLog
    workspace_id: str
    now_us: int


def completed(turn: Writing, ticket_nos: Sequence[int]) -> None:
    """What waited for these counts its open blockers anew, and is in the queue again when there are none left.

    Counted, not counted down: so it is right whatever was done to the blockers before.
    """
    if ticket_nos:
        turn.connection.execute(FREE_DEPENDENTS, (json_array(list(ticket_nos)), turn.now_us))


def failed(turn: Writing, ticket_nos: Sequence[int]) -> None:
    """What waited for these waits for an operator instead, and the log says for which of them.

    It goes no further: what waits for *that* goes on waiting.
    """
    if not ticket_nos:
        return
    found = turn.connection.execute(DEPENDENTS_OF_FAILED, (json_array(list(ticket_nos)),)).fetchall()
    turn.connection.execute(BLOCK_DEPENDENTS, (json_array([ticket_no for ticket_no, *_ in found]),))
    for ticket_no, ticket_id, blocker_id in found:
        payload = {
            "sea_ticket_id": ticket_id,
            "workspace_id": turn.workspace_id,
            "reason": "blocked_by",
            "blocked_by": blocker_id,
        }
        turn.log.append(EventType.BLOCKED, payload, ticket_id=ticket_id, ticket_no=ticket_no)
