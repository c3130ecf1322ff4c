"""What the Ledger says once a turn is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from loguru import logger

from actors.messages import Held, Lost, Refreshed, Settled, Work
from actors.names import HEARTBEAT, POLLER, RUNTIME, STATE_HOLDER
from kora.agents.port import Lease
from kora.domain.resolution import unsettled
from kora.domain.state import CLAIM_ACQUIRED, CLAIM_RELEASED, PrimaryState

if TYPE_CHECKING:
    from actors.pending import Pending
    from actors.roster import Roster
    from actors.supervision import Seat
    from kora.domain.resolution import Settlement
    from kora.store.port import Turn, TurnResult


class Speaker(Protocol):
    """The actor in whose name the Herald speaks."""

    seat: Seat

    def tell(self, name: str, message: object, *, control: bool = False) -> None:
        """Send to a name; never waits."""


class Herald:
    """Tells everybody what came of a turn, and keeps the roster true to it. Part of the Ledger, and of its thread."""

    def __init__(
        self, speaker: Speaker, roster: Roster, pending: Pending, *, lease_seconds: float, max_attempts: int
    ) -> None:
        self._speaker = speaker
        self._roster = roster
        self._pending = pending
        self._lease_seconds = lease_seconds
        self._max_attempts = max_attempts
        self._count = 0
        self._told_held = False

    def tell_turn(self, incarnation: int, turn: Turn, result: TurnResult, asked_at: float) -> bool:
        """Tell the Workers and the Heartbeat what concerns them; True when something new has come up to be written.

        The new leases count from `asked_at`, before the store was asked, so that none here is longer than there.
        """
        lease = Lease(deadline=asked_at + self._lease_seconds, lease_seconds=self._lease_seconds)
        for key in result.refreshed:
            if (given := self._roster.given(key.work_attempt_id)) is not None:
                refreshed = Refreshed(work_attempt_id=key.work_attempt_id, lease=lease)
                self._speaker.tell(given.worker, refreshed)
                self._speaker.tell(HEARTBEAT, refreshed)
        # Also what this very turn swept: the wall clock may have run ahead of the clock that the guardian goes by.
        for key in (*result.lost, *result.returned):
            if (given := self._roster.given(key.work_attempt_id)) is not None:
                self._speaker.tell(given.worker, Lost(work_attempt_id=key.work_attempt_id))
        if result.returned:
            logger.info("back on the board, their claims being over: {} tickets", len(result.returned))
        for fault in result.set_aside:
            logger.error("the store refused a row, which was left out: {}", fault)
        settled, stale = set(result.settled), set(result.stale)
        refused = [
            self._tell_settled(settlement, written=settlement.key in settled, stale=settlement.key in stale)
            for settlement in turn.settle
        ]
        for worker, claim in zip(self._roster.free(), result.claims, strict=False):
            self._roster.give(worker, claim)
            logger.debug("{}: attempt {} goes to {}", claim.key.ticket_id, claim.attempt, worker)
            self._speaker.tell(worker, Work(claim, lease, incarnation, self._roster.generation(worker)))
        self._pending.news |= bool(turn.settle or turn.claim)
        return any(refused)

    def tell_held(self, incarnation: int, turn: Turn | None, result: TurnResult | None, *, draining: bool) -> None:
        """Tell the held set, and whether the Poller's order has emptied the board."""
        self._pending.news = False
        self._count += 1
        ordered = turn.claim.count if turn is not None and turn.claim is not None else 0
        exhausted = result is not None and len(result.claims) < ordered
        if exhausted:
            self._pending.order = None
        held = Held(
            version=(incarnation, self._count),
            attempts=self._roster.attempts,
            exhausted=exhausted,
            next_eligible_in_seconds=result.next_eligible_in_seconds if result is not None else None,
            drained=draining and not (self._roster.attempts or self._pending),
        )
        self._speaker.tell(POLLER, held)
        self._mirror(held)
        # Last: the runtime ends when it hears that all is done, and nobody may be told after that.
        self._speaker.tell(RUNTIME, held)

    def _tell_settled(self, settlement: Settlement, *, written: bool, stale: bool) -> bool:
        work_attempt_id = settlement.key.work_attempt_id
        given = self._roster.take_back(work_attempt_id)
        worker = self._pending.ended_by.pop(work_attempt_id, None) or (given.worker if given else None)
        if worker is not None:
            self._speaker.tell(worker, Settled(work_attempt_id=work_attempt_id))
        if written:
            logger.info("{}: {} {}", settlement.key.ticket_id, settlement.resolution, settlement.summary)
        elif stale:
            logger.warning("attempt {}: its claim was another's by then, nothing was written", work_attempt_id)
        elif given is not None:
            # Its own words cannot be written; that they cannot, can. Refused once more, the lease runs out.
            said = unsettled(given.claim, "the store refused it", max_attempts=self._max_attempts)
            self._pending.settle[work_attempt_id] = said
            return True
        return False

    def _mirror(self, held: Held) -> None:
        """Tell the StateHolder; where there is none, say so once for each transition that goes unseen."""
        holds = bool(held.attempts)
        if self._speaker.seat.directory.is_served(STATE_HOLDER):
            self._speaker.tell(STATE_HOLDER, held)
        elif holds is not self._told_held:
            target, trigger = (PrimaryState.ACTIVE, CLAIM_ACQUIRED) if holds else (PrimaryState.READY, CLAIM_RELEASED)
            logger.debug("operational state to {} ({}) skipped: holder not initialized", target, trigger)
        self._told_held = holds
