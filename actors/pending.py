"""What the Ledger has yet to write."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from kora.store.port import ClaimOrder, Earned, Turn
from kora.store.steering import Charge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from actors.messages import Operate, Order
    from kora.domain.claim import ClaimKey
    from kora.domain.control import CommandStatus, NewMark
    from kora.domain.cost import Resumption
    from kora.domain.events import NewEvent
    from kora.domain.operation import OperationAnswer, OperationRequest
    from kora.domain.resolution import Settlement

_NEVER: Final = (0, 0)
EVENTS_MAX: Final = 10_000
"""events kept while the store is away; beyond it the oldest go, for what waits must not grow without end"""


class Pending:
    """Messages folded into states, until a turn with them is committed.

    Nothing here needs to survive a crash: Workers keep their ends and requests until these are acknowledged, and the
    rest is said again.
    """

    def __init__(self, *, lease_seconds: float, max_attempts: int) -> None:
        self._lease_seconds = lease_seconds
        self._max_attempts = max_attempts
        self.refresh: dict[str, tuple[ClaimKey, float]] = {}
        """each with the moment of the progress that earned it"""
        self.settle: dict[str, Settlement] = {}
        self.charge: dict[str, Charge] = {}
        """what attempts have cost whose ends are not to be written"""
        self.ended_by: dict[str, str] = {}
        """which Worker waits to hear that its attempt is settled, or charged"""
        self.order: Order | None = None
        """stands until it runs out or nothing is left to claim: so a place is filled in the turn that empties it"""
        self.permitted_by = _NEVER
        self._single_by = _NEVER
        """the permission of the last single order by which a claim was made"""
        """by which permission the newest order was made"""
        self.marks: dict[tuple[str, CommandStatus], NewMark] = {}
        """how far this runtime has come with commands"""
        self.resume_credit: Resumption | None = None
        self.ticked = False
        self.slept = False
        """nothing is swept in this turn: the refreshes that a suspend has held up come first"""
        self.news = False
        """the held set is to be told anew, written or not"""
        self._operate: dict[OperationRequest, str] = {}
        self._asked_by: dict[OperationRequest, str] = {}
        self._events: deque[NewEvent] = deque(maxlen=EVENTS_MAX)

    def __bool__(self) -> bool:
        return bool(self.refresh or self._operate or self.settle or self.charge or self._events or self.marks)

    def facts(self) -> dict[str, object]:
        """How much there is, for any thread."""
        order = self.order
        return {
            "order": None if order is None else order.want,
            "refreshes": len(self.refresh),
            "operations": len(self._operate),
            "settlements": len(self.settle),
            "charges": len(self.charge),
            "events": len(self._events),
            "marks": len(self.marks),
        }

    def hear(self, order: Order) -> None:
        """Let this order stand, unless it was made by an older permission than the last.

        A single one was asked for again before it was heard what had come of it, where its permission is the same.
        """
        if order.is_single and order.permitted_by <= self._single_by:
            return
        if order.permitted_by >= self.permitted_by:
            self.permitted_by, self.order = order.permitted_by, order

    def claimed(self) -> None:
        """A claim was made by the order that stands."""
        if self.order is not None and self.order.is_single:
            self._single_by = self.order.permitted_by
            self.order = None

    def mark(self, marks: Sequence[NewMark]) -> None:
        """Keep these for the next turn; those on the way are kept beside the end, whoever says it first."""
        self.marks.update({(mark.command_id, mark.status): mark for mark in marks})

    def append(self, events: Sequence[NewEvent]) -> None:
        """Keep these for the next turn."""
        self._events.extend(events)

    def owe(self, key: ClaimKey, cost_usd: float | None, worker: str | None) -> bool:
        """Have this charged with the next turn, for an attempt whose end is not written; False if it has cost nothing.

        Its Worker is not to hear before that it is dealt with: so it is told again to whoever serves this name then.
        """
        if not cost_usd:
            return False
        self.charge[key.work_attempt_id] = Charge(key, cost_usd)
        if worker is not None:
            self.ended_by[key.work_attempt_id] = worker
        return True

    def operate(self, message: Operate) -> None:
        """Keep these requests for the next turn, each once, in the order in which they were first asked."""
        for request in message.requests:
            self._operate[request] = message.worker

    def askers(self, answers: Iterable[OperationAnswer]) -> dict[str, list[OperationAnswer]]:
        """The answers of the turn that was cleared last, by the Worker that asked."""
        told: dict[str, list[OperationAnswer]] = {}
        for answer in answers:
            worker = self._asked_by.pop(answer.request, None)
            if worker is not None:
                told.setdefault(worker, []).append(answer)
        return told

    def turn(
        self,
        *,
        places: int,
        held: int,
        except_tickets: Callable[[], frozenset[str]],
        return_holders: Sequence[str],
        charges: Sequence[Charge] = (),
        now: float,
    ) -> Turn | None:
        """Everything pending as one turn; None when there is nothing for the store to do.

        What is not to be claimed is asked for only when something is to be. `charges` are predecessors'.
        """
        sweep = self.ticked and not self.slept
        claim = self._claim(places=places, held=held, except_tickets=except_tickets, now=now)
        if not (self or sweep or claim or return_holders or self.resume_credit is not None):
            return None
        return Turn(
            refresh=tuple(
                Earned(key, max(0.0, now - progress_at))
                for attempt, (key, progress_at) in self.refresh.items()
                if attempt not in self.settle
            ),
            refresh_seconds=self._lease_seconds,
            operate=tuple(self._operate),
            settle=tuple(self.settle.values()),
            charge=(*self.charge.values(), *charges),
            return_holders=return_holders,
            sweep=sweep,
            claim=claim,
            append=tuple(self._events),
            marks=tuple(self.marks.values()),
            resume_credit=self.resume_credit,
            max_attempts=self._max_attempts,
        )

    def clear(self) -> None:
        """The turn is committed, or there was none to be."""
        self.refresh.clear()
        self._asked_by, self._operate = self._operate, {}
        self.settle.clear()
        self.charge.clear()
        self._events.clear()
        self.marks.clear()
        self.resume_credit = None
        self.ticked = self.slept = False

    def _claim(
        self, *, places: int, held: int, except_tickets: Callable[[], frozenset[str]], now: float
    ) -> ClaimOrder | None:
        order = self.order
        if order is None:
            return None
        if now >= order.permitted_until:
            self.order = None
            return None
        count = min(order.want - held, places)
        if count <= 0:
            return None
        return ClaimOrder(count, self._lease_seconds, except_tickets(), is_critical_only=order.is_critical_only)
