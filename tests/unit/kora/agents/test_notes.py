"""What a callable logs, when its finalizers and its handlers of the log do so, too: nothing waits for ever."""

import gc
import logging
import threading

import pytest

from kora.agents import call as call_module
from kora.agents import record as record_module
from kora.agents.notes import Notes
from kora.agents.record import Record, await_closed, plain_path
from kora.clock import SystemTime
from kora.domain.resolution import Outcome, StopReason

from .conftest import kept
from .test_callable import WAIT_SECONDS, Gate, Workshop, a_lease


@pytest.fixture
def shop(tmp_path):
    made = Workshop(tmp_path)
    yield made
    made.close()


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.open()


def beside(body):
    """Have it done on a thread of its own; whether it came to its end."""
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(WAIT_SECONDS)
    return not thread.is_alive()


def full(*_arguments, **_keywords):
    raise OSError(28, "No space left on device")


@pytest.fixture
def finalizers():
    """What is put here is called amid whatever makes anything, on any thread: as a finalizer that a collection runs."""
    bodies = []

    def collected(phase, _):
        if phase == "start":
            for body in bodies:
                body()

    before = gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(1, 1_000, 1_000)
    yield bodies
    gc.set_threshold(*before)
    gc.callbacks.remove(collected)


@pytest.fixture(params=["anywhere", "at the outcome"])
def collections(request, monkeypatch):
    """Have this called wherever the interpreter collects; at which objects it does is its to say, so also at one."""
    if request.param == "anywhere":
        return request.getfixturevalue("finalizers").append

    def at_the_outcome(body):
        monkeypatch.setattr(call_module, "Outcome", lambda **how: body() or Outcome(**how))

    return at_the_outcome


@pytest.mark.parametrize("reason", [StopReason.LEASE_LOST, StopReason.DRAINED])
def test_whoever_ends_an_attempt_is_not_held_up_by_finalizers_that_log(shop, gate, collections, reason):
    def act(ticket, work):
        collections(lambda: work.log("collected"))
        gate.pass_through()

    run = shop.start(act, lease=a_lease(1.0 if reason is StopReason.LEASE_LOST else 600.0))
    gate.wait_until_reached()

    if reason is not StopReason.LEASE_LOST:
        assert beside(lambda: (run.running.extend(a_lease(900.0)), run.running.kill(reason)))

    assert run.wait().stop_reason is reason
    assert shop.agent.lingering() == {run.claim.key.ticket_id}


def test_what_logs_amid_its_own_finalizers_is_kept_line_by_line(shop, finalizers):
    garbage = []

    def act(ticket, work):
        finalizers.append(lambda: garbage and work.log(garbage.pop()))
        for number in range(100):
            garbage.extend(["collected"] * 20)
            work.log(f"line {number}")
        finalizers.clear()

    run = shop.start(act)

    assert run.wait().raised is None
    lines = [text for _, text in kept(shop.state_dir, run.claim.key.work_attempt_id)]
    assert [text for text in lines if text != "collected"] == [f"line {number}" for number in range(100)]
    assert lines.count("collected") == 2_000 - len(garbage) > 0


def test_amid_a_write_another_is_put_behind_it(tmp_path):
    class Amid(Record):
        written = ()

        def put(self, stream, lines):
            notes.keep("log", "later") if not self.written else None
            self.written = (*self.written, *lines)
            return super().put(stream, lines)

    record = Amid(plain_path(tmp_path, "attempt"), SystemTime())
    notes = Notes(record)

    assert beside(lambda: (notes.keep("log", "sooner"), notes.close()))

    assert record.written[:2] == (b"sooner", b"later")
    assert kept(tmp_path, "attempt")[0] == ("log", "sooner")
    assert notes.last_line == "later"


def test_notes_that_two_open_at_once_are_the_same(shop, monkeypatch):
    """The second opens them amid the first, as a finalizer does; both are kept, and no record stays open."""
    works = []

    def amid(*arguments):
        made = Record(*arguments)
        if works:
            works.pop().log("inner")
        return made

    monkeypatch.setattr(call_module, "Record", amid)

    def act(ticket, work):
        works.append(work)
        work.log("outer")

    run = shop.start(act)

    assert run.wait() == Outcome(last_output="outer")
    assert await_closed(WAIT_SECONDS)
    assert shop.record(run) == ["log inner", "log outer"]


def test_notes_that_are_opened_too_late_are_not(shop, monkeypatch):
    calls = []

    def too_late(*arguments):
        calls[0].kill(StopReason.DRAINED)
        return Record(*arguments)

    monkeypatch.setattr(call_module, "Record", too_late)
    begun = Gate()

    def act(ticket, work):
        begun.pass_through()
        work.log("late")

    run = shop.start(act)
    calls.append(run.running)
    begun.open()

    assert run.wait() == Outcome(stop_reason=StopReason.DRAINED)
    assert await_closed(WAIT_SECONDS)
    assert kept(shop.state_dir, run.claim.key.work_attempt_id) == []


@pytest.fixture
def forwarded():
    """What is put here is called on another thread with each record of the agents' log, which waits for it."""
    bodies, ends = [], []

    class Forwards(logging.Handler):
        def emit(self, record):
            ends.extend((record.getMessage(), beside(body)) for body in bodies)

    handler, logger = Forwards(), logging.getLogger("kora.agents")
    logger.addHandler(handler)
    yield bodies, ends
    logger.removeHandler(handler)


def test_a_full_disk_is_told_of_once_and_by_one_who_holds_nothing(tmp_path, monkeypatch, forwarded):
    bodies, ends = forwarded
    notes = Notes(Record(plain_path(tmp_path, "attempt"), SystemTime()))
    bodies.append(lambda: notes.keep("log", "forwarded"))
    monkeypatch.setattr(Record, "_append", full)

    notes.keep("log", "one")
    notes.keep("log", "two")

    ((message, came_to_its_end),) = ends
    assert "no longer kept" in message
    assert came_to_its_end
    notes.close()


def test_a_record_that_cannot_be_compressed_is_told_of_by_one_who_holds_nothing(tmp_path, monkeypatch, forwarded):
    bodies, ends = forwarded
    notes = Notes(Record(plain_path(tmp_path, "attempt"), SystemTime()))
    notes.keep("log", "one")
    bodies.append(lambda: notes.keep("log", "forwarded"))
    monkeypatch.setattr(record_module, "_compress_into", full)

    notes.close()

    ((message, came_to_its_end),) = ends
    assert "stays uncompressed" in message
    assert came_to_its_end
    assert kept(tmp_path, "attempt") == [("log", "one")], "closed, they keep nothing"


def test_the_end_is_told_before_the_notes_are_closed_and_whatever_comes_of_that(shop, monkeypatch):
    told, run_of = [], []
    close = Notes.close

    def fails(notes):
        told.append(run_of[0].ended.acquire(blocking=False))
        close(notes)
        raise MemoryError

    monkeypatch.setattr(Notes, "close", fails)
    gate, closed = Gate(), threading.Event()
    monkeypatch.setattr(shop.executor, "_do", _then(shop.executor._do, closed.set))

    def act(ticket, work):
        work.log("something")
        gate.pass_through()

    run = shop.start(act)
    run_of.append(run)
    gate.open()

    assert closed.wait(WAIT_SECONDS)
    assert told == [True]
    assert len(run.ends) == 1
    assert run.running.outcome == Outcome(last_output="something")
    assert shop.outcome(lambda ticket, work: None) == Outcome()


def _then(body, after):
    def both(*arguments):
        try:
            body(*arguments)
        finally:
            after()

    return both


def test_a_traceback_that_cannot_be_kept_does_not_cost_the_end(shop, monkeypatch):
    def fails(*_):
        raise MemoryError("for the notes")

    monkeypatch.setattr(Notes, "keep", fails)
    run = shop.start(lambda ticket, work: 1 / 0)

    assert run.wait().raised == "MemoryError: for the notes"
    assert len(run.ends) == 1
