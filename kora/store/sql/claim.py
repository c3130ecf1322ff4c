"""The claiming part of a turn: claim and allocation in one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any, Final

import orjson

from kora.clock import MICROSECONDS, from_us
from kora.domain.claim import Claim, EarlierAttempt
from kora.domain.events import EventType, spelling
from kora.domain.ids import new_ids, operation_id
from kora.domain.operation import CLAIM_TOOL, Operation, default_key
from kora.store.port import ClaimOrder
from kora.store.sql.log import Told
from kora.store.sql.rows import NewClaims, ReadyRow, json_array, operation_of, rfc3339
from kora.store.sql.turn import Claimed, OpenTurn

_CLAIMED: Final = EventType.CLAIMED.value
_Past = tuple[tuple[Operation, ...], tuple[EarlierAttempt, ...]]
"""what earlier attempts at a ticket recorded, and how they ended; the oldest first"""
_NOTHING: Final[_Past] = ((), ())
ATTEMPTS_AT_MOST: Final = 10
"""of each ticket, the newest: how they ended is told to the next"""
PROMOTED_AT_MOST: Final = 200
"""of each rank, in each turn: so that a million tickets falling due at once make no turn long"""
OPERATIONS_AT_MOST: Final = 1_000
"""of each ticket, the newest: what earlier attempts recorded is handed to the next"""
RESULT_BYTES_AT_MOST: Final = 4 * 1024 * 1024
"""of each ticket's results, the newest: a turn holds the write lock, and its claims are kept in memory"""
_READ_AT_MOST: Final = 256
"""at once, because each may bring an objective of a megabyte"""


def claim(turn: OpenTurn, order: ClaimOrder) -> None:
    """The most urgent, then oldest, ready tickets of this actor are this runtime's.

    Each is fenced, leased, `in_progress`, and has its ledger row 0 allocated. One whose row cannot be claimed is set
    aside and the next one is taken in its place.
    """
    if turn.any_due:
        turn.connection.execute(turn.say.promote, (turn.workspace_id, turn.actor_id, turn.now_us, PROMOTED_AT_MOST))
    passed_over: set[str] = set()
    while (missing := order.count - len(turn.result.claims)) > 0:
        rows = _ready(turn, order, min(missing, _READ_AT_MOST), passed_over)
        if not rows:
            break
        claimable = [row for row in rows if row.ticket_id not in order.except_tickets]
        if len(claimable) < len(rows):
            # Next to none of these is ever ready, so that they are named to the store only when one has been met.
            passed_over |= order.except_tickets
        claims = turn.each(
            claimable,
            lambda some: _write(turn, some, order.lease_seconds),
            lambda row: f"claim of ticket {row.ticket_id}",
        )
        turn.result.claims += claims
        passed_over |= {row.ticket_id for row in claimable} - {claim.key.ticket_id for claim in claims}
    if len(turn.result.claims) < order.count:
        turn.result.next_eligible_in_seconds = _next_eligible(turn)


def _ready(turn: OpenTurn, order: ClaimOrder, count: int, passed_over: set[str]) -> list[ReadyRow]:
    bound: tuple[object, ...] = (turn.workspace_id, turn.actor_id, count)
    if passed_over:
        statement = turn.say.critical_but if order.is_critical_only else turn.say.ready_but
        bound = (*bound, json_array(list(passed_over)))
    else:
        statement = turn.say.critical if order.is_critical_only else turn.say.ready
    (found,) = turn.connection.execute(statement, bound).fetchone()
    return list(map(ReadyRow._make, orjson.loads(found)))


def _write(turn: OpenTurn, rows: Sequence[ReadyRow], lease_seconds: float) -> list[Claim]:
    turn.log.flush()  # what the database can do while the claims are made up here
    lease_expires_at = turn.after(lease_seconds)
    earlier = _earlier(turn, [row.ticket_no for row in rows if row.work_attempt_count])
    new = NewClaims(
        workspace_id=turn.workspace_id,
        actor_id=turn.actor_id,
        holder=turn.runtime_id,
        lease_expires_at=from_us(lease_expires_at),
    )
    common = {"holder": turn.runtime_id, "actor_id": turn.actor_id, "lease_expires_at": rfc3339(lease_expires_at)}
    before, after = spelling(common, "work_attempt_id")
    claims: list[Claim] = []
    claimed: list[object] = []
    allocated: list[object] = []
    told: list[Told] = []
    for row, attempt in zip(rows, new_ids(len(rows)), strict=True):
        ticket_no, ticket_id = row.ticket_no, row.ticket_id
        claims.append(new.of(row, attempt, *earlier.get(ticket_no, _NOTHING)))
        claimed += (ticket_no, attempt)
        allocated += (attempt, ticket_no, row.work_attempt_count + 1, _presence_id(ticket_id, attempt))
        told.append((_CLAIMED, f"{before}{attempt}{after}", ticket_id, ticket_no, None))
        turn.claimed[attempt] = Claimed(ticket_id, ticket_no, turn.booted_us)
    changed = turn.say.claim_tickets.execute(turn.connection, (turn.runtime_id, lease_expires_at, turn.now_us), claimed)
    turn.expect([changed], len(rows), "it was not ready when it came to be claimed")
    turn.say.allocate.execute(turn.connection, (CLAIM_TOOL, turn.now_us), allocated)
    turn.log.extend(told)
    return claims


def _presence_id(ticket_id: str, work_attempt_id: str) -> str:
    return operation_id(ticket_id, default_key(CLAIM_TOOL, 0, work_attempt_id))


def _earlier(turn: OpenTurn, ticket_nos: list[int]) -> dict[int, _Past]:
    """What there was of earlier attempts at these; and what they left open is abandoned."""
    if not ticket_nos:
        return {}
    numbers = json_array(ticket_nos)
    turn.connection.execute(turn.say.abandon_earlier, (turn.now_us, numbers))
    attempts = turn.connection.execute(turn.say.earlier_attempts, (numbers, ATTEMPTS_AT_MOST)).fetchall()
    found = turn.connection.execute(turn.say.earlier_operations, (numbers, OPERATIONS_AT_MOST)).fetchall()
    operations = {ticket_no: _newest(turn, sorted(orjson.loads(keys))) for ticket_no, keys in found}
    return {
        ticket_no: (operations.get(ticket_no, ()), tuple(_ended(*row) for row in sorted(orjson.loads(rows))))
        for ticket_no, rows in attempts
    }


def _ended(attempt: int, work_attempt_id: str, result: str | None, error: str | None) -> EarlierAttempt:
    said = {} if result is None else orjson.loads(result)
    return EarlierAttempt(work_attempt_id, attempt, said.get("resolution"), said.get("summary") or error or "")


def _newest(turn: OpenTurn, keys: list[Any]) -> tuple[Operation, ...]:
    """The operations of these keys, of which the newest is the first, as far as they may be handed on; oldest first."""
    operations: list[Operation] = []
    room_bytes = RESULT_BYTES_AT_MOST
    with closing(turn.connection.execute(turn.say.operations_by_key, (orjson.dumps(keys).decode(),))) as found:
        for size_bytes, *row in found:
            room_bytes -= size_bytes or 0
            if room_bytes < 0:
                break
            operations.append(operation_of(row))
    return tuple(reversed(operations))


def _next_eligible(turn: OpenTurn) -> float | None:
    (due,) = turn.connection.execute(turn.say.next_eligible, (turn.workspace_id, turn.actor_id)).fetchone()
    return None if due is None else max(0.0, (due - turn.now_us) / MICROSECONDS)
