"""The runtimes that used this state directory before, and what their attempts have cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loguru import logger

from kora.agents import meter
from kora.agents.meter import Left
from kora.state_dir import StateDir
from kora.store.steering import Charge


@dataclass(frozen=True)
class Predecessors:
    """As the Ledger has them, see `actors.ports`.

    What they left behind is removed only when it is charged and their claims are returned. A runtime that is killed in
    between leaves it to its successor, which charges it again: the store knows what was charged.
    """

    state_dir: StateDir
    cost_of: Callable[[Left], float | None]
    """what an attempt has cost, by what is left of it"""

    def ended(self) -> Sequence[str]:
        """Those of which it is sure that no agent is left; the same ones again until they are forgotten."""
        return self.state_dir.ended()

    def charges(self, runtime_ids: Sequence[str]) -> Sequence[Charge]:
        """What the attempts of these have told of their cost, whether it was charged before or not."""
        lefts = [left for runtime_id in runtime_ids for left in meter.left_by(self.state_dir.path, runtime_id)]
        costs = [(left.key, self.cost_of(left)) for left in lefts]
        charges = [Charge(key, cost_usd) for key, cost_usd in costs if cost_usd]
        if charges:
            total_usd = sum(charge.cost_usd for charge in charges)
            logger.info("attempts of a runtime that is gone have told of {:.2f} USD: {}", total_usd, len(charges))
        return charges

    def forget(self, runtime_ids: Sequence[str]) -> None:
        """Their claims are returned, and their attempts charged."""
        self.state_dir.forget(runtime_ids)
