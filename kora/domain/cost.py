"""The credit pool: how full it is, what that means for claims and agents, and what it says of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

MICRO_USD: Final = 1_000_000
RAMP_SECONDS: Final = 3_600.0
"""how long after a refresh claims are made one by one"""
PACE_SECONDS: Final = 30.0
"""between two claims of all runtimes of the pool, meanwhile"""


class Rung(StrEnum):
    """How much of the pool is spent."""

    NORMAL = "normal"
    WARN_75 = "warn_75"
    DOWNSHIFT_90 = "downshift_90"
    HARD_STOP_100 = "hard_stop_100"


def rung(spent_micro_usd: int, pool_micro_usd: int) -> Rung:
    """Where so much spent stands; always `normal` where the pool has no bound (0)."""
    if pool_micro_usd <= 0 or spent_micro_usd * 100 < pool_micro_usd * 75:
        return Rung.NORMAL
    if spent_micro_usd * 100 < pool_micro_usd * 90:
        return Rung.WARN_75
    return Rung.DOWNSHIFT_90 if spent_micro_usd < pool_micro_usd else Rung.HARD_STOP_100


def month_of(moment: datetime) -> int:
    """The month in UTC, as year and two digits: 202611."""
    return moment.year * 100 + moment.month


def micro_usd(usd: float) -> int:
    """The amount in millionths of a dollar, in which everything is added up."""
    return round(usd * MICRO_USD)


@dataclass(frozen=True, slots=True)
class Ramp:
    """How claims are made once a used-up pool was refreshed: one by one, over all runtimes of the workspace."""

    seconds: float
    """for how long; 0: not at all"""
    interval_seconds: float
    """the least time between two of them"""


@dataclass(frozen=True, slots=True)
class Pool:
    """What the store says of the workspace's credit pool."""

    month: int
    """the month that is counted, by the store's time, see `month_of`"""
    counted_micro_usd: int
    """what attempts have been charged in it, since the last refresh if there was one"""
    reconciled_micro_usd: int
    """what was to be added to agree with a reported figure; never less than 0"""
    refreshed_at: datetime | None
    """the last refresh, by an operator or by a new month after a pause"""
    ramp_seconds: float
    """how much longer claims are made one by one; 0: they are not"""

    @property
    def spent_micro_usd(self) -> int:
        """What counts as spent."""
        return self.counted_micro_usd + self.reconciled_micro_usd
