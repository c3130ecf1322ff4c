"""What the Ledger says once a turn is committed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from loguru import logger

from actors.messages import Held, Lost, Operated, Refreshed, Settled, Work
from actors.names import CONTROL, HEARTBEAT, POLLER, RUNTIME, STATE_HOLDER
from kora.agents.port import Lease
from kora.domain.handback import unsettled
from kora.domain.state import CLAIM_ACQUIRED, CLAIM_RELEASED, PrimaryState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.pending import Pending
    from actors.roster import Roster
    from actors.supervision import Seat
    from kora.domain.claim import Claim
    from kora.domain.resolution import Settlement
    from kora.store.port import Turn, TurnResult
    from kora.store.steering import Charge


LINES_A_TURN: Final = 20
"""ends of one turn that have a line each, and so have claims; of more, people are told the counts, for a flood of lines
tells nobody, and a line that is not written costs a microsecond, too: each of these tickets has its events"""


class Speaker(Protocol):
    """The actor in whose name the Herald speaks."""

    seat: Seat

    def tell(self, name: str, message: object, *, control: bool = False) -> None:
        """Send to a name; never waits."""


class Herald:
    """Tells everybody what came of a turn, and keeps the roster true to it. Part of the Ledger, and of its thread."""

    def __init__(
        self,
        speaker: Speaker,
        roster: Roster,
        pending: Pending,
        *,
        lease_seconds: float,
        max_attempts: int,
        ended: Counter[str],
    ) -> None:
        self._speaker = speaker
        self._roster = roster
        self._pending = pending
        self._lease_seconds = lease_seconds
        self._max_attempts = max_attempts
        self._ended = ended
        """by resolution: how many attempts' ends were written, counted on from Ledger to Ledger"""
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
        # Ahead of the ends: an attempt's last answers are not to be cut off by its being over.
        for worker, answers in self._pending.askers(result.operated).items():
            self._speaker.tell(worker, Operated(tuple(answers)))
        self._tell_charged(turn.charge)
        has_more = self._tell_settled(turn.settle, result) if turn.settle else False
        for worker, claims in self._roster.deal(result.claims, asked_at).items():
            _say_given(worker, claims)
            generation = self._roster.generation(worker)
            self._speaker.tell(worker, Work(tuple(claims), lease, incarnation, generation))
        if result.claims:
            self._pending.claimed()
        self._pending.news |= bool(turn.settle or turn.claim)
        return has_more

    def tell_held(self, incarnation: int, turn: Turn | None, result: TurnResult | None, *, draining: bool) -> None:
        """Tell the held set, and whether the Poller's order has emptied the board."""
        self._pending.news = False
        self._count += 1
        ordered = turn.claim.count if turn is not None and turn.claim is not None else 0
        has_less = result is not None and len(result.claims) < ordered
        # What the store's own gate has held up is no word about the board.
        is_held_up = has_less and result is not None and result.blocked_by is not None
        if has_less:
            self._pending.order = None
        attempts = self._roster.attempts
        held = Held(
            version=(incarnation, self._count),
            attempts=attempts,
            exhausted=has_less and not is_held_up,
            is_held_up=is_held_up,
            next_eligible_in_seconds=result.next_eligible_in_seconds if result is not None else None,
            drained=draining and not (attempts or self._pending),
            claims_a_worker=self._roster.claims_a_worker,
            permitted_by=self._pending.permitted_by,
        )
        self._speaker.tell(POLLER, held)
        # Whether anything is held is all that these have to know, and many such words may wait for them.
        brief = replace(held, attempts=frozenset(islice(attempts, 1)))
        self._mirror(brief)
        self._speaker.tell(CONTROL, brief)
        # Last: the runtime ends when it hears that all is done, and nobody may be told after that.
        self._speaker.tell(RUNTIME, brief)

    def _tell_settled(self, settlements: Sequence[Settlement], result: TurnResult) -> bool:
        written = {key.work_attempt_id for key in result.settled}
        stale = {key.work_attempt_id for key in result.stale}
        is_flood = len(settlements) > LINES_A_TURN
        told: dict[str, list[str]] = {}
        has_more = False
        for settlement in settlements:
            attempt = settlement.key.work_attempt_id
            given = self._roster.take_back(attempt)
            worker = self._pending.ended_by.pop(attempt, None) or (given.worker if given else None)
            is_unpaid = False
            if attempt in written:
                self._ended[settlement.resolution._value_] += 1
                if not is_flood:
                    ticket_id = settlement.key.ticket_id
                    logger.info("{} {}", settlement.resolution, settlement.summary, ticket=ticket_id, attempt=attempt)
            elif attempt in stale:
                is_unpaid = self._pending.owe(settlement.key, settlement.cost_usd, worker)
                logger.warning(
                    "its claim was another's by then, nothing was written",
                    ticket=settlement.key.ticket_id,
                    attempt=attempt,
                )
            elif given is not None:
                # Its own words cannot be written; that they cannot, can. Refused once more, the lease runs out.
                cost_usd = settlement.cost_usd
                self._pending.settle[attempt] = unsettled(
                    given.claim, "the store refused it", max_attempts=self._max_attempts, cost_usd=cost_usd
                )
                has_more = True
                if cost_usd and worker is not None:
                    is_unpaid, self._pending.ended_by[attempt] = True, worker
            else:
                is_unpaid = self._pending.owe(settlement.key, settlement.cost_usd, worker)
            has_more |= is_unpaid
            if worker is not None and not is_unpaid:
                told.setdefault(worker, []).append(attempt)
        for worker, attempts in told.items():
            self._speaker.tell(worker, Settled(tuple(attempts)))
        if is_flood:
            counts = Counter(settlement.resolution._value_ for settlement in settlements)
            said_of = ", ".join(f"{count} {resolution}" for resolution, count in sorted(counts.items()))
            logger.info("ended in one turn: {}", said_of)
        return has_more

    def _tell_charged(self, charges: Sequence[Charge]) -> None:
        for charge in charges:
            attempt = charge.key.work_attempt_id
            if (worker := self._pending.ended_by.pop(attempt, None)) is not None:
                self._speaker.tell(worker, Settled((attempt,)))

    def _mirror(self, held: Held) -> None:
        """Tell the StateHolder; where there is none, say so once for each transition that goes unseen."""
        holds = bool(held.attempts)
        if self._speaker.seat.directory.is_served(STATE_HOLDER):
            self._speaker.tell(STATE_HOLDER, held)
        elif holds is not self._told_held:
            target, trigger = (PrimaryState.ACTIVE, CLAIM_ACQUIRED) if holds else (PrimaryState.READY, CLAIM_RELEASED)
            logger.debug("operational state to {} ({}) skipped: holder not initialized", target, trigger)
        self._told_held = holds


def _say_given(worker: str, claims: Sequence[Claim]) -> None:
    if len(claims) > LINES_A_TURN:
        logger.debug("{} claims go to {}", len(claims), worker)
        return
    for claim in claims:
        key = claim.key
        logger.debug("try {} goes to {}", claim.attempt, worker, ticket=key.ticket_id, attempt=key.work_attempt_id)
