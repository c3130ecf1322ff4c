"""How long to wait before the next try at what is away, and how it stands with the tries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

_FIRST_SECONDS: Final = 0.05
_CAP_SECONDS: Final = 2.0


class Backoff:
    """Waits that double from a twentieth of a second to two, for as long as it lasts."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.seconds = 0.0
        """the present wait; 0 while nothing is away"""
        self._clock = clock
        self._tried_at = clock()
        self._went_well_at: float | None = None

    def facts(self) -> Mapping[str, object]:
        """When there was a try last, whatever came of it, and when one last went well; on the clock."""
        return {
            "backoff_seconds": self.seconds,
            "turned_at": self._tried_at,
            "written_at": self._went_well_at,
        }

    def lengthen(self) -> float:
        """Another try has failed: how long to wait now."""
        self._tried_at = self._clock()
        self.seconds = min(max(self.seconds * 2, _FIRST_SECONDS), _CAP_SECONDS)
        return self.seconds

    def end(self) -> None:
        """A try has gone well."""
        self._tried_at = self._went_well_at = self._clock()
        self.seconds = 0.0
