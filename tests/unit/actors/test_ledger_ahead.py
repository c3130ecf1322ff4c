"""Turns on a real store: claims that wait ahead, operations, what was taken away, and a machine that slept."""

from __future__ import annotations

import sqlite3

import pytest
from loguru import logger

from actors.ahead import ENOUGH
from actors.herald import LINES_A_TURN
from actors.messages import (
    Append,
    Drain,
    Ended,
    Ends,
    Held,
    Lost,
    Operate,
    Operated,
    Poll,
    Refresh,
    Settled,
    Tick,
    WhatRuns,
)
from actors.names import POLLER
from kora.agents.port import Lease
from kora.domain.events import EventType, NewEvent
from kora.domain.operation import OperationRequest, OperationState, Step, Verdict
from tests.unit.actors.office import WORKERS, done


def quick(office, worker, claim, seconds=0.0249):
    return Ended(worker, claim.key, done(claim), seconds)


def work_off(office, works):
    """Everything that was given out has ended, quickly; what is given out for it."""
    ends = [quick(office, worker, claim) for worker, work in works.items() for claim in work.claims]
    office.hear_ended(*ends)
    return office.works()


@pytest.fixture
def running_ahead(office, stage):
    """Work as it is given out once enough short attempts have ended."""
    office.add(ENOUGH + 40)
    office.man()
    office.order(want=3 * 5, seconds=1e6)
    works = office.works()
    assert [len(work.claims) for work in works.values()] == [1, 1, 1]
    for _ in range(ENOUGH // 3):
        works = work_off(office, works)
    stage.said(POLLER)
    return work_off(office, works)


def test_after_enough_short_attempts_each_worker_is_given_several_claims_in_one_message(office, stage, running_ahead):
    assert [len(work.claims) for work in running_ahead.values()] == [5, 5, 5]
    told = [message for message in stage.said(POLLER) if isinstance(message, Held)]
    assert (told[-1].claims_a_worker, len(told[-1].attempts)) == (5, 15)


def test_a_bundle_is_ordered_as_the_board_is_and_has_one_lease(office, stage, running_ahead):
    for work in running_ahead.values():
        ids = [claim.ticket.ticket_id for claim in work.claims]
        assert ids == sorted(ids)
        assert work.lease == Lease(stage.time.seconds + 600, 600)


def test_a_long_attempt_closes_the_look_ahead_in_the_very_turn_in_which_it_ends(office, running_ahead):
    [(worker, work), *_] = running_ahead.items()
    office.hear_ended(*(quick(office, worker, claim, 0.3) for claim in work.claims))
    assert [len(work.claims) for work in office.works().values()] == [1]


def test_a_restarted_ledger_leaves_what_waits_where_it_waits(office, stage, running_ahead):
    office.ledger.on_failure()
    office.sit()
    office.hear(*(office.announce(worker, running=work.claims) for worker, work in running_ahead.items()))
    held = {claim.key.ticket_id for work in running_ahead.values() for claim in work.claims}
    assert {office.status(ticket) for ticket in held} == {"in_progress"}
    assert office.ledger._roster.places(stage.time.seconds) == 0
    office.hear(Drain(deadline=0.0))
    for worker, work in running_ahead.items():
        office.hear_ended(*(quick(office, worker, claim) for claim in work.claims))
    assert {office.status(ticket) for ticket in held} == {"completed"}


def test_what_a_successor_has_neither_taken_up_nor_ended_is_given_back(office, running_ahead):
    [(worker, work), *_] = running_ahead.items()
    runs, ended, *lost = work.claims
    office.hear(Drain(deadline=0.0))
    office.hear(office.announce(worker, running=(runs,), ended=(quick(office, worker, ended),), generation=2))
    assert office.status(runs.key.ticket_id) == "in_progress"
    assert office.status(ended.key.ticket_id) == "completed"
    assert {office.status(claim.key.ticket_id) for claim in lost} == {"released"}
    found = sqlite3.connect(office.path).execute("SELECT ticket_id FROM tickets WHERE attempts_forgiven = 1").fetchall()
    assert {ticket_id for (ticket_id,) in found} == {claim.key.ticket_id for claim in lost}


def test_ends_of_one_turn_are_acknowledged_together(office, stage, running_ahead):
    [(worker, work), *_] = running_ahead.items()
    office.hear_ended(*(quick(office, worker, claim) for claim in work.claims))
    told = [message for message in stage.said(worker) if isinstance(message, Settled)]
    assert told == [Settled(tuple(claim.key.work_attempt_id for claim in work.claims))]


@pytest.mark.parametrize(("ends", "lines"), [(LINES_A_TURN, LINES_A_TURN), (LINES_A_TURN + 1, 1)])
def test_a_flood_of_ends_is_one_line_of_counts(office, stage, ends, lines):
    said = []
    office.add(ends)
    office.man()
    ended = []
    while len(ended) < ends:
        office.order(seconds=1.0)
        for worker, work in office.works().items():
            ended += [quick(office, worker, claim) for claim in work.claims]
            for claim in work.claims:
                office.ledger._roster.take_back(claim.key.work_attempt_id)
    stage.time.seconds += 5
    sink = logger.add(said.append, level="INFO", format="{extra} {message}", filter="actors.herald")
    office.hear_ended(*ended)
    logger.remove(sink)
    assert len(said) == lines
    if lines == 1:
        assert f"{ends} completed" in said[0]
    else:
        assert f"'ticket': '{ended[0].key.ticket_id}', 'attempt': '{ended[0].key.work_attempt_id}'" in said[0]


# --- operations ---


def begin(claim, number=1):
    return OperationRequest(claim.key, Step.BEGIN, number, "tool", f"key-{number}")


def commit(claim, number=1):
    return OperationRequest(claim.key, Step.COMMIT, number, "tool", f"key-{number}", result="7")


def answers(messages):
    return [answer for message in messages if isinstance(message, Operated) for answer in message.answers]


def test_a_request_is_written_and_answered_to_the_worker_that_asked(office, stage):
    worker, claim = office.one_at_work()
    office.hear(Operate(worker, (begin(claim),)))
    [answer] = answers(stage.said(worker))
    assert (answer.request, answer.verdict) == (begin(claim), Verdict.DISPATCHED)
    [row] = office.reader.operations(claim.key.ticket_id)
    assert row.state == OperationState.DISPATCHED


def test_a_request_that_is_told_twice_in_a_turn_or_again_later_is_one_row(office, stage):
    worker, claim = office.one_at_work()
    office.hear(Operate(worker, (begin(claim),)), Operate(worker, (begin(claim), commit(claim))))
    assert [answer.verdict for answer in answers(stage.said(worker))] == [Verdict.DISPATCHED, Verdict.COMMITTED]
    office.hear(Operate(worker, (commit(claim),)))
    assert [answer.verdict for answer in answers(stage.said(worker))] == [Verdict.COMMITTED]
    assert len(office.reader.operations(claim.key.ticket_id)) == 1


def test_what_an_attempt_asked_is_written_ahead_of_its_end_of_the_same_turn(office, stage):
    worker, claim = office.one_at_work()
    office.hear(Operate(worker, (begin(claim), commit(claim))), Ends((Ended(worker, claim.key, done(claim)),)))
    told = stage.said(worker)
    assert [type(message) for message in told] == [Operated, Settled]
    assert [answer.verdict for answer in answers(told)] == [Verdict.DISPATCHED, Verdict.COMMITTED]
    [row] = office.reader.operations(claim.key.ticket_id)
    assert (row.state, row.dispatch_result) == (OperationState.COMMITTED, 7)


def test_after_its_end_a_request_is_lost(office, stage):
    worker, claim = office.one_at_work()
    office.hear_ended(Ended(worker, claim.key, done(claim)))
    office.hear(Operate(worker, (begin(claim),)))
    assert [answer.verdict for answer in answers(stage.said(worker))] == [Verdict.LOST]


def test_while_the_store_is_away_requests_wait_and_nobody_is_answered(office, stage):
    worker, claim = office.one_at_work()
    other = sqlite3.connect(office.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    office.hear(Operate(worker, (begin(claim),)))
    office.hear(Operate(worker, (begin(claim),)))
    assert answers(stage.said(worker)) == []
    other.execute("ROLLBACK")
    other.close()
    office.ledger.on_wake()
    assert [answer.verdict for answer in answers(stage.said(worker))] == [Verdict.DISPATCHED]


# --- what was taken away ---


def lost(messages):
    return [message for message in messages if isinstance(message, Lost)]


def test_a_claim_that_an_operator_has_cancelled_is_told_lost_on_the_next_tick(office, stage):
    worker, claim = office.one_at_work()
    office.tick()
    assert lost(stage.said(worker)) == []
    office.does("cancel", claim.key.ticket_id)
    office.tick(1)
    assert lost(stage.said(worker)) == [Lost(work_attempt_id=claim.key.work_attempt_id)]
    office.does("force_retry", claim.key.ticket_id)
    office.order()
    office.tick(1)
    assert office.works() == {}, "its agent may still run"
    office.hear_ended(Ended(worker, claim.key, None))
    office.order()
    assert len(office.works()) == 1


def test_a_claim_that_was_cancelled_and_reopened_since_the_last_look_is_not_given_out_while_its_agent_runs(office):
    worker, claim = office.one_at_work()
    office.does("cancel", claim.key.ticket_id)
    office.does("force_retry", claim.key.ticket_id)
    office.order()
    assert office.works() == {}, "its agent still runs"
    office.hear_ended(Ended(worker, claim.key, None))
    office.order()
    assert len(office.works()) == 1


def test_an_attempt_that_has_just_ended_is_not_taken_for_cancelled(office, stage):
    worker, claim = office.one_at_work()
    office.tick()
    office.add(1)
    stage.said(worker)
    stage.time.seconds += 1
    office.hear_ended(Ended(worker, claim.key, done(claim)))
    office.tick()
    assert lost(stage.said(worker)) == []
    assert office.status(claim.key.ticket_id) == "completed"


def test_what_was_cancelled_is_found_also_when_the_turn_that_saw_it_failed(office, stage):
    worker, claim = office.one_at_work()
    office.tick()
    office.does("cancel", claim.key.ticket_id)
    stage.said(POLLER)
    other = sqlite3.connect(office.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    office.hear(Append(events=(NewEvent(EventType.TRANSITIONED, {}),)), Tick(now=stage.time.seconds))
    assert Poll() not in stage.said(POLLER)
    other.execute("ROLLBACK")
    other.close()
    office.ledger.on_wake()
    assert Poll() in stage.said(POLLER)
    assert Lost(work_attempt_id=claim.key.work_attempt_id) in lost(stage.said(worker))


def test_what_was_cancelled_while_there_was_no_ledger_is_found(office, stage):
    worker, claim = office.one_at_work()
    office.ledger.on_failure()
    office.does("cancel", claim.key.ticket_id)
    stage.said(worker)
    office.sit()
    office.man(*(name for name in WORKERS if name != worker))
    office.hear(office.announce(worker, running=(claim,)))
    told = stage.said(worker)
    assert WhatRuns(incarnation=2) in told
    assert lost(told) == [Lost(work_attempt_id=claim.key.work_attempt_id)]


def test_a_ticket_of_which_something_lingers_is_not_claimed(office):
    lingering, other = office.add(2)
    office.lingering = frozenset({lingering})
    office.man()
    office.order()
    assert [work.claims[0].key.ticket_id for work in office.works().values()] == [other]
    office.lingering = frozenset()
    office.order()
    assert [work.claims[0].key.ticket_id for work in office.works().values()] == [lingering]


# --- a machine that slept ---


def test_after_a_suspend_the_refreshes_come_before_the_sweep(office, stage):
    _, claim = office.one_at_work()
    office.tick()
    office.tick(601)
    assert office.status(claim.key.ticket_id) == "in_progress"
    office.tick(1)
    assert office.status(claim.key.ticket_id) == "assigned"


def test_what_has_earned_it_before_a_suspend_is_refreshed_before_anything_is_swept(office, stage):
    _, claim = office.one_at_work()
    office.tick()
    office.tick(599)
    office.hear(Refresh(((claim.key, stage.time.seconds - 599),)))
    office.tick(2)
    assert office.status(claim.key.ticket_id) == "in_progress"


def test_a_sweep_that_a_locked_store_has_put_off_is_not_made_up_for_right_after_a_suspend(office, stage):
    _, claim = office.one_at_work()
    office.tick()
    other = sqlite3.connect(office.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    office.order(want=1)
    office.hear(Operate("worker-1", (begin(claim),)))
    office.tick(1)
    other.execute("ROLLBACK")
    other.close()
    stage.time.seconds += 601
    office.ledger.on_wake()
    assert office.status(claim.key.ticket_id) == "in_progress"
    office.tick()
    assert office.status(claim.key.ticket_id) == "in_progress"
    office.tick(1)
    assert office.status(claim.key.ticket_id) == "assigned"


def test_a_dead_predecessors_claims_are_returned_also_right_after_a_suspend(office, stage):
    _, claim = office.one_at_work()
    office.tick()
    office.predecessors.gone = (office.record.runtime_id,)
    office.tick(100)
    assert office.status(claim.key.ticket_id) == "assigned"
