"""What a row of the operation ledger can hold, and a request made fit for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from kora.domain.ids import operation_id
from kora.domain.operation import (
    CLAIM_TOOL,
    KEY_CHARACTERS,
    RESULT_BYTES,
    TOOL_CHARACTERS,
    OperationRequest,
    OperationState,
    Step,
    default_key,
)

ERROR_CHARACTERS: Final = 4_000
"""of why an operation was abandoned; what is longer is cut"""
_SEQUENCE_MAX: Final = 2**31
_KEYS_OF_CLAIMS: Final = default_key(CLAIM_TOOL, 0, "")
_NO_REASON: Final = "its agent gave no reason"


class OperationRow(NamedTuple):
    """A row of the ledger, in the order in which `operation_of` takes its columns."""

    work_attempt_id: str
    sequence_within_attempt: int
    kora_operation_id: str
    tool_name: str
    operation_key: str
    state: str
    dispatch_result: str | None
    dispatch_error: str | None
    allocated_at: int
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that a row could hold."""

    place: int
    request: OperationRequest
    operation_id: str

    @property
    def ended(self) -> tuple[OperationState, str | None, str | None]:
        """The row's state, result and error once this step, which ends it, is done."""
        if self.request.step is Step.COMMIT:
            return OperationState.COMMITTED, _recorded(self.request), None
        return OperationState.ABANDONED, None, _storable(self.request.error or _NO_REASON)


def checked(place: int, request: OperationRequest) -> Asked:
    """The request, as it came at this place, if a row can hold it. Raises `ValueError`, which says why not."""
    if not 0 < request.sequence_within_attempt < _SEQUENCE_MAX:
        raise ValueError(f"an attempt's operations are numbered from 1, not {request.sequence_within_attempt}")
    for what, text, most in (
        ("tool", request.tool_name, TOOL_CHARACTERS),
        ("key", request.operation_key, KEY_CHARACTERS),
    ):
        if not 0 < len(text) <= most:
            raise ValueError(f"the {what} has {len(text):,} characters; 1 to {most:,} are allowed")
        if "\0" in text or not _encodes(text):
            raise ValueError(f"the {what} holds a character that cannot be stored")
    if request.operation_key.startswith(_KEYS_OF_CLAIMS):
        raise ValueError("the key is that of a claim's own row")
    if request.step is Step.COMMIT:
        _check_result(_recorded(request))
    return Asked(place, request, operation_id(request.claim.ticket_id, request.operation_key))


def _recorded(request: OperationRequest) -> str:
    """What COMMIT records: where nothing was said, JSON's null."""
    return "null" if request.result is None else request.result


def _check_result(result: str) -> None:
    if not _encodes(result):
        raise ValueError("the result holds a character that cannot be stored")
    size = len(result.encode())
    if size > RESULT_BYTES:
        raise ValueError(f"the result is {size:,} bytes long; at most {RESULT_BYTES:,} are allowed")
    try:
        orjson.loads(result)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the result is no JSON: {error}") from None


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _storable(error: str) -> str:
    """The error as it can be stored: it may quote bytes that are no text, and it is never worth losing the step."""
    return error.encode(errors="backslashreplace").decode().replace("\0", "\\0")[:ERROR_CHARACTERS]
