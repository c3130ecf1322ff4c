"""A claim as a store would hand it out, for tests that need no store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kora.domain.claim import Claim, ClaimKey
from kora.domain.ids import new_id
from kora.domain.ticket import Priority, Status, Ticket

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def a_claim(*, attempts: int = 1, attempt_id: str | None = None, fence: int | None = None, **ticket: Any) -> Claim:
    """A claim on a fresh ticket; further keywords are fields of the ticket."""
    fields = {
        "ticket_id": new_id(),
        "workspace_id": "default",
        "ticket_title": "A ticket",
        "ticket_objective": "Do it",
        "sea_status": Status.IN_PROGRESS,
        "sea_priority": Priority.HIGH,
        "sea_idea_kind": "task",
        "sea_captured_at": NOW,
        "created_at": NOW,
        "assigned_to_actor_id": "actor-1",
        "next_eligible_at": None,
        "claim_count": attempts,
        "work_attempt_count": attempts,
        "failure_count_by_reason": {},
    }
    made = Ticket(**(fields | ticket))
    key = ClaimKey(made.ticket_id, attempts if fence is None else fence, attempt_id or new_id())
    return Claim(key, made, "runtime-1", NOW)
