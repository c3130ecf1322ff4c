"""How long to wait before the next try at what is away."""

from __future__ import annotations

from typing import Final

_FIRST_SECONDS: Final = 0.05
_CAP_SECONDS: Final = 2.0


class Backoff:
    """Waits that double from a twentieth of a second to two, for as long as it lasts."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """the present wait; 0 while nothing is away"""

    def lengthen(self) -> float:
        """Another try has failed: how long to wait now."""
        self.seconds = min(max(self.seconds * 2, _FIRST_SECONDS), _CAP_SECONDS)
        return self.seconds

    def end(self) -> None:
        """A try has gone well."""
        self.seconds = 0.0
