"""How it stands with the store, as the Ledger finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger

from actors.backoff import Backoff
from actors.names import CONTROL
from actors.steering import StoreAnswered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.herald import Speaker


class Outage:
    """Since when turns fail, and how long to wait before the next; part of the Ledger, and of its thread.

    Control is told of one that lasts from a tick to the next, and of its end: a lock that is held for a moment is none.
    """

    def __init__(self, speaker: Speaker, clock: Callable[[], float]) -> None:
        self._speaker = speaker
        self._backoff = Backoff(clock)
        self._count = 0
        self._is_told = False

    def facts(self) -> Mapping[str, object]:
        """When a turn was tried last, and when one last went through."""
        return self._backoff.facts()

    @property
    def seconds(self) -> float:
        """The present wait; 0 while the store answers."""
        return self._backoff.seconds

    def lengthen(self, error: Exception) -> float:
        """Another turn has failed: how long to wait now."""
        if not self._backoff.seconds:
            logger.warning("the store cannot be written, trying on: {}", error)
        return self._backoff.lengthen()

    def tick(self) -> None:
        """Tell of it, while it lasts."""
        if self._backoff.seconds:
            self._is_told = True
            self._tell(is_writable=False)

    def end(self) -> None:
        """A turn went through, or there was none to be."""
        if self._backoff.seconds:
            logger.info("the store answers again")
        self._backoff.end()
        if self._is_told:
            self._is_told = False
            self._tell(is_writable=True)

    def _tell(self, *, is_writable: bool) -> None:
        self._count += 1
        version = (self._speaker.seat.generation, self._count)
        self._speaker.tell(CONTROL, StoreAnswered(version=version, is_writable=is_writable))
