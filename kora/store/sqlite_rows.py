"""Rows of the SQLite store as the domain's own objects. Nothing is validated: what was written was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

import orjson
from pydantic import BaseModel

from kora.clock import from_us
from kora.domain.claim import Claim, ClaimKey
from kora.domain.events import Event
from kora.domain.operation import Operation, OperationState
from kora.domain.ticket import PRIORITY_OF_RANK, ActiveClaim, Status, Ticket

Model = TypeVar("Model", bound=BaseModel)

_TICKET_FIELDS: Final = set(Ticket.model_fields)
_CLAIM_FIELDS: Final = set(ActiveClaim.model_fields)
_EVENT_FIELDS: Final = set(Event.model_fields)
_NO_FAILURES: Final = "{}"

# What a frozen model has no other way to be given but a slower one.
_set_fields, _set_names, _set_extra, _set_private = (
    BaseModel.__dict__[slot].__set__
    for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)
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
    blocked_by: str | None
    """a JSON array of ticket ids; None where the board has no dependencies at all"""


def _made(model: type[Model], names: set[str], fields: dict[str, Any]) -> Model:
    """What `model_construct` makes of all fields, at a twentieth of its 10 µs: it is made for every claim.

    All frozen models of a kind share the set of their fields' names: nothing ever changes it.
    """
    made = object.__new__(model)
    _set_fields(made, fields)
    _set_names(made, names)
    _set_extra(made, None)
    _set_private(made, None)
    return made


def rfc3339(microseconds: int) -> str:
    """The moment as payloads spell it."""
    return from_us(microseconds).isoformat().replace("+00:00", "Z")


def ticket_of(row: TicketRow, claim: ActiveClaim | None) -> Ticket:
    """The ticket, under this claim."""
    return _made(Ticket, _TICKET_FIELDS, _ticket_fields(row, Status(row.sea_status), claim))


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
    return _made(ActiveClaim, _CLAIM_FIELDS, fields)


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
    )


def new_claim_of(
    row: TicketRow, *, holder: str, lease_expires_at: datetime, work_attempt_id: str, operations: tuple[Operation, ...]
) -> Claim:
    """The claim that a ready ticket's row is under once it is claimed, which counts the claim and the attempt."""
    fence = row.claim_count + 1
    active = {"claim_fence_token": fence, "holder": holder, "lease_expires_at": lease_expires_at}
    ticket_fields = _ticket_fields(row, _IN_PROGRESS, _made(ActiveClaim, _CLAIM_FIELDS, active))
    ticket_fields["claim_count"] = fence
    ticket_fields["work_attempt_count"] += 1
    ticket = _made(Ticket, _TICKET_FIELDS, ticket_fields)
    key = ClaimKey(row.ticket_id, fence, work_attempt_id)
    return Claim(key, ticket, holder, lease_expires_at, operations, row.attempts_forgiven)


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
    return _made(Event, _EVENT_FIELDS, fields)


def json_array(values: list[str] | list[int]) -> str:
    """The values as one JSON array, to be bound as one value."""
    return orjson.dumps(values).decode()
