"""What wakes the one who serves an inbox."""

from __future__ import annotations

import threading


class Doorbell:
    """Wakes one consumer.

    Every generation has its own: a ring meant for a retired thread must not be taken from its successor.
    """

    __slots__ = ("_lock", "asleep")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.asleep = False

    def ring(self) -> None:
        """Whoever waits goes on; if nobody does, whoever waits next."""
        self.asleep = False
        try:
            self._lock.release()
        except RuntimeError:
            # Two producers rang at once; one ring is enough.
            return

    def wait(self, timeout: float | None) -> None:
        """Until it rings, or for so many seconds."""
        self._lock.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        self.asleep = False
