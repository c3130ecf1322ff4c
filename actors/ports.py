"""What the actors need of the outside, beside the store, the agents and the admin API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kora.store.steering import Charge


class Predecessors(Protocol):
    """The runtimes that used this state directory before."""

    def ended(self) -> Sequence[str]:
        """Those of which it is sure that no agent is left."""

    def charges(self, runtime_ids: Sequence[str]) -> Sequence[Charge]:
        """What the attempts of these have told of their cost; the same again until they are forgotten."""

    def forget(self, runtime_ids: Sequence[str]) -> None:
        """Their claims are returned, and their attempts charged."""


class Gate(Protocol):
    """An operator's pause, which outlives the runtime."""

    def is_paused(self) -> bool:
        """Whether there is one; yes also when that cannot be read."""
