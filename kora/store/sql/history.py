"""What a ticket has behind it: its attempts, and what they recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from kora.clock import from_us
from kora.domain.operation import Operation, OperationState
from kora.errors import NotFoundError, StoreUnusableError
from kora.store.sql.place import Connection
from kora.store.sql.rows import operation_of
from kora.store.sql.statements import ReadStatements
from kora.store.views import AttemptRecord


def attempts(connection: Connection, say: ReadStatements, workspace_id: str, ticket_id: str) -> list[AttemptRecord]:
    """The ticket's attempts, numbered from 1 in the order of their claims. Raises `NotFoundError`.

    The summary of one that nobody ended says what ended it: the lease, the holder's death, an operator.
    """
    number = _ticket_no(connection, say, workspace_id, ticket_id)
    rows = connection.execute(say.attempts_of_ticket, (number,)).fetchall()
    with _damage_named(ticket_id):
        return [_attempt(row) for row in rows]


def operations(connection: Connection, say: ReadStatements, workspace_id: str, ticket_id: str) -> list[Operation]:
    """The ticket's operations, but not the presence marks; the oldest attempt's first. Raises `NotFoundError`."""
    number = _ticket_no(connection, say, workspace_id, ticket_id)
    rows = connection.execute(say.operations_of_ticket, (number,)).fetchall()
    with _damage_named(ticket_id):
        return [operation_of(row) for row in rows]


@contextmanager
def _damage_named(ticket_id: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, OverflowError) as error:
        raise StoreUnusableError(
            f"the ledger of ticket {ticket_id} is damaged ({error}); restore the store from a backup"
        ) from error


def _ticket_no(connection: Connection, say: ReadStatements, workspace_id: str, ticket_id: str) -> int:
    row = connection.execute(say.ticket_no, (ticket_id, workspace_id)).fetchone()
    if row is None:
        raise NotFoundError(f"there is no ticket {ticket_id} in workspace {workspace_id}")
    return int(row[0])


def _attempt(row: tuple[Any, ...]) -> AttemptRecord:
    attempt, work_attempt_id, state, dispatch_result, dispatch_error, allocated_at, ended_at = row
    ended = orjson.loads(dispatch_result) if state == OperationState.COMMITTED else {}
    return AttemptRecord(
        work_attempt_id=work_attempt_id,
        attempt=attempt,
        started_at=from_us(allocated_at),
        ended_at=None if ended_at is None else from_us(ended_at),
        resolution=ended.get("resolution"),
        summary=ended.get("summary", dispatch_error),
    )
