"""A store that is a dictionary: what `Writer` and `Reader` promise, in memory, and what nobody must ask of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from kora.domain.claim import Claim, ClaimKey, ClaimResult
from kora.domain.control import PERMISSION_SECONDS, ClaimPermission, CommandStatus
from kora.domain.events import EventType
from kora.domain.ids import new_id
from kora.domain.operation import OperationAnswer, Verdict
from kora.domain.state import PrimaryState
from kora.domain.ticket import Status
from kora.errors import IncarnationLostError, StoreUnavailableError
from kora.store.port import TurnResult
from tests.claims import NOW, a_claim
from tests.unit.actors.steered import Steered


@dataclass
class Row:
    """A ticket, and the claim that it is under."""

    ticket_id: str
    fence: int = 0
    attempt: str | None = None
    lease_until: float = 0.0
    over: bool = False
    ended: set = field(default_factory=set)

    @property
    def key(self) -> ClaimKey:
        return ClaimKey(self.ticket_id, self.fence, self.attempt)


class Shelf:
    """The store. Its handles all write to the same rows."""

    def __init__(self, world, tickets):
        self.world = world
        self.rows = {row.ticket_id: row for row in (Row(new_id()) for _ in range(tickets))}
        self.operations = {}
        self.events = {}
        self.history = []
        """how many claims were held after each change, and between them the transitions of the mirror"""
        self.charged = {}
        """by attempt"""
        self.incarnation = 0
        self.changes = 0
        self.faults = []
        """what befalls the next turns: None, "before" or "after" the commit"""
        self.claimed = 0
        self.steered = Steered(world.time)
        self.permitted_until = float("inf")
        """later than this nothing may be claimed: permission was taken away, or could not be read"""

    def open(self):
        return Handle(self)

    def reader(self):
        return self.steered

    def held(self):
        return [row for row in self.rows.values() if row.attempt is not None]

    def cancel(self, row):
        row.attempt, row.over = None, True
        self._note_change()

    def reopen(self, row):
        row.over = False
        self._note_change()

    def shut(self, *, is_readable):
        """From now on nothing is permitted, as the store says or because it cannot be read."""
        self.steered.granted, self.steered.is_readable = ClaimPermission.NONE, is_readable
        self.will_be_shut()

    def permit(self):
        self.steered.granted, self.steered.is_readable = ClaimPermission.NORMAL, True
        self.may_be_open()

    def will_be_shut(self):
        """Nothing may be claimed any more once the last permission has run out."""
        self.permitted_until = min(self.permitted_until, self.world.time.seconds + PERMISSION_SECONDS)

    def may_be_open(self):
        """Nothing may keep the runtime from claiming."""
        steered = self.steered
        if steered.is_readable and steered.granted is ClaimPermission.NORMAL and not self.world.has_pause:
            self.permitted_until = float("inf")

    def note(self, what=None):
        self.history.append(len(self.world.held()) if what is None else what)

    def _note_change(self):
        self.changes += 1
        self.note()


class Handle:
    """One writer."""

    def __init__(self, shelf):
        self.shelf = shelf
        self.seen = shelf.changes

    def next_incarnation(self):
        self.shelf.incarnation += 1
        return self.shelf.incarnation

    def held(self):
        return [self._claim(row) for row in self.shelf.held()]

    def holds(self):
        return frozenset(row.key for row in self.shelf.held())

    def changed(self):
        changed, self.seen = self.seen != self.shelf.changes, self.shelf.changes
        return changed

    def close(self):
        pass

    def turn(self, incarnation, turn):
        fault = self.shelf.faults.pop() if self.shelf.faults else None
        if fault == "before":
            raise StoreUnavailableError("away")
        if incarnation != self.shelf.incarnation:
            raise IncarnationLostError("incarnation")
        result = TurnResult()
        self._refresh(turn, result)
        for event in turn.append:
            self._append(event)
        result.operated += [self._operate(request) for request in turn.operate]
        for settlement in turn.settle:
            self._settle(settlement, result)
        for charge in turn.charge:
            self._charge(charge.key, charge.cost_usd)
        for mark in turn.marks:
            self._mark(mark)
        if turn.sweep:
            self._sweep(result)
        if turn.claim is not None:
            self._take(turn.claim, result)
        self.shelf.note()
        if fault == "after":
            raise StoreUnavailableError("the answer was lost")
        return result

    def _under(self, key):
        row = self.shelf.rows[key.ticket_id]
        return row if row.attempt is not None and row.key == key else None

    def _refresh(self, turn, result):
        now = self.shelf.world.time.seconds
        for earned in turn.refresh:
            row = self._under(earned.key)
            if row is not None and row.lease_until > now:
                row.lease_until = now + turn.refresh_seconds
                result.refreshed.append(earned.key)
            else:
                result.lost.append(earned.key)

    def _append(self, event):
        if event.event_id in self.shelf.events:
            return
        self.shelf.events[event.event_id] = event
        if event.event_type == EventType.TRANSITIONED:
            said = event.payload
            self.shelf.note((PrimaryState(said["from_primary_state"]), PrimaryState(said["to_primary_state"])))

    def _operate(self, request):
        if self._under(request.claim) is None:
            return OperationAnswer(request, Verdict.LOST)
        self.shelf.operations[request.claim.work_attempt_id, request.sequence_within_attempt] = request.step
        return OperationAnswer(request, Verdict.DISPATCHED)

    def _settle(self, settlement, result):
        row = self.shelf.rows[settlement.key.ticket_id]
        attempt = settlement.key.work_attempt_id
        if self._under(settlement.key) is not None:
            is_completed = settlement.sea_status is Status.COMPLETED
            for agent in self.shelf.world.agents:
                if agent.claim.key == settlement.key:
                    assert agent.outcome is not None, "given back while its agent runs"
                    is_own_end = agent.reason is None and not agent.was_turned_away
                    assert is_completed is is_own_end, "an end that was reached is written as another"
            row.attempt, row.over = None, is_completed
            row.ended.add(attempt)
            if settlement.cost_usd is not None:
                self._charge(settlement.key, settlement.cost_usd)
        (result.settled if attempt in row.ended else result.stale).append(settlement.key)

    def _charge(self, key, cost_usd):
        assert self.shelf.charged.setdefault(key.work_attempt_id, cost_usd) == cost_usd, "charged another time"

    def _mark(self, mark):
        steered = self.shelf.steered
        if mark.status is CommandStatus.ENFORCED and any(
            command.command_id == mark.command_id and command.level > 1 for command in steered.open
        ):
            # One whose lease ran out is nobody's: its agent's guardian has ended it, and it is to be swept.
            ran_out = {agent.claim.key for agent in self.shelf.world.agents if agent.ran_out_at is not None}
            held = {row.key for row in self.shelf.held()} - ran_out
            assert held == set(), "enforced, it is said, with claims in hand"
        steered.mark(mark)

    def _sweep(self, result):
        for row in self.shelf.held():
            if row.lease_until <= self.shelf.world.time.seconds:
                # Another runtime might claim it from now on.
                world = self.shelf.world
                assert not (world.is_guarded and world.runs(row.ticket_id)), "an agent outlives its lease"
                result.returned.append(row.key)
                row.attempt = None

    def _take(self, order, result):
        if self.shelf.steered.open:
            result.blocked_by = ClaimResult.BLOCKED_BY_CONTROL
            return
        ready = [row for row in self.shelf.rows.values() if not row.over and row.attempt is None]
        now = self.shelf.world.time.seconds
        for row in [row for row in ready if row.ticket_id not in order.except_tickets][: order.count]:
            assert not self.shelf.world.runs(row.ticket_id), "claimed again while an agent of it runs here"
            assert now < self.shelf.permitted_until, "claimed without a permission"
            row.fence += 1
            row.attempt, row.lease_until = new_id(), now + order.lease_seconds
            self.shelf.claimed += 1
            result.claims.append(self._claim(row))

    def _claim(self, row):
        made = a_claim(ticket_id=row.ticket_id, attempts=1)
        return Claim(row.key, made.ticket, "runtime-1", NOW)
