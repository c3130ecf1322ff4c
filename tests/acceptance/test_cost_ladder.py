"""The cost ladder from end to end, with the real program: caps, the report, a pool that is used up on the way."""

from __future__ import annotations

import signal
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from kora.domain.cost import Ramp
from kora.domain.ticket import NewTicket, Status
from kora.errors import RefusedError
from tests.acceptance.home import PATIENCE_SECONDS, Home, wait_until

AGENT = Path(__file__).with_name("spending_agent.py")


def spends(how: str) -> list[str]:
    return [sys.executable, "-I", "-S", str(AGENT), how]


def hurry(home: Home) -> bool:
    """What waits for its time is eligible now; whether anything is still to be done."""
    with home.store() as store, closing(store.reader()) as reader, closing(store.board()) as board:
        for ticket in reader.tickets((Status.RELEASED, Status.FAILED_RETRYABLE)):
            with suppress(RefusedError):
                board.force_retry(ticket.ticket_id, who="test")
        return reader.outstanding().any


def test_the_313_dollar_day_ends_with_the_caps_and_the_third_failure_and_the_report_says_so(home):
    home.configure(
        cost={"attempt_usd": 5, "ticket_usd": 20},
        **{"agents.stuck": {"command": spends("stuck")}, "agents.again": {"command": spends("again")}},
    )
    with home.store() as store, closing(store.board()) as board:
        made = [NewTicket(ticket_title=how, agent=how) for how in ("stuck", "again")]
        stuck, again = board.add(made, who="test")
    process = home.start("run", "--until-idle")
    wait_until(home, lambda: not hurry(home), process)
    assert process.wait(PATIENCE_SECONDS) == 0, home.log()

    report = home.json("report")
    lines = {line["ticket_id"]: line for line in report["needs_a_person"]}
    assert lines[stuck]["sea_status"] == "failed_terminal"
    assert lines[stuck]["failure_count_by_reason"] == {"over_limits": 3}
    assert lines[stuck]["last_summary"].startswith("over its budget (")
    assert lines[again]["sea_status"] == "blocked_needs_operator"
    assert lines[again]["work_attempt_count"] == 5
    said = "waits for an operator: its attempts have cost 20.00 USD, where they may cost 20.00"
    assert lines[again]["last_summary"].startswith(said)
    assert lines[again]["cost_usd"] == 20.0
    # A stuck one has told of a dollar more than it might, each time; nobody spends 313 dollars.
    assert lines[stuck]["cost_usd"] == 18.0
    assert {each["ticket_id"] for each in report["cost"]["stopped"]} == {stuck, again}
    assert report["cost"]["spent_usd"] == pytest.approx(report["cost_usd"])
    page = home.kora("report").stdout
    assert "stopped  again: 20.00 USD; its attempts may cost 20.00 USD (cost.ticket_usd)" in page
    assert f"stopped  stuck: {lines[stuck]['cost_usd']:.2f} USD; it failed 3 times, 3 of them over" in page


PAUSED, CLAIMED = "paused", "sea_ticket.claimed_for_edit"
ENDS = ("sea_ticket.claim_released", "sea_ticket.claim_expired")


def held_at_pauses(events, runtime_id):
    """How many claims this runtime held at each of its transitions to PAUSED, and how many it made while paused.

    A pause is over when the pool is refreshed: the mirror may say so after the first claim.
    """
    held, at_pause, while_paused, is_paused = set(), [], 0, False
    for event in events:
        payload = event["payload"]
        if event["event_type"] in (CLAIMED, *ENDS) and payload.get("holder") == runtime_id:
            if event["event_type"] == CLAIMED:
                held.add(payload["work_attempt_id"])
                while_paused += is_paused
            else:
                held.discard(payload["work_attempt_id"])
        if event["chain_id"] == runtime_id and event["event_type"] == "kora.operational_state.transitioned":
            was_paused, is_paused = is_paused, payload["to_primary_state"] == PAUSED
            if is_paused and not was_paused:
                at_pause.append(len(held))
        is_paused = is_paused and payload.get("verb") != "refresh_credit"
    return at_pause, while_paused


def told_micro_usd(events):
    """What all attempts have cost, as their ends say."""
    ends = [event["payload"] for event in events if event["event_type"] == "kora.sea_ticket.resolved"]
    return sum(round(end.get("cost_usd", 0) * 1_000_000) for end in ends)


def test_no_claim_is_held_across_a_cost_pause_and_none_made_within_and_after_the_refresh_all_goes_on(home):
    configs = [
        home.configure(
            f"runtime-{number}.toml",
            runtime={"state_dir": f"state-{number}"},
            agent={"command": spends("quick")},
            workers={"count": 3},
            cost={"pool_usd": 1.0, "ramp_seconds": 0},
        )
        for number in range(2)
    ]
    home.config.write_text(configs[0].read_text())
    home.add(30)
    processes = [home.start("run", config=config) for config in configs]

    def transitions(trigger_has):
        return {
            event["chain_id"]
            for event in home.events()
            if event["event_type"] == "kora.operational_state.transitioned"
            and trigger_has in event["payload"]["trigger"]
        }

    wait_until(home, lambda: len(transitions("cost")) == 2, processes[0])
    statuses = {ticket["sea_status"] for ticket in home.tickets()}
    assert statuses <= {"completed", "assigned", "deferred_cost_limit"}
    with home.store() as store, closing(store.board()) as board, closing(store.reader()) as reader:
        assert reader.steering().pool.spent_micro_usd >= 1_000_000
        board.refresh_credit(Ramp(0.0, 30.0), who="test")
    wait_until(home, lambda: {ticket["sea_status"] for ticket in home.tickets()} == {"completed"}, processes[0])
    for process in processes:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(PATIENCE_SECONDS) for process in processes] == [0, 0], home.log()
    events = home.events()
    for runtime_id in {event["chain_id"] for event in events if event["event_type"] == CLAIMED}:
        at_pause, while_paused = held_at_pauses(events, runtime_id)
        assert at_pause
        assert set(at_pause) == {0}, "a claim is held across a cost pause"
        assert while_paused == 0
    with home.reading() as reader:
        assert sum(reader.spend().values()) == told_micro_usd(events)
