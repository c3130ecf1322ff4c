"""Whether the machine slept, or the process was stopped, since the last tick."""

from __future__ import annotations

from typing import Final

_TICKS: Final = 3
_LEAST_SECONDS: Final = 2.0


class Gap:
    """Watches the ticks of the boot clock, which goes on through a suspend while the ticks do not.

    Judged by when a tick was sent: an actor that was busy for long, and finds several waiting, has seen no gap.
    """

    def __init__(self, tick_seconds: float) -> None:
        self._most_seconds = max(_TICKS * tick_seconds, _LEAST_SECONDS)
        self._last: float | None = None

    def is_open(self, now: float) -> bool:
        """Whether `now` is later than ticks that come as they should leave room for."""
        return self._last is not None and now - self._last > self._most_seconds

    def tick(self, now: float) -> bool:
        """Take note of a tick; whether it is the first one after a gap."""
        opened = self.is_open(now)
        self._last = now
        return opened
