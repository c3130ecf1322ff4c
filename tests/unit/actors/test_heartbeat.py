"""Progress earns a refresh; nothing else does, and what was earned is not lost."""

from __future__ import annotations

import pytest

from actors.heartbeat import Heartbeat
from actors.messages import Progress, Refresh, Refreshed, Tick
from actors.names import HEARTBEAT, LEDGER
from kora.agents.port import Lease
from kora.domain.claim import ClaimKey

KEY = ClaimKey("ticket", 1, "attempt")
OTHER = ClaimKey("other", 1, "attempt-2")
START = 1_000.0
TICK_SECONDS = 100.0
INTERVAL_SECONDS = 60.0 + 3 * TICK_SECONDS
"""of which three ticks are left for what may come late: so it is asked after 60 s"""


class Ward:
    """A Heartbeat, its clock, and what it asked for."""

    def __init__(self, stage):
        self.stage = stage
        self.enter()

    def enter(self):
        self.heartbeat = self.stage.put(
            HEARTBEAT,
            lambda seat: Heartbeat(
                seat, interval_seconds=INTERVAL_SECONDS, tick_seconds=TICK_SECONDS, time_source=self.stage.time
            ),
        )

    def progress(self, at, key=KEY, worker="worker-1"):
        self.heartbeat.on_receive(Progress(worker=worker, key=key, started_at=START, progress_at=at))

    def tick(self, seconds=0.0):
        self.stage.time.seconds += seconds
        self.heartbeat.on_receive(Tick(now=self.stage.time.seconds))
        return self.asked()

    def asked(self):
        messages = [message for message in self.stage.said(LEDGER) if isinstance(message, Refresh)]
        return [key for message in messages for key, _ in message.earned]

    def confirm(self, key=KEY):
        lease = Lease(deadline=self.stage.time.seconds + 600, lease_seconds=600)
        self.heartbeat.on_receive(Refreshed(work_attempt_id=key.work_attempt_id, lease=lease))


@pytest.fixture
def ward(stage):
    return Ward(stage)


def test_progress_is_refreshed_once_an_interval_and_not_before(ward):
    ward.progress(START + 1)
    assert ward.tick(59.9) == []
    assert ward.tick(0.1) == [KEY]


def test_it_is_asked_for_until_it_is_confirmed_and_then_no_more(ward):
    ward.progress(START + 1)
    assert ward.tick(60) == [KEY]
    assert ward.tick(1) == [KEY]
    ward.confirm()
    assert ward.tick(60) == []


def test_what_was_made_while_a_refresh_was_under_way_earns_the_next(ward):
    ward.progress(START + 1)
    assert ward.tick(60) == [KEY]
    ward.progress(START + 60.5)
    ward.confirm()
    assert ward.tick(59) == []
    assert ward.tick(1) == [KEY]


def test_progress_that_comes_late_is_refreshed_at_once(ward):
    assert ward.tick(70) == []
    ward.progress(START + 70)
    assert ward.tick(1) == [KEY]


def test_an_attempt_without_progress_is_never_refreshed(ward):
    ward.progress(None)
    assert ward.tick(60) == []
    ward.progress(START)
    assert ward.tick(60) == []


def test_each_attempt_is_judged_by_itself(ward):
    ward.progress(START + 1)
    ward.progress(START + 2, OTHER, "worker-2")
    ward.heartbeat.on_receive(Progress(worker="worker-3"))
    assert ward.tick(60) == [KEY, OTHER]
    ward.confirm(OTHER)
    assert ward.tick(1) == [KEY]


def test_an_attempt_that_is_over_is_forgotten_and_its_successor_starts_afresh(ward):
    ward.progress(START + 1)
    ward.heartbeat.on_receive(Progress(worker="worker-1"))
    assert ward.tick(60) == []
    ward.progress(START + 61)
    ward.progress(START + 61, OTHER)
    assert ward.tick(0) == [OTHER]


def test_a_restarted_heartbeat_beats_as_soon_as_it_has_heard(ward):
    ward.stage.time.seconds = START + 300
    ward.enter()
    ward.progress(START + 270)
    assert ward.tick() == [KEY]


def test_a_restarted_heartbeat_gives_no_credit_for_what_is_long_past(ward):
    ward.stage.time.seconds = START + 300
    ward.enter()
    ward.progress(START + 239)
    assert ward.tick() == []


def test_a_refresh_says_which_progress_has_earned_it(ward):
    ward.progress(START + 7)
    ward.stage.time.seconds += 60
    ward.heartbeat.on_receive(Tick(now=ward.stage.time.seconds))
    assert ward.stage.said(LEDGER) == [Refresh(((KEY, START + 7),))]


@pytest.fixture
def sleeper(stage):
    ward = Ward(stage)
    ward.heartbeat = stage.put(
        HEARTBEAT, lambda seat: Heartbeat(seat, interval_seconds=60.0, tick_seconds=1.0, time_source=stage.time)
    )
    ward.progress(START + 0.5)
    ward.progress(None, OTHER, "worker-2")
    assert ward.tick(1) == []
    return ward


def test_after_a_suspend_it_asks_at_once_for_whatever_has_progress_due_or_not(sleeper):
    assert sleeper.tick(5) == [KEY]


def test_after_a_suspend_what_the_workers_tell_next_counts_at_once_too(sleeper):
    sleeper.tick(5)
    sleeper.progress(START + 5.5, OTHER, "worker-2")
    assert sleeper.asked() == [OTHER]
    sleeper.heartbeat.on_receive(Progress(worker="worker-3"))
    sleeper.confirm()
    sleeper.confirm(OTHER)
    assert sleeper.tick(1) == []
    sleeper.progress(START + 6.5)
    assert sleeper.asked() == []


def test_ticks_that_come_as_they_should_hurry_nobody(sleeper):
    assert [sleeper.tick(1) for _ in range(10)] == [[]] * 10
