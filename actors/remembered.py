"""What Control has heard and nobody says again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.refusals import Refusals

if TYPE_CHECKING:
    from datetime import datetime

    from actors.steering import Booted


@dataclass(eq=False)
class Remembered:
    """Kept by the runtime, and so it outlives each Control; everything else that Control goes by is told again."""

    booted: Booted | None = None
    """how the boot gates have ended; None while they have not"""
    refusals: Refusals = field(default_factory=Refusals)
    reset_at: datetime | None = None
    """the last reset that was seen: a later one also ends the pauses of providers"""
    month: int | None = None
    """the month in which it was last looked for tickets that a pause for cost has deferred in an earlier one"""
    resumes: bool = False
    """there are some, and the store has not made them eligible yet"""
