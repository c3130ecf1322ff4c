"""What attempts have cost whose ends are not written: charged, and only then acknowledged."""

from __future__ import annotations

import pytest

from actors.messages import Ended, Settled
from kora.domain.claim import ClaimKey
from kora.domain.resolution import Outcome, settle
from kora.errors import StoreUnavailableError
from kora.store.steering import Charge


class Watched:
    """A writer of which the turns are noted; each of `faults` befalls one."""

    def __init__(self, writer):
        self._writer = writer
        self.turns, self.faults = [], []

    def __getattr__(self, name):
        return getattr(self._writer, name)

    def turn(self, incarnation, turn):
        if self.faults:
            raise self.faults.pop()
        self.turns.append(turn)
        return self._writer.turn(incarnation, turn)

    @property
    def charged(self):
        return [charge for turn in self.turns for charge in turn.charge]


@pytest.fixture
def writer(office):
    made = Watched(office.ledger._writer)
    office.ledger._writer = made
    return made


def settled(stage, worker):
    return [attempt for said in stage.said(worker) if isinstance(said, Settled) for attempt in said.work_attempt_ids]


def test_a_lost_attempt_is_acknowledged_only_when_it_is_charged(office, stage, writer):
    worker, claim = office.one_at_work()
    writer.faults.append(StoreUnavailableError("away"))
    office.hear_ended(Ended(worker, claim.key, None, cost_usd=0.25))
    assert settled(stage, worker) == []
    stage.time.seconds += 60
    office.ledger.on_wake()
    assert writer.charged == [Charge(claim.key, 0.25)]
    assert settled(stage, worker) == [claim.key.work_attempt_id]


@pytest.mark.parametrize("cost", [None, 0.0])
def test_one_that_has_cost_nothing_is_acknowledged_at_once(office, stage, writer, cost):
    worker, claim = office.one_at_work()
    office.hear_ended(Ended(worker, claim.key, None, cost_usd=cost))
    assert settled(stage, worker) == [claim.key.work_attempt_id]
    assert writer.charged == []


def test_an_end_that_comes_too_late_to_be_written_is_charged(office, stage, writer):
    worker, claim = office.one_at_work()
    office.does("cancel", claim.key.ticket_id)
    end = settle(claim, Outcome(exit_code=0, spent_usd=0.5), max_attempts=10)
    office.hear_ended(Ended(worker, claim.key, end))
    office.ledger.on_wake()
    assert writer.charged == [Charge(claim.key, 0.5)]
    assert settled(stage, worker) == [claim.key.work_attempt_id]


def test_what_predecessors_left_behind_is_charged_with_the_return_of_their_claims(office, writer):
    office.man()
    charge = Charge(ClaimKey("ticket", 1, "attempt"), 1.5)
    office.predecessors.gone, office.predecessors.owing = ("dead",), (charge,)
    writer.faults.append(StoreUnavailableError("away"))
    office.tick()
    assert office.predecessors.forgotten == []
    office.stage.time.seconds += 60
    office.ledger.on_wake()
    assert writer.charged == [charge]
    assert office.predecessors.forgotten == ["dead"]


def test_a_runtime_that_drains_is_not_done_before_all_is_charged(office, stage, writer):
    worker, claim = office.one_at_work()
    writer.faults.append(StoreUnavailableError("away"))
    office.hear_ended(Ended(worker, claim.key, None, cost_usd=0.25))
    assert office.ledger._pending, "there is something left to be written"
    stage.time.seconds += 60
    office.ledger.on_wake()
    assert not office.ledger._pending
