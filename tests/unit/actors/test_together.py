"""Ledger, Workers, Poller and Heartbeat together, whatever crashes, and whenever: the rules that must hold."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger

import actors.ahead
from actors.messages import Drain
from kora.domain.resolution import StopReason
from tests.unit.actors.world import ACTORS, LEASE, TICK, WORKERS, World

TICKETS = 24
STEPS = 120


class Together:
    """One run: a board being worked with claims waiting ahead, and whatever may happen to it."""

    def __init__(self, seed):
        self.random = Random(seed)
        self.world = world = World(TICKETS)
        self.happenings = {
            self.serve: 40,
            self.go_on: 12,
            self.end: 12,
            self.end_all: 6,
            self.ask: 8,
            self.ask_too_late: 2,
            self.crash: 12,
            self.retire: 6,
            self.replace: 2,
            self.trouble_the_store: 3,
            self.spoil_a_start: 2,
            self.cancel: 4,
            self.force_retry: 4,
            self.sleep: 1,
        }
        world.tick(TICK)
        world.talk()
        for _ in range(2):
            # Quick attempts, after which claims wait ahead.
            self.end_all()
            world.talk()

    def go(self, steps):
        chosen = self.random.choices(list(self.happenings), list(self.happenings.values()), k=steps)
        for happen in chosen:
            happen()
            self.check()

    def busy(self):
        """An actor for which something waits; any, if there is none."""
        return self.random.choice([name for name in ACTORS if len(self.world.inbox(name))] or ACTORS)

    # --- the ordinary ---

    def serve(self):
        self.world.serve(self.busy(), self.random.choice([1, 2, None]))

    def go_on(self):
        self.world.tick(self.random.choice([0.1, 0.6, 1.0]))

    def end(self):
        if self.world.running:
            self.random.choice(self.world.running).end()

    def end_all(self):
        """A row of attempts, each of which begins the next."""
        for _ in range(3):
            for agent in self.world.running:
                agent.end()

    def ask(self):
        if self.world.running:
            self.world.ask(self.random.choice(self.world.running))

    def ask_too_late(self):
        self.world.ask(self.random.choice(self.world.agents))

    # --- the rest ---

    def crash(self):
        self.world.serve(self.busy(), crash_at=(self.random.randrange(6), self.random.choice([True, False])))

    def retire(self):
        self.world.retire(self.busy(), is_late=self.random.choice([True, False]))

    def replace(self):
        name = self.random.choice(ACTORS)
        self.world.inbox(name).recover("it crashed")
        self.world.man(name)

    def trouble_the_store(self):
        self.world.shelf.faults.append(self.random.choice(["before", "after"]))

    def spoil_a_start(self):
        self.world.start_fuse = self.random.choice(["before", "after"])

    def cancel(self):
        if held := self.world.shelf.held():
            self.world.shelf.cancel(self.random.choice(held))

    def force_retry(self):
        if over := [row for row in self.world.shelf.rows.values() if row.over]:
            self.world.shelf.reopen(self.random.choice(over))

    def sleep(self):
        """The machine does, for longer than any lease."""
        self.world.tick(LEASE + 1)

    # --- what must hold; that nothing starts twice, and so on, the world itself says ---

    def check(self):
        assert all(len(heard) <= 1 for _, heard in self.world.answers), "answered twice"
        keys = [claim.key for post in self.world.posts.values() for claim in post.holdings()[0]]
        assert len(keys) == len(set(keys)), "in two places"

    def come_to_rest(self):
        world = self.world
        world.calm_down()
        held = {row.key for row in world.shelf.held()}
        assert held <= world.at_posts(), "a claim is left without a Worker"
        lost = [agent for agent in world.running if agent.claim.key not in held]
        assert world.at_posts() - held <= {agent.claim.key for agent in lost}, "a dead claim waits to be begun"
        assert all(agent.reason in {StopReason.LEASE_LOST, StopReason.WORKER_RESTARTED} for agent in lost)
        world.tell_drain(Drain(deadline=world.time.seconds + 1_000))
        for _ in range(3):
            for agent in world.running:
                agent.end()
            world.calm_down()
        assert world.shelf.held() == []
        assert [post.holdings() for post in world.posts.values()] == [((), ())] * len(WORKERS)
        assert all(len(heard) == 1 for _, heard in world.answers), "not answered"
        assert world.ledger_believes() == frozenset()


@pytest.fixture
def quick(monkeypatch):
    """Look-ahead opens after two short attempts."""
    monkeypatch.setattr(actors.ahead, "WINDOW", 2)
    monkeypatch.setattr(actors.ahead, "AHEAD_MAX", 4)
    logger.disable("actors")
    yield
    logger.enable("actors")


def whatever_happens(seed):
    together = Together(seed)
    together.go(STEPS)
    together.come_to_rest()


@pytest.mark.usefixtures("quick")
@given(seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_nothing_runs_twice_nothing_is_lost_and_everybody_is_answered(seed):
    whatever_happens(seed)


@pytest.mark.prove
@pytest.mark.usefixtures("quick")
def test_the_same_for_many_more():
    for seed in range(3_000):
        whatever_happens(seed)


@pytest.mark.usefixtures("quick")
def test_left_alone_the_board_is_worked_with_claims_waiting_ahead():
    world = World(tickets=40)
    ahead = 0
    world.tick(1.0)
    for _ in range(30):
        world.talk()
        ahead = max(ahead, len(world.at_posts()))
        for agent in world.running:
            agent.end()
    assert all(row.over for row in world.shelf.rows.values())
    assert world.shelf.claimed == 40
    assert ahead == 2 * (1 + 4)
