"""The one thread that looks at every deadline when it is due."""

import logging
import math
import threading

import pytest

from kora.agents import deadlines as module
from kora.agents.deadlines import Deadlines
from kora.clock import SystemTime

WAIT_SECONDS = 60.0
NEVER_SECONDS = 3_600.0


@pytest.fixture(autouse=True)
def only_when_due(monkeypatch):
    """Nothing is looked at by chance."""
    monkeypatch.setattr(module, "_IDLE_SECONDS", NEVER_SECONDS)


@pytest.fixture
def deadlines():
    made = Deadlines(SystemTime())
    yield made
    made.close()


def now():
    return SystemTime().boot_seconds()


class Guarded:
    """Says when it is due next, and counts how often it was looked at."""

    def __init__(self, due=math.inf, on_look=lambda: None):
        self.due = due
        self.looks = threading.Semaphore(0)
        self._on_look = on_look

    def look(self, _):
        self._on_look()
        self.looks.release()
        return self.due

    def wait_for_look(self):
        return self.looks.acquire(timeout=WAIT_SECONDS)


def test_one_is_looked_at_when_it_is_due(deadlines):
    one = Guarded()

    deadlines.guard(one, now() + 0.05)

    assert one.wait_for_look()


def test_what_it_says_when_looked_at_is_when_it_is_looked_at_next(deadlines):
    one = Guarded(now() + 0.1)
    deadlines.guard(one, now())
    assert one.wait_for_look()

    assert one.wait_for_look()


def test_an_earlier_deadline_is_not_slept_over(deadlines):
    late, early = Guarded(now() + NEVER_SECONDS), Guarded(now() + NEVER_SECONDS)
    deadlines.guard(late, late.due)
    assert late.wait_for_look()

    deadlines.guard(early, now() + 0.05)

    assert early.wait_for_look()


def test_one_that_becomes_due_earlier_is_not_slept_over(deadlines):
    one = Guarded(now() + NEVER_SECONDS)
    deadlines.guard(one, one.due)
    assert one.wait_for_look()

    deadlines.hasten(now())

    assert one.wait_for_look()


def test_one_that_comes_while_others_are_looked_at_is_not_slept_over(deadlines):
    later = Guarded(now() + NEVER_SECONDS)

    class First(Guarded):
        def look(self, _):
            if self.due < now():
                deadlines.guard(later, now() + 0.05)
                return now() + NEVER_SECONDS
            return self.due

    first = First(now() + 0.05)
    deadlines.guard(first, now())

    assert later.wait_for_look()


def test_one_that_is_forgotten_is_looked_at_no_more(deadlines):
    other = Guarded()
    one = Guarded()
    deadlines.guard(one, now())
    assert one.wait_for_look()
    deadlines.forget(one)
    deadlines.forget(one)

    deadlines.guard(other, now())
    assert other.wait_for_look()
    deadlines.hasten(now())
    assert other.wait_for_look()

    assert not one.looks.acquire(blocking=False)


def test_one_that_fails_does_not_keep_the_others_waiting(deadlines, caplog):
    def fails():
        raise ValueError

    one, other = Guarded(on_look=fails), Guarded()
    deadlines.guard(one, now())
    deadlines.guard(other, now())

    assert other.wait_for_look()
    deadlines.hasten(now())
    assert other.wait_for_look()
    assert "could not be looked at" in caplog.text


def test_no_wait_is_so_long_that_a_suspend_could_hide_a_deadline(deadlines, monkeypatch):
    monkeypatch.setattr(module, "_IDLE_SECONDS", 0.01)
    one = Guarded(now() + NEVER_SECONDS)
    deadlines.guard(one, one.due)

    assert all(one.wait_for_look() for _ in range(3))


def refuses(self):
    raise RuntimeError("can't start new thread")


def test_a_thread_that_is_refused_costs_only_those_that_needed_it_then(deadlines, monkeypatch, caplog):
    unminded, one = Guarded(), Guarded()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuses)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="can't start"):
                deadlines.guard(unminded, now())
        deadlines.hasten(now())

    deadlines.guard(one, now())

    assert one.wait_for_look()
    assert not unminded.looks.acquire(blocking=False)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "raise the limit of threads" in caplog.text


@pytest.mark.parametrize("again", ["guard", "hasten"])
def test_a_thread_that_is_gone_is_made_again(monkeypatch, again):
    class Clock(SystemTime):
        fails = True

        def boot_seconds(self):
            if self.fails and threading.current_thread().name == "callable-deadlines":
                raise SystemExit
            return super().boot_seconds()

    clock, one = Clock(), Guarded()
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(Deadlines, "_look", lambda self, guarded: guarded.look(now()))
    deadlines = Deadlines(clock)
    deadlines.guard(one, now())
    deadlines._thread.join(WAIT_SECONDS)
    assert not deadlines._thread.is_alive()
    one = Guarded()
    deadlines._guarded = {one}
    clock.fails = False

    if again == "guard":
        deadlines.guard(Guarded(), now())
    else:
        deadlines.hasten(now())

    assert one.wait_for_look()
    deadlines.close()


def test_nothing_ends_the_thread_not_even_a_log_that_fails(deadlines, monkeypatch):
    def fails(*_):
        raise SystemExit

    monkeypatch.setattr(module.logger, "exception", fails)
    one, other = Guarded(on_look=fails), Guarded()
    deadlines.guard(one, now())
    deadlines.guard(other, now())
    assert other.wait_for_look()
    first = deadlines._thread

    deadlines.hasten(now())

    assert other.wait_for_look()
    assert deadlines._thread is first


def test_closed_it_guards_nothing_and_makes_no_thread(deadlines):
    deadlines.close()

    with pytest.raises(RuntimeError, match="ending"):
        deadlines.guard(Guarded(), now())
    deadlines.hasten(now())

    assert deadlines._thread is None
