"""Whole runtimes: shared boards, frozen ones, killed ones, and those that are asked to stop."""

from __future__ import annotations

import os
import signal
from collections import Counter

import psutil
import pytest

from kora.admin.client import Client
from tests.acceptance.home import (
    PATIENCE_SECONDS,
    Home,
    assert_each_completed_once,
    assert_sound,
    wait_until,
)


def test_two_runtimes_on_one_file_share_the_board(home):
    home.configure(workers={"count": 3})
    second = home.configure("second.toml", workers={"count": 3}, runtime={"state_dir": ".kora-2"})
    home.add(200)
    for process in (home.start("run", "--until-idle"), home.start("run", "--until-idle", config=second)):
        assert process.wait(PATIENCE_SECONDS) == 0, home.log()
    assert_each_completed_once(home)
    assert_sound(home)
    holders = Counter(e["payload"]["holder"] for e in home.events() if e["event_type"] == "sea_ticket.claimed_for_edit")
    assert len(holders) == 2
    assert sum(holders.values()) == 200
    for number in range(2):
        assert "locked" not in home.log(number)


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.prove)])
def test_a_runtime_frozen_past_its_lease_loses_it_and_its_agent_before_another_begins(tmp_path, rounds):
    for number in range(rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        home = Home(folder)
        try:
            frozen_round(home)
        finally:
            home.end()


def frozen_round(home: Home) -> None:
    # Time enough to be frozen in; and its agent ends by nothing but the lease.
    home.configure(
        poller={"lease_seconds": 3.0, "poll_interval_seconds": 0.1},
        workers={"count": 1},
        agent={"command": home.journal_command(600), "grace_seconds": 0.2},
    )
    second = home.configure(
        "second.toml",
        poller={"poll_interval_seconds": 0.1},
        workers={"count": 1},
        runtime={"state_dir": ".kora-2"},
        agent={"command": home.journal_command(0.1)},
    )
    home.add(1)
    frozen = home.start("run")
    wait_until(home, lambda: home.runs() == 1, frozen)
    os.kill(frozen.pid, signal.SIGSTOP)
    other = home.start("run", "--until-idle", config=second)
    assert other.wait(PATIENCE_SECONDS) == 0, home.log()
    [ticket] = home.tickets()
    before = [event for event in home.events() if event["ticket_id"] == ticket["ticket_id"]]
    os.kill(frozen.pid, signal.SIGCONT)
    frozen.send_signal(signal.SIGTERM)
    assert frozen.wait(PATIENCE_SECONDS) == 0, home.log(0)
    assert [event for event in home.events() if event["ticket_id"] == ticket["ticket_id"]] == before
    assert home.tickets() == [ticket]
    assert ticket["sea_status"] == "completed"
    starts = [mark for mark in home.marks()[ticket["ticket_id"]] if mark.what == "start"]
    assert len(starts) == 2
    assert_sound(home)


def test_an_agent_that_stops_its_guardian_gains_nothing(home):
    script = 'kill -STOP "$PPID"; trap "" TERM; while :; do sleep 1; done'
    home.configure(
        agent={"command": ["sh", "-c", script], "grace_seconds": 0.2},
        poller={"lease_seconds": 2, "poll_interval_seconds": 60},
    )
    home.add(1)
    process = home.start("run")
    wait_until(home, lambda: "the lease is lost" in home.log(), process)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE_SECONDS)
    assert psutil.wait_procs(home.left_over(), timeout=20)[1] == []


def test_a_store_that_is_taken_away_ends_the_runtime_with_the_reason(home):
    home.configure(agent={"command": home.journal_command(30), "grace_seconds": 0.2})
    home.add(1)
    process = home.start("run", "--until-idle")
    wait_until(home, lambda: home.runs() == 1, process)
    (home.folder / "kora.db").rename(home.folder / "elsewhere.db")
    assert process.wait(PATIENCE_SECONDS) in (1, 7)
    assert "was removed or replaced while it was in use" in home.log()
    assert psutil.wait_procs(home.left_over(), timeout=20)[1] == []


def test_a_drain_lets_what_runs_end_and_claims_nothing_more(home):
    home.configure(agent={"command": home.journal_command(0.02, gated=True)})
    home.add(6)
    client = Client(home.folder / ".kora")
    with home.shut() as open_the_gate:
        process = home.start("run")
        wait_until(home, lambda: home.runs() == 2, process)
        process.send_signal(signal.SIGTERM)
        wait_until(home, lambda: client.get("/actors/ledger")["facts"]["draining"], process)
        open_the_gate()
        assert process.wait(PATIENCE_SECONDS) == 0, home.log()
    assert home.left_over() == []
    tickets = Counter(ticket["sea_status"] for ticket in home.tickets())
    assert tickets == {"completed": 2, "assigned": 4}
    assert list((home.folder / ".kora" / "runtimes").iterdir()) == []
    assert_sound(home)


def test_a_drain_releases_what_will_not_end_in_time(home):
    home.configure(agent={"command": home.journal_command(60)}, control={"drain_seconds": 0.2})
    home.add(1)
    process = home.start("run")
    wait_until(home, lambda: home.runs() == 1, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_SECONDS) == 0, home.log()
    [ticket] = home.tickets()
    assert (ticket["sea_status"], ticket["next_eligible_at"], ticket["claim"]) == ("released", None, None)
    assert home.left_over() == []


def test_a_second_signal_aborts_and_releases(home):
    home.configure(
        agent={"command": ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"], "grace_seconds": 60}
    )
    home.add(2)
    process = home.start("run")
    wait_until(home, lambda: home.log().count("goes to worker") == 2, process)
    process.send_signal(signal.SIGTERM)
    wait_until(home, lambda: "draining" in home.log(), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == 1, home.log()
    assert home.left_over() == []
    assert {(ticket["sea_status"], ticket["claim"]) for ticket in home.tickets()} == {("released", None)}
    assert_sound(home)


def test_two_signals_in_one_breath_abort_as_well(home):
    home.configure(agent={"command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], "grace_seconds": 60})
    home.add(1)
    process = home.start("run")
    wait_until(home, lambda: "goes to worker" in home.log(), process)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_SECONDS) == 1, home.log()
    assert home.left_over() == []
    assert [(ticket["sea_status"], ticket["claim"]) for ticket in home.tickets()] == [("released", None)]


@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [
        ("exit 3", "failed_retryable", "agent_exit"),
        ("exit 75", "released", "agent_temporary"),
        ("kill -9 $$", "released", "agent_signal"),
        ('echo \'{"kora":"result"}\'', "failed_retryable", "agent_protocol"),
    ],
)
def test_a_failing_agent_is_tried_again_after_its_pause_and_not_before(home, script, status, reason):
    home.configure(agent={"command": ["sh", "-c", script]})
    home.add(1)
    process = home.start("run")
    wait_until(home, lambda: "claim_released" in home.kora("events").stdout, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == 0, home.log()
    [ticket] = home.tickets()
    assert (ticket["sea_status"], ticket["failure_count_by_reason"]) == (status, {reason: 1})
    assert ticket["work_attempt_count"] == 1
    [resolved] = [event for event in home.events() if event["event_type"] == "kora.sea_ticket.resolved"]
    assert resolved["payload"]["next_eligible_offset_seconds"] == 60


def test_ctrl_c_reaches_the_runtime_alone_and_is_a_drain(home):
    home.configure(agent={"command": home.journal_command(0.5)})
    home.add(2)
    process = home.start("run")
    wait_until(home, lambda: home.runs() == 2, process)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(PATIENCE_SECONDS) == 0, home.log()
    assert {ticket["sea_status"] for ticket in home.tickets()} == {"completed"}


def test_after_a_kill_nothing_runs_on_and_a_restart_returns_the_claims_at_once(home):
    home.configure(agent={"command": home.journal_command(30)}, poller={"lease_seconds": 3_600})
    home.add(2)
    process = home.start("run")
    wait_until(home, lambda: home.runs() == 2, process)
    process.kill()
    process.wait()
    assert psutil.wait_procs(home.left_over(), timeout=20)[1] == []
    # Nobody waits for the next poll: what is returned is asked for at once.
    home.configure(poller={"poll_interval_seconds": 3_600})
    again = home.start("run", "--until-idle")
    assert again.wait(PATIENCE_SECONDS) == 0, home.log()
    assert_each_completed_once(home)
    expired = [event for event in home.events() if event["event_type"] == "sea_ticket.claim_expired"]
    assert len(expired) == 2
    assert list((home.folder / ".kora" / "runtimes").iterdir()) == []
    assert_sound(home)


def test_a_state_dir_in_use_is_refused_and_the_message_names_the_process(home):
    process = home.start("run")
    wait_until(home, lambda: "works sqlite" in home.log(), process)
    refused = home.kora("run")
    assert refused.returncode == 7
    assert str(process.pid) in refused.stderr
    assert "state_dir" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("sections", "code", "words"),
    [
        ({"agent": {"command": ["./missing"]}}, 1, "does not exist"),
        ({"agent": {"command": ["./supervisor.toml"]}}, 1, "not executable"),
        ({"agent": {"workdir": "nowhere"}}, 1, "agent.workdir"),
        ({"runtime": {"store": "sqlite:///supervisor.toml"}}, 7, "database"),
        ({"poller": {"lease": 3}}, 2, "poller.lease"),
    ],
)
def test_a_runtime_that_cannot_work_refuses_to_start_and_says_why(home, sections, code, words):
    home.configure(**sections)
    refused = home.kora("run", "--until-idle")
    assert refused.returncode == code, refused.stderr
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
