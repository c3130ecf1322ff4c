"""What Control has heard and nobody says again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from actors.refusals import Refusals
from kora.domain.control import Ages
from kora.domain.events import EventType, NewEvent
from kora.domain.state import COST_PAUSED, OperationalState, PrimaryState, transition_payload

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from actors.steering import Booted
    from kora.domain.cost import Pool
    from kora.domain.permit import Verdict
    from kora.store.steering import Steering

_MIRROR_SECONDS: Final = 0.5
"""for the mirror, where there is one, to have its transition written ahead of what follows from the same cause"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the store said of steering, of one moment."""

    steering: Steering
    read_at: float


@dataclass(eq=False)
class Owed:
    """An event that the log is to have once, mirror or none: the Ledger is told of it until the log shows it."""

    event: NewEvent
    due_at: float
    """when it is first told of; on the boot clock"""
    after_seq: int | None = None
    """where the log ended before; None while that could not be read, and nothing was told"""


@dataclass(eq=False)
class Remembered:
    """Kept by the runtime, and so it outlives each Control; everything else that Control goes by is told again."""

    booted: Booted | None = None
    """how the boot gates have ended; None while they have not"""
    refusals: Refusals = field(default_factory=Refusals)
    reading: Reading | None = None
    """the last one: while the store is away it stands on, and a Control that begins then has nothing else to go by"""
    ages: Ages = field(default_factory=Ages)
    """of the commands that stand open"""
    rests_for_cost: bool = False
    """it is paused for cost: nothing was held then, and nothing is claimed before the pool has room again"""
    owed: list[Owed] = field(default_factory=list)
    """what the log has yet to be told of such pauses"""
    reset_no: int | None = None
    """the last reset that was seen: a later one also ends the pauses of providers"""
    month: int | None = None
    """the month in which it was last looked for tickets that a pause for cost has deferred; None while there is one"""
    resumes: bool | None = None
    """whether there are some that the store has not made eligible yet; None while nobody has looked"""
    refreshed_at: datetime | None = None
    """when a pause for cost had been ended last, by the time it was looked"""

    def see_reset(self, reset_no: int, now: float) -> None:
        """This is the last reset; by a later one than was seen before, an operator has seen to the providers, too."""
        known, self.reset_no = self.reset_no, reset_no
        if known is not None and reset_no > known:
            self.refusals.try_again(now)

    def rest_for_cost(self, before: Verdict, verdict: Verdict, now: float) -> None:
        """By this verdict it is paused for cost, or no more. That such a pause has begun is owed to the log."""
        if not verdict.ends_for_cost:
            self.rests_for_cost = False
        elif verdict.trigger == COST_PAUSED and not self.rests_for_cost:
            self.rests_for_cost = True
            state = OperationalState(PrimaryState.PAUSED, verdict.permission, verdict.reasons)
            payload = transition_payload(OperationalState(before.target or PrimaryState.READY), state, COST_PAUSED)
            self.owed.append(Owed(NewEvent(EventType.PAUSED_COST_LIMIT, payload), now + _MIRROR_SECONDS))

    def is_to_resume(self, pool: Pool, has_deferred: Callable[[], bool | None], *, is_used_up: bool) -> bool:
        """Whether what was deferred for cost is to be made eligible: looked for once a month, and after a pause.

        True until the store has done so. `has_deferred` is None where it cannot be read, and is asked again.
        """
        if is_used_up:
            # What is deferred waits; should the pool be made larger, it is to be looked for, too.
            self.month, self.resumes = None, False
            return False
        if self.month != pool.month:
            if (found := has_deferred()) is None:
                return False
            self.month, self.resumes, self.refreshed_at = pool.month, found, pool.refreshed_at
        if pool.refreshed_at != self.refreshed_at:
            self.resumes = False
        return self.resumes is True
