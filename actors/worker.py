"""A Worker owns one running attempt at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loguru import logger

from actors.actor import KoraActor, handles
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
from kora.domain.resolution import StopReason, hand_back, settle

if TYPE_CHECKING:
    from actors.supervision import Seat
    from kora.agents.port import Agent, RunningAgent
    from kora.domain.claim import Claim
    from kora.domain.resolution import Settlement


@dataclass(slots=True)
class Post:
    """What outlives a Worker under its name: the attempt that was taken up there, until its end is on record.

    It is manned by one generation at a time: a Worker that was retired, and wakes late, can start nothing here.
    """

    claim: Claim | None = None
    agent: RunningAgent | None = None
    ended: Ended | None = None
    _generation: int = 0
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def man(self, generation: int) -> None:
        """From now on only this generation takes up work here."""
        with self._mutex:
            self._generation = generation

    def take_up(self, generation: int, claim: Claim, start: Callable[[], RunningAgent]) -> bool:
        """Start the claim's agent; False, and nothing is started, when another generation mans the post."""
        with self._mutex:
            if generation != self._generation:
                return False
            # The claim first: should the start fail, a successor finds what was taken up.
            self.claim = claim
            self.agent = start()
            return True


class Worker(KoraActor):
    """Starts the agent of the claim it is given, watches its limits, and reports its end. Never waits for it.

    Receives: `Work`, `AgentEnded`, `Refreshed`, `Lost`, `Settled`, `WhatRuns`, `Tick`, `Drain`.
    Sends: `Announce`, `Ended` to the Ledger; `Progress` to the Heartbeat.
    Owns: the running agent, by way of the name's post.
    On restart: ends the agent that runs at its post, and announces it; refuses work that was given to its predecessor.
    """

    def __init__(self, seat: Seat, *, agent: Agent, post: Post, max_attempts: int) -> None:
        super().__init__(seat)
        self._agent = agent
        self._post = post
        self._max_attempts = max_attempts
        self._incarnation = 0
        self._lost: set[str] = set()
        self._drain: Drain | None = None

    def on_start(self) -> None:
        """Take over the post, ending what runs there."""
        post = self._post
        post.man(self.seat.generation)
        if post.claim is not None and post.ended is None:
            if post.agent is None:
                given_back = hand_back(
                    post.claim, "its worker crashed before it began", max_attempts=self._max_attempts
                )
                self._report(given_back)
            elif post.agent.outcome is None:
                post.agent.stop(StopReason.WORKER_RESTARTED)
            else:
                self._conclude()
        self._announce()

    # --- the Ledger's ---

    @handles(Work)
    def _on_work(self, work: Work) -> None:
        key = work.claim.key
        if work.generation != self.seat.generation or work.incarnation < self._incarnation:
            logger.debug("{}: work for an earlier {} refused", key.ticket_id, self.seat.name)
        elif key.work_attempt_id in self._lost:
            self._lost.discard(key.work_attempt_id)
            self.tell(LEDGER, Ended(self.seat.name, key, None))
        elif self._drain is not None:
            self.tell(LEDGER, Ended(self.seat.name, key, self._given_back(work.claim, "the runtime was drained")))
        else:
            self._run(work)

    @handles(WhatRuns)
    def _on_what_runs(self, message: WhatRuns) -> None:
        self._incarnation = max(self._incarnation, message.incarnation)
        self._announce()

    @handles(Refreshed)
    def _on_refreshed(self, message: Refreshed) -> None:
        agent = self._running(message.work_attempt_id)
        if agent is not None:
            agent.extend(message.lease)

    @handles(Lost)
    def _on_lost(self, message: Lost) -> None:
        agent = self._running(message.work_attempt_id)
        if agent is not None:
            # The ticket may be another's by now, so there is no grace to give.
            agent.kill(StopReason.LEASE_LOST)
        elif self._post.claim is None:
            self._lost.add(message.work_attempt_id)

    @handles(Settled)
    def _on_settled(self, message: Settled) -> None:
        post = self._post
        if post.ended is not None and post.ended.key.work_attempt_id == message.work_attempt_id:
            post.claim = post.agent = post.ended = None
            self._lost.clear()

    # --- the attempt's ---

    @handles(AgentEnded)
    def _on_agent_ended(self, message: AgentEnded) -> None:
        post = self._post
        if post.ended is None and post.claim is not None and post.claim.key.work_attempt_id == message.work_attempt_id:
            self._conclude()

    @handles(Tick)
    def _on_tick(self, tick: Tick) -> None:
        post = self._post
        agent = post.agent if post.ended is None else None
        if agent is None or post.claim is None:
            self.tell(HEARTBEAT, Progress(worker=self.seat.name))
            return
        progress = Progress(
            worker=self.seat.name, key=post.claim.key, started_at=agent.started_at, progress_at=agent.progress_at
        )
        self.tell(HEARTBEAT, progress)
        self._enforce_limits(agent, tick.now)

    @handles(Drain)
    def _on_drain(self, drain: Drain) -> None:
        self._drain = drain
        agent = self._post.agent
        if agent is not None and drain.at_once:
            agent.kill(StopReason.DRAINED)

    def _run(self, work: Work) -> None:
        # By name, and not through this actor: the end must reach whoever serves the name by then.
        directory, name = self.seat.directory, self.seat.name
        ended = AgentEnded(work_attempt_id=work.claim.key.work_attempt_id)

        def start() -> RunningAgent:
            return self._agent.start(work.claim, work.lease, lambda: directory.tell(name, ended))

        self._post.take_up(self.seat.generation, work.claim, start)

    def _running(self, work_attempt_id: str) -> RunningAgent | None:
        post = self._post
        if post.ended is None and post.claim is not None and post.claim.key.work_attempt_id == work_attempt_id:
            return post.agent
        return None

    def _enforce_limits(self, agent: RunningAgent, now: float) -> None:
        timeout, stall = self._agent.timeout_seconds, self._agent.stall_seconds
        if self._drain is not None and now >= self._drain.deadline:
            agent.stop(StopReason.DRAINED)
        elif timeout and now - agent.started_at >= timeout:
            agent.stop(StopReason.TIMED_OUT)
        elif stall and now - (agent.progress_at or agent.started_at) >= stall:
            agent.stop(StopReason.STALLED)

    def _conclude(self) -> None:
        post = self._post
        if post.claim is None or post.agent is None or post.agent.outcome is None:
            text = f"{self.seat.name}: an end was announced, but nothing has ended"
            raise RuntimeError(text)
        self._report(settle(post.claim, post.agent.outcome, max_attempts=self._max_attempts))

    def _given_back(self, claim: Claim, why: str) -> Settlement:
        return hand_back(claim, why, max_attempts=self._max_attempts)

    def _report(self, settlement: Settlement | None) -> None:
        post = self._post
        if post.claim is not None:
            post.ended = Ended(self.seat.name, post.claim.key, settlement)
            self.tell(LEDGER, post.ended)

    def _announce(self) -> None:
        post = self._post
        running = post.claim if post.ended is None else None
        announce = Announce(
            worker=self.seat.name,
            generation=self.seat.generation,
            incarnation=self._incarnation,
            running=running,
            ended=post.ended,
        )
        self.tell(LEDGER, announce)
