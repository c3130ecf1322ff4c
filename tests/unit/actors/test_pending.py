"""Messages folded into one turn."""

from __future__ import annotations

import pytest

from actors.messages import Operate, Order
from actors.pending import EVENTS_MAX, Pending
from kora.domain.claim import ClaimKey
from kora.domain.events import EventType, NewEvent
from kora.domain.handback import hand_back
from kora.domain.operation import OperationAnswer, OperationRequest, Step, Verdict
from kora.store.port import Earned


@pytest.fixture
def pending():
    return Pending(lease_seconds=600.0, max_attempts=10)


def fold(pending, *, places=3, held=0, now=0.0, return_holders=()):
    return pending.turn(
        places=places, held=held, except_tickets=lambda: frozenset({"t"}), return_holders=return_holders, now=now
    )


def a_request(number=1, attempt="attempt"):
    return OperationRequest(ClaimKey("ticket", 1, attempt), Step.BEGIN, number, "tool", "key")


def test_with_nothing_to_do_there_is_no_turn(pending):
    assert fold(pending) is None


def test_what_is_settled_in_the_same_turn_is_not_refreshed(pending, make_claim):
    ending, going_on = make_claim(), make_claim()
    for claim in (ending, going_on):
        pending.refresh[claim.key.work_attempt_id] = claim.key, 7.0
    pending.settle[ending.key.work_attempt_id] = hand_back(ending, "why", max_attempts=10)
    turn = fold(pending, now=10.0)
    assert turn.refresh == (Earned(going_on.key, 3.0),)
    assert [settlement.key for settlement in turn.settle] == [ending.key]


@pytest.mark.parametrize(
    ("want", "held", "places", "count"), [(3, 0, 3, 3), (3, 2, 3, 1), (3, 0, 2, 2), (3, 3, 3, None)]
)
def test_an_order_is_for_a_total_and_for_no_more_than_there_are_places(pending, want, held, places, count):
    pending.order = Order(want=want, permitted_until=10.0)
    turn = fold(pending, held=held, places=places)
    assert (turn.claim.count if turn else None) == count


def test_what_is_not_to_be_claimed_is_asked_for_only_when_something_is(pending):
    asked = []
    for held in (1, 0):
        pending.order = Order(want=1, permitted_until=10.0)
        pending.turn(places=1, held=held, except_tickets=lambda: asked.append(1), return_holders=("dead",), now=0.0)
        assert len(asked) == 1 - held


def test_an_order_stands_until_its_permission_runs_out(pending):
    pending.order = Order(want=1, permitted_until=10.0)
    turn = fold(pending, now=9.9)
    pending.clear()
    assert turn.claim.except_tickets == {"t"}
    assert fold(pending, now=9.9).claim is not None
    assert fold(pending, now=10.0) is None


def test_events_for_a_store_that_stays_away_are_kept_within_bounds_the_newest_first(pending):
    events = tuple(NewEvent(EventType.TRANSITIONED, {"n": number}) for number in range(EVENTS_MAX + 5))
    pending.append(events)
    kept = fold(pending).append
    assert [kept[0].payload["n"], kept[-1].payload["n"], len(kept)] == [5, EVENTS_MAX + 4, EVENTS_MAX]


def test_progress_that_lies_ahead_of_the_turns_time_has_no_negative_age(pending, make_claim):
    claim = make_claim()
    pending.refresh[claim.key.work_attempt_id] = claim.key, 11.0
    assert fold(pending, now=10.0).refresh == (Earned(claim.key, 0.0),)


def test_a_request_that_is_told_again_is_asked_once_and_requests_keep_their_order(pending):
    first, second, third = (a_request(number) for number in (2, 1, 3))
    pending.operate(Operate("worker-1", (first,)))
    pending.operate(Operate("worker-2", (second,)))
    pending.operate(Operate("worker-1", (first, third)))
    assert fold(pending).operate == (first, second, third)


def test_answers_go_to_whoever_asked_and_only_once(pending):
    first, second = a_request(1), a_request(2)
    pending.operate(Operate("worker-1", (first,)))
    pending.operate(Operate("worker-2", (second,)))
    pending.clear()
    assert fold(pending) is None
    answers = [OperationAnswer(request, Verdict.DISPATCHED) for request in (first, second)]
    assert pending.askers(answers) == {"worker-1": answers[:1], "worker-2": answers[1:]}
    assert pending.askers(answers) == {}


def test_what_was_not_written_is_asked_again(pending):
    pending.operate(Operate("worker-1", (a_request(),)))
    assert fold(pending).operate == fold(pending).operate == (a_request(),)
    assert pending


def test_after_a_suspend_one_turn_does_not_sweep_and_the_next_does(pending):
    pending.ticked = pending.slept = True
    assert fold(pending) is None
    assert fold(pending, return_holders=("dead",)).sweep is False
    pending.clear()
    pending.ticked = True
    assert fold(pending).sweep is True
