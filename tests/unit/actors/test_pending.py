"""Messages folded into one turn."""

from __future__ import annotations

import pytest

from actors.messages import Order
from actors.pending import EVENTS_MAX, Pending
from kora.domain.events import EventType, NewEvent
from kora.domain.resolution import hand_back


@pytest.fixture
def pending():
    return Pending(lease_seconds=600.0, max_attempts=10)


def fold(pending, *, free=3, held=0, now=0.0):
    return pending.turn(free=free, held=held, except_tickets=frozenset({"t"}), return_holders=(), now=now)


def test_with_nothing_to_do_there_is_no_turn(pending):
    assert fold(pending) is None


def test_what_is_settled_in_the_same_turn_is_not_refreshed(pending, make_claim):
    ending, going_on = make_claim(), make_claim()
    for claim in (ending, going_on):
        pending.refresh[claim.key.work_attempt_id] = claim.key
    pending.settle[ending.key.work_attempt_id] = hand_back(ending, "why", max_attempts=10)
    turn = fold(pending)
    assert turn.refresh == (going_on.key,)
    assert [settlement.key for settlement in turn.settle] == [ending.key]


@pytest.mark.parametrize(("want", "held", "free", "count"), [(3, 0, 3, 3), (3, 2, 3, 1), (3, 0, 2, 2), (3, 3, 3, None)])
def test_an_order_is_for_a_total_and_for_no_more_than_there_are_places(pending, want, held, free, count):
    pending.order = Order(want=want, permitted_until=10.0)
    turn = fold(pending, held=held, free=free)
    assert (turn.claim.count if turn else None) == count


def test_an_order_stands_until_its_permission_runs_out(pending):
    pending.order = Order(want=1, permitted_until=10.0)
    turn = fold(pending, now=9.9)
    pending.clear(written=turn)
    assert turn.claim.except_tickets == {"t"}
    assert fold(pending, now=9.9).claim is not None
    assert fold(pending, now=10.0) is None


def test_events_for_a_store_that_stays_away_are_kept_within_bounds_the_newest_first(pending):
    events = tuple(NewEvent(EventType.TRANSITIONED, {"n": number}) for number in range(EVENTS_MAX + 5))
    pending.append(events)
    kept = fold(pending).append
    assert [kept[0].payload["n"], kept[-1].payload["n"], len(kept)] == [5, EVENTS_MAX + 4, EVENTS_MAX]
