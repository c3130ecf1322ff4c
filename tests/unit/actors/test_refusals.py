"""How long intake is paused for a provider, and what ends that."""

from __future__ import annotations

import pytest

from actors.refusals import Refusals
from actors.steering import ProviderRefused, ProviderServed
from kora.domain.refusal import Refusal
from kora.domain.state import DegradationReason

NOW = 1_000.0
AUTH, DISPATCH = DegradationReason.AUTH, DegradationReason.DISPATCH


def refused(attempt, *, agent=None, until=None, reason=DISPATCH):
    return ProviderRefused(agent=agent, work_attempt_id=attempt, refusal=Refusal(reason, "no", until=until))


def served(agent=None):
    return ProviderServed(agent=agent, work_attempt_id="b")


@pytest.fixture
def refusals():
    return Refusals()


@pytest.mark.parametrize(("until", "seconds"), [(None, 60), (NOW + 10, 10), (NOW + 7_200, 7_200), (NOW - 5, 60)])
def test_the_first_refusal_pauses_until_the_time_that_was_named_or_for_a_minute(refusals, until, seconds):
    assert refusals.refuse(refused("a", until=until), NOW) == NOW + seconds
    assert refusals.reasons(NOW + seconds - 0.1) == {DISPATCH}
    assert not refusals.probes(NOW + seconds - 0.1)
    assert refusals.reasons(NOW + seconds) == set()
    assert refusals.probes(NOW + seconds)


def test_what_is_told_twice_or_by_others_meanwhile_lengthens_it_only_by_a_later_time(refusals):
    refusals.refuse(refused("a"), NOW)
    assert refusals.refuse(refused("a"), NOW + 1) is None
    assert refusals.refuse(refused("b"), NOW + 1) is None
    assert refusals.refuse(refused("c", until=NOW + 30), NOW + 1) is None
    assert refusals.refuse(refused("d", until=NOW + 90), NOW + 1) == NOW + 90


def test_each_probe_that_is_refused_doubles_the_pause_up_to_half_an_hour(refusals):
    now, pauses = NOW, []
    for attempt in range(8):
        until = refusals.refuse(refused(f"attempt-{attempt}", until=now + 5 if attempt else None), now)
        pauses.append(until - now)
        now = until
    assert pauses == [60, 120, 240, 480, 960, 1_800, 1_800, 1_800]


def test_a_probe_that_is_served_opens_the_flood_and_the_count_begins_anew(refusals):
    refusals.refuse(refused("a"), NOW)
    refusals.refuse(refused("b"), NOW + 60)
    assert not refusals.serve(served(), NOW + 60)
    assert refusals.serve(served(), NOW + 180)
    assert not refusals.probes(NOW + 180)
    assert not refusals.serve(served(), NOW + 181)
    assert refusals.refuse(refused("c"), NOW + 200) == NOW + 260


def test_another_agents_attempt_opens_the_flood_but_does_not_speak_for_the_provider(refusals):
    refusals.refuse(refused("a", agent="review"), NOW)
    assert refusals.serve(served(None), NOW + 60)
    assert not refusals.probes(NOW + 60)
    assert refusals.refuse(refused("b", agent="review"), NOW + 100) == NOW + 220


def test_intake_waits_for_the_last_of_several(refusals):
    refusals.refuse(refused("a", agent="review", reason=AUTH), NOW)
    refusals.refuse(refused("b", until=NOW + 300), NOW)
    assert refusals.reasons(NOW) == {AUTH, DISPATCH}
    assert not refusals.serve(served("review"), NOW + 100)
    assert refusals.reasons(NOW + 100) == {DISPATCH}
    assert refusals.probes(NOW + 300)


def test_an_operator_ends_the_wait_and_one_is_tried(refusals):
    refusals.refuse(refused("a", until=NOW + 7_200), NOW)
    refusals.try_again(NOW + 1)
    assert refusals.reasons(NOW + 1) == set()
    assert refusals.probes(NOW + 1)
    assert refusals.facts() == {
        "": {"work_attempt_id": "a", "reason": "dispatch", "said": "no", "until": NOW + 1, "serves": False}
    }
