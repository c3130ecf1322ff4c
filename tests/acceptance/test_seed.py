"""The four cases of the first pull request: READY and ACTIVE follow the claims, and never hold them up."""

from __future__ import annotations

import pytest
from loguru import logger

from actors.state_holder import StateHolder
from kora.app import Runtime
from tests.acceptance.home import Home, assert_sound
from tests.acceptance.in_process import with_holder, work_the_board

CYCLE = [("ready", "active", "claim acquired"), ("active", "ready", "claim released")]
BOOT = ("booting", "ready", "all boot gates pass")
CLAIM_EVENTS = ["sea_ticket.claimed_for_edit", "kora.sea_ticket.resolved", "sea_ticket.claim_released"]


class Log:
    """Every line that was logged, with its level."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def write(self, message) -> None:
        self.lines.append((message.record["level"].name, message.record["message"]))

    def at(self, level: str, words: str) -> list[str]:
        return [line for name, line in self.lines if name == level and words in line]


@pytest.fixture
def log():
    log = Log()
    number = logger.add(log.write, level="DEBUG", catch=False)
    yield log
    logger.remove(number)


def listening(*listeners):
    return with_holder(lambda seat: StateHolder(seat, listeners=listeners))


def ticket_events(home: Home) -> list[str]:
    return [
        event["event_type"]
        for event in home.events()
        if event["event_type"] in {*CLAIM_EVENTS, "sea_ticket.claim_expired"}
    ]


def test_the_full_cycle_fires_both_transitions_in_order_and_ends_ready(home):
    home.add(1)
    fired = []
    work_the_board(
        home,
        listening(lambda before, after, trigger: fired.append((before.primary_state, after.primary_state, trigger))),
    )
    assert fired == [BOOT, *CYCLE]
    assert ticket_events(home) == CLAIM_EVENTS


def test_the_transitions_stand_in_the_event_log_between_the_claims_own_events(home):
    home.add(1)
    work_the_board(home)
    types = [event["event_type"] for event in home.events() if not event["event_type"].startswith("kora.operator")]
    transitioned = "kora.operational_state.transitioned"
    assert types == ["kora.boot.ready", transitioned, CLAIM_EVENTS[0], transitioned, *CLAIM_EVENTS[1:], transitioned]
    payloads = [event["payload"] for event in home.events() if event["event_type"] == transitioned]
    assert [(p["from_primary_state"], p["to_primary_state"], p["trigger"]) for p in payloads] == [BOOT, *CYCLE]
    assert payloads[1] | {"claim_permission": "normal", "degradation_reasons": []} == payloads[1]


def test_a_lease_lost_in_mid_work_fires_both_and_nothing_is_resolved_or_released(home):
    home.configure(
        poller={"lease_seconds": 1.0},
        heartbeat={"interval_seconds": 0.9},
        agent={"command": ["sleep", "60"], "grace_seconds": 0.1},
    )
    home.add(1)
    fired = []

    def lost_and_expired(_runtime: Runtime) -> bool:
        return "sea_ticket.claim_expired" in ticket_events(home)

    def holder(seat):
        return StateHolder(
            seat,
            listeners=[
                lambda before, after, trigger: fired.append((before.primary_state, after.primary_state, trigger))
            ],
        )

    work_the_board(home, with_holder(holder), until=lost_and_expired)
    assert fired[:3] == [BOOT, *CYCLE]
    events = ticket_events(home)
    assert events[:2] == ["sea_ticket.claimed_for_edit", "sea_ticket.claim_expired"]


def test_without_a_holder_claim_and_release_run_and_debug_lines_say_why_nothing_is_mirrored(home, log):
    home.add(1)
    work_the_board(home, with_holder(None))
    assert ticket_events(home) == CLAIM_EVENTS
    assert [event for event in home.events() if "transitioned" in event["event_type"]] == []
    assert len(log.at("DEBUG", "holder not initialized")) == 2


def test_when_the_transition_raises_claim_and_release_run_and_there_are_exactly_two_warnings(home, log):
    home.add(1)

    def raising(_before, _after, trigger):
        if trigger.startswith("claim"):
            raise RuntimeError("the listener is broken")

    work_the_board(home, listening(raising))
    assert ticket_events(home) == CLAIM_EVENTS
    acquired, released = log.at("WARNING", "operational-state transition")
    assert "active" in acquired
    assert "claim acquired" in acquired
    assert "ready" in released
    assert "claim released" in released
    assert_sound(home)
