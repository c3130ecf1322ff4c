"""What the configuration says of steering."""

from __future__ import annotations

from dataclasses import dataclass

from kora.domain.cost import Ramp


@dataclass(frozen=True)
class Terms:
    """The numbers that Control goes by; a change of one restarts it."""

    drain_seconds: float
    """how long what runs may go on at level 2"""
    pool_micro_usd: int
    """what all attempts of a month may cost; 0: no bound"""
    ramp: Ramp
    """how claims are made when a new month, or a larger pool, has ended a pause for cost"""
