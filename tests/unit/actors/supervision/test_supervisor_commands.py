"""One child at a time, and how it stands."""

from __future__ import annotations

import queue
import threading

import pytest

from actors.supervision import (
    ChildStartError,
    SupervisionError,
    UnknownChildError,
)

WAIT = 10.0


def states(supervisor) -> dict[str, str]:
    return {child.name: child.state for child in supervisor.children()}


def test_a_child_can_be_stopped_and_started_again(house) -> None:
    supervisor = house.supervise(house.child("a"), house.child("b"))
    supervisor.start()
    assert supervisor.stop_child("a") is True
    assert states(supervisor) == {"a": "stopped", "b": "running"}
    assert supervisor.stop_child("a") is True
    supervisor.start_child("a")
    supervisor.start_child("a")
    assert house.directory.ask("a", "there", timeout=WAIT) == "there"


def test_a_commanded_restart_keeps_the_messages_and_does_not_count(house) -> None:
    supervisor = house.supervise(house.child(), max_restarts=0)
    supervisor.start()
    for number in range(3):
        supervisor.restart_child("it")
        house.directory.tell("it", number)
    assert house.hear(3) == [0, 1, 2]
    assert [(child.generation, child.restarts) for child in supervisor.children()] == [(4, 0)]
    assert supervisor.wait_failed(0) is None


def test_a_child_that_will_not_stop_is_replaced_all_the_same(house) -> None:
    gate = threading.Event()
    supervisor = house.supervise(house.child("it", shutdown_seconds=0.05))
    supervisor.start()
    first: list[bool] = []

    def stuck(actor) -> None:
        if not first:
            first.append(True)
            gate.wait(WAIT)

    house.directory.tell("it", stuck)
    house.directory.tell("it", "waits")
    house.hear()
    supervisor.restart_child("it")
    # The message that it hung in is the suspect: tried once more, then the rest.
    assert house.hear(2) == [stuck, "waits"]
    gate.set()


def test_a_commanded_start_that_fails_says_why(house) -> None:
    broken = threading.Event()

    def factory(seat):
        if broken.is_set():
            raise OSError("gone")
        return house.scripted(seat)

    supervisor = house.supervise(house.child("it", factory, restart="temporary"))
    supervisor.start()
    supervisor.stop_child("it")
    broken.set()
    with pytest.raises(ChildStartError, match="it: OSError: gone"):
        supervisor.start_child("it")
    broken.clear()
    supervisor.start_child("it")


def test_an_unknown_child_is_refused(house) -> None:
    supervisor = house.supervise(house.child())
    supervisor.start()
    with pytest.raises(UnknownChildError):
        supervisor.stop_child("nobody")


def test_the_supervisors_own_thread_does_not_wait_for_itself(house) -> None:
    met: queue.Queue[BaseException] = queue.Queue()

    def on_report(report) -> None:
        try:
            supervisor.stop()
        except SupervisionError as error:
            met.put(error)

    supervisor = house.supervise(house.child("it", poison_after=0))
    supervisor._common._on_report = on_report
    supervisor.start()
    house.directory.tell("it", ValueError("boom"))
    assert "would wait for itself" in str(met.get(timeout=WAIT))


def test_the_status_tells_what_waits_and_since_when_it_is_busy(house) -> None:
    gate = threading.Event()
    supervisor = house.supervise(house.child())
    supervisor.start()
    assert supervisor.children()[0].mailbox == 0
    house.directory.tell("it", lambda _: gate.wait(WAIT))
    house.hear()
    house.directory.tell("it", "waits")
    (child,) = supervisor.children()
    assert child.state == "running"
    assert child.mailbox == 1
    assert child.busy_seconds is not None
    gate.set()


def test_ten_thousand_messages_through_crash_after_crash_are_each_handled_once_in_order(house) -> None:
    house.supervise(house.child("it", poison_after=0), max_restarts=1_000).start()
    count = 10_000
    for number in range(count):
        house.directory.tell("it", ValueError(number) if number % 100 == 99 else number)
    heard = [message.args[0] if isinstance(message, ValueError) else message for message in house.hear(count)]
    assert heard == list(range(count))
    house.directory.ask("it", "done", timeout=WAIT)
    assert house.directory.dead_letters.total == count // 100


def test_an_actor_that_is_superseded_leaves_no_thread_once_it_wakes(house) -> None:
    supervisor = house.supervise(house.child())
    supervisor.start()
    threads = [thread for thread in threading.enumerate() if thread.name == "it-1"]
    house.directory.declare("it").supersede()
    for thread in threads:
        thread.join(WAIT)
    assert not any(thread.is_alive() for thread in threads)
