from __future__ import annotations

import socket
import threading

import pytest

from kora.agents.attempt import Attempt
from kora.agents.hearing import Spoken
from kora.agents.output import Output
from kora.agents.reader import Plan
from kora.agents.record import Record
from kora.agents.wire import STARTED, EndedBy, Fate, Order, Report, dump_order, load_order
from kora.clock import SystemTime
from kora.domain.resolution import Outcome, StopReason

from .conftest import WAIT_SECONDS, a_lease


@pytest.fixture
def attempt_on(tmp_path):
    """An attempt whose lifelines end where the test says; each of `scripts` is given the guardian's end."""
    threads = []

    def makes(*scripts, before=None):
        lifelines = iter(scripts)

        def launcher(_stdio, _lease, _kept):
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            near.settimeout(0)
            next(lifelines)(near, far)
            return near

        clock = SystemTime()
        output = Output(Record(tmp_path / "log", clock), Spoken("a", "lines"), clock)
        plan = Plan("a", lambda: b"{}", launcher, output)
        attempt = Attempt(plan, a_lease(), clock, lambda: None)
        if before:
            before(attempt)
        threads.append(threading.Thread(target=attempt.run))
        threads[-1].start()
        return attempt, threads[-1]

    yield makes
    for thread in threads:
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


def wait_for(attempt_and_thread):
    attempt, thread = attempt_and_thread
    thread.join(WAIT_SECONDS)
    return attempt.outcome


def lost(_near, far):
    far.close()


def says(*messages):
    def script(_near, far):
        for message in messages:
            far.send(message)
        far.close()

    return script


def test_a_request_that_was_lost_with_its_spawner_is_put_once_more(attempt_on):
    attempt = attempt_on(lost, says(STARTED, Report(Fate.EXITED, value=3).dump()))
    assert wait_for(attempt) == Outcome(exit_code=3)


def test_a_request_that_is_lost_twice_is_a_fault(attempt_on):
    assert "the spawner died before" in str(wait_for(attempt_on(lost, lost)).fault)


def test_a_line_that_ends_after_the_start_and_without_a_report_is_never_tried_again(attempt_on):
    assert "were both killed" in str(wait_for(attempt_on(says(STARTED))).fault)


def test_a_report_is_heard_also_when_the_guardian_left_orders_unread(attempt_on):
    def script(near, far):
        near.send(dump_order(Order.LEASE, 1.0, 1.0))
        far.send(Report(Fate.EXITED, value=4).dump())
        far.close()

    assert wait_for(attempt_on(script)) == Outcome(exit_code=4)


@pytest.mark.parametrize(
    ("ended_by", "stop_reason"),
    [
        (EndedBy.ITSELF, None),
        (EndedBy.LEASE, StopReason.LEASE_LOST),
        (EndedBy.TERMINATE, StopReason.STALLED),
        (EndedBy.KILL, StopReason.STALLED),
        (EndedBy.ORPHANED, StopReason.STALLED),
    ],
)
def test_the_reason_is_the_one_that_was_asked_for_unless_it_ended_by_itself(attempt_on, ended_by, stop_reason):
    report = Report(Fate.SIGNALED, ended_by, 9)
    attempt = attempt_on(says(STARTED, report.dump()), before=lambda attempt: attempt.stop(StopReason.STALLED))
    assert wait_for(attempt) == Outcome(signal=9, stop_reason=stop_reason)


def test_what_was_ordered_before_the_launch_is_told_at_the_launch(attempt_on):
    heard = []

    def script(_near, far):
        def listen():
            heard.append(load_order(far.recv(100))[0])
            far.send(Report(Fate.UNSTARTED, EndedBy.TERMINATE).dump())
            far.close()

        threading.Thread(target=listen).start()

    attempt = attempt_on(script, before=lambda attempt: attempt.stop(StopReason.DRAINED))
    assert wait_for(attempt) == Outcome(stop_reason=StopReason.DRAINED)
    assert heard == [Order.TERMINATE]


def test_a_guardian_that_does_not_listen_is_told_by_the_line_s_end(attempt_on):
    ends = []
    launched = threading.Event()

    def script(_near, far):
        ends.append(far)
        launched.set()

    attempt = attempt_on(script)
    assert launched.wait(WAIT_SECONDS)
    far = ends[0]
    far.settimeout(WAIT_SECONDS)
    for seconds in range(5_000):
        attempt[0].extend(a_lease(1_000.0 + seconds))
    while far.recv(100):
        pass
    far.send(Report(Fate.SIGNALED, EndedBy.ORPHANED, 15).dump())
    far.close()
    assert wait_for(attempt) == Outcome(signal=15, stop_reason=StopReason.LEASE_LOST)
