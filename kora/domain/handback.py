"""The settlements of claims whose attempts have no end of their own to be judged by: what nobody runs goes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kora.domain.resolution import Outcome, Resolution, Settlement, settle
from kora.domain.ticket import Status

if TYPE_CHECKING:
    from kora.domain.claim import Claim


def hand_back(claim: Claim, why: str, *, max_attempts: int) -> Settlement:
    """The settlement of an attempt that nobody runs and that may have begun: released, eligible at once.

    Nobody's fault, but it counts: a ticket that each time brings down whoever begins it has to come to an end.
    """
    blocked = claim.attempts_counted >= max_attempts
    return Settlement(
        key=claim.key,
        resolution=Resolution.RELEASED,
        sea_status=Status.BLOCKED_NEEDS_OPERATOR if blocked else Status.RELEASED,
        summary=why,
        next_eligible_offset_seconds=None,
        failure_count_by_reason=dict(claim.ticket.failure_count_by_reason),
    )


def pass_back(claim: Claim, why: str) -> Settlement:
    """The settlement of an attempt that certainly never began: released, eligible at once, and as if it had not been.

    A ticket that nobody has touched is never blocked for that, however often it comes about.
    """
    return Settlement(
        key=claim.key,
        resolution=Resolution.RELEASED,
        sea_status=Status.RELEASED,
        summary=why,
        next_eligible_offset_seconds=None,
        failure_count_by_reason=dict(claim.ticket.failure_count_by_reason),
        is_forgiven=True,
    )


def unsettled(claim: Claim, fault: str, *, max_attempts: int, cost_usd: float | None = None) -> Settlement:
    """The settlement of an attempt whose true end the store refused to write: a fault of dispatch, nobody's blame.

    What it has cost, it has cost.
    """
    outcome = Outcome(fault=f"its end could not be written: {fault}", spent_usd=cost_usd)
    settlement = settle(claim, outcome, max_attempts=max_attempts)
    if settlement is None:
        raise AssertionError("a fault always has a settlement")
    return settlement
