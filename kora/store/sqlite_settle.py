"""The settling part of a turn: what ended is resolved and released in one go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from kora.domain.claim import ClaimKey
from kora.domain.events import EventType
from kora.domain.operation import OperationState
from kora.domain.resolution import Settlement
from kora.domain.ticket import TRIED_AGAIN, QueueState, Status
from kora.store import sqlite_dependents as dependents
from kora.store.sqlite_log import Told
from kora.store.sqlite_turn import OpenTurn, blocked_by_attempts
from kora.store.sqlite_turn_statements import SETTLE_OPERATIONS, SETTLE_TICKETS, TO_SETTLE

_RELEASED: Final = EventType.RELEASED.value
_RESOLVED: Final = EventType.RESOLVED.value
COST_MAX_MICRO_USD: Final = 10**12
"""a million dollars for one attempt is a slip of its agent, and sums of such must not overflow; the log has its word"""

_OUT, _READY, _WAITING = int(QueueState.OUT), int(QueueState.READY), int(QueueState.WAITING)
_NEVER: Final = -1
"""what `SETTLE_TICKETS` takes for no date"""

_OVER: Final = frozenset(
    {Status.COMPLETED, Status.FAILED_TERMINAL, Status.BLOCKED_NEEDS_OPERATOR, Status.DEFERRED_COST_LIMIT}
)


@dataclass(frozen=True, slots=True)
class _End:
    settlement: Settlement
    ticket_no: int
    worked_us: int

    @property
    def status(self) -> Status:
        return self.settlement.sea_status

    @property
    def cost_micro_usd(self) -> int:
        """Raises `ValueError` for what is no number."""
        cost_usd = self.settlement.cost_usd
        return 0 if cost_usd is None else min(COST_MAX_MICRO_USD, round(cost_usd * 1_000_000))


def settle(turn: OpenTurn, settlements: Sequence[Settlement]) -> None:
    """Claims that are this runtime's end as told, even if their lease ran out while nobody took them over.

    One that an earlier turn already settled counts as settled and writes nothing; any other is stale, and writes
    nothing either.
    """
    if not settlements:
        return
    distinct = list({settlement.key: settlement for settlement in reversed(settlements)}.values())[::-1]
    known = _known(turn, [settlement.key for settlement in distinct])
    ours: list[_End] = []
    for index, settlement in enumerate(distinct):
        ticket_no, state, claimed_at, is_ours = known.get(index, (0, None, None, False))
        if state == OperationState.COMMITTED:
            turn.result.settled.append(settlement.key)
        elif state == OperationState.ALLOCATED and is_ours:
            ours.append(_End(settlement, ticket_no, turn.since(claimed_at)))
        else:
            turn.result.stale.append(settlement.key)

    def write(rows: Sequence[_End]) -> list[_End]:
        return _write(turn, rows)

    done = turn.each(ours, write, lambda end: f"settlement of ticket {end.settlement.key.ticket_id}")
    for end in done:
        turn.tally(end.settlement.resolution, worked_us=end.worked_us, cost_micro_usd=end.cost_micro_usd)
    turn.result.settled += [end.settlement.key for end in done]


def _known(turn: OpenTurn, keys: Sequence[ClaimKey]) -> dict[int, tuple[int, str, int | None, bool]]:
    """How the store stands to each, by its place: the ticket, its attempt's presence mark, since when, whether ours."""
    asked: list[object] = []
    for index, key in enumerate(keys):
        asked += (index, key.ticket_id, key.claim_fence_token, key.work_attempt_id)
    found = TO_SETTLE.ask(turn.connection, (turn.workspace_id, turn.runtime_id), asked)
    return {index: tuple(rest) for some in found for index, *rest in orjson.loads(some)}


def _write(turn: OpenTurn, ends: Sequence[_End]) -> list[_End]:
    tickets: list[object] = []
    presences: list[object] = []
    for end in ends:
        tickets += _ticket_row(turn, end)
        presences += _presence_row(end)
    if SETTLE_TICKETS.execute(turn.connection, (turn.runtime_id, turn.now_us), tickets) != len(ends):
        raise ValueError("its claim was gone when it came to be written")
    SETTLE_OPERATIONS.execute(turn.connection, (turn.now_us,), presences)
    turn.log.extend(told for end in ends for told in _told(turn, end))
    if turn.has_dependencies:
        dependents.failed(turn, [end.ticket_no for end in ends if end.status is Status.FAILED_TERMINAL])
        dependents.completed(turn, [end.ticket_no for end in ends if end.status is Status.COMPLETED])
    return list(ends)


def _told(turn: OpenTurn, end: _End) -> Iterator[Told]:
    settlement, key, ticket_no = end.settlement, end.settlement.key, end.ticket_no
    yield _RESOLVED, _resolved(turn, settlement), key.ticket_id, ticket_no, None
    released = {"holder": turn.runtime_id, "work_attempt_id": key.work_attempt_id}
    yield _RELEASED, released, key.ticket_id, ticket_no, None
    if settlement.sea_status is Status.BLOCKED_NEEDS_OPERATOR:
        yield blocked_by_attempts(turn, key.ticket_id, ticket_no)


def _ticket_row(turn: OpenTurn, end: _End) -> tuple[object, ...]:
    settlement = end.settlement
    queue_state, next_eligible_at = _queue(turn, settlement)
    return (
        end.ticket_no,
        settlement.key.claim_fence_token,
        settlement.key.work_attempt_id,
        settlement.sea_status._value_,
        queue_state,
        next_eligible_at,
        settlement.resolution._value_,
        settlement.summary,
        orjson.dumps(settlement.failure_count_by_reason, option=orjson.OPT_SORT_KEYS).decode(),
        end.worked_us,
        end.cost_micro_usd,
        int(settlement.is_forgiven),
    )


def _presence_row(end: _End) -> tuple[object, ...]:
    settlement = end.settlement
    came_to = {"resolution": settlement.resolution._value_, "summary": settlement.summary}
    return (settlement.key.work_attempt_id, orjson.dumps(came_to).decode())


def _queue(turn: OpenTurn, settlement: Settlement) -> tuple[int, int]:
    if settlement.sea_status in _OVER:
        return _OUT, _NEVER
    if settlement.sea_status not in TRIED_AGAIN:
        raise ValueError(f"{settlement.sea_status} is no status that an attempt may end in")
    offset = settlement.next_eligible_offset_seconds
    if offset is None or offset <= 0:
        return _READY, _NEVER
    return _WAITING, turn.after(offset)


def _resolved(turn: OpenTurn, settlement: Settlement) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "sea_ticket_id": settlement.key.ticket_id,
        "workspace_id": turn.workspace_id,
        "resolution": settlement.resolution._value_,
        "resolution_summary": settlement.summary,
    }
    if settlement.model_tier_used is not None:
        payload["model_tier_used"] = settlement.model_tier_used
    if settlement.next_eligible_offset_seconds is not None:
        payload["next_eligible_offset_seconds"] = settlement.next_eligible_offset_seconds
    if settlement.cost_usd is not None:
        payload["cost_usd"] = settlement.cost_usd
    return payload
