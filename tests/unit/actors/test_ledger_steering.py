"""What steers the work, in a Ledger's turns on a real store."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from actors.messages import Ended, Flush, Held, Order, Poll, Tick
from actors.names import CONTROL, POLLER
from actors.steering import MarkCommands, ResumeCredit, StoreAnswered
from kora.domain.control import CommandStatus, NewMark, StopLevel
from kora.domain.cost import Ramp, Resumption
from kora.domain.resolution import Outcome, StopReason, settle
from kora.domain.ticket import Status


@pytest.fixture
def board(office):
    with closing(office.store.board()) as board:
        yield board


def stop(board, level=1):
    return board.stop(StopLevel(level), reason="enough", enforce_seconds=60.0, who="ann")


def last_held(stage, name=POLLER):
    return [message for message in stage.said(name) if isinstance(message, Held)][-1]


def test_what_a_command_holds_up_is_no_word_about_the_board_and_its_order_is_over(office, stage, board):
    office.man()
    office.add(1)
    stop(board)
    office.order()
    held = last_held(stage)
    assert (held.is_held_up, held.exhausted) == (True, False)
    board.reset(reason="seen to", who="ann")
    office.tick()
    assert office.works() == {}
    office.order()
    assert len(office.works()) == 1


@pytest.mark.parametrize(("is_single", "then"), [(False, 1), (True, 0)])
def test_a_single_order_is_over_with_the_claim_that_was_made_by_it(office, stage, is_single, then):
    office.man()
    office.add(2)
    until = stage.time.seconds + 5
    # It is asked for again before anybody can know what came of the first.
    for _ in range(2):
        office.hear(Order(want=1, permitted_until=until, permitted_by=(2, 7), is_single=is_single))
    [(worker, work)] = office.works().items()
    outcome = Outcome(exit_code=0, stop_reason=StopReason.STOPPED)
    office.hear_ended(Ended(worker, work.claims[0].key, settle(work.claims[0], outcome, max_attempts=9), 1.0))
    assert len(office.works()) == then
    office.hear(Order(want=1, permitted_until=until, permitted_by=(2, 8), is_single=is_single))
    assert len(office.works()) == 1 - then


def test_control_hears_what_is_held_with_the_newest_permission_and_an_older_order_is_over(office, stage):
    office.man()
    office.add(2)
    now = stage.time.seconds
    office.hear(Order(want=0, permitted_until=now + 5, permitted_by=(2, 7)))
    office.hear(Order(want=1, permitted_until=now + 5, permitted_by=(2, 6)))
    assert office.works() == {}
    office.tick()
    held = last_held(stage, CONTROL)
    assert (held.permitted_by, held.attempts) == ((2, 7), frozenset())
    office.hear(Order(want=2, permitted_until=now + 5, permitted_by=(2, 7)))
    assert len(last_held(stage, CONTROL).attempts) == 1


def test_marks_are_written_in_the_next_turn_and_the_end_wins_whoever_says_it_first(office, board):
    office.man()
    command = stop(board, 4)

    def mark(*statuses):
        return MarkCommands(marks=tuple(NewMark(command.command_id, status) for status in statuses))

    way = (CommandStatus.VISIBLE_TO_RUNTIME, CommandStatus.ACKNOWLEDGED, CommandStatus.ENFORCING)
    office.hear(mark(CommandStatus.ENFORCED), mark(*way))
    assert office.ledger.on_receive(Flush())
    with closing(office.store.reader()) as reader:
        [mark] = reader.steering().command.marks
        assert mark.status is CommandStatus.ENFORCED
        [event] = reader.events(event_types=["kora_control.enforced"])
        assert event.payload["command_id"] == command.command_id


def test_a_credit_that_is_resumed_makes_what_was_deferred_eligible(office):
    worker, claim = office.one_at_work()
    outcome = Outcome(signal=15, stop_reason=StopReason.COST)
    office.hear_ended(Ended(worker, claim.key, settle(claim, outcome, max_attempts=10)))
    assert office.status(claim.key.ticket_id) == Status.DEFERRED_COST_LIMIT
    office.hear(ResumeCredit(resumption=Resumption(Ramp(0.0, 30.0), None)))
    office.order()
    assert len(office.works()) == 1


def test_a_poller_that_has_found_the_board_empty_is_woken_when_a_credit_is_resumed(office, stage):
    office.man()
    office.order()
    assert last_held(stage).exhausted
    office.hear(ResumeCredit(resumption=Resumption(Ramp(0.0, 30.0), None)))
    assert isinstance(stage.said(POLLER)[-1], Poll)


def test_control_hears_of_a_store_that_is_away_from_tick_to_tick_and_of_its_end(office, stage, tmp_path):
    office.man()
    stage.said(CONTROL)

    def heard():
        return [message.is_writable for message in stage.said(CONTROL) if isinstance(message, StoreAnswered)]

    with closing(sqlite3.connect(tmp_path / "kora.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        office.order()
        assert heard() == [], "a lock that is held for a moment is none"
        for _ in range(2):
            office.hear(Tick(now=stage.time.seconds))
            assert heard() == [False]
        other.execute("ROLLBACK")
    office.ledger.on_wake()
    assert heard() == [True]
    office.tick()
    assert heard() == []
