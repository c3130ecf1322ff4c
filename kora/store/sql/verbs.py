"""What an operator does to one ticket: decided on how it stands, written, logged, and shown as it stands then.

Which verb is done to which status, and what the refusals say, is a table in `tests/contract/test_verbs.py`.
"""

from __future__ import annotations

from typing import Any, Final

from kora.domain.events import EventType
from kora.domain.ids import parse_id
from kora.domain.ticket import TRIED_AGAIN, QueueState, Status, Ticket
from kora.errors import NotFoundError, RefusedError
from kora.store.sql import dependents
from kora.store.sql.change import Change
from kora.store.sql.rows import TicketRow, active_claim_of, rfc3339, ticket_of
from kora.store.sql.turn import EXPIRED

_QUEUED: Final = TRIED_AGAIN | {Status.ASSIGNED}
"""what is in the queue, or will be once its blockers are completed"""
_FINAL: Final = frozenset({Status.COMPLETED, Status.FAILED_TERMINAL})
_BLOCKERS_NAMED: Final = 3


def unblock(change: Change, ticket_id: str) -> Ticket:
    """What waits for an operator is eligible again. Neither its attempts so far nor their cost count any more.

    Blockers that failed for good are blockers no more; the others are still waited for, and so is its time.
    """
    row = _row(change, ticket_id)
    if row.sea_status != Status.BLOCKED_NEEDS_OPERATOR:
        raise _refusal(change, row, "unblocked")
    _requeue(change, row, Status.ASSIGNED, next_eligible_at=row.next_eligible_at, forgiven=True)
    return _acted(change, "unblock", row)


def force_retry(change: Change, ticket_id: str) -> Ticket:
    """What failed for good is reopened; what waits for its time, or for the cost limit's end, is eligible now.

    Of a reopened one, failures, attempts and what they cost count no more, and blockers that failed are blockers no
    more.
    """
    row = _row(change, ticket_id)
    if row.sea_status == Status.FAILED_TERMINAL:
        _requeue(change, row._replace(failure_count_by_reason="{}"), Status.ASSIGNED, forgiven=True)
    elif row.sea_status == Status.DEFERRED_COST_LIMIT:
        _requeue(change, row, Status.ASSIGNED)
    elif _waits_for_its_time(change, row):
        _requeue(change, row, Status(row.sea_status))
    else:
        raise _refusal(change, row, "retried now")
    return _acted(change, "force_retry", row)


def cancel(change: Change, ticket_id: str) -> Ticket:
    """It has failed for good, and what waited for it waits for an operator.

    A claim on it is void: its fence writes nothing any more, its operations that were under way are abandoned.
    """
    row = _row(change, ticket_id)
    if row.sea_status in _FINAL:
        raise _refusal(change, row, "cancelled")
    why = f"cancelled by {change.who}"
    worked_us = 0
    if row.work_attempt_id is not None:
        (claimed_at,) = change.connection.execute(change.say.claimed_at, (row.ticket_no,)).fetchone()
        worked_us = 0 if claimed_at is None else max(0, change.now_us - claimed_at)
    ended_at = None if row.work_attempt_id is None else change.now_us
    _write(change, change.say.cancel, (why, ended_at, worked_us, row.ticket_no, row.sea_status))
    ticket = _acted(change, "cancel", row)
    if row.work_attempt_id is not None:
        change.connection.execute(change.say.abandon_attempt, (why, change.now_us, row.work_attempt_id))
        payload = {"holder": row.holder, "work_attempt_id": row.work_attempt_id}
        change.log.append(EventType.EXPIRED, payload, ticket_id=row.ticket_id, ticket_no=row.ticket_no)
        change.tally(EXPIRED, 1, worked_us=worked_us)
    dependents.failed(change, [row.ticket_no])
    return ticket


def reassign(change: Change, ticket_id: str, to_actor_id: str) -> Ticket:
    """It is another actor's from now on, and otherwise as it was."""
    try:
        actor_id = parse_id(to_actor_id)
    except ValueError:
        raise RefusedError(f"'{to_actor_id}' is no actor id: it must be a UUID") from None
    row = _row(change, ticket_id)
    if row.sea_status in _FINAL or row.work_attempt_id is not None:
        raise _refusal(change, row, "reassigned")
    if row.assigned_to_actor_id == actor_id:
        raise RefusedError(f"ticket {ticket_id} is assigned to {actor_id} already; nothing was changed")
    _write(change, change.say.reassign, (actor_id, row.ticket_no, row.sea_status))
    return _acted(change, "reassign", row)


def _requeue(
    change: Change, row: TicketRow, status: Status, *, next_eligible_at: int | None = None, forgiven: bool = False
) -> None:
    change.connection.execute(change.say.drop_failed_blockers, (row.ticket_no,))
    blockers = len(_open_blockers(change, row))
    if blockers:
        queue_state = QueueState.OUT
    elif next_eligible_at is not None and next_eligible_at > change.now_us:
        queue_state = QueueState.WAITING
    else:
        queue_state = QueueState.READY
    counts = (blockers, row.failure_count_by_reason)
    bound = (status.value, int(queue_state), next_eligible_at, *counts, row.ticket_no, row.sea_status)
    _write(change, change.say.requeue, bound)
    if forgiven:
        _write(change, change.say.forgive, (row.ticket_no,))


def _write(change: Change, statement: str, bound: tuple[object, ...]) -> None:
    if change.connection.execute(statement, bound).rowcount != 1:
        raise AssertionError("the ticket changed under the write lock")


def _acted(change: Change, verb: str, before: TicketRow) -> Ticket:
    """The ticket as it stands now; the log says what the verb changed of it."""
    after = _ticket(_row(change, before.ticket_id))
    was, now = _said(_ticket(before)), _said(after)
    changed = [name for name, value in now.items() if was[name] != value]
    change.acted(
        verb,
        before.ticket_id,
        before.ticket_no,
        before={name: was[name] for name in changed},
        after={name: now[name] for name in changed},
    )
    return after


def _said(ticket: Ticket) -> dict[str, Any]:
    return ticket.model_dump(mode="json", exclude={"ticket_objective"})


def _row(change: Change, ticket_id: str) -> TicketRow:
    row = change.connection.execute(change.say.ticket, (ticket_id, change.workspace_id)).fetchone()
    if row is None:
        raise NotFoundError(f"there is no ticket {ticket_id} in workspace {change.workspace_id}")
    return TicketRow._make(row)


def _ticket(row: TicketRow) -> Ticket:
    return ticket_of(row, active_claim_of(row))


def _open_blockers(change: Change, row: TicketRow) -> list[str]:
    return [ticket_id for (ticket_id,) in change.connection.execute(change.say.open_blockers, (row.ticket_no,))]


def _waits_for_its_time(change: Change, row: TicketRow) -> bool:
    dated = row.next_eligible_at is not None and row.next_eligible_at > change.now_us
    return row.sea_status in _QUEUED and dated and row.open_blockers == 0


def _refusal(change: Change, row: TicketRow, done: str) -> RefusedError:
    """How the ticket stands, and what may be done instead."""
    stands, instead = _standing(change, row)
    return RefusedError(f"ticket {row.ticket_id} cannot be {done}: it {stands}; {instead}")


def _standing(change: Change, row: TicketRow) -> tuple[str, str]:
    status, ticket_id = Status(row.sea_status), row.ticket_id
    if status in _QUEUED:
        return _queued(change, row)
    return {
        Status.CLAIMED: (f"is claimed by runtime {row.holder}", f"wait for the attempt's end, or `cancel {ticket_id}`"),
        Status.IN_PROGRESS: (
            f"is being worked by runtime {row.holder}",
            f"wait for the attempt's end, or `cancel {ticket_id}`",
        ),
        Status.COMPLETED: ("is completed", "that is final: add a new ticket"),
        Status.FAILED_TERMINAL: ("has failed for good", f"`force-retry {ticket_id}` reopens it"),
        Status.DEFERRED_COST_LIMIT: (
            "waits for the end of the cost limit",
            f"`force-retry {ticket_id}` makes it eligible now",
        ),
        Status.BLOCKED_NEEDS_OPERATOR: ("waits for an operator", f"`unblock {ticket_id}` makes it eligible again"),
    }[status]


def _queued(change: Change, row: TicketRow) -> tuple[str, str]:
    blockers = _open_blockers(change, row)
    if blockers:
        more = len(blockers) - _BLOCKERS_NAMED
        named = ", ".join(blockers[:_BLOCKERS_NAMED]) + (f" and {more:,} more" if more > 0 else "")
        return f"waits for {named}", "it is eligible once these are completed"
    if row.next_eligible_at is not None and _waits_for_its_time(change, row):
        due = rfc3339(row.next_eligible_at)
        return f"is not to be worked before {due}", f"`force-retry {row.ticket_id}` makes it eligible now"
    return "is eligible already", f"a runtime of actor {row.assigned_to_actor_id} will claim it"
