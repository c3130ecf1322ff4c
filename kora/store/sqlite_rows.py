"""Rows of the SQLite store as the domain's own objects. Nothing is validated: what was written was."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeVar

import orjson
from pydantic import BaseModel

from kora.clock import from_us
from kora.domain.claim import Claim, ClaimKey
from kora.domain.events import Event
from kora.domain.ticket import PRIORITY_OF_RANK, ActiveClaim, Status, Ticket

Model = TypeVar("Model", bound=BaseModel)

_TICKET_FIELDS: Final = frozenset(Ticket.model_fields)
_CLAIM_FIELDS: Final = frozenset(ActiveClaim.model_fields)
_EVENT_FIELDS: Final = frozenset(Event.model_fields)


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


def _made(model: type[Model], names: frozenset[str], fields: dict[str, Any]) -> Model:
    """What `model_construct` makes of all fields, at a tenth of its 10 µs: it is made for every claim."""
    made = model.__new__(model)
    object.__setattr__(made, "__dict__", fields)
    object.__setattr__(made, "__pydantic_fields_set__", set(names))
    object.__setattr__(made, "__pydantic_extra__", None)
    object.__setattr__(made, "__pydantic_private__", None)
    return made


def rfc3339(microseconds: int) -> str:
    """The moment as payloads spell it."""
    return from_us(microseconds).isoformat().replace("+00:00", "Z")


def ticket_of(row: TicketRow, claim: ActiveClaim | None) -> Ticket:
    """The ticket, under this claim."""
    fields = {
        "ticket_id": row.ticket_id,
        "workspace_id": row.workspace_id,
        "ticket_title": row.ticket_title,
        "ticket_objective": row.ticket_objective,
        "sea_status": Status(row.sea_status),
        "sea_priority": PRIORITY_OF_RANK[row.rank],
        "sea_idea_kind": row.sea_idea_kind,
        "sea_captured_at": from_us(row.sea_captured_at),
        "created_at": from_us(row.created_at),
        "assigned_to_actor_id": row.assigned_to_actor_id,
        "next_eligible_at": None if row.next_eligible_at is None else from_us(row.next_eligible_at),
        "claim_count": row.claim_count,
        "work_attempt_count": row.work_attempt_count,
        "failure_count_by_reason": orjson.loads(row.failure_count_by_reason),
        "blocked_by": (),
        "agent": None,
        "last_resolution": row.last_resolution,
        "last_summary": row.last_summary,
        "claim": claim,
    }
    return _made(Ticket, _TICKET_FIELDS, fields)


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


def claim_keys(keys: list[ClaimKey]) -> str:
    """The keys as one JSON array, to be bound as one value."""
    return orjson.dumps([(key.ticket_id, key.claim_fence_token, key.work_attempt_id) for key in keys]).decode()


def json_array(values: list[str] | list[int]) -> str:
    """The values as one JSON array, to be bound as one value."""
    return orjson.dumps(values).decode()
