"""A claim: a lease on a ticket, fenced, and bound to one work attempt."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from kora.domain.ticket import Ticket

if TYPE_CHECKING:
    from kora.domain.operation import Operation


BLOCKED_FOR_ATTEMPTS: Final = "max_attempts"
"""why a ticket waits for an operator that was attempted too often; three such within an hour are the retry ceiling"""

BLOCKED_FOR_COST: Final = "ticket_usd"
"""why one waits whose attempts have cost what they may"""


class ClaimResult(StrEnum):
    """What a try to claim came to. Anything but `claimed` means: not ours."""

    CLAIMED = "claimed"
    ALREADY_CLAIMED = "already_claimed"
    NOT_ASSIGNED = "not_assigned"
    ASSIGNMENT_CLEARED = "assignment_cleared"
    TICKET_TERMINAL = "ticket_terminal"
    BLOCKED_BY_CONTROL = "blocked_by_control"
    BLOCKED_BY_COST = "blocked_by_cost"
    CONTRACT_VERSION_MISMATCH = "contract_version_mismatch"


class ClaimKey(NamedTuple):
    """What a write under a claim must present, beside the holder; compared in the statement that writes."""

    ticket_id: str
    claim_fence_token: int
    work_attempt_id: str


class EarlierAttempt(NamedTuple):
    """How an attempt at a ticket ended, as later ones are told."""

    work_attempt_id: str
    attempt: int
    """the first is 1"""
    resolution: str | None
    """None where its lease ran out, or its runtime died"""
    summary: str


class Claim(NamedTuple):
    """A claim as its holder sees it, with the ticket as it stood when it was claimed."""

    key: ClaimKey
    ticket: Ticket
    holder: str
    lease_expires_at: datetime
    """the store's time, which moves on if the wall clock is set: to be shown; the holder counts on its boot clock"""
    operations: tuple[Operation, ...] = ()
    """what earlier attempts recorded, oldest first; the abandoned ones too

    The newest 1,000 of them, with 4 MiB of results at most. An older one is still answered from the ledger, by its key.
    """
    attempts_forgiven: int = 0
    """attempts that count no more, since an operator unblocked the ticket, or they had no fault of their own"""
    earlier_attempts: tuple[EarlierAttempt, ...] = ()
    """how the newest of them ended, oldest first; empty where the store tells no more than the ticket does"""
    spent_micro_usd: int = 0
    """what earlier attempts were charged, as far as that counts: since an operator last unblocked the ticket"""

    @property
    def attempt(self) -> int:
        """Which try at the ticket this is; the first is 1."""
        return self.ticket.work_attempt_count

    @property
    def attempts_counted(self) -> int:
        """How many tries count towards `max_attempts`, this one included."""
        return self.attempt - self.attempts_forgiven
