"""The operation ledger: one row for each dispatch inside a work attempt."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

CLAIM_TOOL: Final = "kora__claim_sea_ticket"
"""the tool of row 0, which marks an attempt's presence from its claim to its end"""


class OperationState(StrEnum):
    """A ledger row's life: forward only, and `abandoned` from any open state."""

    ALLOCATED = "allocated"
    DISPATCHED = "dispatched"
    COMMITTED = "committed"
    ABANDONED = "abandoned"


_FORWARD: Final = {
    OperationState.ALLOCATED: frozenset({OperationState.DISPATCHED, OperationState.ABANDONED}),
    OperationState.DISPATCHED: frozenset({OperationState.COMMITTED, OperationState.ABANDONED}),
    OperationState.COMMITTED: frozenset[OperationState](),
    OperationState.ABANDONED: frozenset[OperationState](),
}


def may_follow(state: OperationState, successor: OperationState) -> bool:
    """Whether a ledger row may go from one state to the other."""
    return successor in _FORWARD[state]


def default_key(tool_name: str, sequence_within_attempt: int, work_attempt_id: str) -> str:
    """The key of an operation whose caller gives none: its tool and its place in its attempt, shared by no other."""
    return f"{tool_name}#{sequence_within_attempt}@{work_attempt_id}"
