"""Rows of a store as the domain's own objects. Nothing is validated: what was written was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from kora.clock import from_us
from kora.domain.claim import Claim, ClaimKey, EarlierAttempt
from kora.domain.events import Event
from kora.domain.made import made
from kora.domain.operation import Operation, OperationState
from kora.domain.ticket import PRIORITY_OF_RANK, ActiveClaim, Status, Ticket

_TICKET_FIELDS: Final = set(Ticket.model_fields)
_CLAIM_FIELDS: Final = set(ActiveClaim.model_fields)
_EVENT_FIELDS: Final = set(Event.model_fields)
_NO_FAILURES: Final = "{}"
_IN_PROGRESS: Final = Status.IN_PROGRESS
"""an enumeration's members are looked up by Python code each time"""

_moment: Final = lru_cache(maxsize=1_024)(from_us)
"""tickets that were added together share their moments"""


class TicketRow(NamedTuple):
    """The columns that every statement about whole tickets selects, in their order."""

    ticket_no: int
    ticket_id: str
    workspace_id: str
    ticket_title: str
    ticket_objective: str
    sea_status: str
    rank: int
    sea_idea_kind: str
    sea_captured_at: int
    created_at: int
    assigned_to_actor_id: str
    next_eligible_at: int | None
    claim_count: int
    work_attempt_count: int
    failure_count_by_reason: str
    last_resolution: str | None
    last_summary: str | None
    claim_fence_token: int | None
    holder: str | None
    lease_expires_at: int | None
    work_attempt_id: str | None
    agent: str | None
    open_blockers: int
    attempts_forgiven: int
    counted_micro_usd: int
    blocked_by: str | None
    """a JSON array of ticket ids; None where the board has no dependencies at all"""


class ReadyRow(NamedTuple):
    """Those columns of a ready ticket that a claim does not set, nor all that a turn claims share, in their order."""

    ticket_no: int
    ticket_id: str
    ticket_title: str
    ticket_objective: str
    rank: int
    sea_idea_kind: str
    sea_captured_at: int
    created_at: int
    next_eligible_at: int | None
    claim_count: int
    work_attempt_count: int
    failure_count_by_reason: str
    last_resolution: str | None
    last_summary: str | None
    agent: str | None
    attempts_forgiven: int
    counted_micro_usd: int
    blocked_by: str | None


def rfc3339(microseconds: int) -> str:
    """The moment as payloads spell it."""
    return from_us(microseconds).isoformat().replace("+00:00", "Z")


def ticket_of(row: TicketRow, claim: ActiveClaim | None) -> Ticket:
    """The ticket, under this claim."""
    return made(Ticket, _TICKET_FIELDS, _ticket_fields(row, Status(row.sea_status), claim))


def _ticket_fields(row: TicketRow, status: Status, claim: ActiveClaim | None) -> dict[str, Any]:
    counts, blocked_by, due = row.failure_count_by_reason, row.blocked_by, row.next_eligible_at
    return {
        "ticket_id": row.ticket_id,
        "workspace_id": row.workspace_id,
        "ticket_title": row.ticket_title,
        "ticket_objective": row.ticket_objective,
        "sea_status": status,
        "sea_priority": PRIORITY_OF_RANK[row.rank],
        "sea_idea_kind": row.sea_idea_kind,
        "sea_captured_at": _moment(row.sea_captured_at),
        "created_at": _moment(row.created_at),
        "assigned_to_actor_id": row.assigned_to_actor_id,
        "next_eligible_at": None if due is None else _moment(due),
        "claim_count": row.claim_count,
        "work_attempt_count": row.work_attempt_count,
        "failure_count_by_reason": {} if counts == _NO_FAILURES else orjson.loads(counts),
        "blocked_by": () if blocked_by is None else tuple(orjson.loads(blocked_by)),
        "agent": row.agent,
        "last_resolution": row.last_resolution,
        "last_summary": row.last_summary,
        "claim": claim,
    }


def active_claim_of(row: TicketRow) -> ActiveClaim | None:
    """The claim that the row is under, if any."""
    if row.claim_fence_token is None or row.holder is None or row.lease_expires_at is None:
        return None
    fields = {
        "claim_fence_token": row.claim_fence_token,
        "holder": row.holder,
        "lease_expires_at": from_us(row.lease_expires_at),
    }
    return made(ActiveClaim, _CLAIM_FIELDS, fields)


def claim_of(row: TicketRow) -> Claim:
    """The claim of a held ticket. Raises `ValueError` for a row under no claim."""
    active = active_claim_of(row)
    if active is None or row.work_attempt_id is None:
        raise ValueError(f"ticket {row.ticket_id} is under no claim")
    return Claim(
        key=ClaimKey(row.ticket_id, active.claim_fence_token, row.work_attempt_id),
        ticket=ticket_of(row, active),
        holder=active.holder,
        lease_expires_at=active.lease_expires_at,
        attempts_forgiven=row.attempts_forgiven,
        spent_micro_usd=row.counted_micro_usd,
    )


class NewClaims:
    """Makes the claims of one turn: all of one holder, in one workspace, until one moment."""

    def __init__(self, *, workspace_id: str, actor_id: str, holder: str, lease_expires_at: datetime) -> None:
        self._workspace_id = workspace_id
        self._actor_id = actor_id
        self._holder = holder
        self._until = lease_expires_at
        self._active: dict[int, ActiveClaim] = {}
        """by fence: nothing else tells those of one turn apart, and nothing ever changes one"""

    def of(
        self,
        row: ReadyRow,
        work_attempt_id: str,
        operations: tuple[Operation, ...],
        earlier_attempts: tuple[EarlierAttempt, ...],
    ) -> Claim:
        """The claim that a ready ticket's row is under once it is claimed, which counts the claim and the attempt."""
        # In one step: taken one at a time from the row, they cost as much as the claim.
        (
            _,
            ticket_id,
            title,
            objective,
            rank,
            kind,
            captured_at,
            created_at,
            due,
            claim_count,
            attempts,
            counts,
            last_resolution,
            last_summary,
            agent,
            attempts_forgiven,
            counted_micro_usd,
            blocked_by,
        ) = row
        fence = claim_count + 1
        fields = {
            "ticket_id": ticket_id,
            "workspace_id": self._workspace_id,
            "ticket_title": title,
            "ticket_objective": objective,
            "sea_status": _IN_PROGRESS,
            "sea_priority": PRIORITY_OF_RANK[rank],
            "sea_idea_kind": kind,
            "sea_captured_at": _moment(captured_at),
            "created_at": _moment(created_at),
            "assigned_to_actor_id": self._actor_id,
            "next_eligible_at": None if due is None else _moment(due),
            "claim_count": fence,
            "work_attempt_count": attempts + 1,
            "failure_count_by_reason": {} if counts == _NO_FAILURES else orjson.loads(counts),
            "blocked_by": () if blocked_by is None else tuple(orjson.loads(blocked_by)),
            "agent": agent,
            "last_resolution": last_resolution,
            "last_summary": last_summary,
            "claim": self._active.get(fence) or self._new_active(fence),
        }
        ticket = made(Ticket, _TICKET_FIELDS, fields)
        key = ClaimKey(ticket_id, fence, work_attempt_id)
        return Claim(
            key, ticket, self._holder, self._until, operations, attempts_forgiven, earlier_attempts, counted_micro_usd
        )

    def _new_active(self, fence: int) -> ActiveClaim:
        fields = {"claim_fence_token": fence, "holder": self._holder, "lease_expires_at": self._until}
        active = self._active[fence] = made(ActiveClaim, _CLAIM_FIELDS, fields)
        return active


def operation_of(row: Sequence[Any]) -> Operation:
    """The operation. Raises `ValueError` when its result is no JSON any more."""
    attempt, sequence, operation_id, tool, key, state, result, error, allocated_at, ended_at = row
    return Operation(
        work_attempt_id=attempt,
        sequence_within_attempt=sequence,
        kora_operation_id=operation_id,
        tool_name=tool,
        operation_key=key,
        state=OperationState(state),
        dispatch_result=None if result is None else orjson.loads(result),
        dispatch_error=error,
        allocated_at=from_us(allocated_at),
        ended_at=None if ended_at is None else from_us(ended_at),
    )


def event_of(row: tuple[Any, ...]) -> Event:
    """The event. Raises `ValueError` when its payload is no JSON any more."""
    seq, event_id, event_type, occurred_at, workspace_id, ticket_id, payload, chain_id, chain_seq, prev, this = row
    fields = {
        "seq": seq,
        "event_id": event_id,
        "event_type": event_type,
        "occurred_at": from_us(occurred_at),
        "workspace_id": workspace_id,
        "ticket_id": ticket_id,
        "payload": orjson.loads(payload),
        "chain_id": chain_id,
        "chain_seq": chain_seq,
        "prev_event_hash": prev.hex(),
        "this_event_hash": this.hex(),
    }
    return made(Event, _EVENT_FIELDS, fields)


def json_array(values: list[str] | list[int]) -> str:
    """The values as one JSON array, to be bound as one value."""
    return orjson.dumps(values).decode()
