"""When the Poller asks, and when it does not."""

from __future__ import annotations

from itertools import count
from random import Random

import pytest

from actors.messages import Drain, Held, Order, Poll, Tick
from actors.names import LEDGER, POLLER
from actors.poller import Poller
from actors.steering import Permission
from kora.domain.control import ClaimPermission

INTERVAL = 60.0


@pytest.fixture
def poller(stage):
    return stage.put(
        POLLER,
        lambda seat: Poller(seat, workers=3, poll_interval_seconds=INTERVAL, time_source=stage.time, random=Random(1)),
    )


VERSIONS = ((1, number) for number in count(1))


def permit(poller, stage, permission=ClaimPermission.NORMAL, *, seconds=5.0, version=None, most=None):
    version = version or next(VERSIONS)
    until = stage.time.seconds + seconds
    poller.on_receive(Permission(version=version, permission=permission, until=until, most=most))
    return version


def held(number, *attempts, exhausted=False, is_held_up=False, due=None, each=1):
    return Held(
        version=(1, number),
        attempts=frozenset(attempts),
        exhausted=exhausted,
        is_held_up=is_held_up,
        next_eligible_in_seconds=due,
        claims_a_worker=each,
    )


def tick(poller, stage, seconds=0.0):
    stage.time.seconds += seconds
    poller.on_receive(Tick(now=stage.time.seconds))


def test_it_asks_as_soon_as_it_is_permitted_for_as_many_as_there_are_workers(poller, stage):
    tick(poller, stage)
    assert stage.said(LEDGER) == []
    version = permit(poller, stage)
    assert stage.said(LEDGER) == [Order(want=3, permitted_until=stage.time.seconds + 5, permitted_by=version)]


def test_without_a_permission_it_asks_for_nothing(poller, stage):
    version = permit(poller, stage, ClaimPermission.NONE)
    tick(poller, stage)
    assert stage.said(LEDGER) == [Order(want=0, permitted_until=stage.time.seconds + 5, permitted_by=version)]


def test_what_only_critical_tickets_may_have_is_asked_for_them_alone(poller, stage):
    permit(poller, stage, ClaimPermission.CRITICAL_ONLY)
    permit(poller, stage)
    permit(poller, stage, ClaimPermission.CRITICAL_ONLY)
    assert [(order.want, order.is_critical_only) for order in stage.said(LEDGER)] == [(3, True), (3, False), (3, True)]


def test_while_a_provider_is_tried_out_it_wants_one_and_then_the_rest_at_once(poller, stage):
    permit(poller, stage, most=1)
    poller.on_receive(held(1, "a"))
    tick(poller, stage)
    assert [order.want for order in stage.said(LEDGER)] == [1]
    permit(poller, stage)
    assert [order.want for order in stage.said(LEDGER)] == [3]


def test_after_one_that_was_tried_the_next_waits_until_control_may_have_said_what_came_of_it(poller, stage):
    permit(poller, stage, most=1)
    poller.on_receive(held(1, "a"))
    poller.on_receive(held(2))
    poller.on_receive(Poll())
    permit(poller, stage, most=1)
    assert [(order.want, order.is_single) for order in stage.said(LEDGER)] == [(1, True)]
    tick(poller, stage, 1.0)
    assert [(order.want, order.is_single) for order in stage.said(LEDGER)] == [(1, True)]
    poller.on_receive(held(3, "b"))
    poller.on_receive(held(4))
    permit(poller, stage)
    assert [(order.want, order.is_single) for order in stage.said(LEDGER)] == [(3, False)]


def test_a_permission_after_none_ends_the_sleep_over_an_empty_board(poller, stage):
    permit(poller, stage)
    poller.on_receive(held(1, exhausted=True))
    permit(poller, stage)
    permit(poller, stage, ClaimPermission.NONE)
    stage.said(LEDGER)
    permit(poller, stage)
    assert [order.want for order in stage.said(LEDGER)] == [3]


def test_the_order_that_stands_is_taken_back_at_once_and_as_often_as_it_hears_of_it(poller, stage):
    permit(poller, stage)
    stage.said(LEDGER)
    for _ in range(2):
        permit(poller, stage, ClaimPermission.NONE)
    assert [order.want for order in stage.said(LEDGER)] == [0, 0]
    permit(poller, stage)
    assert [order.want for order in stage.said(LEDGER)] == [3]


def test_a_permission_of_a_control_that_wakes_late_opens_nothing(poller, stage):
    permit(poller, stage, ClaimPermission.NONE, version=(100, 1))
    permit(poller, stage, version=(99, 7))
    tick(poller, stage)
    assert [order.want for order in stage.said(LEDGER)] == [0]


def test_a_permission_that_ran_out_counts_as_none(poller, stage):
    permit(poller, stage)
    stage.said(LEDGER)
    tick(poller, stage, 5.0)
    assert stage.said(LEDGER) == []


def test_with_all_places_taken_it_is_silent_and_asks_again_when_one_is_free(poller, stage):
    permit(poller, stage)
    poller.on_receive(held(1, "a", "b", "c"))
    stage.said(LEDGER)
    tick(poller, stage)
    assert stage.said(LEDGER) == []
    poller.on_receive(held(2, "a", "b"))
    assert len(stage.said(LEDGER)) == 1


def test_an_empty_board_lets_it_sleep_for_a_jittered_interval(poller, stage):
    permit(poller, stage, seconds=1_000)
    poller.on_receive(held(1, exhausted=True))
    stage.said(LEDGER)
    tick(poller, stage, INTERVAL * 0.9 - 0.1)
    assert stage.said(LEDGER) == []
    tick(poller, stage, INTERVAL * 0.2 + 0.2)
    assert len(stage.said(LEDGER)) == 1


def test_it_sleeps_no_longer_than_until_the_next_ticket_falls_due(poller, stage):
    permit(poller, stage, seconds=1_000)
    poller.on_receive(held(1, exhausted=True, due=2.0))
    stage.said(LEDGER)
    tick(poller, stage, 1.9)
    assert stage.said(LEDGER) == []
    tick(poller, stage, 0.1)
    assert len(stage.said(LEDGER)) == 1


def test_a_poll_or_an_end_ends_its_sleep(poller, stage):
    permit(poller, stage, seconds=1_000)
    poller.on_receive(held(1, "a", exhausted=True))
    stage.said(LEDGER)
    poller.on_receive(Poll())
    assert len(stage.said(LEDGER)) == 1
    poller.on_receive(held(2, "a", exhausted=True))
    poller.on_receive(held(3))
    assert len(stage.said(LEDGER)) == 1


def test_an_older_word_than_the_last_is_ignored(poller, stage):
    permit(poller, stage, seconds=1_000)
    poller.on_receive(held(5, "a", "b", "c"))
    stage.said(LEDGER)
    poller.on_receive(held(4))
    assert stage.said(LEDGER) == []


def test_while_draining_it_asks_for_nothing(poller, stage):
    poller.on_receive(Drain(deadline=0.0))
    permit(poller, stage)
    poller.on_receive(held(1))
    tick(poller, stage)
    assert stage.said(LEDGER) == []


def test_while_attempts_are_short_it_wants_more_than_there_are_workers(poller, stage):
    permit(poller, stage)
    stage.said(LEDGER)
    poller.on_receive(held(1, "a", "b", "c", each=5))
    assert [order.want for order in stage.said(LEDGER)] == [15]
    poller.on_receive(held(2, "a", "b", "c", each=1))
    assert stage.said(LEDGER) == []
    poller.on_receive(held(3, "a", "b", each=1))
    assert [order.want for order in stage.said(LEDGER)] == [3]


def test_a_board_that_is_emptied_by_a_bigger_wish_lets_it_sleep_as_well(poller, stage):
    permit(poller, stage, seconds=1_000)
    poller.on_receive(held(1, "a", "b", exhausted=True, each=65))
    stage.said(LEDGER)
    tick(poller, stage, INTERVAL * 0.5)
    assert stage.said(LEDGER) == []


@pytest.mark.parametrize(("due", "seconds"), [(None, 1.0), (20.0, 20.0)])
def test_what_the_stores_own_gate_holds_up_is_asked_for_again_when_that_may_be_open(poller, stage, due, seconds):
    permit(poller, stage, seconds=1_000)
    stage.said(LEDGER)
    poller.on_receive(held(1, is_held_up=True, due=due))
    tick(poller, stage, seconds - 0.1)
    assert stage.said(LEDGER) == []
    tick(poller, stage, 0.1)
    assert len(stage.said(LEDGER)) == 1
