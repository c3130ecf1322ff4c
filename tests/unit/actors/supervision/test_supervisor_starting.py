"""In order, each a handshake; what fails is tried again, within limits."""

from __future__ import annotations

import queue
import threading

import pytest

from actors.supervision import (
    CommandTimeoutError,
    GaveUpError,
    NotRunningError,
    SupersededError,
)

WAIT = 10.0


def states(supervisor) -> dict[str, str]:
    return {child.name: child.state for child in supervisor.children()}


def test_children_start_in_order_each_once_the_one_before_has_started(house) -> None:
    gate, entered = threading.Event(), threading.Event()

    def slow(seat):
        actor = house.scripted(seat)

        def on_start() -> None:
            entered.set()
            gate.wait(WAIT)
            house.said.put("first")

        actor.on_start = on_start
        return actor

    def second(seat):
        house.said.put("second")
        return house.scripted(seat)

    supervisor = house.supervise(house.child("a", slow), house.child("b", second))
    with pytest.raises(CommandTimeoutError):
        supervisor.start(timeout=0.01)
    assert entered.wait(WAIT)
    assert states(supervisor) == {"a": "starting", "b": "stopped"}
    gate.set()
    assert house.hear(2) == ["first", "second"]


def test_messages_told_before_the_start_are_handled_after_it(house) -> None:
    supervisor = house.supervise(house.child())
    house.directory.tell("it", "early")
    supervisor.start()
    assert house.hear() == ["early"]


def test_a_supervisor_is_started_once_only(house) -> None:
    supervisor = house.supervise(house.child())
    supervisor.start()
    with pytest.raises(NotRunningError):
        supervisor.start()
    supervisor.stop()
    with pytest.raises(NotRunningError):
        supervisor.start()


def fails(house, tries, *which):
    """Makes the actor, but fails on those tries."""

    def make(seat):
        tries.append(seat.generation)
        if len(tries) in which:
            raise OSError("not yet")
        return house.scripted(seat)

    return make


@pytest.mark.parametrize("where", ["making", "on_start"])
def test_a_first_start_that_fails_stops_what_had_started_in_reverse_and_is_not_tried_again(house, where) -> None:
    tries = []

    def bad(seat):
        tries.append(seat)
        if where == "making":
            raise OSError("never")
        actor = house.scripted(seat)
        actor.on_start = lambda: (_ for _ in ()).throw(OSError("never"))
        return actor

    supervisor = house.supervise(house.child("a"), house.child("b"), house.child("bad", bad), house.child("c"))
    with pytest.raises(GaveUpError) as caught:
        supervisor.start()
    assert len(tries) == 1
    assert caught.value.report.offender == "bad"
    assert "bad could not be started: OSError: never" in caught.value.report.reason
    assert supervisor.wait_failed(WAIT) == caught.value.report
    assert house.stopped == ["b", "a"]
    assert states(supervisor) == {"a": "stopped", "b": "stopped", "bad": "failed", "c": "stopped"}
    failed = house.report("start_failed")
    assert (failed.supervisor, failed.offender, failed.reason) == ("house", "bad", "OSError: never")
    assert "Traceback" in failed.detail


def test_a_restart_whose_start_fails_is_tried_again_and_then_runs(house) -> None:
    tries = []
    supervisor = house.supervise(house.child("it", fails(house, tries, 2, 3), poison_after=0))
    supervisor.start()
    house.directory.tell("it", ValueError("boom"))
    assert house.report("start_failed").reason == "OSError: not yet"
    assert house.report("restarted").restarts == 3
    assert tries == [1, 2, 3, 4]
    assert supervisor.children()[0].restarts == 3


def test_failed_restarts_beyond_the_intensity_make_it_give_up(house) -> None:
    tries = []
    supervisor = house.supervise(
        house.child("a"), house.child("it", fails(house, tries, *range(2, 99)), poison_after=0), max_restarts=3
    )
    supervisor.start()
    house.directory.tell("it", ValueError("boom"))
    report = supervisor.wait_failed(WAIT)
    assert report is not None
    assert report.offender == "it"
    assert len(tries) == 4
    assert house.stopped == ["a"]


def test_a_supervisor_that_backs_off_still_answers_stop(house) -> None:
    tries = []
    hour = {"backoff_initial_seconds": 3_600, "backoff_cap_seconds": 3_600}
    supervisor = house.supervise(house.child("bad", fails(house, tries, *range(2, 99)), poison_after=0, **hour))
    supervisor.start()
    house.directory.tell("bad", ValueError("boom"))
    house.report("start_failed")
    assert supervisor.stop(WAIT) == []
    assert len(tries) == 2


def test_a_restart_that_overruns_counts_as_failed_and_its_late_thread_is_superseded(house) -> None:
    gate = threading.Event()
    ended: queue.Queue[BaseException] = queue.Queue()

    def factory(seat):
        actor = house.scripted(seat)
        if seat.generation == 2:
            actor.on_start = lambda: gate.wait(WAIT)
            actor.on_failure = lambda _, error, __: ended.put(error)
        return actor

    supervisor = house.supervise(house.child("it", factory, start_seconds=0.5, poison_after=0))
    supervisor.start()
    house.directory.tell("it", ValueError("boom"))
    failed = house.report("start_failed")
    assert "had not started after 0.5 s" in failed.reason
    assert "gate.wait" in failed.detail
    gate.set()
    assert isinstance(ended.get(timeout=WAIT), SupersededError)
    house.report("restarted")
    assert supervisor.children()[0].generation == 4  # superseding the overrun one took the third


def test_a_thread_that_cannot_start_is_a_failed_start(house, monkeypatch) -> None:
    start, refused = threading.Thread.start, []

    def refuse_once(thread) -> None:
        if thread.name == "it-2" and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    supervisor = house.supervise(house.child("it", poison_after=0))
    supervisor.start()
    house.directory.tell("it", ValueError("boom"))
    assert house.report("start_failed").reason == "RuntimeError: can't start new thread"
    assert house.directory.ask("it", "there", timeout=WAIT) == "there"


def test_what_makes_no_supervised_actor_is_a_failed_start(house) -> None:
    supervisor = house.supervise(house.child("it", lambda _: "no actor"))
    with pytest.raises(GaveUpError, match="no SupervisedActor was made, but str"):
        supervisor.start()
