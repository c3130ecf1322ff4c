"""What Control has heard and nobody says again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.refusals import Refusals
from kora.domain.control import Ages
from kora.domain.cost import month_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.steering import Booted
    from kora.domain.cost import Pool
    from kora.store.steering import Steering


@dataclass(frozen=True, slots=True)
class Reading:
    """What the store said of steering, of one moment."""

    steering: Steering
    read_at: float


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
    reset_no: int | None = None
    """the last reset that was seen: a later one also ends the pauses of providers"""
    month: int | None = None
    """the month in which it was last looked for tickets that a pause for cost has deferred; None while there is one"""
    resumes: bool | None = None
    """whether there are some that the store has not made eligible yet; None while nobody has looked"""

    def is_to_resume(self, pool: Pool, has_deferred: Callable[[], bool | None], *, is_used_up: bool) -> bool:
        """Whether what was deferred for cost is to be made eligible: looked for once a month, and after a pause.

        True until the store has done so. `has_deferred` is None where it cannot be read, and is asked again.
        """
        if is_used_up:
            # What is deferred waits; should the pool be made larger, that is to be looked for, too.
            self.month, self.resumes = None, False
            return False
        if self.month != pool.month:
            if (found := has_deferred()) is None:
                return False
            self.month, self.resumes = pool.month, found
        if pool.refreshed_at is not None and month_of(pool.refreshed_at) >= pool.month:
            self.resumes = False
        return self.resumes is True
