"""How many claims may wait at a Worker, by how long attempts took of late."""

from __future__ import annotations

import pytest

from actors.ahead import AHEAD_LONG_SECONDS, AHEAD_MAX, WINDOW, ServiceTimes


def after(*seconds, count=WINDOW):
    times = ServiceTimes()
    for number in range(count):
        times.note(seconds[number % len(seconds)])
    return times


def test_nothing_waits_ahead_before_enough_is_known():
    assert ServiceTimes().claims_a_worker() == 1
    assert after(0.0, count=WINDOW - 1).claims_a_worker() == 1


@pytest.mark.parametrize(("seconds", "ahead"), [(0.0, AHEAD_MAX), (0.00099, 20), (0.0049, 4), (0.0199, 1), (0.021, 0)])
def test_what_waits_is_worked_within_a_fiftieth_of_a_second(seconds, ahead):
    assert after(seconds).claims_a_worker() == 1 + ahead


def test_a_busy_machines_hiccup_does_not_close_it():
    times = after(0.0001)
    times.note(0.05)
    assert times.claims_a_worker() > AHEAD_MAX // 8


def test_one_long_attempt_closes_it_until_it_is_forgotten():
    times = after(0.00001)
    times.note(AHEAD_LONG_SECONDS * 1.01)
    for _ in range(WINDOW - 1):
        times.note(0.00001)
        assert times.claims_a_worker() == 1
    times.note(0.00001)
    assert times.claims_a_worker() == 1 + AHEAD_MAX
