"""What Control has heard and nobody says again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from actors.steering import Booted
    from kora.domain.control import Command
    from kora.store.steering import Steering


@dataclass(frozen=True, slots=True)
class Reading:
    """What the store said of steering, of one moment."""

    steering: Steering
    open_commands: Sequence[Command]
    """every command that stands open"""
    read_at: float


@dataclass(eq=False)
class Remembered:
    """Kept by the runtime, and so it outlives each Control; everything else that Control goes by is told again."""

    booted: Booted | None = None
    """how the boot gates have ended; None while they have not"""
    refusals: Refusals = field(default_factory=Refusals)
    reading: Reading | None = None
    """the last one: while the store is away it stands on, and a Control that begins then has nothing else to go by"""
    rests_for_cost: bool = False
    """it is paused for cost: nothing was held then, and nothing is claimed before the pool has room again"""
    reset_at: datetime | None = None
    """the last reset that was seen: a later one also ends the pauses of providers"""
    month: int | None = None
    """the month in which it was last looked for tickets that a pause for cost has deferred in an earlier one"""
    resumes: bool = False
    """there are some, and the store has not made them eligible yet"""
