"""Many crashes in a row, with threads: nothing is left over, and nothing is lost."""

from __future__ import annotations

import logging
import threading

import psutil
import pykka
import pytest

from actors.supervision import ChildStartError, Rehearsal, SupervisedActor

WAIT = 60.0
INTENSITY_LIFTED = 1_000_000
BATCH = 50


@pytest.fixture(autouse=True)
def quiet():
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


class Crashing(SupervisedActor):
    """Crashes at every odd number, each time it is told."""

    def __init__(self, seat, house):
        super().__init__(seat)
        self.house = house

    def on_receive(self, number):
        self.house.said.put(number)
        if number % 2:
            raise ValueError(f"crash {number}")


def crash(house, crashes):
    """Each killer is tried once more, as by default: half as many of them as there are crashes."""
    supervisor = house.supervise(
        house.child("it", lambda seat: Crashing(seat, house)), max_restarts=INTENSITY_LIFTED, within_seconds=1_000_000
    )
    supervisor.start()
    before, threads = resources(), set(threading.enumerate())
    for first in range(0, crashes, 2 * BATCH):
        numbers = range(first, min(first + 2 * BATCH, crashes))
        for number in numbers:
            house.directory.tell("it", number)
        handed_out = [number for number in numbers for _ in range(1 + number % 2)]
        assert [house.said.get(timeout=WAIT) for _ in handed_out] == handed_out
    # It is known of the last death only once that is over.
    house.directory.ask("it", 0, timeout=WAIT)
    assert supervisor.children()[0].restarts == crashes
    assert house.directory.dead_letters.total == crashes // 2
    killers = [house.dead.get_nowait() for _ in range(crashes // 2)]
    assert [letter.message for letter in killers] == list(range(1, crashes, 2))
    assert all(f"crash {letter.message}" in letter.detail for letter in killers)
    names, current = new_threads(threads, house)
    assert names == [current]
    assert all(after <= then for after, then in zip(resources(), before, strict=True))
    assert house.directory.names() == ["it"]


def resources():
    """The descriptors and actors that there are."""
    return psutil.Process().num_fds(), len(pykka.ActorRegistry.get_all())


def new_threads(before, house):
    """Those begun since then, once whoever has ended is gone: other tests' threads may end when they like."""
    current = f"it-{house.supervisors[0].children()[0].generation}"
    for thread in set(threading.enumerate()) - before:
        if thread.name != current:
            thread.join(WAIT)
    return [thread.name for thread in set(threading.enumerate()) - before], current


def test_after_three_hundred_crashes_nothing_is_left_over_and_nothing_lost(house):
    crash(house, 300)


@pytest.mark.prove
def test_after_ten_thousand_crashes_nothing_is_left_over_and_nothing_lost(house):
    crash(house, 10_000)


class NeverStarting(SupervisedActor):
    """Starts once, and never again."""

    def __init__(self, seat, rehearsal, tries):
        super().__init__(seat)
        self.rehearsal = rehearsal
        self.tries = tries

    def on_start(self):
        self.tries.append(self.rehearsal.now())
        if len(self.tries) > 1:
            raise ValueError("it does not start again")

    def on_receive(self, message):
        raise ValueError(message)


def failing(house, **options):
    rehearsal, tries = Rehearsal(), []
    child = house.child(
        "it",
        lambda seat: NeverStarting(seat, rehearsal, tries),
        poison_after=0,
        backoff_initial_seconds=1,
        backoff_cap_seconds=5,
    )
    supervisor = house.supervise(child, scheduler=rehearsal, **options)
    supervisor.start()
    rehearsal.run(10)
    house.directory.tell("it", "crash")
    return supervisor, rehearsal, tries


def test_a_child_that_never_starts_again_is_tried_at_exact_times_until_the_intensity_is_exceeded(house):
    supervisor, rehearsal, tries = failing(house, max_restarts=6, within_seconds=1_000)
    rehearsal.run(100)
    assert tries == [0, 10, 10 + 1, 10 + 3, 10 + 7, 10 + 12, 10 + 17]
    report = supervisor.wait_failed(0)
    assert report is not None
    assert (report.offender, report.restarts) == ("it", 6)


def test_a_start_that_failed_counts_as_a_restart(house):
    supervisor, rehearsal, tries = failing(house, max_restarts=3, within_seconds=10)
    rehearsal.run(1_000)
    # Deaths at 10, 10, 11 and 13: the fourth is one too many.
    assert tries == [0, 10, 11, 13]
    assert supervisor.wait_failed(0) is not None


def test_restarts_that_have_left_the_window_do_not_count_and_it_goes_on_for_ever(house):
    supervisor, rehearsal, tries = failing(house, max_restarts=5, within_seconds=10)
    rehearsal.run(1_000)
    assert supervisor.wait_failed(0) is None
    assert tries[-1] - tries[-2] == 5
    assert len(tries) > 200


def test_a_supervisor_whose_child_never_starts_again_is_stopped_at_once(house):
    supervisor, rehearsal, tries = failing(house, max_restarts=INTENSITY_LIFTED, within_seconds=1_000)
    rehearsal.run(100)
    count, at = len(tries), rehearsal.now()
    with pytest.raises(ChildStartError):
        supervisor.start_child("it")
    assert supervisor.stop() == []
    assert rehearsal.now() == at
    rehearsal.run(100)
    assert len(tries) == count + 1
