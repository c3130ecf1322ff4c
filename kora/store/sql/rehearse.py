"""A ticket's whole way, for whoever wants to know whether it could be gone: nothing of it is ever committed."""

from __future__ import annotations

from kora.domain.ids import new_id
from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import QueueState, Status
from kora.store.port import ClaimOrder
from kora.store.sql.claim import claim
from kora.store.sql.settle import settle
from kora.store.sql.statements import BoardStatements
from kora.store.sql.turn import OpenTurn

_LEASE_SECONDS = 60.0
_TITLE = "a rehearsal"


def rehearse(turn: OpenTurn, say: BoardStatements) -> None:
    """A ticket was added, claimed and released, with all that is written along; the transaction is to be undone.

    Its actor is nobody else's, so that no other ticket is touched. Raises one of `turn.row_errors` where it cannot be
    done.
    """
    turn.actor_id = actor_id = new_id()
    connection, ticket_id = turn.connection, new_id()
    (ticket_no,) = connection.execute(turn.say.rehearsal_no, (turn.workspace_id,)).fetchone()
    ready = (int(QueueState.READY), 0, turn.now_us, None, "", turn.now_us, _TITLE, None)
    connection.execute(say.add_ticket, (ticket_no, ticket_id, turn.workspace_id, actor_id, *ready))
    connection.execute(say.add_objective, (ticket_no, ""))
    claim(turn, ClaimOrder(1, _LEASE_SECONDS))
    ends = [Settlement(each.key, Resolution.RELEASED, Status.RELEASED, _TITLE, None, {}) for each in turn.result.claims]
    settle(turn, ends)
    turn.close()
    if [key.ticket_id for key in turn.result.settled] != [ticket_id]:
        raise ValueError("a ticket of its own could not be claimed and released")
