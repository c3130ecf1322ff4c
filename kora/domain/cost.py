"""The credit pool: how full it is, what that means for claims and agents, and what it says of time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kora.domain.ticket import Priority, Ticket

MICRO_USD: Final = 1_000_000
RAMP_SECONDS: Final = 3_600.0
"""how long after a refresh claims are made one by one"""
PACE_SECONDS: Final = 30.0
"""between two claims of all runtimes of the pool, meanwhile"""
COST_MAX_USD: Final = 1_000_000.0
"""the most that one attempt is charged: who tells of more does not know what it says"""


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


@dataclass(frozen=True, slots=True)
class Downshift:
    """Which named agent does a ticket that names none while the pool runs low, by its priority.

    What the higher rung leaves out is done as on the lower one; with nothing said there either, by the default agent.
    """

    warn_75: Mapping[Priority, str] = field(default_factory=dict)
    downshift_90: Mapping[Priority, str] = field(default_factory=dict)

    def __call__(self, now: Rung, ticket: Ticket) -> str | None:
        """The agent's name; None: the one that would do it anyway."""
        if now is Rung.NORMAL or ticket.agent is not None:
            return None
        cheaper = None if now is Rung.WARN_75 else self.downshift_90.get(ticket.sea_priority)
        return cheaper or self.warn_75.get(ticket.sea_priority)


@dataclass(frozen=True, slots=True)
class Caps:
    """What may be spent on one ticket, in US dollars; 0: no limit."""

    attempt_usd: float = 0.0
    ticket_usd: float = 0.0

    def stops_attempt(self, cost_usd: float | None) -> bool:
        """Whether an attempt has cost more than one may."""
        return cost_usd is not None and 0 < micro_usd(self.attempt_usd) < micro_usd(cost_usd)

    def stops_ticket(self, spent_micro_usd: int, cost_usd: float | None = None) -> bool:
        """Whether what earlier attempts have cost, and this one on top of it, has come to what a ticket may cost."""
        return 0 < micro_usd(self.ticket_usd) <= spent_micro_usd + micro_usd(cost_usd or 0.0)

    def said_of_ticket(self, spent_micro_usd: int, cost_usd: float | None) -> str:
        """In words, that it waits for what its attempts have cost, this one included."""
        spent_usd = spent_micro_usd / MICRO_USD + (cost_usd or 0.0)
        may_usd = f"{self.ticket_usd:.2f}"
        return f"waits for an operator: its attempts have cost {spent_usd:.2f} USD, where they may cost {may_usd}"

    def left_usd(self, spent_micro_usd: int) -> float | None:
        """What an attempt may cost at a ticket that has cost so much before; None: whatever it takes."""
        left = [self.attempt_usd] if self.attempt_usd > 0 else []
        if self.ticket_usd > 0:
            left.append(max(0, micro_usd(self.ticket_usd) - spent_micro_usd) / MICRO_USD)
        return min(left, default=None)


NO_CAPS: Final = Caps()


def amount_usd(value: object) -> float | None:
    """The value as an amount that can be charged, an absurd one cut to `COST_MAX_USD`; None for what is no amount."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value > COST_MAX_USD and value != math.inf:
        return COST_MAX_USD
    return float(value) if 0 <= value < math.inf else None


def most_usd(*told: float | None) -> float | None:
    """The highest of what was told of one attempt: what is spent does not come back. None if nothing was."""
    return max((amount for amount in told if amount is not None), default=None)


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
class Resumption:
    """The end of a pause for cost without a refresh by an operator: a new month has begun, or the pool was made larger.

    Many may ask for it at once; it is done once.
    """

    ramp: Ramp
    refreshed_at: datetime | None
    """`Pool.refreshed_at` as whoever asks has found it: where it has changed meanwhile, the pause was ended already"""


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
    """when a pause for cost was last ended, by an operator's refresh or by a `Resumption`"""
    ramp_seconds: float
    """how much longer claims are made one by one; 0: they are not"""

    @property
    def spent_micro_usd(self) -> int:
        """What counts as spent."""
        return self.counted_micro_usd + self.reconciled_micro_usd

    def rung(self, pool_micro_usd: int) -> Rung:
        """Where that stands in a pool of this size; see `rung`."""
        return rung(self.spent_micro_usd, pool_micro_usd)
