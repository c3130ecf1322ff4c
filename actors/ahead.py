"""How many claims a Worker should have at a time: one, or more where attempts are so short that asking costs more."""

from __future__ import annotations

from collections import deque
from typing import Final

AHEAD_MAX: Final = 512
"""claims that may wait at a Worker, beside the one that it is at"""
AHEAD_SECONDS: Final = 0.1
"""how long the last of them has to wait if attempts take as long as of late, mostly waiting on a busy machine"""
AHEAD_LONG_SECONDS: Final = 0.25
"""an attempt that took longer closes the look-ahead; to a Worker that has ended nothing for as long nothing is given to
wait behind what it is at"""
AHEAD_PATIENCE_SECONDS: Final = 1.0
"""a Worker that has been at one attempt for longer gives back what waits behind it"""
WINDOW: Final = 512
"""attempts that are remembered"""
ENOUGH: Final = 32
"""attempts that have to end quickly, one after the other, before any claim may wait"""
_LEAST_SECONDS: Final = 1e-6


class ServiceTimes:
    """How long the last attempts took, since the last that took really long.

    The mean says how many may wait, for a machine that is busy with other things makes a few attempts in any hundred
    take ten times as long; and no more may than have ended quickly in a row. So a board of short attempts comes to
    whole batches within a few turns, at its start and after a hiccup, and on a mixed one little ever waits in vain.
    """

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=WINDOW)

    def note(self, seconds: float) -> None:
        """One more has ended after so long."""
        if seconds > AHEAD_LONG_SECONDS:
            self._last.clear()
        else:
            self._last.append(seconds)

    def claims_a_worker(self) -> int:
        """How many claims a Worker should have, the one that it is at included; 1 before 32 have ended quickly."""
        known = len(self._last)
        if known < ENOUGH:
            return 1
        mean = sum(self._last) / known
        return 1 + min(AHEAD_MAX, known, int(AHEAD_SECONDS / max(mean, _LEAST_SECONDS)))
