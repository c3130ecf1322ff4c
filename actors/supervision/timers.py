"""Deadlines of many owners, the next of them known at once."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_SPARED: Final = 64


@dataclass(slots=True, eq=False)
class Timer:
    """One owner's deadline: at most one at a time. ``at`` is None when nothing is awaited."""

    on_due: Callable[[], None]
    at: float | None = None


class Timers:
    """All timers of one supervisor's tree. A timer that was set anew leaves its old entry behind, which is skipped."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._most = _SPARED

    def set(self, timer: Timer, seconds: float) -> None:
        """The timer is due after so many seconds, whatever was set before."""
        self.set_at(timer, self._clock() + seconds)

    def set_at(self, timer: Timer, at: float) -> None:
        """The timer is due at that moment of the clock."""
        timer.at = at
        if len(self._heap) >= self._most:
            self._heap = [entry for entry in self._heap if entry[2].at == entry[0]]
            heapq.heapify(self._heap)
            self._most = max(_SPARED, 2 * len(self._heap))
        heapq.heappush(self._heap, (at, next(self._order), timer))

    def next_at(self) -> float | None:
        """When the next one is due, on the clock."""
        heap = self._heap
        while heap and heap[0][2].at != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def fire(self) -> None:
        """Call those that are due, in the order of their deadlines."""
        now = self._clock()
        while (at := self.next_at()) is not None and at <= now:
            _, _, timer = heapq.heappop(self._heap)
            timer.at = None
            timer.on_due()
