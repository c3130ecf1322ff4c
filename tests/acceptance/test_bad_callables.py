"""Callables that raise, return junk, exit, swallow, leak and never return: the runtime works on."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import psutil
import pytest

from kora.app import Runtime
from kora.config import load
from tests.acceptance.bad_callables import BY_NUMBER, EXPECTED
from tests.acceptance.home import PATIENCE_SECONDS, assert_sound, wait_until

BAD = Path(__file__).with_name("bad_callables.py")
MEBIBYTE = 1_048_576


def settled(home) -> int:
    return sum(ticket["last_resolution"] is not None for ticket in home.tickets())


def resident(process) -> int:
    return psutil.Process(process.pid).memory_info().rss


@pytest.mark.parametrize("count", [120, pytest.param(10_000, marks=pytest.mark.prove)])
def test_each_ends_as_the_table_says_and_the_runtime_works_on(home, count):
    shutil.copy(BAD, home.folder / "bad.py")
    home.configure(agent={"kind": "callable", "callable": "bad:run", "command": None}, runtime={"log_level": "ERROR"})
    home.add(count)
    process = home.start("run")
    wait_until(home, lambda: settled(home) >= count // 10, process)
    grown_from = resident(process)
    wait_until(home, lambda: settled(home) == count, process)
    grown = resident(process) - grown_from
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0, home.log()
    for ticket in home.tickets():
        number = int(ticket["ticket_title"].rpartition(" ")[2])
        resolution, reason = EXPECTED[BY_NUMBER[number % len(BY_NUMBER)]]
        assert ticket["last_resolution"] == resolution, ticket
        assert ticket["failure_count_by_reason"] == ({} if reason is None else {reason: 1}), ticket
        assert (ticket["next_eligible_at"] is None) is (resolution == "completed"), ticket
    assert_sound(home)
    if count >= 10_000:
        # What it needs at all it needs after the first tenth; a leak would go on.
        assert grown < 20 * MEBIBYTE, f"grew by {grown / MEBIBYTE:.1f} MiB"


@pytest.mark.parametrize("count", [4, pytest.param(50, marks=pytest.mark.prove)])
def test_one_that_never_returns_loses_its_lease_and_its_late_writes_change_nothing(home, monkeypatch, count):
    shutil.copy(BAD, home.folder / "stuck.py")
    monkeypatch.syspath_prepend(str(home.folder))
    home.configure(
        agent={"kind": "callable", "callable": "stuck:never_returns", "command": None},
        workers={"count": count},
        poller={"lease_seconds": 1, "poll_interval_seconds": 0.1},
    )
    home.add(count)
    stuck = importlib.import_module("stuck")
    try:
        with Runtime(load(home.config)) as runtime:
            runtime.start()
            for _ in range(PATIENCE_SECONDS * 10):
                assert not runtime.wait(0.1), "the supervisor gave up"
                if len(stuck.REFUSED) == count and not any(ticket["claim"] for ticket in home.tickets()):
                    break
            assert len(set(stuck.REFUSED)) == count
            # Their threads still run here: nobody else's attempt may begin beside them in this runtime.
            assert {ticket["claim_count"] for ticket in home.tickets()} == {1}
            stuck.RELEASE.set()
    finally:
        stuck.RELEASE.set()
        sys.modules.pop("stuck", None)
    types = [event["event_type"] for event in home.events() if event["ticket_id"]]
    assert types.count("sea_ticket.claim_expired") >= count
    assert all(ticket["sea_status"] != "completed" for ticket in home.tickets() if ticket["claim_count"] == 1)
    verified = home.kora("events", "--verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
