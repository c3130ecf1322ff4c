"""The Ledger is the only writer: it folds what it is told into turns, and tells everybody what came of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from loguru import logger

from actors.actor import handles
from actors.gap import Gap
from actors.herald import Herald
from actors.intake import Intake
from actors.messages import (
    Announce,
    Drain,
    Ended,
    Ends,
    Flush,
    Lost,
    Poll,
    Refresh,
    Resume,
    Settled,
    Tick,
    WhatRuns,
)
from actors.names import POLLER
from actors.outage import Outage
from actors.pending import Pending
from actors.roster import Roster
from kora.agents.port import GUARDED_SECONDS
from kora.domain.handback import hand_back, pass_back
from kora.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Mapping, Sequence

    from actors.ports import Predecessors
    from actors.supervision import Seat
    from kora.clock import TimeSource
    from kora.domain.claim import ClaimKey
    from kora.domain.resolution import Settlement
    from kora.store.port import Turn, Writer


class Ledger(Intake):
    """One turn: everything that waits in the inbox, written in one transaction, and told only when that is committed.

    The store's troubles are met here and nowhere else: what could not be written stays pending and is tried again, with
    pauses; an outage costs no restart.

    Receives: `Order`, `Operate`, `Ends`, `Refresh`, `Append`, `Announce`, `MarkCommands`, `ResumeCredit`, `Tick`,
    `Drain`, `Resume`, `Flush`.
    Sends: `Work`, `Operated`, `Refreshed`, `Lost`, `Settled`, `WhatRuns` to Workers; `Held` to Poller, StateHolder,
    Control and the runtime; `Poll` to the Poller; `StoreAnswered` to Control.
    Owns: the store's write handle, the roster of who works what.
    On restart: takes a new incarnation, which shuts its predecessor out, asks every Worker what it runs, and gives back
    what nobody has.
    """

    batch_limit: ClassVar[int] = 4096

    def __init__(
        self,
        seat: Seat,
        *,
        open_writer: Callable[[], Writer],
        workers: Sequence[str],
        predecessors: Predecessors,
        lingering: Callable[[], frozenset[str]],
        lease_seconds: float,
        tick_seconds: float,
        max_attempts: int,
        ended: Counter[str],
        time_source: TimeSource,
    ) -> None:
        super().__init__(seat)
        self._open_writer = open_writer
        self._workers = workers
        self._predecessors = predecessors
        self._lingering = lingering
        self._max_attempts = max_attempts
        self._time = time_source
        self._tick_seconds = tick_seconds
        self._gap = Gap(tick_seconds)
        self._now = 0.0
        self._writer: Writer | None = None
        self._incarnation = 0
        self._roster = Roster(workers)
        self._pending = Pending(lease_seconds=lease_seconds, max_attempts=max_attempts)
        self._herald = Herald(
            self, self._roster, self._pending, lease_seconds=lease_seconds, max_attempts=max_attempts, ended=ended
        )
        self._unsure = True
        """the store may say that this runtime holds what no Worker has"""
        self._doubts_at = math.inf
        """when the last lease that ran out here has been swept, unless the store holds it for longer"""
        self._changed = False
        """somebody else has written: there may be new tickets, and claims may have been taken away"""
        self._draining = self._ending = False
        self._outage = Outage(self, time_source.boot_seconds)

    def facts(self) -> Mapping[str, object]:
        """What it holds and has yet to write, and how it stands with the store."""
        own = {"incarnation": self._incarnation, "unsure": self._unsure, "draining": self._draining}
        return {**own, **self._outage.facts(), **self._roster.facts(), **self._pending.facts()}

    def on_start(self) -> None:
        """Come to the store in the first turn, so that one that is away does not count as a failed start."""
        self.wake_at = self.seat.clock()

    def on_stop(self) -> None:
        """Give the write handle back."""
        if self._writer is not None:
            self._writer.close()

    def on_retired(self) -> None:
        """Make a statement under way fail soon; the handle is not closed: a query may be running on it."""
        if self._writer is not None:
            self._writer.interrupt()

    def on_failure(self, *_: object) -> None:
        """Give the write handle back; its successor opens another."""
        self.on_stop()

    def on_batch(self, batch: list[Any]) -> None:
        """Fold everything into one turn. While the store is away, only fold."""
        self._now = self._time.boot_seconds()
        for message in batch:
            self.on_receive(message)
        if not self._outage.seconds:
            self._turn()

    def on_wake(self) -> None:
        """Try again."""
        self._turn()

    # --- what it is told ---

    @handles(Refresh)
    def _on_refresh(self, refresh: Refresh) -> None:
        for key, progress_at in refresh.earned:
            if self._roster.given(key.work_attempt_id) is not None:
                self._pending.refresh[key.work_attempt_id] = key, progress_at

    @handles(Ends)
    def _on_ends(self, ends: Ends) -> None:
        for ended in ends.ended:
            self._on_ended(ended)

    def _on_ended(self, ended: Ended) -> None:
        attempt = ended.key.work_attempt_id
        given = self._roster.end(attempt, ended.seconds, self._now)
        if ended.settlement is not None:
            self._pending.settle[attempt] = ended.settlement
            self._pending.ended_by[attempt] = ended.worker
            return
        self._roster.take_back(attempt)
        self._pending.refresh.pop(attempt, None)
        self._pending.news = True
        # Where the lease was prolonged and its guardian never heard of it, nobody works on what the store still holds.
        self._doubts_at = self._now + GUARDED_SECONDS + 2 * self._tick_seconds
        if given is not None:
            logger.warning("the lease is lost, nothing is written", ticket=ended.key.ticket_id, attempt=attempt)
        if not self._pending.owe(ended.key, ended.cost_usd, ended.worker):
            self.tell(ended.worker, Settled((attempt,)))

    @handles(Announce)
    def _on_announce(self, announce: Announce) -> None:
        if announce.incarnation != self._incarnation:
            if self._incarnation:
                self.tell(announce.worker, WhatRuns(incarnation=self._incarnation))
            return
        for claim in self._roster.hear(announce):
            # It never came to the post, which outlives whoever mans it: so it has not begun.
            self._give_back(pass_back(claim, "its worker was restarted before it began"))
        for ended in announce.ended:
            self._on_ended(ended)
        self._pending.news = True

    @handles(Tick)
    def _on_tick(self, tick: Tick) -> None:
        self._pending.slept |= self._gap.tick(tick.now)
        self._pending.ticked = True
        self._pending.news = True
        self._outage.tick()
        if tick.now >= self._doubts_at:
            self._unsure, self._doubts_at = True, math.inf

    @handles(Drain)
    def _on_drain(self, drain: Drain) -> None:
        self._draining = True
        self._ending |= drain.is_final

    @handles(Resume)
    def _on_resume(self, _: Resume) -> None:
        self._draining = self._ending

    @handles(Flush)
    def _on_flush(self, _: Flush) -> bool:
        """Whether everything received so far is written."""
        try:
            self._turn()
        except StoreError:
            # Whoever asks is about to end, and is served best by an answer.
            return False
        return not self._pending

    # --- the turn ---

    def _turn(self) -> None:
        try:
            writer = self._writer or self._begin()
            if self._unsure and self._roster.complete:
                self._reconcile(writer)
            self._look_for_changes(writer)
            returned = self._predecessors.ended() if self._pending.ticked else ()
            asked_at = self._time.boot_seconds()
            turn = self._fold(returned, asked_at)
            result = None if turn is None else writer.turn(self._incarnation, turn)
        except StoreUnavailableError as error:
            self._back_off(error)
            return
        self._outage.end()
        self._predecessors.forget(returned)
        self._pending.clear()
        woken, self._changed = self._changed, False
        if turn is not None and result is not None:
            if self._herald.tell_turn(self._incarnation, turn, result, asked_at):
                self.wake_at = self.seat.clock()
            # What this runtime puts into the queue itself does not count as another's change.
            woken = woken or bool(result.returned) or turn.resume_credit is not None
        if self._pending.news and not self._unsure:
            # Half a set would look like an end: nothing is told before every Worker has answered and the store agrees.
            self._herald.tell_held(self._incarnation, turn, result, draining=self._ending)
        if woken:
            # After the held set, which may just have said that the board is empty.
            self.tell(POLLER, Poll())

    def _fold(self, returned: Sequence[str], now: float) -> Turn | None:
        # The machine may also have slept since the tick, while the store was away.
        self._pending.slept |= self._gap.is_open(now)
        may_claim = not (self._draining or self._unsure)
        return self._pending.turn(
            places=self._roster.places(now) if may_claim else 0,
            held=len(self._roster),
            except_tickets=self._not_to_claim,
            return_holders=returned,
            charges=self._predecessors.charges(returned),
            now=now,
        )

    def _not_to_claim(self) -> frozenset[str]:
        # All in hand: an operator may have cancelled and reopened any of these since the store was last looked at.
        return self._roster.tickets | self._lingering()

    def _look_for_changes(self, writer: Writer) -> None:
        """On a tick, end what an operator, or another runtime's sweep, has taken away."""
        if not self._pending.ticked:
            return
        # Kept until a turn has come of it: it is answered with yes only once.
        self._changed |= writer.changed()
        if self._changed:
            self._tell_lost(writer.holds())

    def _begin(self) -> Writer:
        writer = self._open_writer()
        try:
            self._incarnation = writer.next_incarnation()
        except BaseException:
            writer.close()
            raise
        self._writer = writer
        for worker in self._workers:
            self.tell(worker, WhatRuns(incarnation=self._incarnation))
        self.tell(POLLER, Poll())  # a new handle knows nothing of what was written while there was none
        return writer

    def _reconcile(self, writer: Writer) -> None:
        held = writer.held()
        self._tell_lost({claim.key for claim in held})
        for claim in held:
            attempt = claim.key.work_attempt_id
            if self._roster.given(attempt) is None and attempt not in self._pending.settle:
                # It may have begun, and ended with its lease lost under the Ledger before this one.
                self._give_back(hand_back(claim, "nobody works on it", max_attempts=self._max_attempts))
                # The Poller may be asleep, for the board was empty.
                self._changed = True
        self._unsure = False

    def _tell_lost(self, held: Collection[ClaimKey]) -> None:
        for given in self._roster.gone(held):
            self.tell(given.worker, Lost(work_attempt_id=given.claim.key.work_attempt_id))

    def _give_back(self, settlement: Settlement) -> None:
        attempt = settlement.key.work_attempt_id
        self._roster.end(attempt)
        self._pending.settle.setdefault(attempt, settlement)

    def _back_off(self, error: StoreUnavailableError) -> None:
        # A commit whose answer was lost may have claimed tickets that nobody was told of.
        self._unsure = True
        self.wake_at = self.seat.clock() + self._outage.lengthen(error)
