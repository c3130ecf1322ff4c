"""A Worker owns one running attempt at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger

from actors.actor import KoraActor, handles
from actors.ahead import AHEAD_PATIENCE_SECONDS
from actors.endings import Endings
from actors.limits import Limits
from actors.messages import (
    AgentEnded,
    Announce,
    Drain,
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
from actors.names import HEARTBEAT, LEDGER
from actors.post import Taken
from actors.steering import Bounds
from kora.domain.resolution import BLAMELESS, StopReason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from actors.post import Post
    from actors.supervision import Seat
    from kora.agents.port import Agents, EndListener, Lease, RunningAgent
    from kora.clock import TimeSource
    from kora.domain.claim import Claim
    from kora.domain.cost import Rung
    from kora.domain.ticket import Ticket

_RING = AgentEnded()


class Worker(KoraActor):
    """Has the agents of the claims it is given run one after the other, watches their limits, and reports their ends.

    Never waits for an agent. What waits behind one that takes long is given back; so is all that waits when the Worker
    drains or was restarted, or when a command or the cost lets nothing begin.

    Receives: `Work`, `AgentEnded`, `Refreshed`, `Lost`, `Settled`, `Operated`, `WhatRuns`, `Bounds`, `Tick`, `Drain`,
    `Resume`, `Release`.
    Sends: `Announce`, `Operate`, `Ends` to the Ledger; `Progress` to the Heartbeat; `ProviderRefused`, `ProviderServed`
    to Control.
    Owns: the claims at the name's post, and the running agent.
    On restart: ends the agent that runs at its post, gives back what had not begun, and announces what it has; refuses
    work that was given to its predecessor.
    """

    def __init__(
        self,
        seat: Seat,
        *,
        agent: Agents,
        post: Post,
        max_attempts: int,
        tool_seconds: float,
        tick_seconds: float,
        time_source: TimeSource,
        downshift: Callable[[Rung, Ticket], str | None] = lambda _rung, _ticket: None,
        redacted: Callable[[str], str] = str,
    ) -> None:
        super().__init__(seat)
        self._agent = agent
        self._post = post
        self._downshift = downshift
        self._limits = Limits(tool_seconds=tool_seconds, tick_seconds=tick_seconds)
        self._endings = Endings(self, agent, post.desk, self._limits, max_attempts=max_attempts, redacted=redacted)
        self._time = time_source
        self._incarnation = 0
        self._lost: dict[str, float] = {}
        """claims that are over though their `Work` has not come yet, and when that was heard"""

    def facts(self) -> Mapping[str, object]:
        """What it is at, and what waits behind that."""
        running, bounds = self._post.running, self._limits.bounds
        agent = None if running is None else running.agent
        return {
            "ticket_id": None if running is None else running.claim.key.ticket_id,
            "work_attempt_id": None if running is None else running.claim.key.work_attempt_id,
            "attempt": None if running is None else running.claim.attempt,
            "started_at": None if agent is None else agent.started_at,
            "progress_at": None if agent is None else agent.progress_at,
            "waiting": self._post.waiting,
            "draining": self._limits.drain is not None,
            "level": bounds.level.value,
            "rung": bounds.rung.value,
            "incarnation": self._incarnation,
        }

    def on_start(self) -> None:
        """Take over the post, ending what runs there."""
        # By name, and not through this actor: a ring or a request must reach whoever serves the name by then.
        directory, name = self.seat.directory, self.seat.name
        self._post.desk.connect(directory.tell)
        running = self._post.man(
            self.seat.generation, self._start, lambda: directory.tell(name, _RING), self._time.boot_seconds
        )
        if running is not None and running.outcome is None:
            running.stop(StopReason.WORKER_RESTARTED)
        self._go_on()
        self._announce()

    def on_stop(self) -> None:
        """Leave the post: what runs there begins nothing more when it ends."""
        self._post.unman(self.seat.generation)

    def on_failure(self, *_: object) -> None:
        """Leave the post to the successor."""
        self.on_stop()

    # --- the Ledger's ---

    @handles(Work)
    def _on_work(self, work: Work) -> None:
        generation = self.seat.generation
        begun: Sequence[Claim] = work.claims
        unbegun: Sequence[Taken] = ()
        if self._lost or self._limits.closed is not None:
            unbegun = [taken for claim in begun if (taken := self._not_to_begin(claim)) is not None]
            refused = {taken.claim.key for taken in unbegun}
            begun = [claim for claim in begun if claim.key not in refused]
        fits = work.generation == generation and work.incarnation >= self._incarnation
        if fits and self._post.queue(generation, begun, work.lease, unbegun):
            self._go_on()
        else:
            logger.debug("{} claims for an earlier {} refused", len(work.claims), self.seat.name)

    @handles(WhatRuns)
    def _on_what_runs(self, message: WhatRuns) -> None:
        self._incarnation = max(self._incarnation, message.incarnation)
        self._announce()

    @handles(Refreshed)
    def _on_refreshed(self, message: Refreshed) -> None:
        running = self._post.running
        if running is None or running.claim.key.work_attempt_id != message.work_attempt_id:
            return
        if running.agent is not None:
            running.agent.extend(message.lease)

    @handles(Lost)
    def _on_lost(self, message: Lost) -> None:
        attempt = message.work_attempt_id
        agent = self._post.lose(self.seat.generation, attempt)
        if agent is not None:
            # The ticket may be another's by now, so there is no grace to give.
            agent.kill(StopReason.LEASE_LOST)
        elif not self._post.has(attempt):
            self._lost[attempt] = self._time.boot_seconds()
        self._go_on()

    @handles(Settled)
    def _on_settled(self, message: Settled) -> None:
        self._post.acknowledge(message.work_attempt_ids)
        self._agent.settled(message.work_attempt_ids)

    @handles(Operated)
    def _on_operated(self, message: Operated) -> None:
        self._post.desk.answer(message.answers)

    # --- the attempt's ---

    @handles(AgentEnded)
    def _on_agent_ended(self, _: AgentEnded) -> None:
        self._go_on()

    @handles(Tick)
    def _on_tick(self, tick: Tick) -> None:
        self._limits.tick(tick.now)
        # No end is overlooked for want of its ring.
        self._go_on()
        running = self._post.running
        agent = None if running is None else running.agent
        if running is None or agent is None:
            self.tell(HEARTBEAT, Progress(worker=self.seat.name))
        else:
            progress = Progress(
                worker=self.seat.name,
                key=running.claim.key,
                started_at=agent.started_at,
                progress_at=self._limits.progress_at(agent, tick.now),
            )
            self.tell(HEARTBEAT, progress)
            if self._limits.is_served(agent):
                self._endings.tell_served(running.claim)
            self._enforce_limits(agent, tick.now)
            self._keep_patience(tick.now - running.began_at)
        # Work and ticks keep their order: what was sent before these words were heard has been handled by now.
        self._lost = {attempt: heard_at for attempt, heard_at in self._lost.items() if heard_at >= tick.now}
        self._ask_again()

    @handles(Drain)
    def _on_drain(self, drain: Drain) -> None:
        self._limits.drain = drain
        self._post.give_back(self.seat.generation, "the runtime was drained")
        agent = self._post.agent
        if agent is not None and drain.at_once:
            agent.kill(StopReason.DRAINED)
        self._go_on()

    @handles(Resume)
    def _on_resume(self, _: Resume) -> None:
        drain = self._limits.drain
        if drain is not None and not drain.is_final:
            self._limits.drain = None

    @handles(Bounds)
    def _on_bounds(self, bounds: Bounds) -> None:
        now, generation = self._time.boot_seconds(), self.seat.generation
        if not self._limits.hear(bounds, now):
            return
        self._post.admit(generation, self._limits.no_operation)
        closed, agent = self._limits.closed, self._post.agent
        if closed is not None:
            self._post.give_back(generation, closed.why, is_deferred=closed.is_deferred)
            if agent is not None:
                self._enforce_limits(agent, now)
            self._go_on()

    @handles(Release)
    def _on_release(self, message: Release) -> None:
        agent = self._post.release(self.seat.generation, message.work_attempt_id, BLAMELESS[StopReason.OPERATOR])
        if agent is not None and agent.outcome is None:
            agent.stop(StopReason.OPERATOR)
        self._go_on()

    def _not_to_begin(self, claim: Claim) -> Taken | None:
        if self._lost.pop(claim.key.work_attempt_id, None) is not None:
            return Taken(claim, is_lost=True)
        closed = self._limits.closed
        return None if closed is None else Taken(claim, unbegun=closed.why, is_deferred=closed.is_deferred)

    def _start(self, claim: Claim, lease: Lease, on_end: EndListener) -> RunningAgent:
        # On whichever thread the attempt before it has ended.
        name = None if claim.ticket.agent else self._downshift(self._limits.bounds.rung, claim.ticket)
        if name is not None:
            self._endings.named[claim.key.work_attempt_id] = name
            rung, key = self._limits.bounds.rung, claim.key
            logger.info("{}: agents.{} does it", rung, name, ticket=key.ticket_id, attempt=key.work_attempt_id)
            claim = claim._replace(ticket=claim.ticket.model_copy(update={"agent": name}))
        return self._agent.start(claim, lease, on_end, self._post.desk)

    def _enforce_limits(self, agent: RunningAgent, now: float) -> None:
        reason = self._limits.end_of(agent, now)
        if reason is not None and agent.outcome is None:
            agent.stop(reason)

    def _keep_patience(self, seconds: float) -> None:
        if seconds > AHEAD_PATIENCE_SECONDS and self._post.waiting:
            self._post.give_back(self.seat.generation, "another attempt took too long", seconds=seconds)
            self._go_on()

    def _go_on(self) -> None:
        """Begin what can be begun, and report what is over."""
        generation = self.seat.generation
        finished = self._post.advance(generation)
        if not finished:
            return
        ends = [self._endings.of(taken) for taken in finished]
        if self._post.report(generation, ends):
            # In the same lane, so that what an attempt asked is written ahead of its end.
            self._ask_again()
            self.tell(LEDGER, Ends(tuple(ends)))

    def _ask_again(self) -> None:
        requests = self._post.desk.unanswered()
        if requests:
            self.tell(LEDGER, Operate(self.seat.name, requests))

    def _announce(self) -> None:
        self._ask_again()
        running, ended = self._post.holdings()
        self.tell(
            LEDGER,
            Announce(
                worker=self.seat.name,
                generation=self.seat.generation,
                incarnation=self._incarnation,
                running=running,
                ended=ended,
            ),
        )
