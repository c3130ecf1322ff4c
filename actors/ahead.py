"""How many claims a Worker should have at a time: one, or more where attempts are so short that asking costs more."""

from __future__ import annotations

from collections import deque
from typing import Final

AHEAD_MAX: Final = 256
"""claims that may wait at a Worker, beside the one that it is at"""
AHEAD_SECONDS: Final = 0.02
"""how long the last of them has to wait if attempts take as long as of late"""
AHEAD_LONG_SECONDS: Final = 0.25
"""an attempt that took longer closes the look-ahead until it is forgotten; to a Worker that has ended nothing for as
long nothing is given to wait behind what it is at"""
AHEAD_PATIENCE_SECONDS: Final = 1.0
"""a Worker that has been at one attempt for longer gives back what waits behind it"""
WINDOW: Final = 256
"""attempts that are remembered"""
_LEAST_SECONDS: Final = 1e-6


class ServiceTimes:
    """How long the last attempts took.

    The mean says how many may wait, for a machine that is busy with other things makes a few attempts in any hundred
    take ten times as long; a single one that took really long says that none may.
    """

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=WINDOW)

    def note(self, seconds: float) -> None:
        """One more has ended after so long."""
        self._last.append(seconds)

    def claims_a_worker(self) -> int:
        """How many claims a Worker should have, the one that it is at included; 1 before 256 have ended."""
        if len(self._last) < WINDOW or max(self._last) > AHEAD_LONG_SECONDS:
            return 1
        mean = sum(self._last) / WINDOW
        return 1 + min(AHEAD_MAX, int(AHEAD_SECONDS / max(mean, _LEAST_SECONDS)))
