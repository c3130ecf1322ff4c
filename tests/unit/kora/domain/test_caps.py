"""What an attempt, and a ticket, may cost: how it ends when it has cost more."""

from __future__ import annotations

import pytest

from kora.domain.claim import Claim
from kora.domain.cost import Caps
from kora.domain.handback import unsettled
from kora.domain.refusal import Refusal
from kora.domain.resolution import LOGICAL, AgentResult, Outcome, Reason, StopReason, settle
from kora.domain.state import DegradationReason
from kora.domain.ticket import Status
from tests.claims import a_claim


def claim(*, failures: dict[str, int] | None = None) -> Claim:
    return a_claim(failure_count_by_reason=failures or {})


def says(resolution: str, **more: object) -> AgentResult:
    return AgentResult.model_validate({"resolution": resolution, **more})


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(signal=15, stop_reason=StopReason.OVER_BUDGET, spent_usd=5.01),
        Outcome(exit_code=0, result=says("failed_retryable", cost_usd=5.01)),
        Outcome(exit_code=0, result=says("released", cost_usd=0.5), spent_usd=5.01),
        Outcome(exit_code=3, spent_usd=6.0),
        Outcome(signal=9, spent_usd=6.0),
        Outcome(signal=15, stop_reason=StopReason.DRAINED, spent_usd=6.0),
        Outcome(exit_code=0, result=says("released", cost_usd=7.0), refusal=Refusal(DegradationReason.AUTH, "401")),
    ],
)
def test_an_attempt_that_has_cost_more_than_it_may_has_failed_by_that(outcome: Outcome) -> None:
    ended = settle(claim(), outcome, max_attempts=10, caps=Caps(attempt_usd=5.0))
    assert ended is not None
    assert (ended.resolution, ended.sea_status) == ("failed_retryable", Status.FAILED_RETRYABLE)
    assert ended.next_eligible_offset_seconds == 60
    assert ended.failure_count_by_reason == {Reason.OVER_LIMITS: 1}
    assert Reason.OVER_LIMITS in LOGICAL
    assert ended.summary.startswith("over its budget")
    assert not ended.is_forgiven
    assert ended.cost_usd == outcome.cost_usd


def test_the_third_time_over_its_budget_gives_the_ticket_up() -> None:
    outcome = Outcome(exit_code=0, result=says("failed_retryable", cost_usd=9.0))
    ended = settle(claim(failures={"over_limits": 2}), outcome, max_attempts=10, caps=Caps(attempt_usd=5.0))
    assert ended is not None
    assert ended.sea_status is Status.FAILED_TERMINAL


@pytest.mark.parametrize("resolution", ["completed", "failed_terminal", "deferred_cost_limit"])
def test_an_attempt_over_its_cap_that_leaves_nothing_to_be_tried_keeps_its_own_word(resolution: str) -> None:
    outcome = Outcome(exit_code=0, stop_reason=StopReason.OVER_BUDGET, result=says(resolution, cost_usd=9.0))
    ended = settle(claim(), outcome, max_attempts=10, caps=Caps(attempt_usd=5.0))
    assert ended is not None
    assert (ended.resolution, ended.cost_usd) == (resolution, 9.0)


def test_what_costs_just_as_much_as_it_may_is_not_over() -> None:
    outcome = Outcome(exit_code=3, spent_usd=0.1 + 0.2)
    ended = settle(claim(), outcome, max_attempts=10, caps=Caps(attempt_usd=0.3))
    assert ended is not None
    assert ended.failure_count_by_reason == {Reason.AGENT_EXIT: 1}


@pytest.mark.parametrize(
    ("resolution", "blocked"),
    [
        ("failed_retryable", True),
        ("released", True),
        ("deferred_cost_limit", True),
        ("completed", False),
        ("failed_terminal", False),
    ],
)
def test_a_ticket_whose_attempts_have_cost_what_they_may_waits_for_an_operator(
    resolution: str, *, blocked: bool
) -> None:
    again = claim()._replace(spent_micro_usd=7_000_000)
    outcome = Outcome(exit_code=0, result=says(resolution, cost_usd=3.0, summary="x" * 100_000))
    ended = settle(again, outcome, max_attempts=10, caps=Caps(ticket_usd=10.0))
    assert ended is not None
    assert ended.resolution == resolution
    assert ended.sea_status is (Status.BLOCKED_NEEDS_OPERATOR if blocked else Status(resolution))
    said = "waits for an operator: its attempts have cost 10.00 USD, where they may cost 10.00; x"
    assert ended.summary.startswith(said) is blocked
    assert not blocked or ended.next_eligible_offset_seconds is None


def test_a_ticket_that_has_cost_less_than_it_may_is_tried_again() -> None:
    again = claim()._replace(spent_micro_usd=6_999_999)
    outcome = Outcome(exit_code=0, result=says("failed_retryable", cost_usd=3.0))
    ended = settle(again, outcome, max_attempts=10, caps=Caps(ticket_usd=10.0))
    assert ended is not None
    assert ended.sea_status is Status.FAILED_RETRYABLE


def test_the_highest_that_an_attempt_has_told_is_what_it_has_cost() -> None:
    assert Outcome(spent_usd=2.0, result=says("completed", cost_usd=1.5)).cost_usd == 2.0
    assert Outcome(spent_usd=1.0, result=says("completed", cost_usd=1.5)).cost_usd == 1.5
    assert Outcome(result=says("completed")).cost_usd is None
    assert Outcome(spent_usd=0.0).cost_usd == 0.0


def test_an_end_that_the_store_refuses_has_cost_what_it_has_cost() -> None:
    assert unsettled(claim(), "refused", max_attempts=10, cost_usd=1.25).cost_usd == 1.25
