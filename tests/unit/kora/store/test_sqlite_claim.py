"""What a claim reads."""

from __future__ import annotations

from contextlib import closing

from kora.domain.ids import new_id
from kora.domain.ticket import NewTicket
from kora.store.port import ClaimOrder, RuntimeRecord, Turn
from tests.stores import open_new


def test_a_claim_reads_no_more_of_the_board_for_what_is_in_hand(tmp_path):
    url, statements = f"sqlite:///{tmp_path}/kora.db", []
    with open_new(url, workspace_id="default", actor_id=new_id()) as store:
        with closing(store.board()) as board:
            board.add([NewTicket(ticket_title="t") for _ in range(3)], who="test")
        with closing(store.writer(RuntimeRecord(new_id(), "here", 1, "0"))) as writer:
            incarnation = writer.next_incarnation()
            writer._connection.bare.set_trace_callback(statements.append)
            in_hand = frozenset(f"in-hand-{number}" for number in range(1_000))
            result = writer.turn(incarnation, Turn(claim=ClaimOrder(1, 600.0, in_hand)))
    assert len(result.claims) == 1
    [reading] = [statement for statement in statements if "JOIN objectives" in statement]
    assert "LIMIT 1\n" in reading
    assert "in-hand" not in reading
