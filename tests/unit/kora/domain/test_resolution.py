"""SPEC 4's table, row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kora.domain.claim import Claim
from kora.domain.cost import COST_MAX_USD
from kora.domain.handback import hand_back, pass_back
from kora.domain.refusal import Refusal
from kora.domain.resolution import (
    LOGICAL,
    AgentResult,
    Outcome,
    Reason,
    Resolution,
    StopReason,
    claims_success,
    settle,
)
from kora.domain.state import DegradationReason
from kora.domain.ticket import Status
from tests.claims import a_claim


def claim(*, attempts: int = 1, failures: dict[str, int] | None = None) -> Claim:
    return a_claim(attempts=attempts, failure_count_by_reason=failures or {})


def says(resolution: str, **more: object) -> AgentResult:
    return AgentResult.model_validate({"resolution": resolution, **more})


@pytest.mark.parametrize(
    ("outcome", "resolution", "offset", "reason"),
    [
        (Outcome(exit_code=0), "completed", None, None),
        (Outcome(exit_code=0, result=says("completed")), "completed", None, None),
        (Outcome(exit_code=3, result=says("completed")), "completed", None, None),
        (Outcome(exit_code=0, result=says("failed_terminal")), "failed_terminal", None, None),
        (Outcome(exit_code=0, result=says("failed_retryable")), "failed_retryable", 60, Reason.AGENT_REPORTED),
        (
            Outcome(exit_code=0, result=says("failed_retryable", next_eligible_offset_seconds=5)),
            "failed_retryable",
            5,
            Reason.AGENT_REPORTED,
        ),
        (Outcome(exit_code=0, result=says("released")), "released", 60, Reason.AGENT_TEMPORARY),
        (
            Outcome(exit_code=0, result=says("released", next_eligible_offset_seconds=0)),
            "released",
            0,
            Reason.AGENT_TEMPORARY,
        ),
        (Outcome(exit_code=0, result=says("deferred_cost_limit")), "deferred_cost_limit", None, None),
        (
            Outcome(exit_code=0, result=says("failed_retryable"), reason=Reason.OVER_LIMITS),
            "failed_retryable",
            60,
            Reason.OVER_LIMITS,
        ),
        (
            Outcome(exit_code=0, result=says("released"), reason=Reason.PROVIDER_FAULT),
            "released",
            60,
            Reason.PROVIDER_FAULT,
        ),
        (Outcome(exit_code=75), "released", 60, Reason.AGENT_TEMPORARY),
        (Outcome(exit_code=77), "failed_terminal", None, None),
        (Outcome(exit_code=1), "failed_retryable", 60, Reason.AGENT_EXIT),
        (Outcome(exit_code=0, protocol_fault="not understood"), "failed_retryable", 60, Reason.AGENT_PROTOCOL),
        (Outcome(signal=9), "released", 60, Reason.AGENT_SIGNAL),
        (Outcome(signal=9, result=says("completed")), "released", 60, Reason.AGENT_SIGNAL),
        (Outcome(fault="no such file"), "released", 60, Reason.DISPATCH_FAULT),
        (Outcome(raised="KeyError: 'x'"), "failed_retryable", 60, Reason.AGENT_RAISED),
        (Outcome(raised="KeyError: 'x'", stop_reason=StopReason.TIMED_OUT), "failed_retryable", 600, Reason.TIMED_OUT),
        (Outcome(raised="KeyError: 'x'", stop_reason=StopReason.DRAINED), "released", None, None),
        (Outcome(exit_code=0, verify_fault="make exited with 2"), "failed_retryable", 60, Reason.VERIFY_FAILED),
        (
            Outcome(exit_code=0, result=says("completed"), verify_fault="make exited with 2"),
            "failed_retryable",
            60,
            Reason.VERIFY_FAILED,
        ),
        (Outcome(signal=15, stop_reason=StopReason.TIMED_OUT), "failed_retryable", 600, Reason.TIMED_OUT),
        (Outcome(signal=15, stop_reason=StopReason.STALLED), "failed_retryable", 600, Reason.STALLED),
        (Outcome(signal=15, stop_reason=StopReason.DRAINED), "released", None, None),
        (Outcome(exit_code=0, stop_reason=StopReason.DRAINED), "released", None, None),
        (Outcome(signal=15, stop_reason=StopReason.WORKER_RESTARTED), "released", None, None),
        (Outcome(exit_code=0, stop_reason=StopReason.DRAINED, result=says("completed")), "completed", None, None),
    ],
)
def test_what_happened_gives_the_resolution_of_the_table(
    outcome: Outcome, resolution: str, offset: float | None, reason: Reason | None
) -> None:
    settlement = settle(claim(), outcome, max_attempts=10)
    assert settlement is not None
    assert settlement.resolution == resolution
    assert settlement.sea_status == resolution
    assert settlement.next_eligible_offset_seconds == offset
    assert settlement.failure_count_by_reason == ({reason: 1} if reason else {})


def test_a_lost_lease_writes_nothing_whatever_the_agent_said() -> None:
    outcome = Outcome(exit_code=0, stop_reason=StopReason.LEASE_LOST, result=says("completed"))
    assert settle(claim(), outcome, max_attempts=10) is None


@pytest.mark.parametrize("reason", sorted(LOGICAL))
def test_the_third_logical_failure_is_terminal_whatever_the_reasons_were(reason: Reason) -> None:
    second = settle(claim(failures={reason: 1}), Outcome(exit_code=1), max_attempts=10)
    third = settle(claim(failures={reason: 2}), Outcome(exit_code=1), max_attempts=10)
    assert second is not None
    assert third is not None
    assert second.sea_status is Status.FAILED_RETRYABLE
    assert third.resolution is Resolution.FAILED_TERMINAL
    assert third.sea_status is Status.FAILED_TERMINAL
    assert third.next_eligible_offset_seconds is None


@given(st.integers(0, 40), st.sampled_from([Outcome(signal=9), Outcome(fault="x"), Outcome(exit_code=75)]))
def test_transient_failures_back_off_to_half_an_hour_and_never_make_a_ticket_terminal(
    before: int, outcome: Outcome
) -> None:
    counts: dict[str, int] = dict.fromkeys((Reason.AGENT_SIGNAL, Reason.DISPATCH_FAULT, Reason.AGENT_TEMPORARY), before)
    settlement = settle(claim(failures=counts), outcome, max_attempts=1_000)
    assert settlement is not None
    assert settlement.sea_status is Status.RELEASED
    assert settlement.next_eligible_offset_seconds == min(60 * 2**before, 1_800)


def test_the_last_allowed_attempt_waits_for_an_operator_unless_it_is_final() -> None:
    blocked = settle(claim(attempts=10), Outcome(exit_code=1), max_attempts=10)
    done = settle(claim(attempts=10), Outcome(exit_code=0), max_attempts=10)
    earlier = settle(claim(attempts=9), Outcome(exit_code=1), max_attempts=10)
    assert blocked is not None
    assert done is not None
    assert earlier is not None
    assert (blocked.sea_status, blocked.next_eligible_offset_seconds) == (Status.BLOCKED_NEEDS_OPERATOR, None)
    assert done.sea_status is Status.COMPLETED
    assert earlier.sea_status is Status.FAILED_RETRYABLE


def test_the_summary_says_what_was_raised_and_what_the_check_found() -> None:
    raised = settle(claim(), Outcome(raised="KeyError: 'x'"), max_attempts=10)
    unverified = settle(claim(), Outcome(exit_code=0, verify_fault="make exited with 2"), max_attempts=10)
    assert raised is not None
    assert unverified is not None
    assert (raised.summary, unverified.summary) == ("KeyError: 'x'", "make exited with 2")


def test_a_lost_lease_writes_nothing_even_where_the_check_failed() -> None:
    outcome = Outcome(exit_code=0, stop_reason=StopReason.LEASE_LOST, verify_fault="make exited with 2")
    assert settle(claim(), outcome, max_attempts=10) is None


@pytest.mark.parametrize(
    ("outcome", "success"),
    [
        (Outcome(exit_code=0), True),
        (Outcome(exit_code=1, result=says("completed")), True),
        (Outcome(exit_code=0, stop_reason=StopReason.DRAINED, result=says("completed")), True),
        (Outcome(exit_code=0, result=says("failed_retryable")), False),
        (Outcome(exit_code=0, result=says("deferred_cost_limit")), False),
        (Outcome(exit_code=0, stop_reason=StopReason.DRAINED), False),
        (Outcome(exit_code=0, protocol_fault="not understood"), False),
        (Outcome(exit_code=1), False),
        (Outcome(signal=9, result=says("completed")), False),
        (Outcome(raised="KeyError: 'x'"), False),
        (Outcome(fault="no such file"), False),
        (Outcome(exit_code=0, verify_fault="make exited with 2"), False),
    ],
)
def test_only_what_would_be_completed_claims_success(outcome: Outcome, *, success: bool) -> None:
    assert claims_success(outcome) is success


def test_attempts_that_an_operator_forgave_do_not_count_towards_the_most() -> None:
    forgiven = claim(attempts=12)._replace(attempts_forgiven=10)
    assert forgiven.attempts_counted == 2
    for settlement in (
        settle(forgiven, Outcome(exit_code=1), max_attempts=3),
        hand_back(forgiven, "why", max_attempts=3),
    ):
        assert settlement is not None
        assert settlement.sea_status in {Status.FAILED_RETRYABLE, Status.RELEASED}
    last = settle(forgiven._replace(attempts_forgiven=9), Outcome(exit_code=1), max_attempts=3)
    assert last is not None
    assert last.sea_status is Status.BLOCKED_NEEDS_OPERATOR
    assert last.summary.endswith("(attempt 3 of 3: waits for an operator)")


@pytest.mark.parametrize("attempts", [1, 10, 99])
def test_a_providers_refusal_waits_longer_each_time_and_is_never_the_last_attempt(attempts: int) -> None:
    refusal = Refusal(DegradationReason.AUTH, "no key")
    outcome = Outcome(exit_code=1, result=says("released"), reason=Reason.PROVIDER_FAULT, refusal=refusal)
    settlement = settle(claim(attempts=attempts, failures={"provider_fault": 3}), outcome, max_attempts=10)
    assert settlement is not None
    assert (settlement.sea_status, settlement.is_forgiven) == (Status.RELEASED, True)
    assert settlement.next_eligible_offset_seconds == 480


@pytest.mark.parametrize("reason", [StopReason.STALLED, StopReason.TIMED_OUT])
def test_what_it_complained_of_last_is_told_of_one_that_was_stopped(reason: StopReason) -> None:
    settlement = settle(claim(), Outcome(signal=15, stop_reason=reason, trouble="no network"), max_attempts=10)
    assert settlement is not None
    assert settlement.summary.endswith(": no network")


def test_what_nobody_runs_is_handed_back_at_once_and_to_nobodys_blame() -> None:
    settlement = hand_back(claim(failures={"agent_exit": 1}), "why", max_attempts=10)
    assert settlement.sea_status is Status.RELEASED
    assert settlement.next_eligible_offset_seconds is None
    assert settlement.failure_count_by_reason == {"agent_exit": 1}
    assert not settlement.is_forgiven
    assert hand_back(claim(attempts=10), "why", max_attempts=10).sea_status is Status.BLOCKED_NEEDS_OPERATOR


def test_what_never_began_is_neither_blocked_nor_counted() -> None:
    settlement = pass_back(claim(attempts=99, failures={"agent_exit": 1}), "why")
    assert (settlement.resolution, settlement.sea_status) == (Resolution.RELEASED, Status.RELEASED)
    assert settlement.next_eligible_offset_seconds is None
    assert settlement.failure_count_by_reason == {"agent_exit": 1}
    assert settlement.is_forgiven


@pytest.mark.parametrize(
    "bad",
    [
        {"resolution": "done"},
        {"resolution": "completed", "next_eligible_offset_seconds": 1e12},
        {},
    ],
)
def test_a_result_that_is_not_one_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AgentResult.model_validate(bad)


@pytest.mark.parametrize("cost", [-1, float("nan"), float("inf"), "much", True, [1], {"usd": 1}, None])
def test_a_cost_that_is_no_amount_of_money_is_left_out_and_the_result_stands(cost: object) -> None:
    assert says("completed", cost_usd=cost) == says("completed")


@pytest.mark.parametrize("cost", [1e9, 10**400])
def test_an_absurd_cost_is_cut_to_what_can_be_charged(cost: float) -> None:
    assert says("completed", cost_usd=cost).cost_usd == COST_MAX_USD
