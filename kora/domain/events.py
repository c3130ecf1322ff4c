"""The event log: append-only, one hash chain per writer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict

from kora.domain.ids import new_id

GENESIS: Final = bytes(32)
"""what stands before a chain's first event"""


class EventType(StrEnum):
    """The names of all events; wire format."""

    CLAIMED = "sea_ticket.claimed_for_edit"
    RELEASED = "sea_ticket.claim_released"
    EXPIRED = "sea_ticket.claim_expired"
    RESOLVED = "kora.sea_ticket.resolved"
    BLOCKED = "kora.sea_ticket.blocked"
    """a ticket waits for an operator from now on; `reason` is `max_attempts`, or `blocked_by` with the failed ticket"""
    TRANSITIONED = "kora.operational_state.transitioned"
    BOOT_READY = "kora.boot.ready"
    BOOT_FAILED = "kora.boot.failed"
    PAUSED_COST_LIMIT = "kora.paused.cost_limit"
    CONTROL_ENFORCED = "kora_control.enforced"
    CONTROL_FAILED = "kora_control.failed"
    DR_OBSERVED = "kora.dr.observed"
    SUPERVISOR_RESTARTED = "kora.supervisor.restarted"
    SUPERVISOR_GAVE_UP = "kora.supervisor.gave_up"
    OPERATOR_ACTED = "kora.operator.acted"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that is to be appended. `payload` must be JSON's own types.

    The id is its sender's, so that an event that is handed over twice is written once.
    """

    event_type: EventType
    payload: dict[str, Any]
    ticket_id: str | None = None
    event_id: str = field(default_factory=new_id)


class Event(BaseModel):
    """An event as the log has it. The field names are wire format."""

    model_config = ConfigDict(frozen=True)

    seq: int
    """the store's order of arrival"""
    event_id: str
    event_type: str
    occurred_at: datetime
    workspace_id: str
    ticket_id: str | None
    payload: dict[str, Any]
    chain_id: str
    chain_seq: int
    prev_event_hash: str
    this_event_hash: str


def canonical(payload: dict[str, Any]) -> str:
    """The one spelling of a payload that is stored and hashed: keys sorted, nothing between the tokens."""
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS).decode()


def spelling(payload: dict[str, Any], name: str) -> tuple[str, str]:
    """The canonical spelling of this payload with one more field: what stands before and after that field's value.

    For thousands of events that differ in nothing else. The value is to be an id, which JSON spells as it is; the
    payload's own are no objects, which might have a field of the same name.
    """
    before, mark, after = canonical({**payload, name: ""}).partition(f'"{name}":""')
    return f"{before}{mark[:-1]}", f'"{after}'


def event_hash(
    prev_hash: bytes,
    *,
    chain_id: str,
    chain_seq: int,
    event_id: str,
    event_type: str,
    occurred_at_us: int,
    workspace_id: str,
    ticket_id: str | None,
    payload: str,
) -> bytes:
    """SHA-256 over the previous hash and the event's fields as one JSON array, `payload` in its stored spelling."""
    return chain_hash(
        prev_hash, (chain_id, chain_seq, event_id, event_type, occurred_at_us, workspace_id, ticket_id, payload)
    )


def chain_hash(prev_hash: bytes, fields: tuple[str | int | None, ...]) -> bytes:
    """As `event_hash`, of the fields in that order: for whoever hashes thousands a second."""
    return hashlib.sha256(prev_hash + orjson.dumps(fields)).digest()
