"""Runtimes whose machines disagree about the time, on one PostgreSQL: the server's is the only one that counts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kora.domain.events import EventType
from kora.domain.ticket import NewTicket
from kora.store.open import migrate
from tests.acceptance.home import PATIENCE_SECONDS, ROOT, Home, wait_until

HERE = Path(__file__).parent
HOUR_SECONDS = 3_600
LEASE_SECONDS = 1.5


def start(home: Home, config: Path, offset_seconds: int) -> subprocess.Popen[str]:
    """A runtime whose wall clock is wrong by so much."""
    log = (home.folder / f"log-{len(home.processes)}.txt").open("w")
    command = [sys.executable, "-P", HERE / "shifted_clock.py", str(offset_seconds), "--config", config, "run"]
    process = subprocess.Popen(
        command,
        cwd=home.folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    log.close()
    home.processes.append(process)
    return process


@pytest.mark.parametrize("tickets", [12, pytest.param(400, marks=pytest.mark.prove)])
def test_an_hour_ahead_and_an_hour_behind_claim_nothing_twice_and_end_no_lease_early(home, postgres, database, tickets):
    url = postgres.url(database)
    migrate(url, workspace_id="default")
    shutil.copy(HERE / "slow_callable.py", home.folder)
    configs = [
        home.configure(
            f"runtime-{number}.toml",
            runtime={"store": url, "state_dir": f"state-{number}", "log_level": "INFO"},
            poller={"lease_seconds": LEASE_SECONDS, "poll_interval_seconds": 0.2},
            agent={"kind": "callable", "callable": "slow_callable:run", "command": None},
            workers={"count": 4},
            boot={"clock_seconds": 2 * HOUR_SECONDS},
        )
        for number in range(2)
    ]
    shutil.copy(configs[0], home.config)
    soon = datetime.now(UTC) + timedelta(seconds=HOUR_SECONDS / 2)
    said = [{"ticket_title": "long", "ticket_objective": str(2 * LEASE_SECONDS)}] * 4
    said += [{"ticket_title": "short", "ticket_objective": "0.1"}] * (tickets - 4)
    said.append({"ticket_title": "dated", "ticket_objective": "0", "next_eligible_at": soon})
    with home.store() as store, closing(store.board()) as board:
        board.add((NewTicket.model_validate(each) for each in said), who="test")
    runtimes = [start(home, configs[0], HOUR_SECONDS), start(home, configs[1], -HOUR_SECONDS)]
    with home.reading() as reader:
        for process in runtimes:
            wait_until(home, lambda: not (queues := reader.outstanding()).ready and not queues.held, process)
        for process in runtimes:
            process.terminate()
            assert process.wait(PATIENCE_SECONDS) == 0, home.log()
        found = list(reader.tickets())
        events = list(reader.events())
        assert reader.verify().fault is None
    dated = [ticket for ticket in found if ticket.ticket_title == "dated"]
    assert [(ticket.sea_status, ticket.claim_count) for ticket in dated] == [("assigned", 0)]
    others = {(ticket.sea_status, ticket.claim_count) for ticket in found if ticket.ticket_title != "dated"}
    assert others == {("completed", 1)}
    assert [event for event in events if event.event_type == EventType.EXPIRED] == []
    holders = {event.payload["holder"] for event in events if event.event_type == EventType.CLAIMED}
    assert len(holders) == 2
    # Events are dated by the server too.
    assert all(abs(event.occurred_at - datetime.now(UTC)) < timedelta(minutes=30) for event in events)
