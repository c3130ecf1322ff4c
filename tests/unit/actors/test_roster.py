"""What the Ledger believes of its Workers."""

from __future__ import annotations

import pytest

from actors.ahead import AHEAD_LONG_SECONDS, WINDOW
from actors.messages import Announce, Ended
from actors.roster import Roster

ONE, TWO = "worker-1", "worker-2"


@pytest.fixture
def roster():
    return Roster((ONE, TWO))


def announce(worker=ONE, generation=1, running=(), ended=()):
    return Announce(worker=worker, generation=generation, incarnation=1, running=running, ended=ended)


def open_ahead(roster, make_claim, workers=(ONE, TWO), seconds=0.0249, now=0.0):
    """So many short attempts have ended at these Workers that four claims may wait."""
    roster.hear(announce(ONE))
    roster.hear(announce(TWO))
    for number in range(WINDOW):
        claim = make_claim()
        roster.give(workers[number % len(workers)], claim)
        roster.end(claim.key.work_attempt_id, seconds, now)
        roster.take_back(claim.key.work_attempt_id)


def test_there_is_no_room_at_a_worker_before_it_has_answered(roster):
    assert roster.places(0.0) == 0
    assert not roster.complete
    roster.hear(announce())
    assert roster.places(0.0) == 1
    roster.hear(announce(TWO))
    assert roster.places(0.0) == 2
    assert roster.complete


def test_a_claim_takes_a_place_until_its_end_is_known_and_is_in_hand_until_that_is_dealt_with(roster, make_claim):
    claim = make_claim()
    roster.hear(announce())
    assert roster.deal([claim], 0.0) == {ONE: [claim]}
    attempt = claim.key.work_attempt_id
    assert (roster.places(0.0), len(roster), roster.tickets) == (0, 1, {claim.key.ticket_id})
    assert roster.end(attempt).worker == ONE
    assert roster.end(attempt).worker == ONE
    assert (roster.places(0.0), len(roster), roster.tickets) == (1, 0, frozenset())
    assert roster.attempts == {attempt}
    assert roster.take_back(attempt).worker == ONE
    assert (roster.places(0.0), roster.attempts) == (1, frozenset())
    assert roster.take_back(attempt) is None
    assert roster.end(attempt) is None


def test_a_ticket_claimed_anew_as_its_last_attempt_is_settled_stays_excepted(roster, make_claim):
    first = make_claim()
    again = make_claim(ticket_id=first.key.ticket_id)
    roster.hear(announce())
    roster.give(ONE, first)
    roster.end(first.key.work_attempt_id)
    roster.give(ONE, again)
    roster.take_back(first.key.work_attempt_id)
    assert roster.tickets == {first.key.ticket_id}


def test_claims_go_to_the_least_loaded_worker_first_in_their_order(roster, make_claim):
    open_ahead(roster, make_claim)
    assert roster.claims_a_worker == 5
    busy = [make_claim() for _ in range(2)]
    for claim in busy:
        roster.give(ONE, claim)
    assert roster.places(0.0) == 3 + 5
    claims = [make_claim() for _ in range(8)]
    assert roster.deal(claims[:4], 0.0) == {TWO: [claims[0], claims[1], claims[3]], ONE: [claims[2]]}
    assert {name: len(hand) for name, hand in roster.deal(claims[4:], 0.0).items()} == {ONE: 2, TWO: 2}
    assert roster.places(0.0) == 0


def test_nothing_is_put_behind_a_worker_that_has_not_ended_anything_of_late(roster, make_claim):
    open_ahead(roster, make_claim, now=100.0)
    roster.give(ONE, make_claim())
    assert roster.places(100.0 + AHEAD_LONG_SECONDS) == 4 + 5
    assert roster.places(100.1 + AHEAD_LONG_SECONDS) == 5
    assert set(roster.deal([make_claim() for _ in range(5)], 100.1 + AHEAD_LONG_SECONDS)) == {TWO}


def test_what_was_given_back_since_another_took_long_is_no_sign_of_life_and_closes_the_look_ahead(roster, make_claim):
    open_ahead(roster, make_claim, now=100.0)
    waited = make_claim()
    roster.give(ONE, make_claim())
    roster.give(ONE, waited)
    roster.end(waited.key.work_attempt_id, 1.1, 101.5)
    assert roster.claims_a_worker == 1
    assert roster.places(101.5) == 1
    open_ahead(roster, make_claim, workers=(TWO,), now=101.5)
    assert set(roster.deal([make_claim() for _ in range(5)], 101.5)) == {TWO}


def test_an_end_without_a_time_says_nothing_about_times(roster, make_claim):
    open_ahead(roster, make_claim)
    claim = make_claim()
    roster.give(ONE, claim)
    roster.end(claim.key.work_attempt_id)
    assert roster.claims_a_worker == 5


def test_what_a_worker_has_already_is_adopted(roster, make_claim):
    running, waiting = make_claim(), make_claim()
    assert roster.hear(announce(running=(running, waiting))) == []
    assert roster.attempts == {running.key.work_attempt_id, waiting.key.work_attempt_id}
    assert roster.places(0.0) == 0


def test_a_successor_that_does_not_have_what_was_given_to_its_predecessor_brings_it_to_light(roster, make_claim):
    claims = [make_claim() for _ in range(4)]
    roster.hear(announce(generation=1))
    for claim in claims:
        roster.give(ONE, claim)
    roster.end(claims[3].key.work_attempt_id)
    ended = Ended(ONE, claims[1].key, None)
    assert roster.hear(announce(generation=2, running=(claims[0],), ended=(ended,))) == [claims[2]]
    assert len(roster) == 3


def test_it_says_nothing_about_what_another_worker_was_given(roster, make_claim):
    roster.hear(announce(TWO))
    roster.give(TWO, make_claim())
    assert roster.hear(announce(ONE, generation=2)) == []


def test_a_late_copy_of_an_announcement_says_nothing_about_what_was_given_since(roster, make_claim):
    claim = make_claim()
    roster.hear(announce(generation=2))
    roster.give(ONE, claim)
    assert roster.hear(announce(generation=2)) == []
    assert roster.hear(announce(generation=1)) == []
    assert roster.generation(ONE) == 2
    assert roster.attempts == {claim.key.work_attempt_id}


def test_what_the_store_no_longer_holds_is_gone_unless_it_is_ending(roster, make_claim):
    held, ending, gone = (make_claim() for _ in range(3))
    for claim in (held, ending, gone):
        roster.give(ONE, claim)
    roster.end(ending.key.work_attempt_id)
    assert [given.claim for given in roster.gone(frozenset({held.key}))] == [gone]
