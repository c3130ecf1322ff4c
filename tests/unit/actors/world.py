"""A small runtime without threads: real actors and inboxes, a hand-held clock, agents that end when the test says so,
and a store that is a dictionary. Any actor may crash at any word that it says, or wake late when it was retired.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace

from actors.heartbeat import Heartbeat
from actors.ledger import Ledger
from actors.messages import Drain, Permission, Tick
from actors.names import HEARTBEAT, LEDGER, POLLER, RUNTIME, STATE_HOLDER, worker_names
from actors.poller import Poller
from actors.post import Post
from actors.supervision import Directory, Seat, SupersededError
from actors.worker import Worker
from kora.domain.claim import Claim, ClaimKey
from kora.domain.control import ClaimPermission
from kora.domain.ids import new_id
from kora.domain.operation import OperationAnswer, OperationRequest, Step, Verdict
from kora.domain.resolution import Outcome
from kora.domain.ticket import Status
from kora.errors import IncarnationLostError, StoreUnavailableError
from kora.store.port import TurnResult
from tests.claims import NOW, a_claim

LEASE = 600.0
TICK = 1.0
WORKERS = worker_names(2)
ACTORS = (*WORKERS, LEDGER, POLLER, HEARTBEAT)


class CrashError(Exception):
    """An actor dies here."""


@dataclass
class Row:
    """A ticket, and the claim that it is under."""

    ticket_id: str
    fence: int = 0
    attempt: str | None = None
    lease_until: float = 0.0
    over: bool = False
    ended: set = field(default_factory=set)

    @property
    def key(self) -> ClaimKey:
        return ClaimKey(self.ticket_id, self.fence, self.attempt)


class Shelf:
    """The store: what `Writer` promises, in memory. Its handles all write to the same rows."""

    def __init__(self, world, tickets):
        self.world = world
        self.rows = {row.ticket_id: row for row in (Row(new_id()) for _ in range(tickets))}
        self.operations = {}
        self.incarnation = 0
        self.changes = 0
        self.faults = []
        """what befalls the next turns: None, "before" or "after" the commit"""
        self.claimed = 0

    def open(self):
        return Handle(self)

    def held(self):
        return [row for row in self.rows.values() if row.attempt is not None]

    def cancel(self, row):
        row.attempt, row.over = None, True
        self.changes += 1

    def reopen(self, row):
        row.over = False
        self.changes += 1


class Handle:
    """One writer."""

    def __init__(self, shelf):
        self.shelf = shelf
        self.seen = shelf.changes

    def next_incarnation(self):
        self.shelf.incarnation += 1
        return self.shelf.incarnation

    def held(self):
        return [self._claim(row) for row in self.shelf.held()]

    def holds(self):
        return frozenset(row.key for row in self.shelf.held())

    def changed(self):
        changed, self.seen = self.seen != self.shelf.changes, self.shelf.changes
        return changed

    def close(self):
        pass

    def turn(self, incarnation, turn):
        fault = self.shelf.faults.pop() if self.shelf.faults else None
        if fault == "before":
            raise StoreUnavailableError("away")
        if incarnation != self.shelf.incarnation:
            raise IncarnationLostError("incarnation")
        result = TurnResult()
        now = self.shelf.world.time.seconds
        for earned in turn.refresh:
            row = self._under(earned.key)
            if row is not None and row.lease_until > now:
                row.lease_until = now + turn.refresh_seconds
                result.refreshed.append(earned.key)
            else:
                result.lost.append(earned.key)
        result.operated += [self._operate(request) for request in turn.operate]
        for settlement in turn.settle:
            self._settle(settlement, result)
        for row in self.shelf.held() if turn.sweep else ():
            if row.lease_until <= now:
                result.returned.append(row.key)
                row.attempt = None
        if turn.claim is not None:
            self._take(turn.claim, result)
        if fault == "after":
            raise StoreUnavailableError("the answer was lost")
        return result

    def _under(self, key):
        row = self.shelf.rows[key.ticket_id]
        return row if row.attempt is not None and row.key == key else None

    def _operate(self, request):
        if self._under(request.claim) is None:
            return OperationAnswer(request, Verdict.LOST)
        self.shelf.operations[request.claim.work_attempt_id, request.sequence_within_attempt] = request.step
        return OperationAnswer(request, Verdict.DISPATCHED)

    def _settle(self, settlement, result):
        row = self.shelf.rows[settlement.key.ticket_id]
        attempt = settlement.key.work_attempt_id
        if self._under(settlement.key) is not None:
            is_completed = settlement.sea_status is Status.COMPLETED
            for agent in self.shelf.world.agents:
                if agent.claim.key == settlement.key:
                    assert agent.outcome is not None, "given back while its agent runs"
                    assert is_completed is (agent.reason is None), "an end that was reached is written as another"
            row.attempt, row.over = None, is_completed
            row.ended.add(attempt)
        (result.settled if attempt in row.ended else result.stale).append(settlement.key)

    def _take(self, order, result):
        ready = [row for row in self.shelf.rows.values() if not row.over and row.attempt is None]
        for row in [row for row in ready if row.ticket_id not in order.except_tickets][: order.count]:
            assert not self.shelf.world.runs(row.ticket_id), "claimed again while an agent of it runs here"
            row.fence += 1
            row.attempt, row.lease_until = new_id(), self.shelf.world.time.seconds + order.lease_seconds
            self.shelf.claimed += 1
            result.claims.append(self._claim(row))

    def _claim(self, row):
        made = a_claim(ticket_id=row.ticket_id, attempts=1)
        return Claim(row.key, made.ticket, "runtime-1", NOW)


class Agent:
    """One attempt under way."""

    timeout_seconds = stall_seconds = 0.0
    tool_since = progress_at = None

    def __init__(self, world, claim, on_end, operations):
        self.claim, self.operations, self._on_end = claim, operations, on_end
        self.started_at = world.time.seconds
        self.outcome = self.reason = None
        self.asked = 0

    def extend(self, lease):
        pass

    def stop(self, reason):
        self.reason = self.reason or reason

    kill = stop

    def end(self):
        self.outcome = Outcome(signal=15, stop_reason=self.reason) if self.reason else Outcome(exit_code=0)
        # An agent's own thread does not die of whoever was to hear of its end.
        with suppress(CrashError):
            self._on_end()


class World:
    """Everything, with each actor's inbox, and what may happen to them."""

    def __init__(self, tickets=12):
        self.time = SimpleNamespace(seconds=1_000.0, boot_seconds=lambda: self.time.seconds)
        self.directory = Directory()
        for name in (*ACTORS, STATE_HOLDER, RUNTIME):
            self.directory.declare(name)
        self.shelf = Shelf(self, tickets)
        self.posts = {name: Post(name) for name in WORKERS}
        self.agents = []
        self.answers = []
        """one list for each request that was asked"""
        self.actors = {}
        self.start_fuse = None
        self.drain = None
        for name in ACTORS:
            self.man(name)

    # --- for the actors: `Agent`, `Predecessors` ---

    def start(self, claim, lease, on_end, operations):
        assert claim.key not in {agent.claim.key for agent in self.agents}, "started twice"
        assert lease.deadline > self.time.seconds, "started after its lease"
        if self.start_fuse == "before":
            self.start_fuse = None
            raise CrashError
        agent = Agent(self, claim, on_end, operations)
        self.agents.append(agent)
        if self.start_fuse == "after":
            # As when the machine has no thread to give: it is over before it has begun.
            self.start_fuse = None
            agent.end()
        return agent

    def lingering(self):
        return frozenset()

    def ended(self):
        return ()

    def forget(self, runtimes):
        pass

    # --- what happens ---

    def runs(self, ticket_id):
        return any(agent.outcome is None and agent.claim.key.ticket_id == ticket_id for agent in self.agents)

    @property
    def running(self):
        return [agent for agent in self.agents if agent.outcome is None]

    def man(self, name):
        """A new generation; a start that fails is tried again."""
        while True:
            inbox = self.inbox(name)
            seat = Seat(name, inbox, inbox.attach(), self.directory, lambda _event: None)
            self.actors[name] = actor = self._make(name, seat)
            try:
                actor.on_start()
                if name == LEDGER:
                    actor.on_wake()
            except CrashError:
                continue
            return

    def inbox(self, name):
        return self.directory.declare(name)

    def ledger_believes(self):
        return self.actors[LEDGER]._roster.attempts

    def _make(self, name, seat):
        common = {"tick_seconds": TICK, "time_source": self.time}
        if name == LEDGER:
            return Ledger(
                seat,
                open_writer=self.shelf.open,
                workers=WORKERS,
                predecessors=self,
                lingering=self.lingering,
                lease_seconds=LEASE,
                max_attempts=1_000_000,
                **common,
            )
        if name == POLLER:
            return Poller(seat, workers=len(WORKERS), poll_interval_seconds=5, time_source=self.time, random=Random(1))
        if name == HEARTBEAT:
            return Heartbeat(seat, interval_seconds=60, **common)
        return Worker(seat, agent=self, post=self.posts[name], max_attempts=1_000_000, tool_seconds=1_800, **common)

    def serve(self, name, limit=None, crash_at=None):
        """Let the actor handle what waits for it; let it die at its n-th word, spoken or not."""
        actor, inbox = self.actors[name], self.inbox(name)
        generation = actor.seat.generation
        batch = inbox.take(generation, limit or actor.batch_limit, 0.0, stepwise=name != LEDGER)
        if crash_at is not None:
            _set_fuse(actor, *crash_at)
        try:
            if batch:
                actor.on_batch(batch)
                inbox.done(generation)
            if actor.wake_at is not None:
                actor.wake_at = None
                actor.on_wake()
        except (CrashError, RuntimeError, IncarnationLostError):
            inbox.recover("it crashed")
            self.man(name)
        return bool(batch)

    def retire(self, name, *, is_late=False):
        """The actor hangs in a batch and is replaced, and then wakes: what it does now must count for nothing."""
        actor, inbox = self.actors[name], self.inbox(name)
        batch = inbox.take(actor.seat.generation, actor.batch_limit, 0.0, stepwise=name != LEDGER)
        inbox.supersede()
        inbox.recover("it was retired")
        self.man(name)
        if is_late:
            self.talk()
        try:
            actor.on_batch(batch)
        except (SupersededError, RuntimeError, IncarnationLostError, CrashError):
            return

    def tick(self, seconds):
        self.time.seconds += seconds
        for name in (*WORKERS, HEARTBEAT, LEDGER, POLLER):
            self.directory.tell(name, Tick(now=self.time.seconds))
        permission = Permission(permission=ClaimPermission.NORMAL, until=self.time.seconds + 5)
        self.directory.tell(POLLER, permission)
        if self.drain is not None:
            self.tell_drain(self.drain)

    def tell_drain(self, drain: Drain):
        self.drain = drain
        for name in (POLLER, LEDGER, *WORKERS):
            self.directory.tell(name, drain)

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
            heard.append(answer.verdict)

        agent.operations.submit(request, on_answer)

    def calm_down(self):
        """Everybody says all that there is to say; no agent ends by itself."""
        self.shelf.faults.clear()
        self.start_fuse = None
        for _ in range(4):
            self.tick(TICK / 2)
            self.talk()

    def talk(self):
        """Deliver messages until there are none."""
        for _ in range(1_000):
            heard = [self.serve(name) for name in ACTORS]
            if not any(heard):
                break
        else:
            raise AssertionError("they never stop talking")
        for name in (STATE_HOLDER, RUNTIME):
            inbox = self.inbox(name)
            inbox.take(inbox.generation, 1_000_000, 0.0)
            inbox.done(inbox.generation)

    def at_posts(self):
        """Every attempt that some Worker has."""
        return {claim.key for post in self.posts.values() for claim in post.holdings()[0]}


def _set_fuse(actor, words, is_spoken):
    """Make the actor die at its n-th word."""
    left = [words]
    speak = actor.tell

    def tell(name, message, *, control=False):
        left[0] -= 1
        if left[0] >= 0 or is_spoken:
            speak(name, message, control=control)
        if left[0] < 0:
            raise CrashError

    actor.tell = tell
