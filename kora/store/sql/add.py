"""New tickets on the board: taken as a stream, all or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple

from kora.clock import to_us
from kora.domain.circle import find_circle
from kora.domain.ids import new_id
from kora.domain.ticket import NewTicket, QueueState, Status
from kora.errors import RefusedError
from kora.store.sql import dependents
from kora.store.sql.change import Change
from kora.store.sql.rows import json_array, rfc3339

ADDED: Final = "added"
"""what the tallies call new tickets"""
DEPENDENTS_MAX: Final = 5_000
"""of one ticket: its end frees or blocks them all in one transaction, and nobody else writes meanwhile"""
_TICKETS_AT_A_TIME: Final = 500
_FAULTS_NAMED: Final = 20
_CIRCLE_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class _New:
    ticket_no: int
    ticket_id: str
    actor_id: str
    queue_state: QueueState
    next_eligible_at: int | None
    captured_at: int
    said: NewTicket


class _Waiting(NamedTuple):
    """What is kept of a ticket for the sake of its blockers: not its objective, which may be a megabyte."""

    ticket_no: int
    ticket_id: str
    blocker_ids: tuple[str, ...]


@dataclass(slots=True)
class _Adding:
    """What is remembered while the stream goes by: nothing of a ticket that names no blockers, or only known ones."""

    change: Change
    last_before: int
    """the highest `ticket_no` that stood on the board"""
    faults: list[str] = field(default_factory=list)
    faults_count: int = 0
    looking_ahead: list[_Waiting] = field(default_factory=list)
    """tickets with blockers that had not come yet"""
    suspects: list[int] = field(default_factory=list)
    """tickets that wait for one that came no earlier: a circle has at least one such"""

    def fault(self, text: str) -> None:
        self.faults_count += 1
        if len(self.faults) < _FAULTS_NAMED:
            self.faults.append(text)

    def check(self) -> None:
        """Nothing, if there is no fault so far. Raises `RefusedError`, which names the first of them."""
        if self.faults_count == 0:
            return
        more = self.faults_count - len(self.faults)
        lines = [*self.faults, *([f"and {more:,} more"] if more else [])]
        raise RefusedError("\n  ".join(["nothing was added:", *lines]))


def add(change: Change, tickets: Iterable[NewTicket], *, actor_id: str) -> list[str]:
    """The new ids, in the order given. Raises `RefusedError`; what it raises must undo all."""
    (last_no,) = change.connection.execute(change.say.last_ticket_no, (change.workspace_id,)).fetchone()
    adding = _Adding(change, last_no)
    ids: list[str] = []
    placed = (_placed(number, said, change.now_us, actor_id) for number, said in enumerate(tickets, last_no + 1))
    while some := list(islice(placed, _TICKETS_AT_A_TIME)):
        some = _not_taken(adding, some)
        _write(change, some)
        waiting = [_Waiting(new.ticket_no, new.ticket_id, new.said.blocked_by) for new in some if new.said.blocked_by]
        _tie(adding, waiting)
        ids += [new.ticket_id for new in some]
    ahead, adding.looking_ahead = adding.looking_ahead, []
    for first in range(0, len(ahead), _TICKETS_AT_A_TIME):
        _tie(adding, ahead[first : first + _TICKETS_AT_A_TIME])
    for _, ticket_id, unknown in adding.looking_ahead:
        for blocker_id in unknown:
            adding.fault(f"ticket {ticket_id} is to wait for {blocker_id}, and there is no such ticket")
    _refuse_crowds(adding)
    adding.check()
    _refuse_circles(adding)
    change.connection.execute(change.say.count_blockers, (last_no, change.now_us))
    found = change.connection.execute(change.say.failed_blockers, (last_no,)).fetchall()
    dependents.failed(change, [blocker_no for (blocker_no,) in found])
    if ids:
        change.tally(ADDED, len(ids))
    return ids


def _placed(number: int, said: NewTicket, now_us: int, actor_id: str) -> _New:
    due = None if said.next_eligible_at is None else to_us(said.next_eligible_at)
    return _New(
        ticket_no=number,
        ticket_id=said.ticket_id or new_id(),
        actor_id=said.assigned_to_actor_id or actor_id,
        queue_state=QueueState.READY if due is None or due <= now_us else QueueState.WAITING,
        next_eligible_at=due,
        captured_at=now_us if said.sea_captured_at is None else to_us(said.sea_captured_at),
        said=said,
    )


def _not_taken(adding: _Adding, some: list[_New]) -> list[_New]:
    """Those whose ids are free; the others are faults."""
    named = [new.ticket_id for new in some if new.said.ticket_id]
    if not named:
        return some
    taken = {
        ticket_id for (ticket_id,) in adding.change.connection.execute(adding.change.say.taken, (json_array(named),))
    }
    free = []
    for new in some:
        if new.ticket_id in taken:
            adding.fault(f"there is a ticket {new.ticket_id} already")
        else:
            free.append(new)
            taken.add(new.ticket_id)
    return free


def _write(change: Change, some: Sequence[_New]) -> None:
    connection, now_us = change.connection, change.now_us
    connection.executemany(
        change.say.add_ticket,
        [
            (
                new.ticket_no,
                new.ticket_id,
                change.workspace_id,
                new.actor_id,
                int(new.queue_state),
                new.said.sea_priority.rank,
                now_us,
                new.next_eligible_at,
                new.said.sea_idea_kind,
                new.captured_at,
                new.said.ticket_title,
                new.said.agent,
            )
            for new in some
        ],
    )
    connection.executemany(
        change.say.add_objective,
        [(new.ticket_no, new.said.ticket_objective) for new in some],
    )
    for new in some:
        change.acted("add", new.ticket_id, new.ticket_no, before=None, after=_after(new))
    change.log.flush()


def _after(new: _New) -> dict[str, Any]:
    """The ticket as added, but for the objective, which may be a megabyte and never changes."""
    return {
        "ticket_title": new.said.ticket_title,
        "sea_status": Status.ASSIGNED.value,
        "sea_priority": new.said.sea_priority.value,
        "sea_idea_kind": new.said.sea_idea_kind,
        "sea_captured_at": rfc3339(new.captured_at),
        "assigned_to_actor_id": new.actor_id,
        "next_eligible_at": None if new.next_eligible_at is None else rfc3339(new.next_eligible_at),
        "agent": new.said.agent,
        "blocked_by": list(dict.fromkeys(new.said.blocked_by)),
    }


def _tie(adding: _Adding, waiting: Sequence[_Waiting]) -> None:
    """These tickets wait for those of their blockers that are there; what names others is looked at again later."""
    if not waiting:
        return
    change = adding.change
    named = list({blocker_id for each in waiting for blocker_id in each.blocker_ids})
    found = change.connection.execute(change.say.blockers_named, (json_array(named), change.workspace_id))
    known = dict(found)
    rows: list[tuple[int, int]] = []
    for ticket_no, ticket_id, blocker_ids in waiting:
        distinct = dict.fromkeys(blocker_ids)
        for blocker_no in (known[blocker_id] for blocker_id in distinct if blocker_id in known):
            rows.append((ticket_no, blocker_no))
            if blocker_no >= ticket_no:
                adding.suspects.append(ticket_no)
        unknown = tuple(blocker_id for blocker_id in distinct if blocker_id not in known)
        if unknown:
            adding.looking_ahead.append(_Waiting(ticket_no, ticket_id, unknown))
    change.connection.executemany(change.say.add_dependency, rows)


def _refuse_crowds(adding: _Adding) -> None:
    for blocker_id, count in adding.change.connection.execute(
        adding.change.say.too_many_dependents, (adding.last_before, DEPENDENTS_MAX)
    ):
        adding.fault(
            f"{count:,} tickets would wait for {blocker_id}, and at most {DEPENDENTS_MAX:,} may wait for one;"
            " add a few tickets that wait for it, and let the others wait for those"
        )


def _refuse_circles(adding: _Adding) -> None:
    """Nothing, if the new tickets can all come to their turn: those of before cannot wait for new ones."""
    connection, say = adding.change.connection, adding.change.say

    def waits_for(ticket_no: int) -> list[int]:
        found = connection.execute(say.new_blockers, (ticket_no, adding.last_before)).fetchall()
        return [blocker_no for (blocker_no,) in found]

    circle = find_circle(adding.suspects, waits_for)
    if not circle:
        return
    shown = circle if len(circle) <= _CIRCLE_NAMED else circle[:_CIRCLE_NAMED]
    names = [ticket_id for (ticket_id,) in connection.execute(say.ids_of, (json_array([*shown, circle[0]]),))]
    if len(shown) < len(circle):
        names.insert(-1, f"({len(circle) - len(shown):,} more)")
    raise RefusedError(f"nothing was added: these tickets would wait for one another for ever: {' → '.join(names)}")
