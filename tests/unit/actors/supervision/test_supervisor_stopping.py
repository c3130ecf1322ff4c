"""In reverse, each within its deadline."""

from __future__ import annotations

import queue
import threading

import pytest

from actors.supervision import (
    CommandTimeoutError,
    NotRunningError,
    SupersededError,
    SupervisionError,
)

WAIT = 10.0


def states(supervisor) -> dict[str, str]:
    return {child.name: child.state for child in supervisor.children()}


def test_children_stop_in_reverse_order(house) -> None:
    supervisor = house.supervise(*(house.child(name) for name in "abc"))
    supervisor.start()
    assert supervisor.stop() == []
    assert house.stopped == ["c", "b", "a"]
    assert supervisor.stop() == []
    assert states(supervisor) == dict.fromkeys("abc", "stopped")


def test_an_actor_that_will_not_stop_is_named_reported_and_holds_nothing_up(house) -> None:
    gate = threading.Event()
    ended: queue.Queue[BaseException] = queue.Queue()

    def stuck(actor) -> None:
        actor.on_failure = lambda _, error, __: ended.put(error)
        gate.wait(WAIT)
        actor.tell("a", "from beyond")

    supervisor = house.supervise(house.child("a"), house.child("stuck", shutdown_seconds=0.05), house.child("c"))
    supervisor.start()
    house.directory.tell("stuck", stuck)
    house.hear()
    assert supervisor.stop() == ["stuck"]
    assert house.stopped == ["c", "a"]
    assert house.report("shutdown_overrun").offender == "stuck"
    gate.set()
    assert isinstance(ended.get(timeout=WAIT), SupersededError)


def test_on_stop_that_raises_is_reported(house) -> None:
    def factory(seat):
        actor = house.scripted(seat)
        actor.on_stop = lambda: 1 / 0
        return actor

    supervisor = house.supervise(house.child("it", factory))
    supervisor.start()
    assert supervisor.stop() == []
    assert "ZeroDivisionError" in house.report("child_terminated").reason


def test_stopping_before_the_start_is_no_error(house) -> None:
    supervisor = house.supervise(house.child())
    assert supervisor.stop() == []


def test_stopping_while_it_starts_ends_the_start(house) -> None:
    gate, entered = threading.Event(), threading.Event()
    outcome: queue.Queue[BaseException] = queue.Queue()

    def factory(seat):
        actor = house.scripted(seat)

        def on_start() -> None:
            entered.set()
            gate.wait(WAIT)

        actor.on_start = on_start
        return actor

    def start() -> None:
        try:
            supervisor.start()
        except SupervisionError as error:
            outcome.put(error)

    supervisor = house.supervise(house.child("it", factory), house.child("never"))
    thread = threading.Thread(target=start)
    thread.start()
    assert entered.wait(WAIT)
    with pytest.raises(CommandTimeoutError):
        supervisor.stop(timeout=0.01)
    gate.set()
    assert isinstance(outcome.get(timeout=WAIT), NotRunningError)
    thread.join(WAIT)
    assert house.stopped == ["it"]


def test_a_name_told_after_the_stop_keeps_a_dead_letter(house) -> None:
    supervisor = house.supervise(house.child())
    supervisor.start()
    supervisor.stop()
    house.directory.tell("it", "too late")
    assert house.directory.dead_letters.total == 1
