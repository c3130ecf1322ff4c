"""What a post lets through, in which order, and for whom."""

from __future__ import annotations

import sys
import threading

import pytest

from actors.messages import Ended
from actors.post import Post
from kora.agents.port import Lease
from kora.domain.resolution import Outcome

LEASE = Lease(deadline=600.0, lease_seconds=600.0)


class Attempt:
    def __init__(self, on_end):
        self.outcome = None
        self.on_end = on_end

    def end(self):
        self.outcome = Outcome(exit_code=0)
        self.on_end()


class Place:
    """A post, and whoever mans it."""

    def __init__(self):
        self.post, self.now, self.rings, self.started, self.attempts = Post("worker-1"), 0.0, 0, [], []
        self.on_start = lambda: None
        self.man(1)

    def man(self, generation):
        return self.post.man(generation, self.start, self.ring, lambda: self.now)

    def ring(self):
        self.rings += 1

    def start(self, claim, _lease, on_end):
        self.started.append(claim)
        self.on_start()
        self.attempts.append(Attempt(on_end))
        return self.attempts[-1]

    def report(self, generation=1):
        """Everything that is finished has ended, unwritten."""
        finished = self.post.advance(generation)
        ends = [Ended("worker-1", taken.claim.key, None) for taken in finished]
        return finished if self.post.report(generation, ends) else None


@pytest.fixture
def place():
    return Place()


def test_an_attempt_that_ends_begins_the_next_and_one_ring_stands_for_them_all(place, make_claim):
    claims = [make_claim() for _ in range(3)]
    place.post.queue(1, claims, LEASE)
    assert place.report() == []
    for number in range(3):
        assert place.started == claims[: number + 1]
        place.now += 2.0
        place.attempts[-1].end()
    assert place.rings == 1
    finished = place.report()
    assert [taken.claim for taken in finished] == claims
    assert [(taken.began_at, taken.ended_at) for taken in finished] == [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0)]
    running, ended = place.post.holdings()
    assert (running, [end.key for end in ended]) == ((), [claim.key for claim in claims])


def test_it_rings_again_once_it_was_looked_at(place, make_claim):
    place.post.queue(1, [make_claim(), make_claim()], LEASE)
    place.post.advance(1)
    place.attempts[-1].end()
    place.report()
    place.attempts[-1].end()
    assert place.rings == 2


def test_a_successor_is_rung_for_though_its_predecessor_never_answered_a_ring(place, make_claim):
    place.post.queue(1, [make_claim(), make_claim()], LEASE)
    place.post.advance(1)
    place.attempts[-1].end()
    assert place.man(2) is place.attempts[-1]
    place.attempts[-1].end()
    assert place.rings == 2


def test_an_end_during_another_step_only_rings_and_the_next_begins_when_it_is_looked_at(place, make_claim):
    place.post.queue(1, [make_claim(), make_claim()], LEASE)
    place.post.advance(1)

    # From a second thread, while the first one is in the post: an end never waits.
    def end_meanwhile():
        place.on_start = lambda: None
        ender = threading.Thread(target=place.attempts[0].end)
        ender.start()
        ender.join(10)
        assert not ender.is_alive()

    place.post._mutex.acquire()
    end_meanwhile()
    place.post._mutex.release()
    assert (len(place.started), place.rings) == (1, 1)
    place.post.advance(1)
    assert len(place.started) == 2


def test_an_agent_that_ends_within_its_start_is_found_by_the_ring(place, make_claim):
    start = place.start

    def start_and_end(claim, lease, on_end):
        attempt = start(claim, lease, on_end)
        attempt.end()
        return attempt

    place.start = start_and_end
    place.man(1)
    place.post.queue(1, [make_claim()], LEASE)
    assert place.post.advance(1) == []
    assert place.rings == 1
    assert len(place.report()) == 1


def test_what_waits_longer_than_its_lease_is_never_begun(place, make_claim):
    claims = [make_claim(), make_claim()]
    place.post.queue(1, claims, LEASE)
    place.post.advance(1)
    place.now = 600.0
    place.attempts[0].end()
    late = place.report()[1]
    assert (late.claim, late.agent) == (claims[1], None)
    assert "lease" in late.unbegun
    assert len(place.started) == 1


def test_what_would_be_ended_at_once_for_its_lease_is_never_begun(place, make_claim):
    claims = [make_claim() for _ in range(3)]
    place.post.queue(1, claims, LEASE)
    place.post.advance(1)
    place.now = 598.9
    place.attempts[0].end()
    assert place.started == claims[:2]
    place.now = 599.0
    place.attempts[1].end()
    assert place.started == claims[:2]


def test_after_its_worker_has_gone_nothing_is_begun_and_what_waits_is_the_successors_to_hand_back(place, make_claim):
    claims = [make_claim() for _ in range(3)]
    place.post.queue(1, claims, LEASE)
    place.post.advance(1)
    place.post.unman(1)
    place.attempts[0].end()
    assert place.post.advance(1)[1:] == []
    assert place.started == claims[:1]
    assert place.post.holdings()[0] == tuple(claims)
    assert place.man(2) is None
    assert [taken.claim for taken in place.report(2)] == claims
    place.post.queue(2, [make_claim()], LEASE)
    place.post.advance(2)
    assert len(place.started) == 2


def test_a_worker_that_goes_late_leaves_its_successor_at_the_post(place, make_claim):
    place.man(2)
    place.post.unman(1)
    place.post.queue(2, [make_claim()], LEASE)
    place.post.advance(2)
    assert len(place.started) == 1


def test_at_a_closed_post_nothing_is_ever_begun(place, make_claim):
    place.post.queue(1, [make_claim(), make_claim()], LEASE)
    place.post.advance(1)
    assert place.post.close() is place.attempts[0]
    place.attempts[0].end()
    place.post.advance(1)
    place.man(2)
    place.post.queue(2, [make_claim()], LEASE)
    place.post.advance(2)
    assert len(place.started) == 1
    assert place.post.close() is None


def test_a_start_under_way_is_waited_for_by_whoever_closes(place, make_claim):
    begins, may_go_on, closed = threading.Event(), threading.Event(), []

    def hang():
        begins.set()
        assert may_go_on.wait(10)

    place.on_start = hang
    place.post.queue(1, [make_claim()], LEASE)
    starter = threading.Thread(target=place.post.advance, args=(1,))
    starter.start()
    assert begins.wait(10)
    closer = threading.Thread(target=lambda: closed.append(place.post.close()))
    closer.start()
    may_go_on.set()
    for thread in (starter, closer):
        thread.join(10)
    assert closed == place.attempts


def test_a_successor_finds_what_waited_unbegun_and_the_agent_that_runs(place, make_claim):
    claims = [make_claim() for _ in range(3)]
    place.post.queue(1, claims, LEASE)
    place.post.advance(1)
    assert place.man(2) is place.attempts[0]
    finished = place.post.advance(2)
    assert [taken.claim for taken in finished] == claims[1:]
    assert all(taken.agent is None and taken.unbegun for taken in finished)
    assert place.post.running.claim == claims[0]


def test_a_start_that_fails_is_in_doubt_and_given_back_by_the_successor(place, make_claim):
    def fail():
        raise OSError("no")

    place.on_start = fail
    place.post.queue(1, [make_claim()], LEASE)
    with pytest.raises(OSError, match="no"):
        place.post.advance(1)
    with pytest.raises(RuntimeError, match="could not be started"):
        place.post.advance(1)
    assert place.man(2) is None
    [doubtful] = place.post.advance(2)
    assert (doubtful.agent, doubtful.is_doubtful) == (None, True)
    assert len(place.started) == 1


def test_a_start_that_fails_on_the_thread_of_the_attempt_before_rings(place, make_claim):
    place.post.queue(1, [make_claim(), make_claim()], LEASE)
    place.post.advance(1)

    def fail():
        raise OSError("no")

    place.on_start = fail
    with pytest.raises(OSError, match="no"):
        place.attempts[0].end()
    assert place.rings == 1
    with pytest.raises(RuntimeError, match="could not be started"):
        place.post.advance(1)


def test_a_retired_worker_that_wakes_late_changes_nothing(place, make_claim):
    old, new = make_claim(), make_claim()
    place.post.queue(1, [make_claim()], LEASE)
    place.post.advance(1)
    place.attempts[0].end()
    place.man(2)
    place.report(2)
    place.post.queue(2, [new, make_claim()], LEASE)
    assert not place.post.queue(1, [old], LEASE)
    assert place.post.advance(1) == []
    place.post.give_back(1, "why")
    assert not place.post.report(1, [Ended("worker-1", new.key, None)])
    assert place.post.lose(1, new.key.work_attempt_id) is None
    assert len(place.started) == 1
    assert place.post.advance(2) == []
    assert place.started[1:] == [new]
    assert place.post.waiting == 1


def test_the_end_of_what_a_predecessor_began_begins_nothing_of_itself(place, make_claim):
    place.post.queue(1, [make_claim()], LEASE)
    place.post.advance(1)
    place.man(2)
    place.post.queue(2, [make_claim()], LEASE)
    place.attempts[0].end()
    assert len(place.started) == 1
    place.post.advance(2)
    assert len(place.started) == 2


def test_a_lost_claim_that_waits_is_never_begun_and_the_others_keep_their_places(place, make_claim):
    claims = [make_claim() for _ in range(4)]
    place.post.queue(1, claims, LEASE)
    place.post.advance(1)
    assert place.post.lose(1, claims[2].key.work_attempt_id) is None
    assert place.post.has(claims[2].key.work_attempt_id)
    assert place.post.lose(1, claims[0].key.work_attempt_id) is place.attempts[0]
    [lost] = place.report()
    assert (lost.claim, lost.is_lost) == (claims[2], True)
    for attempt in (0, 1):
        place.attempts[attempt].end()
    assert place.started == [claims[0], claims[1], claims[3]]


def test_an_end_is_kept_until_it_is_acknowledged(place, make_claim):
    first, second = make_claim(), make_claim()
    place.post.queue(1, [first, second], LEASE)
    for _ in range(2):
        place.post.advance(1)
        place.attempts[-1].end()
    place.report()
    place.post.acknowledge([first.key.work_attempt_id, "another"])
    assert [end.key for end in place.post.holdings()[1]] == [second.key]
    assert not place.post.has(first.key.work_attempt_id)


def test_what_is_here_and_not_reported_is_seen_once_by_whoever_looks(place, make_claim):
    claims = [make_claim() for _ in range(3)]
    place.post.queue(1, claims, LEASE)
    place.post.advance(1)
    place.attempts[-1].end()
    place.post._finished.append(place.post.running)
    assert place.post.claims() == claims
    place.post._finished.pop()
    place.report()
    assert place.post.claims() == claims[1:]


def line_by_line(do, step):
    """Do it, with a step of another thread before each of the post's lines."""

    def trace(frame, event, _):
        if not frame.f_code.co_filename.endswith("post.py"):
            return None
        if event == "line":
            step()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return do()
    finally:
        sys.settrace(before)


def moves(place):
    """Everything that becomes of claims before they are reported."""
    for _ in range(2):
        place.post.advance(1)
        place.attempts[-1].outcome = Outcome(exit_code=0)
    place.post.advance(1)
    place.post.release(1, place.post._waiting[-1][0].key.work_attempt_id, "")
    place.post.give_back(1, "")


def test_no_claim_is_out_of_sight_while_it_goes_from_one_place_to_the_next(place, make_claim):
    claims = [make_claim() for _ in range(5)]
    place.post.queue(1, claims, LEASE)
    seen = []
    line_by_line(lambda: moves(place), lambda: seen.append(len(place.post.claims())))
    assert len(seen) > 50
    assert set(seen) == {5}


@pytest.mark.parametrize("first", range(1, 12))
def test_no_claim_is_out_of_sight_of_whoever_looks_while_it_goes(place, make_claim, first):
    claims = [make_claim() for _ in range(5)]
    place.post.queue(1, claims, LEASE)
    lines = []

    def step():
        lines.append(1)
        if len(lines) == first:
            moves(place)

    assert {claim.key for claim in line_by_line(place.post.claims, step)} == {claim.key for claim in claims}
