"""What the Ledger believes of its Workers."""

from __future__ import annotations

import pytest

from actors.messages import Announce, Ended
from actors.roster import Roster

ONE, TWO = "worker-1", "worker-2"


@pytest.fixture
def roster():
    return Roster((ONE, TWO))


def announce(worker=ONE, generation=1, running=None, ended=None):
    return Announce(worker=worker, generation=generation, incarnation=1, running=running, ended=ended)


def test_nobody_is_free_before_he_has_answered(roster):
    assert list(roster.free()) == []
    assert not roster.complete
    roster.hear(announce())
    assert list(roster.free()) == [ONE]
    roster.hear(announce(TWO))
    assert roster.complete


def test_a_worker_with_a_claim_is_not_free_until_it_is_taken_back(roster, make_claim):
    claim = make_claim()
    roster.hear(announce())
    roster.give(ONE, claim)
    attempt = claim.key.work_attempt_id
    assert list(roster.free()) == []
    assert list(roster.free(ending={attempt})) == [ONE]
    assert roster.attempts == {attempt}
    assert roster.tickets(ending=()) == {claim.key.ticket_id}
    assert roster.tickets(ending={attempt}) == frozenset()
    assert roster.take_back(attempt).worker == ONE
    assert list(roster.free()) == [ONE]
    assert roster.take_back(attempt) is None


def test_what_a_worker_runs_already_is_adopted(roster, make_claim):
    claim = make_claim()
    assert roster.hear(announce(running=claim)) is None
    assert roster.attempts == {claim.key.work_attempt_id}
    assert list(roster.free()) == []


def test_a_successor_that_does_not_have_what_was_given_to_its_predecessor_brings_it_to_light(roster, make_claim):
    claim = make_claim()
    roster.hear(announce(generation=1))
    roster.give(ONE, claim)
    assert roster.hear(announce(generation=2)) == claim
    assert list(roster.free()) == []


def test_a_late_copy_of_an_announcement_says_nothing_about_what_was_given_since(roster, make_claim):
    claim = make_claim()
    roster.hear(announce(generation=2))
    roster.give(ONE, claim)
    assert roster.hear(announce(generation=2)) is None
    assert roster.hear(announce(generation=1)) is None
    assert roster.generation(ONE) == 2
    assert roster.attempts == {claim.key.work_attempt_id}


@pytest.mark.parametrize("still", ["running", "ended"])
def test_a_successor_that_runs_or_has_ended_it_leaves_nothing_in_doubt(roster, make_claim, still):
    claim = make_claim()
    roster.hear(announce(generation=1))
    roster.give(ONE, claim)
    has = {"running": claim} if still == "running" else {"ended": Ended(ONE, claim.key, None)}
    assert roster.hear(announce(generation=2, **has)) is None


def test_taking_back_what_was_in_doubt_does_not_free_a_worker_that_runs_another(roster, make_claim):
    doubtful, running = make_claim(), make_claim()
    roster.hear(announce(generation=1))
    roster.give(ONE, doubtful)
    assert roster.hear(announce(generation=2, running=running)) == doubtful
    roster.take_back(doubtful.key.work_attempt_id)
    assert list(roster.free()) == []
    assert roster.attempts == {running.key.work_attempt_id}
