"""How many claims may wait at a Worker, by how long attempts took of late."""

from __future__ import annotations

import pytest

from actors.ahead import AHEAD_LONG_SECONDS, AHEAD_MAX, ENOUGH, WINDOW, ServiceTimes


def after(*seconds, count=WINDOW):
    times = ServiceTimes()
    for number in range(count):
        times.note(seconds[number % len(seconds)])
    return times


def test_nothing_waits_ahead_before_enough_is_known():
    assert ServiceTimes().claims_a_worker() == 1
    assert after(0.0, count=ENOUGH - 1).claims_a_worker() == 1


@pytest.mark.parametrize("count", [ENOUGH, ENOUGH + 1, 2 * ENOUGH, AHEAD_MAX - 1, AHEAD_MAX, 2 * AHEAD_MAX])
def test_no_more_wait_than_have_ended_quickly_in_a_row(count):
    assert after(0.0, count=count).claims_a_worker() == 1 + min(AHEAD_MAX, count)


@pytest.mark.parametrize(("seconds", "ahead"), [(0.0, AHEAD_MAX), (0.00499, 20), (0.0249, 4), (0.099, 1), (0.101, 0)])
def test_what_waits_is_worked_within_a_tenth_of_a_second(seconds, ahead):
    assert after(seconds).claims_a_worker() == 1 + ahead


def test_a_busy_machines_hiccup_does_not_close_it():
    times = after(0.00005)
    times.note(0.05)
    assert times.claims_a_worker() == 1 + AHEAD_MAX


def test_one_long_attempt_closes_it_until_enough_have_ended_quickly_again():
    times = after(0.00001)
    times.note(AHEAD_LONG_SECONDS * 1.01)
    for _ in range(ENOUGH - 1):
        assert times.claims_a_worker() == 1
        times.note(0.00001)
    assert times.claims_a_worker() == 1
    times.note(0.00001)
    assert times.claims_a_worker() == 1 + ENOUGH
