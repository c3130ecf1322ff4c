"""The claiming part of a turn: claim and allocation in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kora.clock import MICROSECONDS
from kora.domain.claim import Claim
from kora.domain.events import EventType
from kora.domain.ids import new_id, operation_id
from kora.domain.operation import CLAIM_TOOL, default_key
from kora.domain.ticket import Status
from kora.store.port import ClaimOrder
from kora.store.sqlite_rows import TicketRow, claim_of, json_array, rfc3339
from kora.store.sqlite_statements import ABANDON_EARLIER, ALLOCATE, CLAIM_TICKET, NEXT_ELIGIBLE, PROMOTE, READY
from kora.store.sqlite_turn import OpenTurn

PROMOTED_AT_MOST: Final = 200
"""of each rank, in each turn: so that a million tickets falling due at once make no turn long"""


def claim(turn: OpenTurn, order: ClaimOrder) -> None:
    """The most urgent, then oldest, ready tickets of this actor are this runtime's.

    Each is fenced, leased, `in_progress`, and has its ledger row 0 allocated. One whose row cannot be claimed is set
    aside and the next one is taken in its place.
    """
    if order.count < 1:
        return
    turn.connection.execute(PROMOTE, (turn.workspace_id, turn.actor_id, turn.now_us, PROMOTED_AT_MOST))
    passed_over = set(order.except_tickets)
    while (missing := order.count - len(turn.result.claims)) > 0:
        rows = _ready(turn, missing, passed_over)
        if not rows:
            break
        claims = turn.each(
            rows, lambda some: _write(turn, some, order.lease_seconds), lambda row: f"claim of ticket {row.ticket_id}"
        )
        turn.result.claims += claims
        passed_over.update(row.ticket_id for row in rows)
    if len(turn.result.claims) < order.count:
        turn.result.next_eligible_in_seconds = _next_eligible(turn)


def _ready(turn: OpenTurn, count: int, passed_over: set[str]) -> list[TicketRow]:
    bound = (turn.workspace_id, turn.actor_id, count + len(passed_over))
    found = map(TicketRow._make, turn.connection.execute(READY, bound).fetchall())
    return [row for row in found if row.ticket_id not in passed_over][:count]


def _write(turn: OpenTurn, rows: Sequence[TicketRow], lease_seconds: float) -> list[Claim]:
    lease_expires_at = turn.after(lease_seconds)
    claimed = [
        row._replace(
            sea_status=Status.IN_PROGRESS.value,
            claim_count=row.claim_count + 1,
            work_attempt_count=row.work_attempt_count + 1,
            # Counted per ticket and never reset: every later fence of a ticket is higher.
            claim_fence_token=row.claim_count + 1,
            holder=turn.runtime_id,
            lease_expires_at=lease_expires_at,
            work_attempt_id=new_id(),
        )
        for row in rows
    ]
    claims = [claim_of(row) for row in claimed]
    written = turn.connection.executemany(
        CLAIM_TICKET,
        [
            (
                row.claim_count,
                row.work_attempt_count,
                row.claim_fence_token,
                row.holder,
                row.lease_expires_at,
                row.work_attempt_id,
                row.ticket_no,
            )
            for row in claimed
        ],
    ).rowcount
    if written != len(rows):
        raise ValueError("it was not ready when it came to be claimed")
    _allocate(turn, claimed)
    until = rfc3339(lease_expires_at)
    for row in claimed:
        payload = {
            "holder": turn.runtime_id,
            "actor_id": turn.actor_id,
            "work_attempt_id": row.work_attempt_id,
            "lease_expires_at": until,
        }
        turn.log.append(EventType.CLAIMED, payload, ticket_id=row.ticket_id, ticket_no=row.ticket_no)
    return claims


def _allocate(turn: OpenTurn, claimed: Sequence[TicketRow]) -> None:
    turn.connection.execute(ABANDON_EARLIER, (turn.now_us, json_array([row.ticket_no for row in claimed])))
    turn.connection.executemany(
        ALLOCATE,
        [
            (
                row.work_attempt_id,
                row.ticket_no,
                operation_id(row.ticket_id, default_key(CLAIM_TOOL, 0, str(row.work_attempt_id))),
                CLAIM_TOOL,
                turn.now_us,
            )
            for row in claimed
        ],
    )


def _next_eligible(turn: OpenTurn) -> float | None:
    (due,) = turn.connection.execute(NEXT_ELIGIBLE, (turn.workspace_id, turn.actor_id)).fetchone()
    return None if due is None else max(0.0, (due - turn.now_us) / MICROSECONDS)
