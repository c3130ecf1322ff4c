"""What outlives a Worker under its name: the claims it took up, until their ends are on record."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from actors.desk import Desk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from actors.messages import Ended
    from kora.agents.port import EndListener, Lease, RunningAgent
    from kora.domain.claim import Claim

_CLOSE_SECONDS: Final = 1.0

Starter = Callable[["Claim", "Lease", "EndListener"], "RunningAgent"]


@dataclass(slots=True, eq=False)
class Taken:
    """A claim that was taken up at a post."""

    claim: Claim
    agent: RunningAgent | None = None
    """None for one that never began"""
    began_at: float = 0.0
    ended_at: float | None = None
    """when its agent ended, as its listener heard; None for one that never began"""
    unbegun: str = ""
    """why it never began"""
    is_doubtful: bool = False
    """its start has failed half-way: it may have begun"""
    is_lost: bool = False
    """it never began, and its claim is over"""
    seconds: float | None = None
    """how long the attempt took behind which it waited too long"""
    is_deferred: bool = False
    """it never began, since the credit pool is used up"""


class Post:
    """Claims pass through here in one direction: waiting, running, finished, and ended until that is acknowledged.

    - The post is manned by one generation at a time. What a Worker that was retired asks here changes nothing, so that
      one that wakes late starts nothing, and takes nothing up that its successor has not announced.
    - An attempt that ends begins the next one itself, on its own thread, and rings for the Worker: so a row of short
      attempts costs no change of threads, and no waiting for the Worker's turn. Where the post is in use at that very
      moment it only rings, and the Worker begins the next.
    - Nothing is begun while nobody mans the post: not after its Worker has stopped or died, and never after `close`.
    - Every step is one under the mutex: whatever dies between two steps, a claim is in exactly one place. Whoever looks
      without the mutex may see it in two, and never in none.
    """

    def __init__(self, name: str) -> None:
        self.desk = Desk(name)
        self._waiting: deque[tuple[Claim, Lease]] = deque()
        self._running: Taken | None = None
        self._finished: deque[Taken] = deque()
        self._ended: dict[str, Ended] = {}
        self._generation = 0
        self._is_manned = self._is_closed = False
        self._start: Starter = _unmanned
        self._ring: Callable[[], None] = _unmanned
        self._clock: Callable[[], float] = _unmanned
        self._has_rung = False
        self._mutex = threading.Lock()

    @property
    def running(self) -> Taken | None:
        """What runs here."""
        return self._running

    @property
    def agent(self) -> RunningAgent | None:
        """The agent that runs here."""
        running = self._running
        return None if running is None else running.agent

    @property
    def waiting(self) -> int:
        """How many claims wait behind the one that runs."""
        return len(self._waiting)

    def claims(self) -> list[Claim]:
        """What is here and has no reported end; a snapshot that waits for nobody, also while a start hangs in here."""
        while True:
            try:
                # In the order in which they go on, each into its next place before it leaves the last: none is missed.
                waiting, running, finished = list(self._waiting), self._running, list(self._finished)
            except RuntimeError:
                # Python lets nobody look through a deque that has grown since the look began.
                continue
            at_work = [] if running is None else [running.claim]
            found = (*(taken.claim for taken in finished), *at_work, *(claim for claim, _ in waiting))
            return list({claim.key: claim for claim in found}.values())

    def man(
        self, generation: int, start: Starter, ring: Callable[[], None], clock: Callable[[], float]
    ) -> RunningAgent | None:
        """From now on only this generation takes up work here; what waited is finished unbegun.

        The agent that still runs here is handed back: it is to be ended.
        """
        with self._mutex:
            self._generation, self._is_manned = generation, True
            self._start, self._ring, self._clock, self._has_rung = start, ring, clock, False
            running = self._running
            if running is not None and running.agent is None:
                running.unbegun, running.is_doubtful = "its worker crashed before it began", True
                self._finished.append(running)
                self._running = None
            self._pass_over("its worker was restarted before it began")
            return self.agent

    def admit(self, generation: int, no_operation: str) -> None:
        """From now on operations are begun here, or, where it says why not, are not."""
        with self._mutex:
            if generation == self._generation:
                self.desk.admit(no_operation)

    def unman(self, generation: int) -> None:
        """This generation begins nothing more; what waits is kept, for its successor to hand back."""
        with self._mutex:
            if generation == self._generation:
                self._is_manned = False

    def close(self) -> RunningAgent | None:
        """Nothing is ever begun here again, whoever mans the post; the agent that still runs, which is to be ended."""
        # Before the mutex is asked for: a start that hangs in there is the last, whenever it returns.
        self._is_closed = True
        if self._mutex.acquire(timeout=_CLOSE_SECONDS):
            self._mutex.release()
        return self.agent

    def queue(self, generation: int, claims: Iterable[Claim], lease: Lease, unbegun: Iterable[Taken] = ()) -> bool:
        """These wait for their turn, and others are finished unbegun from the first.

        False, and nothing is taken up, when another generation mans the post.
        """
        with self._mutex:
            if generation != self._generation:
                return False
            self._waiting.extend((claim, lease) for claim in claims)
            self._finished.extend(unbegun)
            return True

    def advance(self, generation: int) -> list[Taken]:
        """Begin what can be begun. All that is finished and not yet reported; nothing for another generation."""
        with self._mutex:
            if generation != self._generation:
                return []
            self._has_rung = False
            running = self._running
            if running is not None and running.agent is None:
                # The mutex is free, so nobody is starting it now.
                text = f"the agent of attempt {running.claim.key.work_attempt_id} could not be started"
                raise RuntimeError(text)
            self._advance(self._clock())
            return list(self._finished)

    def give_back(self, generation: int, why: str, *, seconds: float | None = None, is_deferred: bool = False) -> None:
        """What waits is finished unbegun."""
        with self._mutex:
            if generation == self._generation:
                self._pass_over(why, seconds=seconds, is_deferred=is_deferred)

    def release(self, generation: int, work_attempt_id: str, why: str) -> RunningAgent | None:
        """An attempt that waited is finished unbegun. The agent that is to be ended, if it runs."""
        with self._mutex:
            if self._runs(work_attempt_id):
                return self.agent
            if generation == self._generation:
                self._pass_over(why, only=work_attempt_id)
            return None

    def lose(self, generation: int, work_attempt_id: str) -> RunningAgent | None:
        """A claim is over: one that waited is finished unbegun. The agent that is to be ended, if the attempt runs."""
        self.desk.close((work_attempt_id,))
        with self._mutex:
            if self._runs(work_attempt_id):
                return self.agent
            if generation == self._generation:
                self._pass_over("", only=work_attempt_id, is_lost=True)
            return None

    def has(self, work_attempt_id: str) -> bool:
        """Whether the attempt is anywhere here."""
        with self._mutex:
            return work_attempt_id in self._ended or any(
                claim.key.work_attempt_id == work_attempt_id for claim in self._unreported()
            )

    def report(self, generation: int, ends: Sequence[Ended]) -> bool:
        """The oldest that are finished have ended so; False when another generation mans the post."""
        with self._mutex:
            if generation != self._generation:
                return False
            for ended in ends:
                self._finished.popleft()
                self._ended[ended.key.work_attempt_id] = ended
            return True

    def acknowledge(self, work_attempt_ids: Collection[str]) -> None:
        """The ends of these are dealt with, and what they still asked is answered LOST."""
        self.desk.close(work_attempt_ids)
        with self._mutex:
            for attempt in work_attempt_ids:
                self._ended.pop(attempt, None)

    def holdings(self) -> tuple[tuple[Claim, ...], tuple[Ended, ...]]:
        """What was taken up and has no reported end, and the ends that were not acknowledged; of one moment."""
        with self._mutex:
            return tuple(self._unreported()), tuple(self._ended.values())

    def _runs(self, work_attempt_id: str) -> bool:
        running = self._running
        return running is not None and running.claim.key.work_attempt_id == work_attempt_id

    def _unreported(self) -> list[Claim]:
        running = () if self._running is None else (self._running.claim,)
        return [
            *(taken.claim for taken in self._finished),
            *running,
            *(claim for claim, _ in self._waiting),
        ]

    def _pass_over(
        self,
        why: str,
        *,
        only: str | None = None,
        is_lost: bool = False,
        seconds: float | None = None,
        is_deferred: bool = False,
    ) -> None:
        """What waits, or one attempt of it alone, is finished unbegun; the caller holds the mutex."""
        kept: deque[tuple[Claim, Lease]] = deque()
        for claim, lease in self._waiting:
            if only is None or claim.key.work_attempt_id == only:
                self._finished.append(
                    Taken(claim, unbegun=why, is_lost=is_lost, seconds=seconds, is_deferred=is_deferred)
                )
            else:
                kept.append((claim, lease))
        self._waiting = kept

    def _advance(self, now: float) -> None:
        """Take note of an end, and begin the next; the caller holds the mutex."""
        running = self._running
        if running is not None:
            if running.agent is None or running.agent.outcome is None:
                return
            self._finished.append(running)
            self._running = None
            if running.ended_at is None:
                running.ended_at = now
        while self._waiting and self._is_manned and not self._is_closed:
            claim, lease = self._waiting[0]
            # Any later, its guardian would end it as soon as it has begun.
            if now < lease.kill_at:
                self._begin(claim, lease, now)
                return
            self._finished.append(Taken(claim, unbegun="its lease ran out before its turn came"))
            self._waiting.popleft()
        self.desk.turn_to(None)

    def _begin(self, claim: Claim, lease: Lease, now: float) -> None:
        # First that it was taken up, then the start: should that fail, a successor finds what was in doubt.
        self._running = taken = Taken(claim, began_at=now)
        self._waiting.popleft()
        self.desk.turn_to(claim.key.work_attempt_id)
        generation = self._generation
        taken.agent = self._start(claim, lease, lambda: self._end(generation, taken))

    def _end(self, generation: int, taken: Taken) -> None:
        """Called once when the agent is gone, from any thread, from within its start included; never waits."""
        taken.ended_at = now = self._clock()
        if not self._mutex.acquire(blocking=False):
            self._ring()
            return
        try:
            if generation == self._generation and self._running is taken:
                self._advance(now)
        finally:
            was_rung, self._has_rung = self._has_rung, True
            self._mutex.release()
            if not was_rung:
                self._ring()


def _unmanned(*_: object) -> NoReturn:
    raise AssertionError("nobody mans the post")
