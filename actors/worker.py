"""A Worker owns one running attempt at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger

from actors.actor import KoraActor, handles
from actors.ahead import AHEAD_PATIENCE_SECONDS
from actors.gap import Gap
from actors.messages import (
    AgentEnded,
    Announce,
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
from actors.post import Taken
from actors.steering import ProviderRefused
from kora.domain.handback import hand_back, pass_back
from kora.domain.resolution import RELEASED_BY_OPERATOR, StopReason, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from actors.post import Post
    from actors.supervision import Seat
    from kora.agents.port import Agents, EndListener, Lease, RunningAgent
    from kora.clock import TimeSource
    from kora.domain.claim import Claim
    from kora.domain.resolution import Outcome, Settlement

_RING = AgentEnded()


class Worker(KoraActor):
    """Has the agents of the claims it is given run one after the other, watches their limits, and reports their ends.

    Never waits for an agent. What waits behind one that takes long is given back; so is all that waits when the Worker
    drains or was restarted.

    Receives: `Work`, `AgentEnded`, `Refreshed`, `Lost`, `Settled`, `Operated`, `WhatRuns`, `Tick`, `Drain`, `Resume`,
    `Release`.
    Sends: `Announce`, `Operate`, `Ends` to the Ledger; `Progress` to the Heartbeat; `ProviderRefused` to Control.
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
        redacted: Callable[[str], str] = str,
    ) -> None:
        super().__init__(seat)
        self._agent = agent
        self._redacted = redacted
        self._post = post
        self._max_attempts = max_attempts
        self._tool_seconds = tool_seconds
        self._time = time_source
        self._gap = Gap(tick_seconds)
        self._awake_since = float("-inf")
        self._incarnation = 0
        self._lost: dict[str, float] = {}
        """claims that are over though their `Work` has not come yet, and when that was heard"""
        self._drain: Drain | None = None

    def facts(self) -> Mapping[str, object]:
        """What it is at, and what waits behind that."""
        running, drain = self._post.running, self._drain
        agent = None if running is None else running.agent
        return {
            "ticket_id": None if running is None else running.claim.key.ticket_id,
            "work_attempt_id": None if running is None else running.claim.key.work_attempt_id,
            "attempt": None if running is None else running.claim.attempt,
            "started_at": None if agent is None else agent.started_at,
            "progress_at": None if agent is None else agent.progress_at,
            "waiting": self._post.waiting,
            "draining": drain is not None,
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
        if self._lost or self._drain is not None:
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
        if self._gap.tick(tick.now):
            # An agent that slept with the machine has not stalled.
            self._awake_since = tick.now
        # No end is overlooked for want of its ring.
        self._go_on()
        running = self._post.running
        agent = None if running is None else running.agent
        if running is None or agent is None:
            self.tell(HEARTBEAT, Progress(worker=self.seat.name))
        else:
            progress_at = self._progress_at(agent, tick.now)
            progress = Progress(
                worker=self.seat.name, key=running.claim.key, started_at=agent.started_at, progress_at=progress_at
            )
            self.tell(HEARTBEAT, progress)
            self._enforce_limits(agent, progress_at, tick.now)
            self._keep_patience(tick.now - running.began_at)
        # Work and ticks keep their order: what was sent before these words were heard has been handled by now.
        self._lost = {attempt: heard_at for attempt, heard_at in self._lost.items() if heard_at >= tick.now}
        self._ask_again()

    @handles(Drain)
    def _on_drain(self, drain: Drain) -> None:
        self._drain = drain
        self._post.give_back(self.seat.generation, "the runtime was drained")
        agent = self._post.agent
        if agent is not None and drain.at_once:
            agent.kill(StopReason.DRAINED)
        self._go_on()

    @handles(Resume)
    def _on_resume(self, _: Resume) -> None:
        if self._drain is not None and not self._drain.is_final:
            self._drain = None

    @handles(Release)
    def _on_release(self, message: Release) -> None:
        agent = self._post.release(self.seat.generation, message.work_attempt_id, RELEASED_BY_OPERATOR)
        if agent is not None and agent.outcome is None:
            agent.stop(StopReason.OPERATOR)
        self._go_on()

    def _not_to_begin(self, claim: Claim) -> Taken | None:
        if self._lost.pop(claim.key.work_attempt_id, None) is not None:
            return Taken(claim, is_lost=True)
        return None if self._drain is None else Taken(claim, unbegun="the runtime was drained")

    def _start(self, claim: Claim, lease: Lease, on_end: EndListener) -> RunningAgent:
        return self._agent.start(claim, lease, on_end, self._post.desk)

    def _progress_at(self, agent: RunningAgent, now: float) -> float | None:
        """The agent's last progress. A tool call in flight counts as progress, but not for ever."""
        progress_at, tool_since = agent.progress_at, agent.tool_since
        if tool_since is None:
            return progress_at
        in_tool = min(now, tool_since + self._tool_seconds)
        return in_tool if progress_at is None else max(progress_at, in_tool)

    def _enforce_limits(self, agent: RunningAgent, progress_at: float | None, now: float) -> None:
        timeout, stall = agent.timeout_seconds, agent.stall_seconds
        if self._drain is not None and now >= self._drain.deadline:
            agent.stop(StopReason.DRAINED)
        elif timeout and now - agent.started_at >= timeout:
            agent.stop(StopReason.TIMED_OUT)
        elif stall and now - max(agent.started_at, progress_at or 0.0, self._awake_since) >= stall:
            agent.stop(StopReason.STALLED)

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
        ends = [self._end_of(taken) for taken in finished]
        if self._post.report(generation, ends):
            # In the same lane, so that what an attempt asked is written ahead of its end.
            self._ask_again()
            self.tell(LEDGER, Ends(tuple(ends)))

    def _end_of(self, taken: Taken) -> Ended:
        claim, agent, settlement = taken.claim, taken.agent, None
        if agent is None:
            if taken.is_doubtful:
                settlement = hand_back(claim, taken.unbegun, max_attempts=self._max_attempts)
            elif not taken.is_lost:
                settlement = pass_back(claim, taken.unbegun)
            return Ended(self.seat.name, claim.key, settlement, taken.seconds)
        outcome = agent.outcome
        if outcome is None:
            text = f"{self.seat.name}: an end was announced, but nothing has ended"
            raise RuntimeError(text)
        settlement = self._settlement(claim, outcome)
        seconds = None if taken.ended_at is None else taken.ended_at - taken.began_at
        return Ended(self.seat.name, claim.key, settlement, seconds, None if settlement else outcome.cost_usd)

    def _settlement(self, claim: Claim, outcome: Outcome) -> Settlement | None:
        if outcome.refusal is not None:
            refused = ProviderRefused(
                agent=claim.ticket.agent, work_attempt_id=claim.key.work_attempt_id, refusal=outcome.refusal
            )
            self.tell(CONTROL, refused)
        return settle(claim, outcome, max_attempts=self._max_attempts, caps=self._agent.caps, redacted=self._redacted)

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
