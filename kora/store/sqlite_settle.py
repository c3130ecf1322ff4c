"""The settling part of a turn: what ended is resolved and released in one go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from kora.domain.events import EventType
from kora.domain.operation import OperationState
from kora.domain.resolution import Settlement
from kora.domain.ticket import TRIED_AGAIN, QueueState, Status
from kora.store.sqlite_rows import claim_keys, json_array
from kora.store.sqlite_statements import ABANDON_REST, COMMIT_PRESENCE, SETTLE_TICKET, TO_SETTLE
from kora.store.sqlite_turn import OpenTurn

_OVER: Final = frozenset(
    {Status.COMPLETED, Status.FAILED_TERMINAL, Status.BLOCKED_NEEDS_OPERATOR, Status.DEFERRED_COST_LIMIT}
)


def settle(turn: OpenTurn, settlements: Sequence[Settlement]) -> None:
    """Claims that are this runtime's end as told, even if their lease ran out while nobody took them over.

    One that an earlier turn already settled counts as settled and writes nothing; any other is stale, and writes
    nothing either.
    """
    if not settlements:
        return
    distinct = list({settlement.key: settlement for settlement in reversed(settlements)}.values())[::-1]
    bound = (turn.runtime_id, claim_keys([settlement.key for settlement in distinct]), turn.workspace_id)
    known = {index: rest for index, *rest in turn.connection.execute(TO_SETTLE, bound).fetchall()}
    ours: list[tuple[Settlement, int]] = []
    for index, settlement in enumerate(distinct):
        ticket_no, state, is_ours = known.get(index, (0, None, False))
        if state == OperationState.COMMITTED:
            turn.result.settled.append(settlement.key)
        elif state == OperationState.ALLOCATED and is_ours:
            ours.append((settlement, ticket_no))
        else:
            turn.result.stale.append(settlement.key)

    def write(rows: Sequence[tuple[Settlement, int]]) -> list[Settlement]:
        return _write(turn, rows)

    done = turn.each(ours, write, lambda row: f"settlement of ticket {row[0].key.ticket_id}")
    turn.result.settled += [settlement.key for settlement in done]


def _write(turn: OpenTurn, rows: Sequence[tuple[Settlement, int]]) -> list[Settlement]:
    written = turn.connection.executemany(SETTLE_TICKET, [_ticket_row(turn, *row) for row in rows]).rowcount
    if written != len(rows):
        raise ValueError("its claim was gone when it came to be written")
    turn.connection.executemany(
        COMMIT_PRESENCE,
        [
            (
                orjson.dumps({"resolution": settlement.resolution, "summary": settlement.summary}).decode(),
                turn.now_us,
                settlement.key.work_attempt_id,
            )
            for settlement, _ in rows
        ],
    )
    attempts = json_array([settlement.key.work_attempt_id for settlement, _ in rows])
    turn.connection.execute(ABANDON_REST, (turn.now_us, attempts))
    for settlement, ticket_no in rows:
        key = settlement.key
        turn.log.append(EventType.RESOLVED, _resolved(turn, settlement), ticket_id=key.ticket_id, ticket_no=ticket_no)
        released = {"holder": turn.runtime_id, "work_attempt_id": key.work_attempt_id}
        turn.log.append(EventType.RELEASED, released, ticket_id=key.ticket_id, ticket_no=ticket_no)
    return [settlement for settlement, _ in rows]


def _ticket_row(turn: OpenTurn, settlement: Settlement, ticket_no: int) -> tuple[object, ...]:
    queue_state, next_eligible_at = _queue(turn, settlement)
    return (
        settlement.sea_status.value,
        int(queue_state),
        next_eligible_at,
        settlement.resolution.value,
        settlement.summary,
        orjson.dumps(settlement.failure_count_by_reason, option=orjson.OPT_SORT_KEYS).decode(),
        ticket_no,
        settlement.key.claim_fence_token,
        turn.runtime_id,
        settlement.key.work_attempt_id,
    )


def _queue(turn: OpenTurn, settlement: Settlement) -> tuple[QueueState, int | None]:
    if settlement.sea_status in _OVER:
        return QueueState.OUT, None
    if settlement.sea_status not in TRIED_AGAIN:
        raise ValueError(f"{settlement.sea_status} is no status that an attempt may end in")
    offset = settlement.next_eligible_offset_seconds
    if offset is None or offset <= 0:
        return QueueState.READY, None
    return QueueState.WAITING, turn.after(offset)


def _resolved(turn: OpenTurn, settlement: Settlement) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "sea_ticket_id": settlement.key.ticket_id,
        "workspace_id": turn.workspace_id,
        "resolution": settlement.resolution.value,
        "resolution_summary": settlement.summary,
    }
    when_known = {
        "model_tier_used": settlement.model_tier_used,
        "next_eligible_offset_seconds": settlement.next_eligible_offset_seconds,
        "cost_usd": settlement.cost_usd,
    }
    payload.update({name: value for name, value in when_known.items() if value is not None})
    return payload
