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


@pytest.mark.parametrize("where", ["factory", "on_start"])
def test_a_start_that_fails_is_tried_again_and_then_runs(house, where) -> None:
    tries = []

    def factory(seat):
        tries.append(seat.generation)
        if where == "factory" and len(tries) < 3:
            raise OSError("not yet")
        actor = house.scripted(seat)

        def on_start() -> None:
            if len(tries) < 3:
                raise OSError("not yet")

        actor.on_start = on_start
        return actor

    supervisor = house.supervise(house.child("it", factory))
    supervisor.start()
    assert tries == [1, 2, 3]
    assert supervisor._lifecycle.children["it"].failed_starts == 0
    failed = house.report("start_failed")
    assert (failed.supervisor, failed.offender, failed.reason) == ("house", "it", "OSError: not yet")
    assert "Traceback" in failed.detail
    assert house.report("restarted").restarts == 2


def test_failed_starts_beyond_the_intensity_stop_what_had_started_and_raise_the_report(house) -> None:
    tries = []

    def factory(seat):
        tries.append(seat)
        raise OSError("never")

    supervisor = house.supervise(
        house.child("a"), house.child("b"), house.child("bad", factory), house.child("c"), max_restarts=3
    )
    with pytest.raises(GaveUpError) as caught:
        supervisor.start()
    assert len(tries) == 4
    assert caught.value.report.offender == "bad"
    assert "OSError: never" in caught.value.report.reason
    assert supervisor.wait_failed(WAIT) == caught.value.report
    assert house.stopped == ["b", "a"]
    assert states(supervisor) == {"a": "stopped", "b": "stopped", "bad": "failed", "c": "stopped"}


def test_a_supervisor_that_backs_off_still_answers_stop(house) -> None:
    tries = []

    def factory(seat):
        tries.append(seat)
        raise OSError("never")

    supervisor = house.supervise(house.child("bad", factory, backoff_initial_seconds=3_600, backoff_cap_seconds=3_600))
    with pytest.raises(CommandTimeoutError):
        supervisor.start(timeout=0.01)
    house.report("start_failed")
    assert supervisor.stop(WAIT) == []
    assert len(tries) == 1


def test_a_start_that_overruns_counts_as_failed_and_its_late_thread_is_superseded(house) -> None:
    gate = threading.Event()
    ended: queue.Queue[BaseException] = queue.Queue()

    def factory(seat):
        actor = house.scripted(seat)
        if seat.generation == 1:
            actor.on_start = lambda: gate.wait(WAIT)
            actor.on_failure = lambda _, error, __: ended.put(error)
        return actor

    supervisor = house.supervise(house.child("it", factory, start_seconds=0.5))
    supervisor.start()
    assert "had not started after 0.5 s" in house.report("start_failed").reason
    gate.set()
    assert isinstance(ended.get(timeout=WAIT), SupersededError)
    assert house.directory.ask("it", "who", timeout=WAIT) == "who"
    assert supervisor.children()[0].generation == 3  # superseding the overrun one took the second


def test_a_thread_that_cannot_start_is_a_failed_start(house, monkeypatch) -> None:
    start, refused = threading.Thread.start, []

    def refuse_once(thread) -> None:
        if thread.name.startswith("it-") and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    supervisor = house.supervise(house.child())
    supervisor.start()
    assert house.report("start_failed").reason == "RuntimeError: can't start new thread"
    assert house.directory.ask("it", "there", timeout=WAIT) == "there"


def test_a_factory_that_returns_something_else_is_a_failed_start(house) -> None:
    supervisor = house.supervise(house.child("it", lambda _: "no actor"), max_restarts=0)
    with pytest.raises(GaveUpError, match="the factory returned no SupervisedActor but str"):
        supervisor.start()
