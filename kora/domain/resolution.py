"""How an attempt's end becomes a resolution: pure, and the only place that decides it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, NamedTuple, assert_never

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kora.domain.claim import BLOCKED_FOR_ATTEMPTS, BLOCKED_FOR_COST, Claim, ClaimKey
from kora.domain.cost import NO_CAPS, Caps, amount_usd, most_usd
from kora.domain.refusal import Refusal
from kora.domain.ticket import TRIED_AGAIN, Status

LOGICAL_FAILURES_MAX: Final = 3
SUMMARY_CHARACTERS: Final = 4_000
_SAID_CHARACTERS: Final = 65_536
"""of what an agent says, how much is looked through before it is cut"""
_RETRY_SECONDS: Final = 60.0
_STALLED_SECONDS: Final = 600.0
_TRANSIENT_CAP_SECONDS: Final = 1_800.0
_YEAR_SECONDS: Final = 366 * 86_400.0
EXIT_TEMPORARY: Final = 75
EXIT_DENIED: Final = 77


class Resolution(StrEnum):
    """What an attempt came to; wire format."""

    COMPLETED = "completed"
    FAILED_TERMINAL = "failed_terminal"
    FAILED_RETRYABLE = "failed_retryable"
    RELEASED = "released"
    DEFERRED_COST_LIMIT = "deferred_cost_limit"


class StopReason(StrEnum):
    """Why Kora ended an agent that had not ended by itself."""

    LEASE_LOST = "lease_lost"
    DRAINED = "drained"
    WORKER_RESTARTED = "worker_restarted"
    OPERATOR = "operator"
    STOPPED = "stopped"
    """by a command of the control log"""
    COST = "cost"
    """the credit pool is used up"""
    TIMED_OUT = "timed_out"
    STALLED = "stalled"
    OVER_BUDGET = "over_budget"
    """it has told of more spent than an attempt, or its ticket, may cost"""


BLAMELESS: Final = {
    StopReason.LEASE_LOST: "its worker was restarted",
    StopReason.DRAINED: "the runtime was drained",
    StopReason.WORKER_RESTARTED: "its worker was restarted",
    StopReason.OPERATOR: "released by an operator",
    StopReason.STOPPED: "stopped by a command of the control log",
    StopReason.COST: "the credit pool is used up",
}
"""what is said of an attempt that was ended for no fault of its own"""


class Reason(StrEnum):
    """The keys of `failure_count_by_reason`."""

    AGENT_REPORTED = "agent_reported"
    AGENT_EXIT = "agent_exit"
    AGENT_PROTOCOL = "agent_protocol"
    AGENT_RAISED = "agent_raised"
    VERIFY_FAILED = "verify_failed"
    AGENT_SIGNAL = "agent_signal"
    AGENT_TEMPORARY = "agent_temporary"
    OVER_LIMITS = "over_limits"
    PERMISSION_DENIED = "permission_denied"
    """what the agent asked for was denied, and nothing else was done"""
    PROVIDER_FAULT = "provider_fault"
    DISPATCH_FAULT = "dispatch_fault"
    TIMED_OUT = "timed_out"
    STALLED = "stalled"


LOGICAL: Final = frozenset(Reason) - {
    Reason.AGENT_SIGNAL,
    Reason.AGENT_TEMPORARY,
    Reason.PROVIDER_FAULT,
    Reason.DISPATCH_FAULT,
    Reason.TIMED_OUT,
    Reason.STALLED,
}
"""failures that the work itself is to blame for: three of them make a poison ticket"""


_STATUSES: Final = {resolution.value: Status(resolution.value) for resolution in Resolution}
"""what a ticket's status is after each, by its plain name: every attempt's end asks"""


_COSTS_MORE: Final = TRIED_AGAIN | {Status.DEFERRED_COST_LIMIT}
"""how an attempt may end and leave its ticket to be worked again"""


class AgentResult(BaseModel):
    """An agent's own closing word. Fields that Kora does not know are no fault: a newer agent may say more.

    Nor is a cost that is no amount of money: that is left out.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    resolution: Resolution
    summary: str = ""
    model_tier: str | None = None
    cost_usd: Annotated[float | None, BeforeValidator(amount_usd)] = None
    next_eligible_offset_seconds: Annotated[float, Field(ge=0, le=_YEAR_SECONDS, allow_inf_nan=False)] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an agent ended. At most one of `exit_code`, `signal`, `raised`, `fault` is set.

    Nothing of it is left running, but for a callable that was given up on: see `Agent.lingering`.
    """

    exit_code: int | None = None
    signal: int | None = None
    raised: str | None = None
    """a callable raised this: the exception's name and message"""
    fault: str | None = None
    """it could not be started, or what watched it died"""
    verify_fault: str | None = None
    """it claimed success, and the check that was to confirm this did not"""
    is_unconfirmed: bool = False
    """it claimed success, and the check did not come to its end: the result's cost counts, its word does not"""
    stop_reason: StopReason | None = None
    """Kora ended it; None when it ended by itself, even if a stop came too late"""
    result: AgentResult | None = None
    reason: Reason | None = None
    """what the result counts as, where that is known better than that the agent said so"""
    refusal: Refusal | None = None
    """a provider refused: the attempt costs the ticket no blame"""
    protocol_fault: str | None = None
    """a result line that could not be understood"""
    last_output: str = ""
    trouble: str = ""
    """what it complained of last, without ending by it"""
    spent_usd: float | None = None
    """what it has told to have spent while it ran; None if it told nothing"""

    @property
    def cost_usd(self) -> float | None:
        """What it has cost, as far as it has told: the highest that it said, on the way or at last."""
        return most_usd(self.spent_usd, self.result.cost_usd if self.result else None)


class Settlement(NamedTuple):
    """What the store is to write when an attempt ends. Fence, holder and status are judged there."""

    key: ClaimKey
    resolution: Resolution
    sea_status: Status
    summary: str
    next_eligible_offset_seconds: float | None
    """None: at once, or never, as the status says"""
    failure_count_by_reason: dict[str, int]
    model_tier_used: str | None = None
    cost_usd: float | None = None
    is_forgiven: bool = False
    """it never began, or a provider refused: the attempt counts no more towards `max_attempts`"""
    blocked_for: str = BLOCKED_FOR_ATTEMPTS
    """of `blocked_needs_operator`: the reason in the log"""


class _Verdict(NamedTuple):
    resolution: Resolution
    summary: str
    offset_seconds: float | None = None
    reason: Reason | None = None


def settle(
    claim: Claim,
    outcome: Outcome,
    *,
    max_attempts: int,
    caps: Caps = NO_CAPS,
    redacted: Callable[[str], str] = str,
) -> Settlement | None:
    """What is to be written for an attempt that ended so; None when the lease is lost and nothing may be written.

    One that has cost more than it may has failed by that, unless it leaves nothing to be tried again. The counts come
    from the ticket as it was claimed: under the claim nobody else changes them. Whatever the agent said goes through
    `redacted`, before it is cut.
    """
    if outcome.stop_reason is StopReason.LEASE_LOST:
        return None
    counts = dict(claim.ticket.failure_count_by_reason)
    cost_usd = outcome.cost_usd
    verdict = _within(caps, cost_usd, _verdict(outcome, counts))
    if verdict.reason is not None:
        # Plain text, not the enum's member: this is what the store writes as JSON.
        counts[verdict.reason.value] = counts.get(verdict.reason, 0) + 1
    resolution, summary = verdict.resolution, verdict.summary
    if resolution is Resolution.FAILED_RETRYABLE and verdict.reason in LOGICAL:
        failures = sum(counts.get(reason, 0) for reason in LOGICAL)
        if failures >= LOGICAL_FAILURES_MAX:
            resolution = Resolution.FAILED_TERMINAL
            summary = f"{summary} (failure {failures} of {LOGICAL_FAILURES_MAX}: given up)".lstrip()
    status, blocked_for = _STATUSES[resolution._value_], BLOCKED_FOR_ATTEMPTS
    is_forgiven = outcome.refusal is not None and verdict.reason is not Reason.OVER_LIMITS
    if status in TRIED_AGAIN and not is_forgiven and claim.attempts_counted >= max_attempts:
        status = Status.BLOCKED_NEEDS_OPERATOR
        summary = f"{summary} (attempt {claim.attempts_counted} of {max_attempts}: waits for an operator)".lstrip()
    if status in _COSTS_MORE and caps.stops_ticket(claim.spent_micro_usd, cost_usd):
        status, blocked_for = Status.BLOCKED_NEEDS_OPERATOR, BLOCKED_FOR_COST
        # That first: what an agent says may be cut.
        summary = f"{caps.said_of_ticket(claim.spent_micro_usd, cost_usd)}; {summary}".removesuffix("; ")
    result = outcome.result
    return Settlement(
        key=claim.key,
        resolution=resolution,
        sea_status=status,
        summary=redacted(summary[:_SAID_CHARACTERS])[:SUMMARY_CHARACTERS] if summary else summary,
        next_eligible_offset_seconds=verdict.offset_seconds if status in TRIED_AGAIN else None,
        failure_count_by_reason=counts,
        model_tier_used=redacted(result.model_tier) if result and result.model_tier else None,
        cost_usd=cost_usd,
        is_forgiven=is_forgiven,
        blocked_for=blocked_for,
    )


def _transient(counts: dict[str, int], reason: Reason, summary: str) -> _Verdict:
    doubled = _RETRY_SECONDS * 2.0 ** min(counts.get(reason, 0), 10)
    return _Verdict(Resolution.RELEASED, summary, min(doubled, _TRANSIENT_CAP_SECONDS), reason)


def _over_budget(why: str) -> _Verdict:
    return _Verdict(Resolution.FAILED_RETRYABLE, f"over its budget{why}", _RETRY_SECONDS, Reason.OVER_LIMITS)


def _within(caps: Caps, cost_usd: float | None, verdict: _Verdict) -> _Verdict:
    """The verdict on an attempt that has cost so much: one that leaves the ticket to be tried again may not be over."""
    if cost_usd is None or _STATUSES[verdict.resolution._value_] not in TRIED_AGAIN or not caps.stops_attempt(cost_usd):
        return verdict
    said = f": {verdict.summary}" if verdict.summary and verdict.reason is not Reason.OVER_LIMITS else ""
    return _over_budget(f" ({cost_usd:.2f} USD, where an attempt may cost {caps.attempt_usd:.2f}){said}")


def claims_success(outcome: Outcome) -> bool:
    """Whether the attempt would be settled as completed, were there no check to be passed."""
    return _verdict(outcome, {}).resolution is Resolution.COMPLETED


def _verdict(outcome: Outcome, counts: dict[str, int]) -> _Verdict:
    if outcome.verify_fault is not None:
        return _Verdict(Resolution.FAILED_RETRYABLE, outcome.verify_fault, _RETRY_SECONDS, Reason.VERIFY_FAILED)
    if outcome.result is not None and outcome.signal is None and not outcome.is_unconfirmed:
        return _as_reported(outcome.result, outcome.reason, counts)
    if outcome.stop_reason is not None:
        return _stopped(outcome.stop_reason, outcome.trouble)
    if outcome.fault is not None:
        return _transient(counts, Reason.DISPATCH_FAULT, outcome.fault)
    return _ended_by_itself(outcome, counts)


def _ended_by_itself(outcome: Outcome, counts: dict[str, int]) -> _Verdict:
    if outcome.raised is not None:
        return _Verdict(Resolution.FAILED_RETRYABLE, outcome.raised, _RETRY_SECONDS, Reason.AGENT_RAISED)
    if outcome.signal is not None or outcome.exit_code:
        return _gone_wrong(outcome, counts)
    if outcome.protocol_fault is not None:
        return _Verdict(Resolution.FAILED_RETRYABLE, outcome.protocol_fault, _RETRY_SECONDS, Reason.AGENT_PROTOCOL)
    return _Verdict(Resolution.COMPLETED, outcome.last_output)


def _gone_wrong(outcome: Outcome, counts: dict[str, int]) -> _Verdict:
    tail = f": {outcome.last_output}" if outcome.last_output else ""
    if outcome.signal is not None:
        return _transient(counts, Reason.AGENT_SIGNAL, f"died by signal {outcome.signal}{tail}")
    summary = f"exited with {outcome.exit_code}{tail}"
    if outcome.exit_code == EXIT_TEMPORARY:
        return _transient(counts, Reason.AGENT_TEMPORARY, summary)
    if outcome.exit_code == EXIT_DENIED:
        return _Verdict(Resolution.FAILED_TERMINAL, summary)
    return _Verdict(Resolution.FAILED_RETRYABLE, summary, _RETRY_SECONDS, Reason.AGENT_EXIT)


def _as_reported(result: AgentResult, reason: Reason | None, counts: dict[str, int]) -> _Verdict:
    said, offset = result.summary, result.next_eligible_offset_seconds
    match result.resolution:
        case Resolution.FAILED_RETRYABLE:
            return _Verdict(
                result.resolution, said, _RETRY_SECONDS if offset is None else offset, reason or Reason.AGENT_REPORTED
            )
        case Resolution.RELEASED if offset is None:
            return _transient(counts, reason or Reason.AGENT_TEMPORARY, said)
        case Resolution.RELEASED:
            return _Verdict(result.resolution, said, offset, reason or Reason.AGENT_TEMPORARY)
        case Resolution.COMPLETED | Resolution.FAILED_TERMINAL | Resolution.DEFERRED_COST_LIMIT:
            return _Verdict(result.resolution, said)
        case _ as never:
            assert_never(never)


def _stopped(reason: StopReason, trouble: str) -> _Verdict:
    tail = f": {trouble}" if trouble else ""
    match reason:
        case StopReason.TIMED_OUT:
            said = f"over its wall-clock limit{tail}"
            return _Verdict(Resolution.FAILED_RETRYABLE, said, _STALLED_SECONDS, Reason.TIMED_OUT)
        case StopReason.STALLED:
            return _Verdict(Resolution.FAILED_RETRYABLE, f"made no progress{tail}", _STALLED_SECONDS, Reason.STALLED)
        case StopReason.OVER_BUDGET:
            return _over_budget(tail)
        case _:
            is_cost = reason is StopReason.COST
            return _Verdict(Resolution.DEFERRED_COST_LIMIT if is_cost else Resolution.RELEASED, BLAMELESS[reason])
