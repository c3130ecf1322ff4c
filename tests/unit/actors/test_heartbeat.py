"""Progress earns a refresh; nothing else does."""

from __future__ import annotations

import pytest

from actors.heartbeat import Heartbeat
from actors.messages import Progress, Refresh, Tick
from actors.names import HEARTBEAT, LEDGER
from kora.domain.claim import ClaimKey

KEY = ClaimKey("ticket", 1, "attempt")
OTHER = ClaimKey("other", 1, "attempt-2")


@pytest.fixture
def heartbeat(stage):
    return stage.put(HEARTBEAT, lambda seat: Heartbeat(seat, interval_seconds=60.0, time_source=stage.time))


def progress(heartbeat, at, key=KEY, worker="worker-1"):
    heartbeat.on_receive(Progress(worker=worker, key=key, progress_at=at))


def tick(heartbeat, stage, seconds):
    stage.time.seconds += seconds
    heartbeat.on_receive(Tick(now=stage.time.seconds))
    return stage.said(LEDGER)


def test_what_made_progress_is_refreshed_at_the_beat_and_not_before(heartbeat, stage):
    progress(heartbeat, stage.time.seconds + 1)
    assert tick(heartbeat, stage, 59.9) == []
    assert tick(heartbeat, stage, 0.1) == [Refresh(keys=(KEY,))]


def test_what_made_none_since_the_last_beat_is_not(heartbeat, stage):
    progress(heartbeat, stage.time.seconds + 1)
    tick(heartbeat, stage, 60)
    progress(heartbeat, stage.time.seconds - 59)
    assert tick(heartbeat, stage, 60) == []


def test_what_never_made_any_is_not(heartbeat, stage):
    progress(heartbeat, None)
    assert tick(heartbeat, stage, 60) == []


def test_each_attempt_is_judged_by_itself_in_one_message(heartbeat, stage):
    progress(heartbeat, stage.time.seconds + 1)
    progress(heartbeat, stage.time.seconds + 2, OTHER, "worker-2")
    progress(heartbeat, None, None, "worker-3")
    assert tick(heartbeat, stage, 60) == [Refresh(keys=(KEY, OTHER))]


def test_an_attempt_that_is_over_is_forgotten(heartbeat, stage):
    progress(heartbeat, stage.time.seconds + 1)
    progress(heartbeat, None, None)
    assert tick(heartbeat, stage, 60) == []


def test_a_restarted_heartbeat_counts_the_progress_of_the_last_interval(stage):
    successor = stage.put(HEARTBEAT, lambda seat: Heartbeat(seat, interval_seconds=60.0, time_source=stage.time))
    progress(successor, stage.time.seconds - 30)
    assert tick(successor, stage, 60) == [Refresh(keys=(KEY,))]
