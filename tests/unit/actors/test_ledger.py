"""Turns on a real store, by hand: what is written, and who is told what."""

from __future__ import annotations

import sqlite3

import pytest

from actors.messages import (
    Announce,
    Append,
    Describe,
    Drain,
    Ended,
    Ends,
    Flush,
    Held,
    Lost,
    Order,
    Poll,
    Refresh,
    Refreshed,
    Resume,
    Settled,
    Tick,
    WhatRuns,
)
from actors.names import HEARTBEAT, LEDGER, POLLER, RUNTIME, STATE_HOLDER
from actors.supervision import Stop
from kora.domain.events import EventType, NewEvent
from kora.domain.ids import new_id
from kora.domain.resolution import AgentResult, Outcome, StopReason, settle
from kora.store.port import RuntimeRecord
from tests.unit.actors.office import WORKERS, Office, done


@pytest.fixture
def office(stage, tmp_path):
    office = Office(stage, tmp_path / "kora.db")
    office.sit()
    yield office
    office.close()


def held_by(messages):
    return [message for message in messages if isinstance(message, Held)]


def test_a_new_ledger_asks_every_worker_and_claims_nothing_before_all_have_answered(office, stage):
    office.add(1)
    assert [stage.said(worker) for worker in WORKERS] == [[WhatRuns(incarnation=1)]] * 3
    office.man("worker-1", "worker-2")
    office.order()
    assert office.works() == {}
    office.man("worker-3")
    assert len(office.works()) == 1


def test_an_order_is_filled_as_far_as_there_are_workers_and_tickets(office, stage):
    tickets = office.add(5)
    office.man()
    office.order(want=2)
    works = office.works()
    assert sorted(work.claims[0].key.ticket_id for work in works.values()) == tickets[:2]
    assert {office.status(ticket) for ticket in tickets[:2]} == {"in_progress"}
    for work in works.values():
        assert work.lease.deadline == stage.time.seconds + 600
        assert (work.incarnation, work.generation) == (1, 1)
    assert [message.attempts for message in stage.said(POLLER) if isinstance(message, Held)][-1] == frozenset(
        work.claims[0].key.work_attempt_id for work in works.values()
    )


def test_a_place_is_filled_in_the_turn_that_empties_it(office):
    first, second = office.add(2)
    office.man("worker-1")
    office.man("worker-2")
    office.man("worker-3")
    office.order(want=1)
    [(worker, work)] = office.works().items()
    office.hear_ended(Ended(worker, work.claims[0].key, done(work.claims[0])))
    assert office.status(first) == "completed"
    assert [work.claims[0].key.ticket_id for work in office.works().values()] == [second]


def test_an_order_whose_permission_ran_out_claims_nothing(office, stage):
    office.add(1)
    office.man()
    stage.time.seconds += 10
    office.hear(Order(want=3, permitted_until=stage.time.seconds))
    assert office.works() == {}


def test_an_emptied_board_is_told_and_ends_the_order(office, stage):
    office.add(1)
    office.man()
    office.order()
    assert [message.exhausted for message in stage.said(POLLER) if isinstance(message, Held)][-1] is True
    office.add(1)
    office.hear(Tick(now=stage.time.seconds))
    assert len(office.works()) == 1
    assert Poll() in stage.said(POLLER)


def test_a_refresh_is_confirmed_to_the_worker_and_a_refused_one_is_lost(office, stage):
    office.add(1)
    office.man()
    office.order()
    [(worker, work)] = office.works().items()
    stage.time.seconds += 300
    office.hear(Refresh(((work.claims[0].key, stage.time.seconds),)))
    [confirmed] = stage.said(worker)
    assert isinstance(confirmed, Refreshed)
    assert stage.said(HEARTBEAT) == [confirmed]
    assert confirmed.lease.deadline == stage.time.seconds + 600
    stage.time.seconds += 601
    office.hear(Refresh(((work.claims[0].key, stage.time.seconds),)))
    assert stage.said(worker) == [Lost(work_attempt_id=work.claims[0].key.work_attempt_id)]


def test_a_lost_attempt_is_held_until_its_agent_is_gone_and_then_nothing_is_written(office, stage):
    [ticket] = office.add(1)
    office.man()
    office.order()
    [(worker, work)] = office.works().items()
    stage.time.seconds += 601
    office.hear(Tick(now=stage.time.seconds))
    told = stage.said(worker)
    assert office.status(ticket) == "assigned"
    office.order()
    assert office.works() == {}, "its own agent may still run"
    assert Lost(work_attempt_id=work.claims[0].key.work_attempt_id) in told
    office.hear_ended(Ended(worker, work.claims[0].key, None))
    assert stage.said(worker) == [Settled((work.claims[0].key.work_attempt_id,))]
    office.order()
    assert len(office.works()) == 1
    types = [event.event_type for event in office.reader.events(ticket_id=ticket)]
    assert EventType.RESOLVED not in types
    assert EventType.RELEASED not in types


def test_an_end_is_acknowledged_also_when_it_arrives_twice_or_too_late(office, stage):
    [ticket] = office.add(1)
    office.man()
    office.order()
    [(worker, work)] = office.works().items()
    ended = Ended(worker, work.claims[0].key, done(work.claims[0]))
    office.hear_ended(ended, ended)
    office.hear_ended(ended)
    assert stage.said(worker) == [Settled((work.claims[0].key.work_attempt_id,))] * 2
    assert [e.event_type for e in office.reader.events(ticket_id=ticket)].count(EventType.RESOLVED) == 1


def test_a_restarted_ledger_adopts_what_runs_and_gives_back_what_nobody_has(office, stage):
    running, dropped, over = office.add(3)
    office.man()
    office.order()
    works = {work.claims[0].key.ticket_id: (worker, work) for worker, work in office.works().items()}
    office.ledger.on_failure()
    office.sit()
    assert office.incarnation == 2
    (runner, work), (dropper, _), (ender, end) = works[running], works[dropped], works[over]
    office.hear(office.announce(runner, running=work.claims))
    office.hear(office.announce(ender, ended=(Ended(ender, end.claims[0].key, done(end.claims[0])),)))
    assert office.status(over) == "completed"
    assert office.status(dropped) == "in_progress"
    office.hear(office.announce(dropper))
    assert office.status(dropped) == "released"
    assert office.status(running) == "in_progress"
    assert office.reader.ticket(dropped).next_eligible_at is None


def test_what_was_given_to_a_workers_predecessor_and_never_taken_up_is_given_back(office):
    [ticket] = office.add(1)
    office.man()
    office.order()
    [worker] = office.works()
    office.hear(Drain(deadline=0.0))
    office.hear(office.announce(worker, generation=2))
    assert office.status(ticket) == "released"


def test_an_announcement_to_another_incarnation_is_answered_with_the_question(office, stage):
    for worker in WORKERS:
        stage.said(worker)
    office.hear(
        Announce(
            worker="worker-1",
            generation=1,
            incarnation=0,
        )
    )
    assert stage.said("worker-1") == [WhatRuns(incarnation=1)]


def test_a_retired_ledger_writes_nothing(office, stage):
    office.man()
    retired = office.ledger
    office.sit()
    with pytest.raises(Exception, match="incarnation"):
        retired.on_batch([Append(events=(NewEvent(EventType.TRANSITIONED, {}),))])
    assert list(office.reader.events()) == []
    retired.on_stop()


def test_while_the_store_is_locked_everything_waits_and_nothing_is_lost(office, stage):
    [ticket] = office.add(1)
    office.man()
    office.order()
    [(worker, work)] = office.works().items()
    stage.said(worker)
    other = sqlite3.connect(office.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    office.hear_ended(Ended(worker, work.claims[0].key, done(work.claims[0])))
    assert office.ledger.wake_at is not None
    assert stage.said(worker) == []
    other.execute("ROLLBACK")
    other.close()
    office.ledger.on_wake()
    assert office.status(ticket) == "completed"
    assert stage.said(worker) == [Settled((work.claims[0].key.work_attempt_id,))]


def test_what_a_dead_predecessor_held_is_returned_and_it_is_forgotten(office, stage):
    [ticket] = office.add(1)
    office.man()
    office.order()
    assert office.works()
    predecessor = office.record.runtime_id
    office.ledger.on_stop()
    office.record = RuntimeRecord(new_id(), "host", 2, "0")
    office.sit()
    office.predecessors.gone = (predecessor,)
    office.hear(Tick(now=stage.time.seconds))
    assert office.status(ticket) == "assigned"
    assert office.predecessors.forgotten == [predecessor]


def test_while_draining_nothing_is_claimed(office):
    office.add(1)
    office.man()
    office.hear(Drain(deadline=0.0))
    office.order()
    assert office.works() == {}


def test_without_a_holder_nobody_is_told_and_with_one_it_hears_the_held_set(office, stage):
    stage.said(STATE_HOLDER)
    office.man()
    assert any(isinstance(message, Held) for message in stage.said(STATE_HOLDER))
    stage.directory.withdraw(STATE_HOLDER)
    before = stage.directory.dead_letters.total
    office.man()
    assert stage.directory.dead_letters.total == before


def test_nothing_is_told_of_the_held_set_before_every_worker_has_answered(office, stage):
    office.add(1)
    office.man()
    office.order()
    [(worker, work)] = office.works().items()
    office.ledger.on_failure()
    office.sit()
    for name in (POLLER, STATE_HOLDER, RUNTIME):
        stage.said(name)
    office.hear(Tick(now=stage.time.seconds))
    others = [name for name in WORKERS if name != worker]
    office.man(*others)
    assert [held_by(stage.said(name)) for name in (POLLER, STATE_HOLDER, RUNTIME)] == [[], [], []]
    office.hear(office.announce(worker, running=work.claims))
    for name in (POLLER, STATE_HOLDER, RUNTIME):
        assert [held.attempts for held in held_by(stage.said(name))] == [{work.claims[0].key.work_attempt_id}]


def test_it_is_drained_when_it_was_told_to_and_nothing_is_held_or_left_to_write(office, stage):
    office.add(1)
    office.man()
    office.order()
    [(worker, work)] = office.works().items()
    assert not any(held.drained for held in held_by(stage.said(RUNTIME)))
    office.hear(Drain(deadline=0.0), Tick(now=stage.time.seconds))
    assert [held.drained for held in held_by(stage.said(RUNTIME))] == [False]
    office.hear_ended(Ended(worker, work.claims[0].key, done(work.claims[0])))
    assert [held.drained for held in held_by(stage.said(RUNTIME))] == [True]


def test_what_was_returned_to_the_board_wakes_the_poller_after_it_heard_that_the_board_is_empty(office, stage):
    office.add(1)
    office.man()
    office.order()
    assert office.works()
    stage.said(POLLER)
    stage.time.seconds += 601
    office.hear(Order(want=3, permitted_until=stage.time.seconds + 5), Tick(now=stage.time.seconds))
    messages = stage.said(POLLER)
    assert messages[-1] == Poll()
    assert any(isinstance(message, Held) and message.exhausted for message in messages[:-1])


def test_a_new_ledger_wakes_the_poller_for_what_was_added_while_there_was_none(office, stage):
    office.ledger.on_failure()
    stage.said(POLLER)
    office.sit()
    assert Poll() in stage.said(POLLER)


@pytest.mark.parametrize(
    ("outcome", "resolution"),
    [
        (Outcome(exit_code=3), "failed_retryable"),
        (Outcome(exit_code=75), "released"),
        (Outcome(signal=9), "released"),
        (Outcome(fault="no such program"), "released"),
        (Outcome(signal=15, stop_reason=StopReason.TIMED_OUT), "failed_retryable"),
        (Outcome(signal=15, stop_reason=StopReason.STALLED), "failed_retryable"),
        (Outcome(exit_code=0, protocol_fault="?"), "failed_retryable"),
        (Outcome(exit_code=0, result=AgentResult(resolution="failed_retryable")), "failed_retryable"),
        (Outcome(exit_code=0, result=AgentResult(resolution="released")), "released"),
    ],
)
def test_every_kind_of_failure_is_written_with_its_reason_and_its_pause(office, outcome, resolution):
    [ticket] = office.add(1)
    office.man()
    office.order()
    [(worker, work)] = office.works().items()
    office.hear_ended(Ended(worker, work.claims[0].key, settle(work.claims[0], outcome, max_attempts=10)))
    written = office.reader.ticket(ticket)
    assert (written.sea_status, written.last_resolution) == (resolution, resolution)
    assert sum(written.failure_count_by_reason.values()) == 1
    assert written.next_eligible_at is not None
    assert office.works() == {}


def test_an_end_that_the_store_refuses_to_write_is_a_fault_with_a_pause_and_not_a_hot_loop(office, stage):
    [ticket] = office.add(1)
    office.man()
    office.order()
    [(worker, work)] = office.works().items()
    spoilt = done(work.claims[0])._replace(summary="\ud800")
    office.hear_ended(Ended(worker, work.claims[0].key, spoilt))
    assert stage.said(worker) == [Settled((work.claims[0].key.work_attempt_id,))]
    office.ledger.on_wake()
    written = office.reader.ticket(ticket)
    assert (written.sea_status, written.failure_count_by_reason) == ("released", {"dispatch_fault": 1})
    assert "could not be written" in written.last_summary
    assert written.next_eligible_at is not None


def test_an_event_that_is_handed_over_twice_is_written_once(office):
    office.man()
    event = NewEvent(EventType.TRANSITIONED, {"trigger": "x"})
    office.hear(Append(events=(event,)))
    office.hear(Append(events=(event, event)))
    assert [found.event_id for found in office.reader.events()] == [event.event_id]


def test_a_claim_whose_answer_was_lost_is_found_and_given_back(office, stage):
    [ticket] = office.add(1)
    office.man()
    office.order()
    [(_, work)] = office.works().items()
    office.ledger._roster.take_back(work.claims[0].key.work_attempt_id)
    other = sqlite3.connect(office.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    office.hear(Append(events=(NewEvent(EventType.TRANSITIONED, {}),)))
    other.execute("ROLLBACK")
    other.close()
    office.hear(Drain(deadline=0.0))
    office.ledger.on_wake()
    assert office.status(ticket) == "released"
    assert office.reader.ticket(ticket).last_summary == "nobody works on it"


def test_a_flush_answers_whether_all_is_written_and_never_raises(office):
    office.man()
    assert office.ledger.on_receive(Flush()) is True
    other = sqlite3.connect(office.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    office.ledger._pending.append((NewEvent(EventType.TRANSITIONED, {}),))
    assert office.ledger.on_receive(Flush()) is False
    other.execute("ROLLBACK")
    other.close()
    retired = office.ledger
    office.sit()
    assert retired.on_receive(Flush()) is False
    retired.on_stop()


def test_an_order_to_stop_does_not_overtake_an_event(office, stage):
    event = NewEvent(EventType.SUPERVISOR_GAVE_UP, {"offender": "poller"})
    stage.directory.tell(LEDGER, Tick(now=stage.time.seconds))
    stage.directory.tell(LEDGER, Append(events=(event,)))
    stage.directory.tell(LEDGER, Stop())
    first, *_ = stage.said(LEDGER)
    assert first == Append(events=(event,))


def test_an_operators_drain_claims_nothing_until_it_is_taken_back_and_is_no_end_of_the_runtime(office, stage):
    office.add(1)
    office.man()
    stage.said(RUNTIME)
    office.hear(Drain(deadline=0.0, is_final=False))
    office.order()
    office.tick()
    assert office.works() == {}
    assert not any(held.drained for held in stage.said(RUNTIME))
    office.hear(Resume())
    office.order()
    assert len(office.works()) == 1
    office.hear(Drain(deadline=0.0), Resume())
    assert office.ledger.facts()["draining"]


def test_the_ends_that_are_written_are_counted_across_ledgers(office):
    worker, claim = office.one_at_work()
    office.hear(Ends((Ended(worker, claim.key, done(claim)),)))
    office.sit()
    assert office.ended == {"completed": 1}


def test_it_tells_how_it_stands(office):
    assert office.ledger.facts()["silent_workers"] == list(WORKERS)
    office.one_at_work()
    facts = office.ledger.on_receive(Describe())
    assert (facts["incarnation"], facts["held"], facts["silent_workers"]) == (office.incarnation, 1, [])
