"""A small runtime without threads: real actors and inboxes, a hand-held clock, agents that end when the test says so,
and a store that is a dictionary. Any actor may be struck at any moment: see `moments`.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

from actors.messages import Drain, Held, Release, Resume, Work
from actors.names import CLOCK, CONTROL, HEARTBEAT, LEDGER, POLLER, RUNTIME, STATE_HOLDER
from actors.post import Post
from actors.remembered import Remembered
from actors.steering import Booted, Recheck, Transition
from actors.supervision import Directory, Seat, SupersededError
from actors.tree import HELD_KEPT
from kora.domain.cost import NO_CAPS
from kora.domain.operation import OperationRequest, Step, Verdict
from kora.domain.state import BOOTED, PrimaryState
from kora.errors import IncarnationLostError
from tests.unit.actors.cast import TICK, WORKERS, make
from tests.unit.actors.hands import Agent
from tests.unit.actors.moments import CrashError, watch
from tests.unit.actors.shelf import Shelf

LEASE = 600.0
DOUBT_SECONDS = 1.0 + 3 * TICK
"""how long a claim may outlive an agent whose lease ran out"""
ACTORS = (CLOCK, LEDGER, STATE_HOLDER, HEARTBEAT, CONTROL, *WORKERS, POLLER)
"""in the order of their start"""

# What an actor may die of here: a RuntimeError is how a Worker finds that its predecessor's start has failed half-way.
_DEATHS = (CrashError, SupersededError, IncarnationLostError, RuntimeError)


class World:
    """Everything, with each actor's inbox, and what may happen to them."""

    def __init__(self, tickets=12, *, lease_seconds=LEASE, heartbeat_seconds=60.0, is_guarded=True, strike=None):
        self.lease_seconds, self.heartbeat_seconds, self.is_guarded = lease_seconds, heartbeat_seconds, is_guarded
        self.time = SimpleNamespace(seconds=1_000.0, boot_seconds=lambda: self.time.seconds)
        self.directory = Directory()
        self.inboxes = {
            name: self.directory.declare(name, bound=HELD_KEPT if name == STATE_HOLDER else None)
            for name in (*ACTORS, RUNTIME)
        }
        self.shelf = Shelf(self, tickets)
        self.posts = {name: Post(name) for name in WORKERS}
        self.agents = []
        self.answers = []
        """one list for each request that was asked"""
        self.actors = {}
        self.strike = strike
        self.trail = []
        """every moment that was come to: the actor's name, and which kind of moment"""
        self.struck = []
        self.deaths = []
        self.away = set(ACTORS)
        """whom nobody serves: their messages wait"""
        self.left_out = set()
        """those of them whose messages are lost"""
        self.is_tick_due = False
        self.start_fuse = None
        self.drain = None
        self.has_pause = False
        self.remembered = Remembered()
        self.heard = (0, 0)
        self.heard_drained = False
        self.directory.tell(CONTROL, Booted())
        self.directory.tell(STATE_HOLDER, Transition(target=PrimaryState.READY, trigger=BOOTED))
        for name in ACTORS:
            self.man(name)

    # --- for the actors: `Agent`, `Predecessors`, `Gate` ---

    def start(self, claim, lease, on_end, operations):
        assert claim.key not in {agent.claim.key for agent in self.agents}, "started twice"
        assert not self.runs(claim.key.ticket_id), "started while another agent runs on its ticket"
        assert lease.deadline > self.time.seconds, "started after its lease"
        self.check_lease(claim, lease)
        if self.start_fuse == "before":
            self.start_fuse = None
            raise CrashError
        agent = Agent(self, claim, lease, on_end, operations)
        self.agents.append(agent)
        if self.start_fuse == "after":
            # As when the machine has no thread to give: it is over before it has begun.
            self.start_fuse = None
            agent.end()
        return agent

    caps = NO_CAPS

    def settled(self, attempts):
        costly = {agent.claim.key.work_attempt_id for agent in self.agents}
        assert costly.intersection(attempts) <= set(self.shelf.charged), "acknowledged before it was charged"

    def lingering(self):
        return frozenset()

    def ended(self):
        return ()

    def charges(self, runtimes):
        return ()

    def forget(self, runtimes):
        pass

    def is_paused(self):
        return self.has_pause

    # --- who is there ---

    def man(self, name):
        """A new generation; a start that fails is tried again."""
        self.away.discard(name)
        while True:
            inbox = self.inboxes[name]
            seat = Seat(name, inbox, inbox.attach(), self.directory, lambda _event: None)
            self.actors[name] = actor = make(self, name, seat)
            watch(actor, self.come_to)
            try:
                actor.on_start()
                seat.check()
            except _DEATHS:
                if self._bury(actor):
                    continue
                return
            # The Clock ticks as soon as it is there.
            self.is_tick_due |= name == CLOCK
            return

    def replace(self, actor):
        """The actor hangs: whoever is manned in its place now is its successor."""
        inbox = actor.seat.inbox
        inbox.supersede()
        inbox.recover("it was retired")
        self.man(actor.seat.name)

    def restart(self, name):
        """As when an operator asks for it."""
        if name not in self.away:
            self.actors[name].on_stop()
            self.inboxes[name].recover("it was stopped")
            self.man(name)

    def bring_back(self, *names):
        """These serve their names again: the same actors, or new ones where those have died."""
        self.away -= set(names)
        self.left_out -= set(names)
        for name in names:
            if not self.inboxes[name].is_served:
                self.man(name)

    def come_to(self, actor, moment):
        """Let be struck whoever is to be; what a retired actor does is no moment of its name."""
        seat = actor.seat
        if seat.inbox.generation != seat.generation:
            return
        name = seat.name
        self.trail.append((name, moment))
        if self.strike is not None and self.strike.falls(name):
            strike, self.strike = self.strike, self.strike.then
            self.struck.append(name)
            strike.deed(self, actor)

    def _bury(self, actor):
        """True if it has died in office, and is to be replaced now."""
        name = actor.seat.name
        actor.on_failure(*sys.exc_info())
        if not actor.seat.is_current:
            return False
        self.deaths.append(name)
        actor.seat.inbox.recover("it crashed")
        if name in self.left_out:
            self.directory.withdraw(name)
        return name not in self.away

    # --- what happens ---

    def is_busy(self, name):
        return name not in self.away and (len(self.inboxes[name]) > 0 or self._is_alarmed(self.actors[name]))

    def serve(self, name, limit=None, strike=None):
        """Let the actor handle what waits for it; whether there was anything."""
        if not self.is_busy(name):
            return False
        actor, inbox = self.actors[name], self.inboxes[name]
        self.strike = strike or self.strike
        generation = actor.seat.generation
        try:
            batch = inbox.take(generation, limit or actor.batch_limit, 0.0, stepwise=name != LEDGER)
            if batch:
                actor.on_batch(batch)
                inbox.done(generation)
            if self._is_alarmed(actor):
                actor.wake_at = None
                self.is_tick_due &= name != CLOCK
                actor.on_wake()
            # As its loop does: one that was retired ends when it asks for the next batch.
            actor.seat.check()
        except _DEATHS:
            if self._bury(actor):
                self.man(name)
        if strike is not None:
            self.strike = None
        return True

    def _is_alarmed(self, actor):
        # All clocks are in the test's hand, and so an alarm rings at once, but the Clock's own.
        return actor.wake_at is not None and (actor.seat.name != CLOCK or self.is_tick_due)

    def tick(self, seconds):
        """Time passes, of which the Clock will tell everybody; agents whose lease is over are gone by then."""
        self.time.seconds += seconds
        self.is_tick_due = True
        if self.is_guarded:
            for agent in self.running:
                if self.time.seconds >= agent.lease.kill_at:
                    agent.run_out()
        if self.drain is not None:
            self.tell_drain(self.drain)

    def tell_drain(self, drain: Drain):
        self.drain = drain
        for name in (POLLER, LEDGER, *WORKERS):
            self.directory.tell(name, drain)

    def pause(self):
        """An operator wants nothing more claimed."""
        self.has_pause = True
        self.shelf.will_be_shut()
        self.directory.tell(CONTROL, Recheck())

    def stop(self, level):
        """An operator does, by the command log."""
        command = self.shelf.steered.stop(level)
        self.directory.tell(CONTROL, Recheck())
        return command

    def reset(self):
        """And takes it all back."""
        self.shelf.steered.reset()
        self.directory.tell(CONTROL, Recheck())

    def drain_for_a_while(self, seconds):
        """An operator wants nothing claimed, and what runs ended."""
        self.pause()
        for name in (LEDGER, *WORKERS):
            self.directory.tell(name, Drain(deadline=self.time.seconds + seconds, is_final=False))

    def resume(self):
        self.has_pause = False
        self.shelf.may_be_open()
        self.directory.tell(CONTROL, Recheck())
        for name in (LEDGER, *WORKERS):
            self.directory.tell(name, Resume())

    def release(self, worker, claim):
        self.directory.tell(worker, Release(work_attempt_id=claim.key.work_attempt_id))

    def ask(self, agent):
        """The attempt asks the ledger of operations; it may ask again before it was answered."""
        agent.asked += 1
        request = OperationRequest(agent.claim.key, Step.BEGIN, agent.asked, "tool", f"key-{agent.asked}")
        heard = []
        self.answers.append((request, heard))

        def on_answer(answer):
            assert answer.request == request
            if answer.verdict is Verdict.DISPATCHED:
                place = request.claim.work_attempt_id, request.sequence_within_attempt
                assert place in self.shelf.operations, "answered before it was written"
            agent.was_turned_away |= answer.verdict is Verdict.REFUSED
            heard.append(answer.verdict)

        agent.operations.submit(request, on_answer)

    def calm_down(self):
        """Everybody says all that there is to say; no agent ends by itself."""
        self.shelf.faults.clear()
        self.shelf.permit()
        self.reset()
        self.resume()
        self.start_fuse = None
        self.bring_back(*self.away)
        for _ in range(int(DOUBT_SECONDS / TICK) + 1):
            self.tick(TICK)
            self.talk()

    def talk(self):
        """Deliver messages until there are none."""
        for _ in range(1_000):
            busy = [name for name in ACTORS if self.is_busy(name)]
            if not busy:
                break
            for name in busy:
                self.serve(name)
        else:
            raise AssertionError("they never stop talking")
        self._listen()

    def _listen(self):
        """The runtime hears what the Ledger says."""
        inbox = self.inboxes[RUNTIME]
        for held in inbox.take(inbox.generation, 1_000_000, 0.0):
            if isinstance(held, Held) and held.version > self.heard:
                self.heard, self.heard_drained = held.version, held.drained
                # It would end now, and everybody with it.
                assert not held.drained or self.shelf.held() == [], "drained, it is said, with claims in hand"
        inbox.done(inbox.generation)

    # --- what there is to see ---

    def runs(self, ticket_id):
        return any(agent.outcome is None and agent.claim.key.ticket_id == ticket_id for agent in self.agents)

    @property
    def running(self):
        return [agent for agent in self.agents if agent.outcome is None]

    def check_lease(self, claim, lease):
        """No agent is let run for longer than the store keeps others away from its ticket."""
        row = self.shelf.rows[claim.key.ticket_id]
        assert row.key != claim.key or lease.deadline <= row.lease_until, "a longer lease here than there"

    def held(self):
        """What the store holds, but for what a guardian has just ended: that is swept, or else soon doubted."""
        soon = self.time.seconds - DOUBT_SECONDS
        ran_out = {agent.claim.key for agent in self.agents if agent.ran_out_at is not None and agent.ran_out_at > soon}
        return {row.key for row in self.shelf.held()} - ran_out

    def ledger_believes(self):
        return self.actors[LEDGER]._roster.attempts

    def ledger_is_sure(self):
        """Whether the Ledger that serves now has reconciled, and knows the Workers that serve now."""
        roster = self.actors[LEDGER]._roster
        known = all(roster.generation(name) == self.inboxes[name].generation for name in WORKERS)
        return known and not self.actors[LEDGER]._unsure

    def mirrored(self):
        return self.actors[STATE_HOLDER].state.primary_state

    def at_posts(self):
        """Every attempt that some Worker has."""
        return {claim.key for post in self.posts.values() for claim in post.holdings()[0]}

    def with_workers(self):
        """The same, with those on their way to a Worker, or back."""
        inboxes = [self.inboxes[name] for name in WORKERS]
        letters = [
            letter for inbox in inboxes for letter in (*inbox._work, *inbox._hand.messages) if type(letter) is Work
        ]
        ended = {ended.key for post in self.posts.values() for ended in post.holdings()[1]}
        return self.at_posts() | ended | {claim.key for letter in letters for claim in letter.claims}
