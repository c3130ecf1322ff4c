"""Every death is seen, and the successor finds what was not handled."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import ClassVar

import pytest

from actors.supervision import (
    NotRunningError,
    Threads,
)
from actors.supervision.supervisor import _Request
from tests.unit.actors.supervision.conftest import actor_of

WAIT = 10.0


@dataclass(frozen=True)
class OnceOnly:
    AT_MOST_ONCE: ClassVar[bool] = True

    def __call__(self, actor):
        raise ValueError("once only")


def states(supervisor) -> dict[str, str]:
    return {child.name: child.state for child in supervisor.children()}


@pytest.mark.parametrize("death", [ValueError("boom"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_an_actor_that_dies_of_a_message_is_restarted_and_no_other_is_touched(house, death) -> None:
    supervisor = house.supervise(house.child("it", poison_after=0), house.child("other"))
    supervisor.start()
    house.directory.tell("it", death)
    house.directory.tell("it", "after")
    assert house.hear(2) == [death, "after"]
    report = house.report("child_terminated")
    assert report.reason.startswith(type(death).__name__)
    assert "in on_receive" in report.detail
    assert house.report("restarted").restarts == 1
    assert [(child.name, child.generation, child.restarts) for child in supervisor.children()] == [
        ("it", 2, 1),
        ("other", 1, 0),
    ]


def test_an_actor_that_dies_in_on_wake_is_restarted(house) -> None:
    def factory(seat):
        actor = house.scripted(seat)
        if seat.generation == 1:
            actor.wake_at = 0.0

            def on_wake() -> None:
                raise ValueError("bad dream")

            actor.on_wake = on_wake
        return actor

    house.supervise(house.child("it", factory)).start()
    assert house.report("child_terminated").reason == "ValueError: bad dream"
    house.report("restarted")


def test_an_actor_that_wakes_may_set_its_next_waking(house) -> None:
    def factory(seat):
        actor = house.scripted(seat)
        actor.wake_at = 0.0

        def on_wake() -> None:
            house.said.put("awake")
            actor.wake_at = 0.0

        actor.on_wake = on_wake
        return actor

    house.supervise(house.child("it", factory)).start()
    assert house.hear(3) == ["awake"] * 3


def test_the_successor_finds_every_message_in_order_and_none_twice(house) -> None:
    house.supervise(house.child("it", poison_after=1)).start()
    killer = ValueError("killer")
    messages = [*range(50), killer, *range(50, 100)]
    for message in messages:
        house.directory.tell("it", message)
    assert house.hear(102) == [*range(50), killer, killer, *range(50, 100)]
    (letter,) = house.directory.dead_letters
    assert (letter.message, letter.reason) == (killer, "poison")
    assert "ValueError: killer" in letter.detail


def test_the_killer_in_a_batch_is_found_and_the_innocent_are_handled(house) -> None:
    gate = threading.Event()
    house.supervise(house.child("it", house.batching)).start()
    house.directory.tell("it", lambda _: gate.wait(WAIT))
    house.hear()
    killer = ValueError("killer")
    for message in ["a", killer, "b"]:
        house.directory.tell("it", message)
    gate.set()
    # The batch dies at the killer; then each comes alone.
    assert house.hear(5) == ["a", killer, "a", killer, "b"]
    house.directory.tell("it", "later")
    assert house.hear() == ["later"]
    assert [letter.message for letter in house.directory.dead_letters] == [killer]


def test_a_message_to_be_delivered_at_most_once_is_not_delivered_again(house) -> None:
    house.supervise(house.child("it", poison_after=5)).start()
    house.directory.tell("it", OnceOnly())
    house.directory.tell("it", "after")
    assert house.hear(2) == [OnceOnly(), "after"]
    assert [letter.reason for letter in house.directory.dead_letters] == ["in doubt"]


def test_a_transient_child_that_ends_normally_is_not_restarted_and_its_name_is_withdrawn(house) -> None:
    supervisor = house.supervise(house.child("it", restart="transient"))
    supervisor.start()

    def stop(actor) -> None:
        actor.on_stop = lambda: actor.tell("it", "left over")
        actor.stop()

    house.directory.tell("it", stop)
    letter = house.dead.get(timeout=WAIT)
    assert (letter.message, letter.reason) == ("left over", "withdrawn")
    assert states(supervisor) == {"it": "stopped"}


def test_a_permanent_child_that_ends_normally_is_restarted_and_the_rest_of_its_inbox_is_kept(house) -> None:
    house.supervise(house.child()).start()
    house.directory.tell("it", lambda actor: actor.stop())
    house.hear()
    house.report("restarted")
    house.directory.tell("it", "after")
    assert house.hear() == ["after"]


def test_a_temporary_child_that_dies_is_not_restarted(house) -> None:
    supervisor = house.supervise(house.child("it", restart="temporary"), max_restarts=0)
    supervisor.start()
    gate = threading.Event()
    house.directory.tell("it", lambda _: gate.wait(WAIT))
    house.directory.tell("it", ValueError("boom"))
    house.directory.tell("it", "left over")
    gate.set()
    dead = [house.dead.get(timeout=WAIT).reason for _ in range(2)]
    assert dead == ["withdrawn", "withdrawn"]
    assert states(supervisor) == {"it": "failed"}
    assert supervisor.wait_failed(0) is None


def test_too_many_restarts_make_it_give_up_stop_the_others_in_reverse_and_say_so(house) -> None:
    told: queue.Queue[object] = queue.Queue()
    supervisor = house.supervise(
        *(house.child(name, poison_after=0) for name in "abcd"), max_restarts=2, on_gave_up=told.put
    )
    supervisor.start()
    for number in range(3):
        house.directory.tell("b", ValueError(f"boom {number}"))
    report = supervisor.wait_failed(WAIT)
    assert report is not None
    assert (report.context, report.offender, report.restarts) == ("gave_up", "b", 2)
    assert "more than 2 restarts within 60 s" in report.reason
    assert "boom 2" in report.detail
    assert told.get(timeout=WAIT) == report
    assert house.stopped == ["d", "c", "a"]
    assert supervisor.stop() == []
    with pytest.raises(NotRunningError):
        supervisor.start_child("a")


def test_the_intensity_is_exact(house) -> None:
    supervisor = house.supervise(house.child("it", poison_after=0), max_restarts=3)
    supervisor.start()
    for _ in range(3):
        house.directory.tell("it", ValueError("boom"))
        house.report("restarted")
    assert supervisor.wait_failed(0) is None
    house.directory.tell("it", ValueError("boom"))
    assert supervisor.wait_failed(WAIT) is not None


def test_restarts_that_lie_further_apart_than_the_window_are_not_too_many(house) -> None:
    now = [0.0]
    supervisor = house.supervise(
        house.child("it", poison_after=0), max_restarts=1, scheduler=Threads(clock=lambda: now[0])
    )
    supervisor.start()
    for _ in range(5):
        now[0] += 61
        house.directory.tell("it", ValueError("boom"))
        house.report("restarted")
    assert supervisor.wait_failed(0) is None


def test_a_report_callback_that_raises_changes_nothing(house) -> None:
    supervisor = house.supervise(house.child("it", poison_after=0))
    supervisor._common._on_report = lambda _: 1 / 0
    supervisor.start()
    house.directory.tell("it", ValueError("boom"))
    house.directory.tell("it", "after")
    assert house.hear(2)[1] == "after"


def test_of_a_plain_error_the_report_has_the_message_alone(house) -> None:
    supervisor = house.supervise(house.child("it", poison_after=0), plain_errors=(ValueError,))
    supervisor.start()
    house.directory.tell("it", ValueError("the disk is gone"))
    report = house.report("child_terminated")
    assert (report.reason, report.detail) == ("the disk is gone", "")


def test_a_supervisor_whose_own_thread_fails_says_so_and_leaves_nobody_waiting(house, monkeypatch) -> None:
    supervisor = house.supervise(house.child())
    supervisor.start()

    def broken(event) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(supervisor._tree, "hear", broken)
    actor = actor_of(supervisor)
    house.directory.tell("it", ValueError("boom"))
    report = supervisor.wait_failed(WAIT)
    assert report.offender == "house"
    assert "ZeroDivisionError: a bug" in report.detail
    assert actor.actor_stopped.wait(WAIT)
    assert supervisor.stop() == ["it"]


def test_what_was_asked_for_in_the_turn_that_ended_it_is_refused(house) -> None:
    supervisor = house.supervise()
    supervisor.start()
    gate = threading.Event()
    stop = _Request(supervisor._end)
    late = _Request(lambda _: None)
    for request in (_Request(lambda _: gate.wait(WAIT)), stop, late):
        supervisor._events.put(request)
    gate.set()
    assert stop.reply.result(WAIT) == []
    assert isinstance(late.reply.exception(WAIT), NotRunningError)


def test_a_name_is_served_from_its_actors_start_to_its_end(house) -> None:
    directory = house.directory
    assert not directory.is_served("nobody")
    supervisor = house.supervise(house.child("it", restart="temporary"))
    assert not directory.is_served("it")
    supervisor.start()
    assert directory.is_served("it")
    directory.tell("it", ValueError("boom"))
    house.report("child_terminated")
    supervisor.stop()
    assert not directory.is_served("it")
