"""The real input: the standard library audited by real agents, while the runtime is killed again and again."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from random import Random

import psutil
import pytest

from tests.acceptance.home import PATIENCE_SECONDS, ROOT, assert_sound

EXAMPLE = ROOT / "examples" / "stdlib_audit"


def script(home, name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(home.folder / name), *arguments],
        cwd=home.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def put_on_board(home, every: int, **sections) -> int:
    for name in ("agent.py", "make_tickets.py", "total.py"):
        shutil.copy(EXAMPLE / name, home.folder / name)
    agent = {"command": [sys.executable, "-S", "agent.py"], "env_allow": ["PATH"], "grace_seconds": 1}
    home.configure(agent=agent, workers={"count": 4}, control={"max_attempts": 10_000}, **sections)
    script(home, "make_tickets.py", "-o", "tickets.jsonl", "--every", str(every))
    done = home.kora("ticket", "import", "tickets.jsonl")
    assert done.returncode == 0, done.stderr
    return len((home.folder / "tickets.jsonl").read_text().splitlines())


def assert_ledger_is_gapless(home) -> None:
    with sqlite3.connect(home.folder / "kora.db") as database:
        rows = database.execute(
            "SELECT work_attempt_id, count(*), min(sequence_within_attempt), max(sequence_within_attempt)"
            " FROM operations GROUP BY work_attempt_id"
        ).fetchall()
        open_rows = database.execute("SELECT count(*) FROM operations WHERE state NOT IN ('committed', 'abandoned')")
        assert open_rows.fetchone() == (0,)
    database.close()
    assert rows
    assert all(first == 0 and last == count - 1 for _, count, first, last in rows)


@pytest.mark.parametrize(("kills", "every"), [(1, 8), pytest.param(20, 1, marks=pytest.mark.prove)])
def test_killed_at_random_moments_it_ends_with_nothing_lost_and_equal_sums(home, kills, every):
    count = put_on_board(home, every, poller={"lease_seconds": 2, "poll_interval_seconds": 0.2})
    random = Random(20)
    killed = 0
    for _ in range(kills):
        process = home.start("run", "--until-idle")
        try:
            # What is waited for here is the moment itself, drawn by lot; the process must not end before.
            process.wait(random.uniform(0.5, 2.5))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
    assert killed == kills, "the work was done too soon to be disturbed"
    last = home.start("run", "--until-idle")
    assert last.wait(PATIENCE_SECONDS * 3) == 0, home.log()
    assert psutil.wait_procs(home.left_over(), timeout=0)[1] == []
    tickets = home.tickets()
    assert len(tickets) == count
    assert {ticket["sea_status"] for ticket in tickets} == {"completed"}
    assert {ticket["claim"] for ticket in tickets} == {None}
    assert_ledger_is_gapless(home)
    assert_sound(home)
    assert "equal" in script(home, "total.py", "--tickets", "tickets.jsonl", "--reports", "reports")
