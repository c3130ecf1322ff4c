"""What the morning's page says of money: the pool, and the tickets stopped for their cost, or for failing so often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kora.cli.money import usd, usd_of
from kora.domain.cost import MICRO_USD, Caps, Pool, Rung, micro_usd
from kora.domain.resolution import LOGICAL, LOGICAL_FAILURES_MAX, Reason
from kora.domain.ticket import Status

if TYPE_CHECKING:
    from kora.config.sections import Cost
    from kora.store.views import BoardReport, TicketLine


@dataclass(frozen=True, slots=True)
class Spending:
    """The workspace's pool, and what it may cost, of one moment."""

    pool: Pool
    cost: Cost

    @property
    def rung(self) -> Rung:
        """How much of the pool is spent."""
        return self.pool.rung(micro_usd(self.cost.pool_usd))

    def said(self) -> str:
        """In words, what is spent of the pool, and on which rung that stands."""
        spent = usd_of(self.pool.spent_micro_usd)
        if not self.cost.pool_usd:
            return f"{spent} spent, of no limit"
        share = 100 * self.pool.spent_micro_usd / micro_usd(self.cost.pool_usd)
        return f"{spent} of {usd(self.cost.pool_usd)} spent ({share:.1f} %): {self.rung}"

    def stopped_by(self, line: TicketLine) -> str | None:
        """Why the ticket is worked no more, if for what it has cost, or for failing too often: else None."""
        counts = line.failure_count_by_reason
        failures = sum(counts.get(reason, 0) for reason in LOGICAL)
        caps = Caps(ticket_usd=self.cost.ticket_usd)
        if line.sea_status == Status.BLOCKED_NEEDS_OPERATOR and caps.stops_ticket(micro_usd(line.cost_usd)):
            return f"its attempts may cost {usd(self.cost.ticket_usd)} (cost.ticket_usd)"
        if line.sea_status == Status.FAILED_TERMINAL and failures >= LOGICAL_FAILURES_MAX:
            over = counts.get(Reason.OVER_LIMITS, 0)
            return f"it failed {failures} times" + (
                f", {over} of them over an attempt's budget or turns" if over else ""
            )
        return None

    def stopped(self, found: BoardReport) -> Iterator[tuple[TicketLine, str]]:
        """Those of the tickets that need a person, each with the reason."""
        for line in found.needs_a_person:
            if (why := self.stopped_by(line)) is not None:
                yield line, why

    def document(self, found: BoardReport) -> dict[str, Any]:
        """All of it, as programs get it."""
        pool = self.pool
        return {
            "pool_usd": self.cost.pool_usd,
            "spent_usd": pool.spent_micro_usd / MICRO_USD,
            "rung": self.rung,
            "ramp_seconds": pool.ramp_seconds,
            "stopped": [
                {"ticket_id": line.ticket_id, "cost_usd": line.cost_usd, "why": why}
                for line, why in self.stopped(found)
            ],
        }
