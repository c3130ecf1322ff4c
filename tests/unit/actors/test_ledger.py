"""Turns on a real store, by hand: what is written, and who is told what."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from actors.ledger import Ledger
from actors.messages import (
    Announce,
    Append,
    Drain,
    Ended,
    Flush,
    Held,
    Lost,
    Order,
    Refresh,
    Refreshed,
    Settled,
    Tick,
    Wake,
    WhatRuns,
    Work,
)
from actors.names import HEARTBEAT, LEDGER, POLLER, RUNTIME, STATE_HOLDER, worker_names
from actors.supervision import Stop
from kora.domain.events import EventType, NewEvent
from kora.domain.ids import default_actor_id, new_id
from kora.domain.resolution import AgentResult, Outcome, StopReason, settle
from kora.domain.ticket import NewTicket
from kora.store.open import open_store
from kora.store.port import RuntimeRecord

WORKERS = worker_names(3)


class NoPredecessors:
    def __init__(self):
        self.gone, self.forgotten = (), []

    def ended(self):
        return self.gone

    def forget(self, runtime_ids):
        self.forgotten += runtime_ids


class Desk:
    """A Ledger on a stage, with a board of its own."""

    def __init__(self, stage, path):
        self.stage, self.path = stage, path
        self.store = open_store(
            f"sqlite:///{path}", workspace_id="default", actor_id=default_actor_id("default"), time=stage.time
        )
        self.reader = self.store.reader()
        self.record = RuntimeRecord(new_id(), "host", 1, "0")
        self.predecessors = NoPredecessors()
        self.ledger = None

    def sit(self):
        """A new Ledger; the answers of the Workers are the test's."""
        self.ledger = self.stage.put(
            LEDGER,
            lambda seat: Ledger(
                seat,
                open_writer=lambda: self.store.writer(self.record),
                workers=WORKERS,
                predecessors=self.predecessors,
                lease_seconds=600.0,
                max_attempts=10,
                time_source=self.stage.time,
            ),
        )
        self.ledger.on_wake()

    def hear(self, *messages):
        self.ledger.on_batch(list(messages))

    def announce(self, worker, *, running=None, ended=None, generation=1):
        return Announce(
            worker=worker, generation=generation, incarnation=self.incarnation, running=running, ended=ended
        )

    def man(self, *workers):
        self.hear(*(self.announce(worker) for worker in workers or WORKERS))

    @property
    def incarnation(self):
        return self.ledger._incarnation

    def order(self, want=3, seconds=5.0):
        self.hear(Order(want=want, permitted_until=self.stage.time.seconds + seconds))

    def add(self, count):
        board = self.store.board()
        ids = board.add([NewTicket(ticket_title=f"t{number}") for number in range(count)], who="test")
        board.close()
        return ids

    def works(self):
        """The work given out since the last look, by worker."""
        return {
            worker: message for worker in WORKERS for message in self.stage.said(worker) if isinstance(message, Work)
        }

    def status(self, ticket_id):
        return self.reader.ticket(ticket_id).sea_status

    def close(self):
        self.ledger.on_stop()
        self.reader.close()
        self.store.close()


@pytest.fixture
def desk(stage, tmp_path):
    desk = Desk(stage, tmp_path / "kora.db")
    desk.sit()
    yield desk
    desk.close()


def held_by(messages):
    return [message for message in messages if isinstance(message, Held)]


def done(claim):
    return settle(claim, Outcome(exit_code=0), max_attempts=10)


def test_a_new_ledger_asks_every_worker_and_claims_nothing_before_all_have_answered(desk, stage):
    desk.add(1)
    assert [stage.said(worker) for worker in WORKERS] == [[WhatRuns(incarnation=1)]] * 3
    desk.man("worker-1", "worker-2")
    desk.order()
    assert desk.works() == {}
    desk.man("worker-3")
    assert len(desk.works()) == 1


def test_an_order_is_filled_as_far_as_there_are_workers_and_tickets(desk, stage):
    tickets = desk.add(5)
    desk.man()
    desk.order(want=2)
    works = desk.works()
    assert sorted(work.claim.key.ticket_id for work in works.values()) == tickets[:2]
    assert {desk.status(ticket) for ticket in tickets[:2]} == {"in_progress"}
    for work in works.values():
        assert work.lease.deadline == stage.time.seconds + 600
        assert (work.incarnation, work.generation) == (1, 1)
    assert [message.attempts for message in stage.said(POLLER) if isinstance(message, Held)][-1] == frozenset(
        work.claim.key.work_attempt_id for work in works.values()
    )


def test_a_place_is_filled_in_the_turn_that_empties_it(desk):
    first, second = desk.add(2)
    desk.man("worker-1")
    desk.man("worker-2")
    desk.man("worker-3")
    desk.order(want=1)
    [(worker, work)] = desk.works().items()
    desk.hear(Ended(worker, work.claim.key, done(work.claim)))
    assert desk.status(first) == "completed"
    assert [work.claim.key.ticket_id for work in desk.works().values()] == [second]


def test_an_order_whose_permission_ran_out_claims_nothing(desk, stage):
    desk.add(1)
    desk.man()
    stage.time.seconds += 10
    desk.hear(Order(want=3, permitted_until=stage.time.seconds))
    assert desk.works() == {}


def test_an_emptied_board_is_told_and_ends_the_order(desk, stage):
    desk.add(1)
    desk.man()
    desk.order()
    assert [message.exhausted for message in stage.said(POLLER) if isinstance(message, Held)][-1] is True
    desk.add(1)
    desk.hear(Tick(now=stage.time.seconds))
    assert len(desk.works()) == 1
    assert Wake() in stage.said(POLLER)


def test_a_refresh_is_confirmed_to_the_worker_and_a_refused_one_is_lost(desk, stage):
    desk.add(1)
    desk.man()
    desk.order()
    [(worker, work)] = desk.works().items()
    stage.time.seconds += 300
    desk.hear(Refresh(keys=(work.claim.key,)))
    [confirmed] = stage.said(worker)
    assert isinstance(confirmed, Refreshed)
    assert stage.said(HEARTBEAT) == [confirmed]
    assert confirmed.lease.deadline == stage.time.seconds + 600
    stage.time.seconds += 601
    desk.hear(Refresh(keys=(work.claim.key,)))
    assert stage.said(worker) == [Lost(work_attempt_id=work.claim.key.work_attempt_id)]


def test_a_lost_attempt_is_held_until_its_agent_is_gone_and_then_nothing_is_written(desk, stage):
    [ticket] = desk.add(1)
    desk.man()
    desk.order()
    [(worker, work)] = desk.works().items()
    stage.time.seconds += 601
    desk.hear(Tick(now=stage.time.seconds))
    told = stage.said(worker)
    assert desk.status(ticket) == "assigned"
    desk.order()
    assert desk.works() == {}, "its own agent may still run"
    assert Lost(work_attempt_id=work.claim.key.work_attempt_id) in told
    desk.hear(Ended(worker, work.claim.key, None))
    assert stage.said(worker) == [Settled(work_attempt_id=work.claim.key.work_attempt_id)]
    desk.order()
    assert len(desk.works()) == 1
    types = [event.event_type for event in desk.reader.events(ticket_id=ticket)]
    assert EventType.RESOLVED not in types
    assert EventType.RELEASED not in types


def test_an_end_is_acknowledged_also_when_it_arrives_twice_or_too_late(desk, stage):
    [ticket] = desk.add(1)
    desk.man()
    desk.order()
    [(worker, work)] = desk.works().items()
    ended = Ended(worker, work.claim.key, done(work.claim))
    desk.hear(ended, ended)
    desk.hear(ended)
    assert stage.said(worker) == [Settled(work_attempt_id=work.claim.key.work_attempt_id)] * 2
    assert [e.event_type for e in desk.reader.events(ticket_id=ticket)].count(EventType.RESOLVED) == 1


def test_a_restarted_ledger_adopts_what_runs_and_gives_back_what_nobody_has(desk, stage):
    running, dropped, over = desk.add(3)
    desk.man()
    desk.order()
    works = {work.claim.key.ticket_id: (worker, work) for worker, work in desk.works().items()}
    desk.ledger.on_failure()
    desk.sit()
    assert desk.incarnation == 2
    (runner, work), (dropper, _), (ender, end) = works[running], works[dropped], works[over]
    desk.hear(desk.announce(runner, running=work.claim))
    desk.hear(desk.announce(ender, ended=Ended(ender, end.claim.key, done(end.claim))))
    assert desk.status(over) == "completed"
    assert desk.status(dropped) == "in_progress"
    desk.hear(desk.announce(dropper))
    assert desk.status(dropped) == "released"
    assert desk.status(running) == "in_progress"
    assert desk.reader.ticket(dropped).next_eligible_at is None


def test_what_was_given_to_a_workers_predecessor_and_never_taken_up_is_given_back(desk):
    [ticket] = desk.add(1)
    desk.man()
    desk.order()
    [worker] = desk.works()
    desk.hear(Drain(deadline=0.0))
    desk.hear(desk.announce(worker, generation=2))
    assert desk.status(ticket) == "released"


def test_an_announcement_to_another_incarnation_is_answered_with_the_question(desk, stage):
    for worker in WORKERS:
        stage.said(worker)
    desk.hear(Announce(worker="worker-1", generation=1, incarnation=0, running=None, ended=None))
    assert stage.said("worker-1") == [WhatRuns(incarnation=1)]


def test_a_retired_ledger_writes_nothing(desk, stage):
    desk.man()
    retired = desk.ledger
    desk.sit()
    with pytest.raises(Exception, match="incarnation"):
        retired.on_batch([Append(events=(NewEvent(EventType.TRANSITIONED, {}),))])
    assert list(desk.reader.events()) == []
    retired.on_stop()


def test_while_the_store_is_locked_everything_waits_and_nothing_is_lost(desk, stage):
    [ticket] = desk.add(1)
    desk.man()
    desk.order()
    [(worker, work)] = desk.works().items()
    stage.said(worker)
    other = sqlite3.connect(desk.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    desk.hear(Ended(worker, work.claim.key, done(work.claim)))
    assert desk.ledger.wake_at is not None
    assert stage.said(worker) == []
    other.execute("ROLLBACK")
    other.close()
    desk.ledger.on_wake()
    assert desk.status(ticket) == "completed"
    assert stage.said(worker) == [Settled(work_attempt_id=work.claim.key.work_attempt_id)]


def test_what_a_dead_predecessor_held_is_returned_and_it_is_forgotten(desk, stage):
    [ticket] = desk.add(1)
    desk.man()
    desk.order()
    assert desk.works()
    predecessor = desk.record.runtime_id
    desk.ledger.on_stop()
    desk.record = RuntimeRecord(new_id(), "host", 2, "0")
    desk.sit()
    desk.predecessors.gone = (predecessor,)
    desk.hear(Tick(now=stage.time.seconds))
    assert desk.status(ticket) == "assigned"
    assert desk.predecessors.forgotten == [predecessor]


def test_while_draining_nothing_is_claimed(desk):
    desk.add(1)
    desk.man()
    desk.hear(Drain(deadline=0.0))
    desk.order()
    assert desk.works() == {}


def test_without_a_holder_nobody_is_told_and_with_one_it_hears_the_held_set(desk, stage):
    stage.said(STATE_HOLDER)
    desk.man()
    assert any(isinstance(message, Held) for message in stage.said(STATE_HOLDER))
    stage.directory.withdraw(STATE_HOLDER)
    before = stage.directory.dead_letters.total
    desk.man()
    assert stage.directory.dead_letters.total == before


def test_nothing_is_told_of_the_held_set_before_every_worker_has_answered(desk, stage):
    desk.add(1)
    desk.man()
    desk.order()
    [(worker, work)] = desk.works().items()
    desk.ledger.on_failure()
    desk.sit()
    for name in (POLLER, STATE_HOLDER, RUNTIME):
        stage.said(name)
    desk.hear(Tick(now=stage.time.seconds))
    others = [name for name in WORKERS if name != worker]
    desk.man(*others)
    assert [held_by(stage.said(name)) for name in (POLLER, STATE_HOLDER, RUNTIME)] == [[], [], []]
    desk.hear(desk.announce(worker, running=work.claim))
    for name in (POLLER, STATE_HOLDER, RUNTIME):
        assert [held.attempts for held in held_by(stage.said(name))] == [{work.claim.key.work_attempt_id}]


def test_it_is_drained_when_it_was_told_to_and_nothing_is_held_or_left_to_write(desk, stage):
    desk.add(1)
    desk.man()
    desk.order()
    [(worker, work)] = desk.works().items()
    assert not any(held.drained for held in held_by(stage.said(RUNTIME)))
    desk.hear(Drain(deadline=0.0), Tick(now=stage.time.seconds))
    assert [held.drained for held in held_by(stage.said(RUNTIME))] == [False]
    desk.hear(Ended(worker, work.claim.key, done(work.claim)))
    assert [held.drained for held in held_by(stage.said(RUNTIME))] == [True]


def test_what_was_returned_to_the_board_wakes_the_poller_after_it_heard_that_the_board_is_empty(desk, stage):
    desk.add(1)
    desk.man()
    desk.order()
    assert desk.works()
    stage.said(POLLER)
    stage.time.seconds += 601
    desk.hear(Order(want=3, permitted_until=stage.time.seconds + 5), Tick(now=stage.time.seconds))
    messages = stage.said(POLLER)
    assert messages[-1] == Wake()
    assert any(isinstance(message, Held) and message.exhausted for message in messages[:-1])


def test_a_new_ledger_wakes_the_poller_for_what_was_added_while_there_was_none(desk, stage):
    desk.ledger.on_failure()
    stage.said(POLLER)
    desk.sit()
    assert Wake() in stage.said(POLLER)


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
def test_every_kind_of_failure_is_written_with_its_reason_and_its_pause(desk, outcome, resolution):
    [ticket] = desk.add(1)
    desk.man()
    desk.order()
    [(worker, work)] = desk.works().items()
    desk.hear(Ended(worker, work.claim.key, settle(work.claim, outcome, max_attempts=10)))
    written = desk.reader.ticket(ticket)
    assert (written.sea_status, written.last_resolution) == (resolution, resolution)
    assert sum(written.failure_count_by_reason.values()) == 1
    assert written.next_eligible_at is not None
    assert desk.works() == {}


def test_an_end_that_the_store_refuses_to_write_is_a_fault_with_a_pause_and_not_a_hot_loop(desk, stage):
    [ticket] = desk.add(1)
    desk.man()
    desk.order()
    [(worker, work)] = desk.works().items()
    spoilt = replace(done(work.claim), summary="\ud800")
    desk.hear(Ended(worker, work.claim.key, spoilt))
    assert stage.said(worker) == [Settled(work_attempt_id=work.claim.key.work_attempt_id)]
    desk.ledger.on_wake()
    written = desk.reader.ticket(ticket)
    assert (written.sea_status, written.failure_count_by_reason) == ("released", {"dispatch_fault": 1})
    assert "could not be written" in written.last_summary
    assert written.next_eligible_at is not None


def test_an_event_that_is_handed_over_twice_is_written_once(desk):
    desk.man()
    event = NewEvent(EventType.TRANSITIONED, {"trigger": "x"})
    desk.hear(Append(events=(event,)))
    desk.hear(Append(events=(event, event)))
    assert [found.event_id for found in desk.reader.events()] == [event.event_id]


def test_a_claim_whose_answer_was_lost_is_found_and_given_back(desk, stage):
    [ticket] = desk.add(1)
    desk.man()
    desk.order()
    [(_, work)] = desk.works().items()
    desk.ledger._roster.take_back(work.claim.key.work_attempt_id)
    other = sqlite3.connect(desk.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    desk.hear(Append(events=(NewEvent(EventType.TRANSITIONED, {}),)))
    other.execute("ROLLBACK")
    other.close()
    desk.hear(Drain(deadline=0.0))
    desk.ledger.on_wake()
    assert desk.status(ticket) == "released"
    assert desk.reader.ticket(ticket).last_summary == "nobody works on it"


def test_a_flush_answers_whether_all_is_written_and_never_raises(desk):
    desk.man()
    assert desk.ledger.on_receive(Flush()) is True
    other = sqlite3.connect(desk.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    desk.ledger._pending.append((NewEvent(EventType.TRANSITIONED, {}),))
    assert desk.ledger.on_receive(Flush()) is False
    other.execute("ROLLBACK")
    other.close()
    retired = desk.ledger
    desk.sit()
    assert retired.on_receive(Flush()) is False
    retired.on_stop()


def test_an_order_to_stop_does_not_overtake_an_event(desk, stage):
    event = NewEvent(EventType.SUPERVISOR_GAVE_UP, {"offender": "poller"})
    stage.directory.tell(LEDGER, Tick(now=stage.time.seconds))
    stage.directory.tell(LEDGER, Append(events=(event,)))
    stage.directory.tell(LEDGER, Stop())
    first, *_ = stage.said(LEDGER)
    assert first == Append(events=(event,))
