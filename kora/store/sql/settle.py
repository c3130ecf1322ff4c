"""The settling part of a turn: what ended is resolved and released in one go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson

from kora.clock import from_us, to_us
from kora.domain.claim import BLOCKED_FOR_ATTEMPTS, ClaimKey
from kora.domain.events import EventType, canonical, spelling
from kora.domain.operation import OperationState
from kora.domain.resolution import Settlement
from kora.domain.ticket import TRIED_AGAIN, QueueState, Status
from kora.store.sql import charge, dependents
from kora.store.sql.log import Told
from kora.store.sql.rows import json_array
from kora.store.sql.turn import OpenTurn, blocked, note_ceilings

_RELEASED: Final = EventType.RELEASED.value
_RESOLVED: Final = EventType.RESOLVED.value
_OUT, _READY, _WAITING = int(QueueState.OUT), int(QueueState.READY), int(QueueState.WAITING)
_OVER: Final = frozenset(
    {Status.COMPLETED, Status.FAILED_TERMINAL, Status.BLOCKED_NEEDS_OPERATOR, Status.DEFERRED_COST_LIMIT}
)


class _End(NamedTuple):
    settlement: Settlement
    ticket_no: int
    worked_us: int
    cost_micro_usd: int = 0
    """what it has cost beyond what it was charged already"""


class _Words(NamedTuple):
    """What is written of a settlement, but for whose it is: most of a turn say the same."""

    shared: tuple[object, ...]
    """from the third of `turn.say.settle_tickets` on"""
    presence: str
    resolved: tuple[str, str]
    """the payload, before and after the ticket's id"""


def settle(turn: OpenTurn, settlements: Sequence[Settlement]) -> None:
    """Claims that are this runtime's end as told, even if their lease ran out while nobody took them over.

    One that an earlier turn already settled counts as settled and writes nothing; any other is stale, and writes
    nothing either.

    Of what the writer remembers having claimed, nothing is asked first: should one not be this runtime's any more, the
    statement counts too few, and the turn is done again with care, which asks.
    """
    if not settlements:
        return
    ours = None if turn.careful else _remembered(turn, settlements)
    if ours is None:
        ours = _asked(turn, settlements)

    def write(rows: Sequence[_End]) -> list[_End]:
        return _write(turn, rows)

    done = turn.each(ours, write, lambda end: f"settlement of ticket {end.settlement.key.ticket_id}")
    for settlement, _, worked_us, cost_micro_usd in done:
        turn.tally(settlement.resolution._value_, worked_us=worked_us, cost_micro_usd=cost_micro_usd)
    turn.result.settled += [end.settlement.key for end in done]


def _remembered(turn: OpenTurn, settlements: Sequence[Settlement]) -> list[_End] | None:
    """The ends of these, each of another claim that the writer remembers; None if there is any other among them."""
    claimed, booted_us = turn.claimed, turn.booted_us
    ends: dict[str, _End] = {}
    for settlement in settlements:
        ticket_id, _, attempt = settlement.key
        known = claimed.get(attempt)
        if known is None or known.ticket_id != ticket_id:
            return None
        ends[attempt] = _End(settlement, known.ticket_no, max(0, booted_us - known.booted_us))
    return list(ends.values()) if len(ends) == len(settlements) else None


def _asked(turn: OpenTurn, settlements: Sequence[Settlement]) -> list[_End]:
    """Those of these that the store says are this runtime's; what the others are, the result says."""
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
    return ours


def _known(turn: OpenTurn, keys: Sequence[ClaimKey]) -> dict[int, tuple[int, str, int | None, bool]]:
    """How the store stands to each, by its place: the ticket, its attempt's presence mark, since when, whether ours."""
    asked: list[object] = []
    for index, key in enumerate(keys):
        asked += (index, *key)
    found = turn.say.to_settle.ask(turn.connection, (turn.workspace_id, turn.runtime_id), asked)
    return {index: tuple(rest) for some in found for index, *rest in orjson.loads(some)}


def _write(turn: OpenTurn, some: Sequence[_End]) -> list[_End]:
    ends = _charged(turn, some)
    alike: dict[tuple[object, ...], list[object]] = {}
    presences: list[object] = []
    told: list[Told] = []
    before, after = spelling({"holder": turn.runtime_id}, "work_attempt_id")
    last: tuple[object, ...] = ()
    for settlement, ticket_no, _, cost_micro_usd in ends:
        ticket_id, fence, attempt = settlement.key
        if (rest := settlement[1:]) != last:
            (shared, presence, resolved), last = _words(turn, settlement), rest
            tickets, summary = alike.setdefault(shared, []), settlement.summary
        tickets += (ticket_no, fence, attempt, summary, cost_micro_usd)
        presences += (attempt, presence)
        told += (
            (_RESOLVED, f"{resolved[0]}{ticket_id}{resolved[1]}", ticket_id, ticket_no, None),
            (_RELEASED, f"{before}{attempt}{after}", ticket_id, ticket_no, None),
        )
        if shared[0] == Status.BLOCKED_NEEDS_OPERATOR:
            told.append(blocked(turn, ticket_id, ticket_no, settlement.blocked_for))
    settled = [
        turn.say.settle_tickets.execute(turn.connection, (turn.runtime_id, turn.now_us, *shared), tickets)
        for shared, tickets in alike.items()
    ]
    turn.expect(settled, len(ends), "its claim was gone when it came to be written")
    marked = turn.say.settle_presences.execute(turn.connection, (turn.now_us,), presences)
    turn.expect([marked], len(ends), "its attempt had no presence mark any more")
    attempts = json_array([end.settlement.key.work_attempt_id for end in ends])
    ended = turn.connection.execute(turn.say.end_operations, (turn.now_us, attempts))
    turn.log.extend(told)
    turn.log.link()  # while the database is still at it
    _free_too_late(turn, _that_came_to(Status.DEFERRED_COST_LIMIT, ends))
    note_ceilings(turn, [end.settlement.key.ticket_id for end in ends if _is_tried_too_often(end.settlement)])
    if ended.fetchone()[0] if turn.has_dependencies is None else turn.has_dependencies:
        dependents.failed(turn, _that_came_to(Status.FAILED_TERMINAL, ends))
        dependents.completed(turn, _that_came_to(Status.COMPLETED, ends))
    return ends


def _free_too_late(turn: OpenTurn, deferred: list[int]) -> None:
    """Of these, what was begun before the pool was refreshed, or in another month: its pause is over already.

    Whoever ended that pause has not met it, and nobody would look for it before the next one has ended.
    """
    if deferred:
        month_us = to_us(from_us(turn.now_us).replace(day=1, hour=0, minute=0, second=0, microsecond=0))
        bound = (turn.workspace_id, month_us, json_array(deferred))
        turn.connection.execute(turn.say.steering.free_too_late, bound)


def _charged(turn: OpenTurn, ends: Sequence[_End]) -> list[_End]:
    """The same, each with what it is to be charged, which its presence mark says from now on; most cost nothing."""
    if not any(end.settlement.cost_usd for end in ends):
        return list(ends)
    costs = {end.settlement.key: charge.micro_usd_of(end.settlement.cost_usd) for end in ends}
    more = {charged.work_attempt_id: charged.more_micro_usd for charged in charge.raise_charges(turn, costs)}
    return [end._replace(cost_micro_usd=more.get(end.settlement.key.work_attempt_id, 0)) for end in ends]


def _is_tried_too_often(settlement: Settlement) -> bool:
    return settlement.sea_status is Status.BLOCKED_NEEDS_OPERATOR and settlement.blocked_for == BLOCKED_FOR_ATTEMPTS


def _that_came_to(status: Status, ends: Sequence[_End]) -> list[int]:
    return [end.ticket_no for end in ends if end.settlement.sea_status is status]


def _words(turn: OpenTurn, settlement: Settlement) -> _Words:
    queue_state, next_eligible_at = _queue(turn, settlement)
    resolution, summary = settlement.resolution._value_, settlement.summary
    shared = (
        settlement.sea_status._value_,
        queue_state,
        next_eligible_at,
        resolution,
        canonical(settlement.failure_count_by_reason),
        int(settlement.is_forgiven),
    )
    presence = orjson.dumps({"resolution": resolution, "summary": summary}).decode()
    return _Words(shared, presence, spelling(_resolved(turn, settlement), "sea_ticket_id"))


def _queue(turn: OpenTurn, settlement: Settlement) -> tuple[int, int | None]:
    if settlement.sea_status in _OVER:
        return _OUT, None
    if settlement.sea_status not in TRIED_AGAIN:
        raise ValueError(f"{settlement.sea_status} is no status that an attempt may end in")
    offset = settlement.next_eligible_offset_seconds
    if offset is None or offset <= 0:
        return _READY, None
    return _WAITING, turn.after(offset)


def _resolved(turn: OpenTurn, settlement: Settlement) -> dict[str, Any]:
    """The event's payload without the ticket's id."""
    payload: dict[str, Any] = {
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
