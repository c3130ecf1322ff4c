from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import ClassVar

import pytest

from actors.supervision import (
    ChildStartError,
    CommandTimeoutError,
    GaveUpError,
    NotRunningError,
    SupersededError,
    SupervisionError,
    UnknownChildError,
)
from actors.supervision.supervisor import _Request

WAIT = 10.0


@dataclass(frozen=True)
class OnceOnly:
    AT_MOST_ONCE: ClassVar[bool] = True

    def __call__(self, actor):
        raise ValueError("once only")


def states(supervisor) -> dict[str, str]:
    return {child.name: child.state for child in supervisor.children()}


# Starting


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


# Dying


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
    supervisor = house.supervise(house.child("it", poison_after=0), max_restarts=1, clock=lambda: now[0])
    supervisor.start()
    for _ in range(5):
        now[0] += 61
        house.directory.tell("it", ValueError("boom"))
        house.report("restarted")
    assert supervisor.wait_failed(0) is None


def test_a_report_callback_that_raises_changes_nothing(house) -> None:
    supervisor = house.supervise(house.child("it", poison_after=0))
    supervisor._lifecycle._on_report = lambda _: 1 / 0
    supervisor.start()
    house.directory.tell("it", ValueError("boom"))
    house.directory.tell("it", "after")
    assert house.hear(2)[1] == "after"


def test_a_supervisor_whose_own_thread_fails_says_so_and_leaves_nobody_waiting(house, monkeypatch) -> None:
    supervisor = house.supervise(house.child())
    supervisor.start()

    def broken(event) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(supervisor._lifecycle, "handle", broken)
    actor = supervisor._lifecycle.children["it"].tenure.actor
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
    stop = _Request(supervisor._tree.stop)
    late = _Request(lambda _: None)
    for request in (_Request(lambda _: gate.wait(WAIT)), stop, late):
        supervisor._events.put(request)
    gate.set()
    assert stop.reply.result(WAIT) == []
    assert isinstance(late.reply.exception(WAIT), NotRunningError)


# Stopping


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


# Commands


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
    supervisor._lifecycle._on_report = on_report
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
