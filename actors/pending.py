"""What the Ledger has yet to write."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from kora.store.port import ClaimOrder, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.messages import Order
    from kora.domain.claim import ClaimKey
    from kora.domain.events import NewEvent
    from kora.domain.resolution import Settlement

EVENTS_MAX: Final = 10_000
"""events kept while the store is away; beyond it the oldest go, for what waits must not grow without end"""


class Pending:
    """Messages folded into states, until a turn with them is committed.

    Nothing here needs to survive a crash: Workers keep their ends until these are acknowledged, and the rest is said
    again.
    """

    def __init__(self, *, lease_seconds: float, max_attempts: int) -> None:
        self._lease_seconds = lease_seconds
        self._max_attempts = max_attempts
        self.refresh: dict[str, ClaimKey] = {}
        self.settle: dict[str, Settlement] = {}
        self.ended_by: dict[str, str] = {}
        """which Worker waits to hear that its attempt is settled"""
        self.order: Order | None = None
        """stands until it runs out or nothing is left to claim: so a place is filled in the turn that empties it"""
        self.sweep = False
        self.news = False
        """the held set is to be told anew, written or not"""
        self._events: deque[NewEvent] = deque(maxlen=EVENTS_MAX)

    def __bool__(self) -> bool:
        return bool(self.refresh or self.settle or self._events)

    def append(self, events: Sequence[NewEvent]) -> None:
        """Keep these for the next turn."""
        self._events.extend(events)

    def turn(
        self,
        *,
        free: int,
        held: int,
        except_tickets: frozenset[str],
        return_holders: Sequence[str],
        now: float,
    ) -> Turn | None:
        """Everything pending as one turn; None when there is nothing for the store to do."""
        claim = self._claim(free=free, held=held, except_tickets=except_tickets, now=now)
        if not (self or self.sweep or claim):
            return None
        return Turn(
            refresh=tuple(key for attempt, key in self.refresh.items() if attempt not in self.settle),
            refresh_seconds=self._lease_seconds,
            settle=tuple(self.settle.values()),
            return_holders=return_holders,
            sweep=self.sweep,
            claim=claim,
            append=tuple(self._events),
            max_attempts=self._max_attempts,
        )

    def clear(self, *, written: Turn | None) -> None:
        """The turn is committed."""
        if written is None:
            return
        self.refresh.clear()
        self.settle.clear()
        self._events.clear()
        self.sweep = False

    def _claim(self, *, free: int, held: int, except_tickets: frozenset[str], now: float) -> ClaimOrder | None:
        order = self.order
        if order is None:
            return None
        if now >= order.permitted_until:
            self.order = None
            return None
        count = min(order.want - held, free)
        return ClaimOrder(count, self._lease_seconds, except_tickets) if count > 0 else None
