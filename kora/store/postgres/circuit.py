"""When to try a server again that could not be reached."""

from __future__ import annotations

import time
from random import Random


class Circuit:
    """Open after each failed try, for a pause that doubles from the least to the most, scattered by half."""

    def __init__(self, *, least_seconds: float, most_seconds: float) -> None:
        self._least_seconds = least_seconds
        self._most_seconds = most_seconds
        self._random = Random()
        self._failures = 0
        self._next_try = 0.0

    def left_seconds(self) -> float:
        """How long until the next try is due; not above 0 where it is."""
        return self._next_try - time.monotonic()

    def failed(self) -> None:
        """The try has failed: the next one is to wait."""
        pause = min(self._most_seconds, self._least_seconds * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._next_try = time.monotonic() + pause * self._random.uniform(0.5, 1.0)

    def succeeded(self) -> None:
        """The try has succeeded: the next failure is the first again."""
        self._failures = 0
