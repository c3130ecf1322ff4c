"""Every actor is killed in turn, over and over, through its own inbox; the work comes out right."""

from __future__ import annotations

from itertools import cycle

import pytest

from actors.names import CLOCK, CONTROL, HEARTBEAT, LEDGER, POLLER, STATE_HOLDER, worker_names
from tests.acceptance.home import assert_each_completed_once, assert_sound
from tests.acceptance.in_process import work_the_board

WORKERS = 8


class Poison:
    """A message that no actor knows: whoever receives it dies of it."""


@pytest.mark.parametrize("count", [60, pytest.param(1_000, marks=pytest.mark.prove)])
def test_each_ticket_is_completed_by_exactly_one_attempt_and_no_two_agents_ever_share_one(home, count):
    home.configure(
        workers={"count": WORKERS},
        supervisor={"max_restarts": 1_000_000, "within_seconds": 1.0},
        control={"max_attempts": 1_000, "drain_seconds": 30},
        agent={"command": home.journal_command(0.1), "grace_seconds": 5},
        runtime={"log_level": "ERROR"},
    )
    home.add(count)
    victims = cycle((POLLER, LEDGER, HEARTBEAT, STATE_HOLDER, CONTROL, CLOCK, *worker_names(WORKERS)))
    killed = []

    def kill_the_next(runtime):
        if not runtime.is_idle():
            killed.append(next(victims))
            runtime.tell(killed[-1], Poison())

    def restarted():
        events = home.events()
        return {event["payload"]["offender"] for event in events if event["event_type"] == "kora.supervisor.restarted"}

    work_the_board(
        home,
        every=0.1,
        # Whoever is killed last may not have heard of it when the board is done.
        until=lambda runtime: runtime.is_idle() and set(killed) <= restarted(),
        between=kill_the_next,
    )
    assert killed != []
    assert_each_completed_once(home)
    assert_sound(home)
