"""What becomes of a claim whose agent was ended by its guardian, as its lease was nearly over."""

from __future__ import annotations

from actors.messages import Ended, Ends, Refresh, Tick
from kora.domain.events import EventType


def pass_seconds(office, seconds):
    for _ in range(seconds):
        office.tick(1)


def said_of(office, ticket_id):
    return [event.event_type for event in office.reader.events(ticket_id=ticket_id)]


def test_one_that_is_over_is_not_refreshed_though_both_are_heard_in_one_turn(office, stage):
    worker, claim = office.one_at_work()
    stage.time.seconds += 599.5
    office.hear(Refresh(((claim.key, stage.time.seconds),)), Ends((Ended(worker, claim.key, None),)))
    stage.time.seconds += 1
    office.hear(Tick(now=stage.time.seconds))
    pass_seconds(office, 1)
    assert office.status(claim.key.ticket_id) == "assigned"
    assert EventType.RELEASED not in said_of(office, claim.key.ticket_id)


def test_one_that_was_refreshed_without_its_guardians_knowing_is_given_back_after_a_few_ticks(office, stage):
    worker, claim = office.one_at_work()
    stage.time.seconds += 500
    office.hear(Refresh(((claim.key, stage.time.seconds),)))
    stage.time.seconds += 99
    office.hear_ended(Ended(worker, claim.key, None))
    pass_seconds(office, 2)
    assert office.status(claim.key.ticket_id) == "in_progress", "as far as the Ledger knows it is about to run out"
    pass_seconds(office, 2)
    assert office.status(claim.key.ticket_id) == "released"
    office.order()
    assert len(office.works()) == 1


def test_one_whose_lease_runs_out_is_swept_and_not_released(office, stage):
    worker, claim = office.one_at_work()
    stage.time.seconds += 599
    office.hear_ended(Ended(worker, claim.key, None))
    pass_seconds(office, 5)
    assert office.status(claim.key.ticket_id) == "assigned"
    assert EventType.RELEASED not in said_of(office, claim.key.ticket_id)
