"""What the actors need of the outside, beside the store, the agents and the admin API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Predecessors(Protocol):
    """The runtimes that used this state directory before."""

    def ended(self) -> Sequence[str]:
        """Those of which it is sure that no agent is left."""

    def forget(self, runtime_ids: Sequence[str]) -> None:
        """Their claims are returned."""


class Gate(Protocol):
    """An operator's pause, which outlives the runtime."""

    def is_paused(self) -> bool:
        """Whether there is one; yes also when that cannot be read."""
