"""A wall clock that somebody sets while leases run."""

from __future__ import annotations

import importlib
import shutil
import sys
import time
from pathlib import Path

import pytest

from kora.app import Runtime
from kora.clock import SystemTime
from kora.config import load
from kora.domain.events import EventType
from tests.acceptance.home import PATIENCE_SECONDS

HERE = Path(__file__).parent
LEASE_SECONDS = 2.0


@pytest.mark.parametrize("jump_seconds", [3_600, -3_600])
def test_setting_the_wall_clock_neither_ends_nor_prolongs_a_lease(home, monkeypatch, jump_seconds):
    shutil.copy(HERE / "jumping.py", home.folder)
    monkeypatch.syspath_prepend(str(home.folder))
    home.configure(
        agent={"kind": "callable", "callable": "jumping:run", "command": None},
        poller={"lease_seconds": LEASE_SECONDS, "poll_interval_seconds": 60},
        heartbeat={"interval_seconds": 0.3},
    )
    done = home.kora("ticket", "import", "-", input='{"ticket_title":"works"}\n{"ticket_title":"silent"}\n')
    assert done.returncode == 0, done.stderr
    jumping = importlib.import_module("jumping")
    offset_us = 0
    monkeypatch.setattr(SystemTime, "now_us", lambda _: time.time_ns() // 1_000 + offset_us)
    try:
        with Runtime(load(home.config)) as runtime, home.reading() as reader:
            runtime.start()
            assert jumping.WORKING.wait(PATIENCE_SECONDS)
            offset_us = jump_seconds * 1_000_000
            assert jumping.LOST.wait(PATIENCE_SECONDS)
            for _ in range(PATIENCE_SECONDS * 10):
                if list(reader.events(event_types=[EventType.EXPIRED])):
                    break
                assert not runtime.wait(0.1), "the supervisor gave up"
            jumping.RELEASE.set()
            assert runtime.drain()
            tickets = {ticket.ticket_title: ticket for ticket in reader.tickets()}
            events = list(reader.events())
            assert reader.verify().fault is None
    finally:
        jumping.RELEASE.set()
        sys.modules.pop("jumping", None)
    assert (tickets["works"].sea_status, tickets["works"].claim_count) == ("completed", 1)
    silent = tickets["silent"].ticket_id
    ours = [event for event in events if event.ticket_id == silent]
    [claimed, *_] = (event for event in ours if event.event_type == EventType.CLAIMED)
    [expired] = (event for event in events if event.event_type == EventType.EXPIRED)
    assert expired.ticket_id == silent
    # The log's time follows the wall clock, and so has made its jump in between.
    lasted_seconds = (expired.occurred_at - claimed.occurred_at).total_seconds() - jump_seconds
    assert LEASE_SECONDS <= lasted_seconds < abs(jump_seconds) / 2
    assert LEASE_SECONDS / 2 < jumping.HELD_SECONDS[0] < abs(jump_seconds) / 2
