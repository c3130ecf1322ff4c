"""The part of the store port by which new tickets are heard of without asking."""

from __future__ import annotations

from typing import Protocol


class Hints(Protocol):
    """Says at once that there may be new tickets. One that is lost harms nobody: whoever polls finds everything."""

    def wait(self, seconds: float) -> bool:
        """Wait for as long, or until there may be new tickets; True when there may be. Raises nothing."""

    def close(self) -> None:
        """Give up what it was heard by."""
