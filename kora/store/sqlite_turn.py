"""A Ledger's turn on SQLite: what happens between BEGIN and COMMIT, in the order of `Turn`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from kora.clock import MICROSECONDS
from kora.domain.claim import ClaimKey
from kora.domain.events import EventType, NewEvent
from kora.domain.ticket import QueueState, Status
from kora.store.port import TurnResult
from kora.store.sqlite_errors import ROW_ERRORS
from kora.store.sqlite_log import ChainLog
from kora.store.sqlite_rows import claim_keys, json_array
from kora.store.sqlite_statements import (
    ABANDON_ATTEMPT,
    HELD_BY_ANY,
    IS_IN_LOG,
    IS_IN_LOG_OF_TICKET,
    REFRESH,
    RETURN_TICKET,
    RUN_OUT,
    TICKET_NO,
)

LEASE_RAN_OUT: Final = "lease expired"
HOLDER_GONE: Final = "holder is gone"

Row = TypeVar("Row")
Done = TypeVar("Done")


@dataclass(slots=True)
class OpenTurn:
    """One turn under way: the write lock is held, and `now_us` was read after it was got."""

    connection: sqlite3.Connection
    workspace_id: str
    actor_id: str
    runtime_id: str
    now_us: int
    log: ChainLog
    result: TurnResult = field(default_factory=TurnResult)

    def after(self, seconds: float) -> int:
        """The store's time so many seconds from now."""
        return self.now_us + round(seconds * MICROSECONDS)

    def each(
        self, rows: Sequence[Row], write: Callable[[Sequence[Row]], list[Done]], name: Callable[[Row], str]
    ) -> list[Done]:
        """What `write` returns for these rows, together with their events.

        All at once if that works; else one at a time, and a row whose own content makes it fail is set aside under its
        name, with nothing of it written. Faults of the disk or the lock are not a row's, and end the turn.
        """
        if not rows:
            return []
        try:
            return self._within_savepoint(rows, write)
        except ROW_ERRORS:
            done: list[Done] = []
        for row in rows:
            try:
                done += self._within_savepoint([row], write)
            except ROW_ERRORS as error:
                self.result.set_aside.append(f"{name(row)}: {error}")
        return done

    def _within_savepoint(self, rows: Sequence[Row], write: Callable[[Sequence[Row]], list[Done]]) -> list[Done]:
        mark = self.log.mark()
        self.connection.execute("SAVEPOINT some_rows")
        try:
            done = write(rows)
            self.log.flush()
        except ROW_ERRORS:
            self.connection.execute("ROLLBACK TO some_rows")
            self.connection.execute("RELEASE some_rows")
            self.log.rewind(mark)
            raise
        self.connection.execute("RELEASE some_rows")
        return done


def refresh(turn: OpenTurn, keys: Sequence[ClaimKey], seconds: float) -> None:
    """Leases that still run, and are this runtime's, end `seconds` from now; the others are named lost."""
    if not keys:
        return
    distinct = list(dict.fromkeys(keys))
    bound = (turn.after(seconds), claim_keys(distinct), turn.workspace_id, turn.runtime_id, turn.now_us)
    done = {ClaimKey(*row) for row in turn.connection.execute(REFRESH, bound).fetchall()}
    for key in distinct:
        (turn.result.refreshed if key in done else turn.result.lost).append(key)


@dataclass(frozen=True, slots=True)
class _Held:
    ticket_no: int
    ticket_id: str
    claim_fence_token: int
    holder: str
    work_attempt_id: str
    work_attempt_count: int


def return_holders(turn: OpenTurn, holders: Sequence[str], max_attempts: int) -> None:
    """What these runtimes hold is eligible at once, whether its lease ran out or not."""
    if holders:
        found = turn.connection.execute(HELD_BY_ANY, (turn.workspace_id, json_array(list(holders)))).fetchall()
        _give_back(turn, [_Held(*row) for row in found], HOLDER_GONE, max_attempts)


def sweep(turn: OpenTurn, max_attempts: int) -> None:
    """Every ticket of the workspace whose lease ran out is eligible at once, whoever held it."""
    found = turn.connection.execute(RUN_OUT, (turn.workspace_id, turn.now_us)).fetchall()
    _give_back(turn, [_Held(*row) for row in found], LEASE_RAN_OUT, max_attempts)


def _give_back(turn: OpenTurn, held: Sequence[_Held], why: str, max_attempts: int) -> None:
    def write(rows: Sequence[_Held]) -> list[_Held]:
        turn.connection.executemany(
            RETURN_TICKET,
            [
                (
                    *(
                        (Status.BLOCKED_NEEDS_OPERATOR.value, int(QueueState.OUT))
                        if row.work_attempt_count >= max_attempts
                        else (Status.ASSIGNED.value, int(QueueState.READY))
                    ),
                    row.ticket_no,
                    row.claim_fence_token,
                    row.holder,
                )
                for row in rows
            ],
        )
        turn.connection.executemany(ABANDON_ATTEMPT, [(why, turn.now_us, row.work_attempt_id) for row in rows])
        for row in rows:
            payload = {"holder": row.holder, "work_attempt_id": row.work_attempt_id}
            turn.log.append(EventType.EXPIRED, payload, ticket_id=row.ticket_id, ticket_no=row.ticket_no)
        return list(rows)

    done = turn.each(held, write, lambda row: f"return of ticket {row.ticket_id}")
    turn.result.returned += [ClaimKey(row.ticket_id, row.claim_fence_token, row.work_attempt_id) for row in done]


def append(turn: OpenTurn, events: Sequence[NewEvent]) -> None:
    """The events others asked for stand in this runtime's chain, each once, in the order given."""

    def write(rows: Sequence[NewEvent]) -> list[None]:
        for event in rows:
            number = None if event.ticket_id is None else _ticket_no(turn, event.ticket_id)
            if not _is_in_log(turn, event.event_id, number):
                turn.log.append(
                    event.event_type,
                    event.payload,
                    ticket_id=event.ticket_id,
                    ticket_no=number,
                    event_id=event.event_id,
                )
        return []

    turn.each(events, write, lambda event: f"event {event.event_type}")


def _is_in_log(turn: OpenTurn, event_id: str, ticket_no: int | None) -> bool:
    if ticket_no is None:
        row = turn.connection.execute(IS_IN_LOG, (event_id,)).fetchone()
    else:
        row = turn.connection.execute(IS_IN_LOG_OF_TICKET, (event_id, ticket_no)).fetchone()
    return bool(row != (0,))


def _ticket_no(turn: OpenTurn, ticket_id: str) -> int:
    row = turn.connection.execute(TICKET_NO, (ticket_id, turn.workspace_id)).fetchone()
    if row is None:
        raise ValueError(f"there is no ticket {ticket_id} in this workspace")
    return int(row[0])
