"""A Worker's post, its limits, and what it refuses."""

from __future__ import annotations

import threading

import pytest

from actors.actor import UnknownMessageError
from actors.gap import Gap
from actors.messages import (
    AgentEnded,
    Announce,
    Describe,
    Drain,
    Ended,
    Ends,
    Lost,
    Operate,
    Operated,
    Progress,
    Refreshed,
    Release,
    Resume,
    Settled,
    Tick,
    WhatRuns,
    Work,
)
from actors.names import CONTROL, HEARTBEAT, LEDGER
from actors.post import Post
from actors.steering import Bounds, ProviderRefused, ProviderServed
from actors.worker import Worker
from kora.agents.port import Lease
from kora.domain.claim import ClaimKey
from kora.domain.control import StopLevel
from kora.domain.cost import NO_CAPS, Caps, Rung
from kora.domain.operation import OperationAnswer, OperationRequest, Step, Verdict
from kora.domain.refusal import Refusal
from kora.domain.resolution import AgentResult, Outcome, Reason, Resolution, StopReason
from kora.domain.state import DegradationReason

NAME = "worker-1"


class Attempt:
    """A running agent of which the test says when and how it ends."""

    def __init__(self, agents, operations, on_end):
        self.started_at = agents.time.seconds
        self.timeout_seconds, self.stall_seconds = agents.timeout_seconds, agents.stall_seconds
        self.progress_at = None
        self.tool_since = None
        self.outcome = None
        self.operations = operations
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

    caps = NO_CAPS

    def __init__(self, time):
        self.time = time
        self.started = []
        self.on_record = []

    def settled(self, work_attempt_ids):
        self.on_record += work_attempt_ids

    def start(self, claim, lease, on_end, operations):
        attempt = Attempt(self, operations, on_end)
        self.started.append((claim, lease, attempt))
        return attempt


def ends_among(messages):
    return [ended for message in messages if isinstance(message, Ends) for ended in message.ended]


class Place:
    """A Worker name with its post, whose Workers come and go."""

    def __init__(self, stage):
        self.stage, self.post, self.agents = stage, Post(NAME), Agents(stage.time)
        self.worker = None
        self.downshift = lambda _rung, _ticket: None

    def man(self):
        self.worker = self.stage.put(
            NAME,
            lambda seat: Worker(
                seat,
                agent=self.agents,
                post=self.post,
                max_attempts=10,
                tool_seconds=1_800.0,
                tick_seconds=1_000.0,
                time_source=self.stage.time,
                downshift=self.downshift,
            ),
        )
        return self.stage.said(LEDGER)

    def give(self, *claims, incarnation=1, generation=None):
        generation = generation or self.worker.seat.generation
        lease = Lease(deadline=self.stage.time.seconds + 600, lease_seconds=600)
        self.worker.on_receive(Work(claims, lease, incarnation, generation))

    def tick(self, seconds=0.0):
        self.stage.time.seconds += seconds
        self.worker.on_receive(Tick(now=self.stage.time.seconds))

    def hear_inbox(self):
        for message in self.stage.said(NAME):
            self.worker.on_receive(message)

    def ends(self):
        """What was reported since the last look."""
        return ends_among(self.stage.said(LEDGER))

    def settled(self, *claims):
        self.worker.on_receive(Settled(tuple(claim.key.work_attempt_id for claim in claims)))

    @property
    def begun(self):
        return [claim for claim, _, _ in self.agents.started]

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
    assert place.man() == [Announce(worker=NAME, generation=place.worker.seat.generation, incarnation=0)]
    place.worker.on_receive(WhatRuns(incarnation=3))
    assert [message.incarnation for message in stage.said(LEDGER)] == [3]


def test_work_starts_the_agent_and_its_end_is_reported_until_it_is_acknowledged(place, stage, make_claim):
    claim = make_claim()
    place.give(claim)
    assert place.agents.started[0][0] == claim
    place.attempt.end(Outcome(exit_code=0))
    place.hear_inbox()
    [ended] = place.ends()
    assert (ended.settlement.resolution, ended.seconds) == ("completed", 0.0)
    place.worker.on_receive(WhatRuns(incarnation=2))
    assert stage.said(LEDGER)[0].ended == (ended,)
    place.settled(claim)
    place.worker.on_receive(WhatRuns(incarnation=2))
    assert stage.said(LEDGER)[0].ended == ()


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
    assert stage.said(LEDGER) == [Ends((Ended(NAME, claim.key, None),))]


def test_a_lost_lease_kills_the_agent_and_nothing_is_to_be_written(place, stage, make_claim):
    claim = make_claim()
    place.give(claim)
    place.worker.on_receive(Lost(work_attempt_id=claim.key.work_attempt_id))
    assert place.attempt.orders == [("kill", StopReason.LEASE_LOST)]
    place.attempt.end(Outcome(signal=9, stop_reason=StopReason.LEASE_LOST))
    place.hear_inbox()
    assert stage.said(LEDGER) == [Ends((Ended(NAME, claim.key, None, 0.0),))]


@pytest.mark.parametrize("cost", [None, 0.75])
def test_what_a_lost_attempt_has_cost_goes_with_its_end_until_it_is_acknowledged(place, make_claim, cost):
    claim = make_claim()
    place.give(claim)
    place.attempt.end(Outcome(signal=9, stop_reason=StopReason.LEASE_LOST, spent_usd=cost))
    place.hear_inbox()
    [ended] = place.ends()
    assert (ended.settlement, ended.cost_usd) == (None, cost)
    place.man()
    assert place.post.holdings()[1] == (ended,)
    place.settled(claim)
    assert place.post.holdings()[1] == ()
    assert place.agents.on_record == [claim.key.work_attempt_id]


def test_the_caps_are_those_of_the_agents(place, make_claim):
    place.agents.caps = Caps(attempt_usd=0.5)
    place.give(make_claim())
    place.attempt.end(Outcome(exit_code=3, spent_usd=0.75))
    place.hear_inbox()
    [ended] = place.ends()
    assert ended.settlement.failure_count_by_reason == {Reason.OVER_LIMITS: 1}
    assert ended.cost_usd is None, "it is in the settlement"


def test_a_providers_refusal_is_told_to_control_and_the_attempt_is_forgiven(place, stage, make_claim):
    claim = make_claim()
    place.give(claim)
    refusal = Refusal(DegradationReason.AUTH, "no key")
    result = AgentResult(resolution="released", summary="no key")
    place.attempt.end(Outcome(exit_code=1, result=result, reason=Reason.PROVIDER_FAULT, refusal=refusal))
    place.hear_inbox()
    [ended] = place.ends()
    assert (ended.settlement.resolution, ended.settlement.is_forgiven) == ("released", True)
    attempt = claim.key.work_attempt_id
    assert stage.said(CONTROL) == [ProviderRefused(agent=None, work_attempt_id=attempt, refusal=refusal)]


def test_a_refresh_reaches_the_agent_it_is_meant_for_and_no_other(place, make_claim):
    claim = make_claim()
    place.give(claim)
    place.worker.on_receive(Refreshed(work_attempt_id="another", lease=Lease(1.0, 600)))
    place.worker.on_receive(Refreshed(work_attempt_id=claim.key.work_attempt_id, lease=Lease(2.0, 600)))
    assert place.attempt.orders == [("extend", 2.0)]


def test_a_successor_ends_what_its_predecessor_ran_and_says_so(place, stage, make_claim):
    claim = make_claim()
    place.give(claim)
    assert place.man()[0].running == (claim,)
    assert place.attempt.orders == [("stop", StopReason.WORKER_RESTARTED)]
    place.attempt.end(Outcome(signal=15, stop_reason=StopReason.WORKER_RESTARTED))
    place.hear_inbox()
    [ended] = place.ends()
    assert (ended.settlement.resolution, ended.settlement.next_eligible_offset_seconds) == ("released", None)


def test_a_successor_takes_the_true_outcome_of_an_agent_that_had_ended(place, stage, make_claim):
    claim = make_claim()
    place.give(claim)
    place.attempt.end(Outcome(exit_code=0))
    stage.said(NAME)
    ends, announced = place.man()
    assert [ended.settlement.resolution for ended in ends.ended] == ["completed"]
    assert announced.ended == ends.ended
    place.worker.on_receive(AgentEnded())
    assert stage.said(LEDGER) == []


def test_a_successor_gives_back_what_could_not_be_started(place, stage, make_claim):
    def fail(*_):
        raise OSError("no")

    start, place.agents.start = place.agents.start, fail
    with pytest.raises(OSError, match="no"):
        place.give(make_claim())
    place.agents.start = start
    ends, announced = place.man()
    assert [ended.settlement.resolution for ended in ends.ended] == ["released"]
    assert announced.ended == ends.ended
    assert place.agents.started == []


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
    place.agents.timeout_seconds = place.agents.stall_seconds = 7.0
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
    place.attempt.timeout_seconds = 49.0
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
    [ended] = place.ends()
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
    work = Work((make_claim(),), Lease(deadline=1e9, lease_seconds=600), 1, retired.seat.generation)
    place.man()
    retired.on_receive(work)
    place.tick()
    assert place.agents.started == []
    assert place.post.holdings() == ((), ())


def test_the_next_claim_is_begun_without_waiting_for_the_ledgers_word(place, make_claim):
    first, second, third = (make_claim() for _ in range(3))
    place.give(first, second)
    place.give(third)
    assert place.begun == [first]
    for number, claim in enumerate((first, second, third), 1):
        assert place.begun[number - 1] == claim
        place.stage.time.seconds += 0.5
        place.attempt.end(Outcome(exit_code=0))
        place.hear_inbox()
        assert len(place.begun) == min(number + 1, 3)
    ends = place.ends()
    assert [(end.key, end.seconds) for end in ends] == [(claim.key, 0.5) for claim in (first, second, third)]
    place.worker.on_receive(WhatRuns(incarnation=2))
    assert place.stage.said(LEDGER)[0].ended == tuple(ends)
    place.settled(first, third)
    place.settled(first)
    place.worker.on_receive(WhatRuns(incarnation=2))
    assert place.stage.said(LEDGER)[0].ended == (ends[1],)


def test_what_waits_is_announced_with_what_runs(place, make_claim):
    claims = tuple(make_claim() for _ in range(3))
    place.give(*claims)
    place.worker.on_receive(WhatRuns(incarnation=2))
    assert place.stage.said(LEDGER)[0].running == claims


@pytest.mark.parametrize("how", ["drain", "restart", "patience", "lease", "drained before"])
def test_a_claim_that_never_began_is_neither_blocked_nor_counted(place, make_claim, how):
    claims = [make_claim(attempts=10) for _ in range(3)]
    if how == "drained before":
        place.worker.on_receive(Drain(deadline=place.stage.time.seconds + 120))
    place.give(*claims)
    if how == "drain":
        place.worker.on_receive(Drain(deadline=place.stage.time.seconds + 120))
    elif how == "patience":
        place.tick(1.1)
    elif how == "lease":
        place.stage.time.seconds += 600
        place.attempt.end(Outcome(exit_code=0))
        place.hear_inbox()
    ends = ends_among(place.man()) if how == "restart" else place.ends()
    waited = {claim.key for claim in claims[1:]}
    settled = [end.settlement for end in ends if end.key in waited]
    assert [(settlement.sea_status, settlement.is_forgiven) for settlement in settled] == [("released", True)] * 2


def test_a_start_that_failed_half_way_counts_as_an_attempt(place, make_claim):
    start = place.agents.start
    place.agents.start = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        place.give(make_claim(attempts=10))
    place.agents.start = start
    [end] = ends_among(place.man())
    assert (end.settlement.sea_status, end.settlement.is_forgiven) == ("blocked_needs_operator", False)


@pytest.mark.parametrize("leave", [Worker.on_stop, lambda worker: worker.on_failure(None, None, None)])
def test_after_it_has_gone_no_agent_is_begun_and_its_successor_gives_back_what_waits(place, make_claim, leave):
    claims = [make_claim() for _ in range(3)]
    place.give(*claims)
    leave(place.worker)
    place.attempt.end(Outcome(exit_code=0))
    assert place.begun == claims[:1]
    ends = ends_among(place.man())
    assert [(end.key, end.settlement.resolution) for end in ends] == [
        (claims[0].key, "completed"),
        (claims[1].key, "released"),
        (claims[2].key, "released"),
    ]


def test_an_end_whose_ring_was_lost_is_seen_on_the_next_tick(place, make_claim):
    claims = [make_claim(), make_claim()]
    place.give(*claims)
    place.attempt.outcome = Outcome(exit_code=0)
    place.tick(1)
    [end] = place.ends()
    assert (end.key, end.settlement.resolution, end.seconds) == (claims[0].key, "completed", 1.0)
    assert place.begun == claims
    assert place.stage.said(HEARTBEAT)[-1].key == claims[1].key


@pytest.mark.parametrize("how", ["drain", "restart"])
def test_what_waits_is_given_back_and_never_begun(place, make_claim, how):
    claims = [make_claim() for _ in range(3)]
    place.give(*claims)
    if how == "drain":
        place.worker.on_receive(Drain(deadline=place.stage.time.seconds + 120))
        ends = place.ends()
    else:
        ends = ends_among(place.man())
    assert [(end.key, end.settlement.resolution, end.seconds) for end in ends] == [
        (claim.key, "released", None) for claim in claims[1:]
    ]
    place.attempt.end(Outcome(exit_code=0))
    place.hear_inbox()
    assert place.begun == claims[:1]
    assert [end.settlement.resolution for end in place.ends()] == ["completed"]


def test_behind_an_attempt_that_takes_long_nothing_is_kept_waiting(place, make_claim):
    claims = [make_claim() for _ in range(3)]
    place.give(*claims)
    place.tick(1.0)
    assert place.ends() == []
    place.tick(0.1)
    assert [(end.key, end.settlement.resolution) for end in place.ends()] == [
        (claim.key, "released") for claim in claims[1:]
    ]
    place.worker.on_receive(WhatRuns(incarnation=2))
    assert all(end.seconds > 1.0 for end in place.stage.said(LEDGER)[0].ended)
    assert place.attempt.orders == []
    place.tick(10)
    assert place.ends() == []


def test_a_claim_whose_lease_ran_out_while_it_waited_is_not_begun(place, make_claim):
    claims = [make_claim(), make_claim()]
    place.give(*claims)
    place.stage.time.seconds += 600
    place.attempt.end(Outcome(exit_code=0))
    place.hear_inbox()
    assert place.begun == claims[:1]
    assert [end.settlement.resolution for end in place.ends()] == ["completed", "released"]


def test_a_refresh_prolongs_nothing_that_waits(place, make_claim):
    claims = [make_claim(), make_claim()]
    place.give(*claims)
    place.worker.on_receive(Refreshed(work_attempt_id=claims[1].key.work_attempt_id, lease=Lease(1e9, 600)))
    assert place.attempt.orders == []
    place.stage.time.seconds += 600
    place.attempt.end(Outcome(exit_code=0))
    place.hear_inbox()
    assert place.begun == claims[:1]


def test_a_lost_claim_that_waits_is_dropped_and_nothing_is_to_be_written(place, make_claim):
    claims = [make_claim() for _ in range(3)]
    place.give(*claims)
    place.worker.on_receive(Lost(work_attempt_id=claims[1].key.work_attempt_id))
    assert place.ends() == [Ended(NAME, claims[1].key, None)]
    place.attempt.end(Outcome(exit_code=0))
    place.hear_inbox()
    assert place.begun == [claims[0], claims[2]]


def test_of_a_bundle_only_what_was_lost_is_not_begun(place, make_claim):
    claims = [make_claim() for _ in range(3)]
    place.worker.on_receive(Lost(work_attempt_id=claims[0].key.work_attempt_id))
    place.give(*claims)
    assert place.begun == [claims[1]]
    assert place.ends() == [Ended(NAME, claims[0].key, None)]


def test_word_of_a_loss_is_forgotten_once_its_work_must_have_come(place, make_claim):
    claim = make_claim()
    place.worker.on_receive(Lost(work_attempt_id=claim.key.work_attempt_id))
    place.tick()
    assert place.worker._lost, "the work may have been sent in the same instant"
    place.tick(0.1)
    assert not place.worker._lost


def test_word_of_a_loss_that_comes_after_the_end_is_not_kept(place, make_claim):
    claim = make_claim()
    place.give(claim)
    place.attempt.end(Outcome(exit_code=0))
    place.hear_inbox()
    place.worker.on_receive(Lost(work_attempt_id=claim.key.work_attempt_id))
    assert not place.worker._lost
    assert place.attempt.orders == []


def test_a_tool_call_in_flight_is_progress_for_as_long_as_that_may_last(place, make_claim):
    place.agents.stall_seconds = 30.0
    place.give(make_claim())
    begun = place.stage.time.seconds
    place.attempt.progress_at, place.attempt.tool_since = begun + 1, begun + 2

    def told():
        return [message.progress_at for message in place.stage.said(HEARTBEAT)]

    place.tick(500)
    assert (told(), place.attempt.orders) == ([begun + 500], [])
    place.tick(1_302)
    assert (told(), place.attempt.orders) == ([begun + 1_802], [])
    place.tick(29)
    assert (told(), place.attempt.orders) == ([begun + 1_802], [])
    place.tick(1)
    assert place.attempt.orders == [("stop", StopReason.STALLED)]


def test_progress_made_since_the_tool_was_called_counts(place, make_claim):
    place.give(make_claim())
    begun = place.stage.time.seconds
    place.attempt.progress_at, place.attempt.tool_since = begun + 1_900, begun
    place.tick(2_000)
    assert [message.progress_at for message in place.stage.said(HEARTBEAT)] == [begun + 1_900]


def test_an_agent_that_slept_with_the_machine_has_not_stalled(place, make_claim):
    place.worker._limits._gap = Gap(1.0)
    place.agents.stall_seconds = 30.0
    place.tick()
    place.give(make_claim())
    place.tick(1_000)
    assert place.attempt.orders == []
    for _ in range(29):
        place.tick(1)
    assert place.attempt.orders == []
    place.tick(1)
    assert place.attempt.orders == [("stop", StopReason.STALLED)]


def request(claim, number=1):
    return OperationRequest(claim.key, Step.BEGIN, number, "tool", "key")


def test_a_request_is_told_again_on_every_tick_until_it_is_answered(place, stage, make_claim):
    claim, heard = make_claim(), []
    place.give(claim)
    place.attempt.operations.submit(request(claim), heard.append)
    told = Operate(NAME, (request(claim),))
    assert stage.said(LEDGER) == [told]
    place.tick()
    assert stage.said(LEDGER) == [told]
    answer = OperationAnswer(request(claim), Verdict.DISPATCHED)
    place.worker.on_receive(Operated((answer,)))
    place.worker.on_receive(Operated((answer,)))
    place.tick()
    assert (heard, stage.said(LEDGER)) == ([answer], [])


def test_what_an_attempt_asked_reaches_the_ledger_ahead_of_its_end_and_of_an_announcement(place, stage, make_claim):
    claim, heard = make_claim(), []
    place.give(claim)
    place.attempt.operations.submit(request(claim), heard.append)
    stage.said(LEDGER)
    place.worker.on_receive(WhatRuns(incarnation=2))
    assert [type(message) for message in stage.said(LEDGER)] == [Operate, Announce]
    place.attempt.end(Outcome(exit_code=0))
    place.hear_inbox()
    assert [type(message) for message in stage.said(LEDGER)] == [Operate, Ends]
    assert [type(message) for message in place.man()] == [Operate, Announce]
    assert heard == []
    place.settled(claim)
    assert [answer.verdict for answer in heard] == [Verdict.LOST]


@pytest.mark.parametrize("over", ["lost", "settled", "ended"])
def test_an_attempt_that_is_over_is_answered_lost_at_once(place, stage, make_claim, over):
    claim, heard = make_claim(), []
    place.give(claim)
    operations = place.attempt.operations
    if over == "lost":
        operations.submit(request(claim, 1), heard.append)
        place.worker.on_receive(Lost(work_attempt_id=claim.key.work_attempt_id))
    else:
        place.attempt.end(Outcome(exit_code=0))
        place.hear_inbox()
        if over == "settled":
            place.settled(claim)
        operations.submit(request(claim, 1), heard.append)
    operations.submit(request(claim, 2), heard.append)
    assert [answer.verdict for answer in heard] == [Verdict.LOST] * 2
    stage.said(LEDGER)
    place.tick()
    assert stage.said(LEDGER) == []


def test_a_request_for_another_claim_is_lost(place, make_claim):
    heard = []
    place.give(make_claim())
    other = OperationRequest(ClaimKey("ticket", 1, "another"), Step.BEGIN, 1, "tool", "key")
    place.attempt.operations.submit(other, heard.append)
    assert [answer.verdict for answer in heard] == [Verdict.LOST]


def test_a_question_of_an_older_ledger_does_not_bring_its_work_back(place, make_claim):
    place.worker.on_receive(WhatRuns(incarnation=5))
    place.worker.on_receive(WhatRuns(incarnation=4))
    place.give(make_claim(), incarnation=4)
    assert place.agents.started == []


def test_an_operator_takes_a_drain_back_but_not_the_end_of_the_runtime(place, make_claim):
    for is_final, begun in [(False, 1), (True, 0)]:
        place.worker.on_receive(Drain(deadline=place.stage.time.seconds + 120, is_final=is_final))
        place.worker.on_receive(Resume())
        before = len(place.begun)
        place.give(make_claim())
        assert len(place.begun) - before == begun
        if begun:
            place.attempt.end(Outcome(exit_code=0))
            place.hear_inbox()


def test_what_an_operator_releases_is_ended_with_its_grace_and_eligible_at_once(place, make_claim):
    claims = [make_claim() for _ in range(3)]
    place.give(*claims)
    first, attempt = claims[0].key.work_attempt_id, place.attempt
    place.worker.on_receive(Release(work_attempt_id=claims[1].key.work_attempt_id))
    assert [(ended.key, ended.settlement.summary, ended.settlement.is_forgiven) for ended in place.ends()] == [
        (claims[1].key, "released by an operator", True)
    ]
    place.worker.on_receive(Release(work_attempt_id=first))
    assert attempt.orders == [("stop", StopReason.OPERATOR)]
    attempt.end(Outcome(signal=15, stop_reason=StopReason.OPERATOR))
    place.hear_inbox()
    [ended] = place.ends()
    assert (ended.key, ended.settlement.resolution, ended.settlement.summary, ended.settlement.sea_status) == (
        claims[0].key,
        "released",
        "released by an operator",
        "released",
    )
    assert ended.settlement.next_eligible_offset_seconds is None
    assert place.begun == [claims[0], claims[2]]


def test_a_release_that_comes_too_late_changes_nothing(place, make_claim):
    claim, other = make_claim(), make_claim()
    place.give(claim)
    place.attempt.end(Outcome(exit_code=0))
    place.worker.on_receive(Release(work_attempt_id=claim.key.work_attempt_id))
    assert [ended.settlement.resolution for ended in place.ends()] == ["completed"]
    place.give(other)
    place.worker.on_receive(Release(work_attempt_id=claim.key.work_attempt_id))
    assert place.attempt.orders == []


class Door:
    """A post's mutex that says when somebody waits for it."""

    def __init__(self, mutex):
        self._mutex, self.knocked = mutex, threading.Event()
        self.acquire, self.release = mutex.acquire, mutex.release

    def __enter__(self):
        self.knocked.set()
        return self._mutex.__enter__()

    def __exit__(self, *error):
        return self._mutex.__exit__(*error)


def test_what_is_just_being_begun_on_another_thread_when_it_is_released_is_ended(place, make_claim):
    first, second = make_claim(), make_claim()
    place.give(first, second)
    place.post._mutex = door = Door(place.post._mutex)
    start, starting = place.agents.start, threading.Event()

    def start_slowly(*arguments):
        starting.set()
        assert door.knocked.wait(10)
        return start(*arguments)

    place.agents.start = start_slowly
    ender = threading.Thread(target=place.attempt.end, args=(Outcome(exit_code=0),))
    ender.start()
    assert starting.wait(10)
    place.worker.on_receive(Release(work_attempt_id=second.key.work_attempt_id))
    ender.join(10)
    assert place.begun == [first, second]
    assert place.attempt.orders == [("stop", StopReason.OPERATOR)]


def test_it_tells_what_it_is_at(place, make_claim):
    assert place.worker.facts()["ticket_id"] is None
    claims = [make_claim(), make_claim()]
    place.give(*claims)
    place.worker.on_receive(Drain(deadline=place.stage.time.seconds + 120))
    facts = place.worker.on_receive(Describe())
    assert (facts["ticket_id"], facts["waiting"], facts["draining"]) == (claims[0].key.ticket_id, 0, True)


def bind(place, level=0, *, version=None, **fields):
    """Control says what holds."""
    place.bound = (1, place.bound[1] + 1) if hasattr(place, "bound") else (1, 1)
    place.worker.on_receive(Bounds(version=version or place.bound, level=StopLevel(level), **fields))


def test_level_1_lets_everything_pass(place, make_claim):
    place.give(make_claim())
    bind(place, 1)
    heard = ask(place)
    place.tick(1_000)
    place.give(make_claim())
    assert (place.attempt.orders, heard, place.ends()) == ([], [], [])


def test_at_level_2_nothing_is_begun_and_what_runs_may_finish_until_the_deadline(place, stage, make_claim):
    running, waiting, late = (make_claim() for _ in range(3))
    place.give(running, waiting)
    bind(place, 2, deadline=stage.time.seconds + 20)
    place.give(late)
    ended = place.ends()
    assert [(each.key, each.settlement.resolution) for each in ended] == [
        (claim.key, "released") for claim in (waiting, late)
    ]
    assert all(each.settlement.is_forgiven for each in ended)
    place.tick(19.9)
    assert place.attempt.orders == []
    place.tick(0.1)
    assert place.attempt.orders == [("stop", StopReason.STOPPED)]


def ask(place, step=Step.BEGIN):
    heard = []
    claim = place.begun[-1].key
    place.attempt.operations.submit(OperationRequest(claim, step, 1, "tool", "key"), heard.append)
    return heard


def test_at_level_2_no_operation_is_begun_and_those_under_way_may_end(place, stage, make_claim):
    place.give(make_claim())
    bind(place, 2)
    stage.said(LEDGER)
    [answer] = ask(place)
    assert answer.verdict is Verdict.REFUSED
    assert "level 2" in answer.reason
    assert stage.said(LEDGER) == []
    assert ask(place, Step.COMMIT) == []
    assert len(stage.said(LEDGER)) == 1
    bind(place, 0)
    assert ask(place) == []


@pytest.mark.parametrize(
    ("outcome", "resolution"),
    [
        (Outcome(raised="OperationError: refused"), "released"),
        (Outcome(exit_code=1), "released"),
        (Outcome(exit_code=0), "released"),
        (Outcome(exit_code=0, result=AgentResult(resolution="completed")), "completed"),
        (Outcome(exit_code=77), "failed_terminal"),
        (Outcome(exit_code=1, result=AgentResult(resolution="failed_retryable")), "failed_retryable"),
    ],
)
def test_one_that_may_not_begin_an_operation_was_stopped_unless_it_says_otherwise(
    place, make_claim, outcome, resolution
):
    place.give(make_claim())
    bind(place, 2)
    ask(place)
    place.attempt.end(outcome)
    place.hear_inbox()
    [ended] = place.ends()
    assert ended.settlement.resolution == resolution
    if resolution == "released":
        assert ended.settlement.failure_count_by_reason == {}
        assert ended.settlement.next_eligible_offset_seconds is None


@pytest.mark.parametrize("level", [3, 4, 5])
def test_from_level_3_on_what_runs_is_ended_at_once_with_its_grace(place, make_claim, level):
    place.give(make_claim())
    bind(place, level)
    assert place.attempt.orders == [("stop", StopReason.STOPPED)]
    place.attempt.end(Outcome(signal=15, stop_reason=StopReason.STOPPED))
    place.hear_inbox()
    [ended] = place.ends()
    settlement = ended.settlement
    assert (settlement.resolution, settlement.next_eligible_offset_seconds) == ("released", None)


def test_after_a_reset_work_is_taken_up_again_and_an_older_word_changes_nothing(place, make_claim):
    bind(place, 3)
    bind(place, 0)
    bind(place, 3, version=(1, 1))
    place.give(make_claim())
    assert len(place.begun) == 1


def test_when_the_pool_is_used_up_all_is_given_back_as_deferred(place, make_claim):
    running, waiting = make_claim(), make_claim()
    place.give(running, waiting)
    bind(place, ends_for_cost=True)
    assert place.attempt.orders == [("stop", StopReason.COST)]
    place.attempt.end(Outcome(signal=15, stop_reason=StopReason.COST))
    place.hear_inbox()
    settlements = [ended.settlement for ended in place.ends()]
    assert [each.key for each in settlements] == [waiting.key, running.key]
    assert {(each.resolution, each.sea_status) for each in settlements} == {("deferred_cost_limit",) * 2}


def test_the_agent_is_chosen_by_the_rung_unless_the_ticket_names_one(place, stage, make_claim):
    place.downshift = lambda rung, _ticket: "cheap" if rung is Rung.WARN_75 else None
    place.man()
    for rung, named in [(Rung.NORMAL, None), (Rung.WARN_75, "cheap")]:
        bind(place, rung=rung)
        place.give(make_claim())
        assert place.begun[-1].ticket.agent == named
        place.attempt.end(Outcome(exit_code=1, refusal=Refusal(DegradationReason.AUTH, "no key")))
        place.hear_inbox()
        assert [told.agent for told in stage.said(CONTROL)] == [named]


@pytest.mark.parametrize(
    ("rung", "told", "tier"),
    [(Rung.NORMAL, None, None), (Rung.WARN_75, None, "agents.cheap"), (Rung.WARN_75, "haiku", "haiku")],
)
def test_which_agent_the_rung_has_chosen_stands_in_its_end_unless_that_tells_its_model(
    place, make_claim, rung, told, tier
):
    place.downshift = lambda rung, _ticket: "cheap" if rung is Rung.WARN_75 else None
    place.man()
    bind(place, rung=rung)
    place.give(make_claim())
    place.attempt.end(Outcome(exit_code=0, result=AgentResult(resolution=Resolution.COMPLETED, model_tier=told)))
    place.hear_inbox()
    [ended] = place.ends()
    assert ended.settlement.model_tier_used == tier


def test_while_a_provider_is_tried_out_its_first_progress_is_told(place, stage, make_claim):
    claim = make_claim()
    place.give(claim)
    place.attempt.progress_at = stage.time.seconds
    place.tick(1)
    bind(place, probes=True)
    place.tick(1)
    assert stage.said(CONTROL) == []
    place.attempt.progress_at = stage.time.seconds
    place.tick()
    assert stage.said(CONTROL) == [ProviderServed(agent=None, work_attempt_id=claim.key.work_attempt_id)]


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Outcome(exit_code=1), ProviderServed),
        (Outcome(exit_code=1, refusal=Refusal(DegradationReason.AUTH, "no key")), ProviderRefused),
        (Outcome(signal=15, stop_reason=StopReason.DRAINED), None),
        (Outcome(fault="no such program"), None),
    ],
)
def test_so_is_an_end_that_is_its_own_and_no_refusal(place, stage, make_claim, outcome, kind):
    bind(place, probes=True)
    place.give(make_claim())
    place.attempt.end(outcome)
    place.hear_inbox()
    assert [type(told) for told in stage.said(CONTROL)] == ([kind] if kind else [])
