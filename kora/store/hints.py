"""The part of the store port by which is heard of without asking what others have changed."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Hint(Enum):
    """What there may be."""

    TICKETS = ""
    """new tickets, or old ones that can be claimed again"""
    STEERING = "steering"
    """a command, or anything else that steers the work; tickets as well"""


class Hints(Protocol):
    """Says at once that something may have changed. One that is lost harms nobody: whoever polls finds everything."""

    def wait(self, seconds: float) -> Hint | None:
        """Wait for as long, or until there may be something; what, or None. Raises nothing."""

    def close(self) -> None:
        """Give up what it was heard by."""
