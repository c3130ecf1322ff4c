"""The operation ledger: one row for each dispatch inside a work attempt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from kora.domain.claim import ClaimKey

CLAIM_TOOL: Final = "kora__claim_sea_ticket"
"""the tool of row 0, which marks an attempt's presence from its claim to its end"""

TOOL_CHARACTERS: Final = 200
KEY_CHARACTERS: Final = 1_000
RESULT_BYTES: Final = 1_048_576
"""a recorded result is handed to every later attempt, so it is a result, not a document store"""


class OperationState(StrEnum):
    """A ledger row's life: forward only, and `abandoned` from any open state."""

    ALLOCATED = "allocated"
    DISPATCHED = "dispatched"
    COMMITTED = "committed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Operation:
    """A ledger row of an agent's own operation, as later attempts see it. The field names are wire format."""

    work_attempt_id: str
    sequence_within_attempt: int
    kora_operation_id: str
    tool_name: str
    operation_key: str
    """the caller's key, or the one made of tool, sequence and attempt where it gave none"""
    state: OperationState
    dispatch_result: Any
    """what was recorded, as JSON's own types; None until committed"""
    dispatch_error: str | None
    allocated_at: datetime
    ended_at: datetime | None


class Step(StrEnum):
    """What an attempt asks of the ledger."""

    BEGIN = "begin"
    COMMIT = "commit"
    ABANDON = "abandon"


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """One step of one operation under a claim. Asked twice it does no more than once.

    An attempt numbers its rows itself, and takes the next number only once it was answered about the one before.
    """

    claim: ClaimKey
    step: Step
    sequence_within_attempt: int
    tool_name: str
    operation_key: str
    result: str | None = None
    """JSON text; for COMMIT"""
    error: str | None = None
    """why; for ABANDON"""


class Verdict(StrEnum):
    """What came of a step."""

    DISPATCHED = "dispatched"
    """BEGIN: the row is there, and the effect is the caller's to bring about now"""
    RECORDED = "recorded"
    """BEGIN: an earlier attempt, or this one, committed it; nothing is to be done, the number was not taken"""
    COMMITTED = "committed"
    ABANDONED = "abandoned"
    REFUSED = "refused"
    """the request makes no sense as the ledger stands: `reason` says why; nothing was changed"""
    LOST = "lost"
    """the claim is over: nothing was changed, and nothing further will be"""


@dataclass(frozen=True, slots=True)
class OperationAnswer:
    """What came of a request. `operation` is the row for DISPATCHED and RECORDED."""

    request: OperationRequest
    verdict: Verdict
    operation: Operation | None = None
    reason: str = ""


def default_key(tool_name: str, sequence_within_attempt: int, work_attempt_id: str) -> str:
    """The key of an operation whose caller gives none: its tool and its place in its attempt, shared by no other."""
    return f"{tool_name}#{sequence_within_attempt}@{work_attempt_id}"


def begun_by(request: OperationRequest, *, operation_id: str, at: datetime) -> Operation:
    """The row of an operation that this request has begun: under way since then, nothing recorded yet."""
    return Operation(
        work_attempt_id=request.claim.work_attempt_id,
        sequence_within_attempt=request.sequence_within_attempt,
        kora_operation_id=operation_id,
        tool_name=request.tool_name,
        operation_key=request.operation_key,
        state=OperationState.DISPATCHED,
        dispatch_result=None,
        dispatch_error=None,
        allocated_at=at,
        ended_at=None,
    )
