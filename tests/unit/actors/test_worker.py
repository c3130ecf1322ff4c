"""A Worker's post, its limits, and what it refuses."""

from __future__ import annotations

import pytest

from actors.actor import UnknownMessageError
from actors.messages import (
    AgentEnded,
    Announce,
    Drain,
    Ended,
    Lost,
    Progress,
    Refreshed,
    Settled,
    Tick,
    WhatRuns,
    Work,
)
from actors.names import HEARTBEAT, LEDGER
from actors.worker import Post, Worker
from kora.agents.port import Lease
from kora.domain.resolution import Outcome, StopReason

NAME = "worker-1"


class Attempt:
    """A running agent of which the test says when and how it ends."""

    def __init__(self, started_at, on_end):
        self.started_at = started_at
        self.progress_at = None
        self.outcome = None
        self.orders = []
        self._on_end = on_end

    def extend(self, lease):
        self.orders.append(("extend", lease.deadline))

    def stop(self, reason):
        self.orders.append(("stop", reason))

    def kill(self, reason):
        self.orders.append(("kill", reason))

    def end(self, outcome):
        self.outcome = outcome
        self._on_end()


class Agents:
    """Starts attempts."""

    timeout_seconds = 0.0
    stall_seconds = 0.0

    def __init__(self, time):
        self._time = time
        self.started = []

    def start(self, claim, lease, on_end):
        attempt = Attempt(self._time.seconds, on_end)
        self.started.append((claim, lease, attempt))
        return attempt


class Place:
    """A Worker name with its post, whose Workers come and go."""

    def __init__(self, stage):
        self.stage, self.post, self.agents = stage, Post(), Agents(stage.time)
        self.worker = None

    def man(self):
        self.worker = self.stage.put(
            NAME, lambda seat: Worker(seat, agent=self.agents, post=self.post, max_attempts=10)
        )
        return self.stage.said(LEDGER)

    def give(self, claim, incarnation=1, generation=None):
        generation = generation or self.worker.seat.generation
        lease = Lease(deadline=self.stage.time.seconds + 600, lease_seconds=600)
        self.worker.on_receive(Work(claim, lease, incarnation, generation))

    def tick(self, seconds=0.0):
        self.stage.time.seconds += seconds
        self.worker.on_receive(Tick(now=self.stage.time.seconds))

    def hear_inbox(self):
        for message in self.stage.said(NAME):
            self.worker.on_receive(message)

    @property
    def attempt(self):
        return self.agents.started[-1][2]


@pytest.fixture
def place(stage):
    place = Place(stage)
    place.man()
    return place


def test_it_announces_itself_when_it_starts_and_whenever_a_ledger_asks(stage):
    place = Place(stage)
    assert place.man() == [
        Announce(worker=NAME, generation=place.worker.seat.generation, incarnation=0, running=None, ended=None)
    ]
    place.worker.on_receive(WhatRuns(incarnation=3))
    assert [message.incarnation for message in stage.said(LEDGER)] == [3]


def test_work_starts_the_agent_and_its_end_is_reported_until_it_is_acknowledged(place, stage, make_claim):
    claim = make_claim()
    place.give(claim)
    assert place.agents.started[0][0] == claim
    place.attempt.end(Outcome(exit_code=0))
    place.hear_inbox()
    [ended] = stage.said(LEDGER)
    assert isinstance(ended, Ended)
    assert ended.settlement.resolution == "completed"
    place.worker.on_receive(WhatRuns(incarnation=2))
    assert stage.said(LEDGER)[0].ended == ended
    place.worker.on_receive(Settled(work_attempt_id=claim.key.work_attempt_id))
    place.worker.on_receive(WhatRuns(incarnation=2))
    assert stage.said(LEDGER)[0].ended is None


@pytest.mark.parametrize("stale", [{"generation": 999}, {"incarnation": 4}])
def test_work_for_another_generation_or_of_an_older_ledger_is_refused(place, make_claim, stale):
    place.worker.on_receive(WhatRuns(incarnation=5))
    place.give(make_claim(), **{"incarnation": 5} | stale)
    assert place.agents.started == []


def test_work_that_was_lost_before_it_began_is_not_begun(place, stage, make_claim):
    claim = make_claim()
    place.worker.on_receive(Lost(work_attempt_id=claim.key.work_attempt_id))
    place.give(claim)
    assert place.agents.started == []
    assert stage.said(LEDGER) == [Ended(NAME, claim.key, None)]


def test_a_lost_lease_kills_the_agent_and_nothing_is_to_be_written(place, stage, make_claim):
    claim = make_claim()
    place.give(claim)
    place.worker.on_receive(Lost(work_attempt_id=claim.key.work_attempt_id))
    assert place.attempt.orders == [("kill", StopReason.LEASE_LOST)]
    place.attempt.end(Outcome(signal=9, stop_reason=StopReason.LEASE_LOST))
    place.hear_inbox()
    assert stage.said(LEDGER) == [Ended(NAME, claim.key, None)]


def test_a_refresh_reaches_the_agent_it_is_meant_for_and_no_other(place, make_claim):
    claim = make_claim()
    place.give(claim)
    place.worker.on_receive(Refreshed(work_attempt_id="another", lease=Lease(1.0, 600)))
    place.worker.on_receive(Refreshed(work_attempt_id=claim.key.work_attempt_id, lease=Lease(2.0, 600)))
    assert place.attempt.orders == [("extend", 2.0)]


def test_a_successor_ends_what_its_predecessor_ran_and_says_so(place, stage, make_claim):
    claim = make_claim()
    place.give(claim)
    assert place.man()[0].running == claim
    assert place.attempt.orders == [("stop", StopReason.WORKER_RESTARTED)]
    place.attempt.end(Outcome(signal=15, stop_reason=StopReason.WORKER_RESTARTED))
    place.hear_inbox()
    [ended] = stage.said(LEDGER)
    assert (ended.settlement.resolution, ended.settlement.next_eligible_offset_seconds) == ("released", None)


def test_a_successor_takes_the_true_outcome_of_an_agent_that_had_ended(place, stage, make_claim):
    claim = make_claim()
    place.give(claim)
    place.attempt.end(Outcome(exit_code=0))
    stage.said(NAME)
    messages = place.man()
    assert messages[0].settlement.resolution == "completed"
    assert messages[1].ended == messages[0]
    place.worker.on_receive(AgentEnded(work_attempt_id=claim.key.work_attempt_id))
    assert stage.said(LEDGER) == []


def test_a_successor_gives_back_what_was_taken_up_but_never_started(stage, make_claim):
    place = Place(stage)
    place.post.claim = make_claim()
    ended, announced = place.man()
    assert ended.settlement.resolution == "released"
    assert announced.ended == ended


def test_progress_is_told_on_every_tick(place, stage, make_claim):
    place.tick()
    assert stage.said(HEARTBEAT) == [Progress(worker=NAME)]
    claim = make_claim()
    place.give(claim)
    place.attempt.progress_at = 1_234.0
    place.tick()
    told = Progress(worker=NAME, key=claim.key, started_at=stage.time.seconds, progress_at=1_234.0)
    assert stage.said(HEARTBEAT) == [told]


@pytest.mark.parametrize(
    ("limit", "reason"), [("timeout_seconds", StopReason.TIMED_OUT), ("stall_seconds", StopReason.STALLED)]
)
def test_over_its_limit_the_agent_is_stopped(place, make_claim, limit, reason):
    setattr(place.agents, limit, 30.0)
    place.give(make_claim())
    place.tick(29.9)
    assert place.attempt.orders == []
    place.tick(0.1)
    assert place.attempt.orders == [("stop", reason)]


def test_progress_puts_off_the_stall_but_not_the_timeout(place, make_claim):
    place.agents.stall_seconds = 30.0
    place.give(make_claim())
    place.attempt.progress_at = place.stage.time.seconds + 20
    place.tick(49)
    assert place.attempt.orders == []
    place.agents.timeout_seconds = 49.0
    place.tick()
    assert place.attempt.orders == [("stop", StopReason.TIMED_OUT)]


def test_draining_lets_the_agent_go_on_until_the_deadline_and_gives_new_work_back(place, stage, make_claim):
    place.give(make_claim())
    place.worker.on_receive(Drain(deadline=stage.time.seconds + 120))
    place.tick(119.9)
    assert place.attempt.orders == []
    place.tick(0.1)
    assert place.attempt.orders == [("stop", StopReason.DRAINED)]


def test_a_draining_worker_gives_back_work_that_comes_too_late(place, stage, make_claim):
    place.worker.on_receive(Drain(deadline=stage.time.seconds + 120))
    place.give(make_claim())
    [ended] = stage.said(LEDGER)
    assert ended.settlement.resolution == "released"
    assert place.agents.started == []


def test_draining_at_once_kills(place, make_claim):
    place.give(make_claim())
    place.worker.on_receive(Drain(deadline=0.0, at_once=True))
    assert place.attempt.orders == [("kill", StopReason.DRAINED)]


def test_an_unknown_message_raises(place):
    with pytest.raises(UnknownMessageError, match="worker-1 does not know str"):
        place.worker.on_receive("hello")


def test_a_retired_worker_that_wakes_late_starts_nothing(place, make_claim):
    retired = place.worker
    work = Work(make_claim(), Lease(deadline=0.0, lease_seconds=600), 1, retired.seat.generation)
    place.man()
    retired.on_receive(work)
    assert place.agents.started == []
    assert place.post.claim is None


def test_after_its_end_is_on_record_the_next_attempt_runs_and_an_old_acknowledgement_does_no_harm(
    place, stage, make_claim
):
    first, second = make_claim(), make_claim()
    place.give(first)
    place.attempt.end(Outcome(exit_code=0))
    place.hear_inbox()
    place.worker.on_receive(Settled(work_attempt_id=first.key.work_attempt_id))
    assert place.post == Post(_generation=place.worker.seat.generation, _mutex=place.post._mutex)
    place.give(second)
    place.attempt.end(Outcome(exit_code=0))
    place.worker.on_receive(Settled(work_attempt_id=first.key.work_attempt_id))
    place.hear_inbox()
    assert stage.said(LEDGER)[-1].key == second.key


def test_a_question_of_an_older_ledger_does_not_bring_its_work_back(place, make_claim):
    place.worker.on_receive(WhatRuns(incarnation=5))
    place.worker.on_receive(WhatRuns(incarnation=4))
    place.give(make_claim(), incarnation=4)
    assert place.agents.started == []
