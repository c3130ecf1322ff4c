"""All actors together, whoever is struck, and whenever and however often: the rules that must hold."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.messages import Drain
from actors.names import CLOCK, HEARTBEAT, STATE_HOLDER
from kora.domain.resolution import StopReason
from tests.unit.actors import rules
from tests.unit.actors.moments import DEEDS, Strike, leave_out
from tests.unit.actors.world import ACTORS, LEASE, TICK, WORKERS, World

TICKETS = 24
STEPS = 120


class Together:
    """One run: a board being worked with claims waiting ahead, and whatever may happen to it."""

    def __init__(self, seed):
        self.random = Random(seed)
        self.world = world = World(TICKETS, is_guarded=self.random.random() < 0.8)
        self.happenings = {
            self.serve: 40,
            self.go_on: 12,
            self.end: 12,
            self.end_all: 6,
            self.make_progress: 6,
            self.ask: 8,
            self.ask_too_late: 2,
            self.strike: 20,
            self.lose_the_mirror: 1,
            self.come_back: 6,
            self.restart: 2,
            self.trouble_the_store: 3,
            self.shut_the_gate: 1,
            self.open_the_gate: 3,
            self.pause: 1,
            self.drain_for_a_while: 1,
            self.resume: 3,
            self.stop: 1,
            self.reset: 3,
            self.release: 3,
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
            rules.always(self.world)

    def busy(self):
        """An actor that has something to do; any, if none has."""
        return self.random.choice([name for name in ACTORS if self.world.is_busy(name)] or ACTORS)

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

    def make_progress(self):
        if self.world.running:
            self.random.choice(self.world.running).make_progress()

    def ask(self):
        if self.world.running:
            self.world.ask(self.random.choice(self.world.running))

    def ask_too_late(self):
        self.world.ask(self.random.choice(self.world.agents))

    # --- the rest ---

    def strike(self):
        self.world.serve(self.busy(), strike=Strike(self.random.choice(DEEDS), self.random.randrange(20)))

    def lose_the_mirror(self):
        self.world.serve(STATE_HOLDER, strike=Strike(leave_out, self.random.randrange(2)))

    def come_back(self):
        self.world.bring_back(*self.world.away)

    def restart(self):
        self.world.restart(self.random.choice(ACTORS))

    def trouble_the_store(self):
        self.world.shelf.faults.append(self.random.choice(["before", "after"]))

    def shut_the_gate(self):
        self.world.shelf.shut(is_readable=self.random.choice([True, False]))

    def open_the_gate(self):
        self.world.shelf.permit()

    def pause(self):
        self.world.pause()

    def drain_for_a_while(self):
        self.world.drain_for_a_while(self.random.choice([0.0, 2.0]))

    def resume(self):
        self.world.resume()

    def stop(self):
        self.world.stop(self.random.choice([1, 2, 3]))

    def reset(self):
        self.world.reset()

    def release(self):
        """What runs there or waits there; the word may reach a successor, or come when it is over."""
        worker = self.random.choice(WORKERS)
        running, _ = self.world.posts[worker].holdings()
        if running:
            self.world.release(worker, self.random.choice(running))

    def spoil_a_start(self):
        self.world.start_fuse = self.random.choice(["before", "after"])

    def cancel(self):
        if held := self.world.shelf.held():
            self.world.shelf.cancel(self.random.choice(held))

    def force_retry(self):
        if over := [row for row in self.world.shelf.rows.values() if row.over]:
            self.world.shelf.reopen(self.random.choice(over))

    def sleep(self):
        """The machine does, for longer than any lease, or until one is nearly over."""
        self.world.tick(self.random.choice([LEASE + 1, LEASE - 0.5]))

    # --- in the end ---

    def come_to_rest(self):
        world = self.world
        world.calm_down()
        held = world.held()
        assert held <= world.at_posts(), "a claim is left without a Worker"
        lost = [agent for agent in world.running if agent.claim.key not in held]
        assert world.at_posts() - held <= {agent.claim.key for agent in lost}, "a dead claim waits to be begun"
        reasons = {StopReason.LEASE_LOST, StopReason.WORKER_RESTARTED, StopReason.OPERATOR, StopReason.DRAINED}
        reasons.add(StopReason.STOPPED)
        assert all(agent.reason in reasons for agent in lost)
        rules.mirrored(world)
        rules.at_rest(world)
        rules.mirrored(world)
        world.tell_drain(Drain(deadline=world.time.seconds + 1_000))
        for _ in range(3):
            for agent in world.running:
                agent.end()
            world.calm_down()
        rules.drained(world)


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
@pytest.mark.parametrize("quickest", [(CLOCK, HEARTBEAT), (CLOCK, HEARTBEAT, *WORKERS)])
def test_a_machine_that_wakes_as_a_lease_ends_leaves_no_claim_behind(quickest):
    world = World(tickets=1)
    world.talk()
    [agent] = world.running
    world.time.seconds += TICK / 2
    agent.make_progress()
    world.tick(TICK / 2)
    world.talk()
    # The guardian has ended it by then, and the Heartbeat asks for the refresh that it had earned.
    world.tick(LEASE - TICK - 0.5)
    for name in quickest:
        world.serve(name)
    world.talk()
    assert agent.ran_out_at is not None
    world.calm_down()
    rules.at_rest(world)
    [again] = world.running
    assert again.claim.key.ticket_id == agent.claim.key.ticket_id


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
