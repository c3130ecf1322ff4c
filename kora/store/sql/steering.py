"""Reading what a workspace is steered by: the command log, the credit pool, the epoch, watchers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from kora.clock import MICROSECONDS, from_us
from kora.domain.control import ClaimPermission, Command, CommandStatus, IssuerKind, Mark, StopLevel
from kora.domain.cost import Pool, month_of
from kora.store.sql.place import Connection
from kora.store.sql.rows import json_array
from kora.store.sql.steering_statements import CommandRow, ControlStatements, SteeringReadStatements, SteeringRow
from kora.store.steering import ChainHead, Steering

_NO_END: Final = 2**63 - 1


class Asking(Protocol):
    """Statements that have this among them."""

    @property
    def steering(self) -> str:
        """Workspace, month → a `SteeringRow`."""


def steering(connection: Connection, say: SteeringReadStatements, workspace_id: str) -> Steering:
    """All that Control goes by; the connection is to show it as of one moment.

    Of a workspace that is not stopped no command is looked for: `stop_level` is written together with the command.
    """
    now_us = connection.now_us()
    row = row_of(connection, say, workspace_id, now_us)
    if row is None:
        pool = Pool(month_of(from_us(now_us)), 0, 0, None, 0.0)
        return Steering(from_us(now_us), ClaimPermission.NONE, (), 0, 0, False, pool, None)  # noqa: FBT003 - as the fields come
    seen = row.watcher_seen_at
    return Steering(
        now=from_us(now_us),
        granted=ClaimPermission(row.claim_permission),
        open_commands=open_commands(connection, say.control, workspace_id, row),
        reset_no=row.reset_no,
        epoch=row.epoch,
        has_ceiling=bool(row.has_ceiling),
        pool=pool_of(row, now_us),
        watcher_seen_seconds=None if seen is None else max(0, now_us - seen) / MICROSECONDS,
    )


def row_of(connection: Connection, say: Asking, workspace_id: str, now_us: int) -> SteeringRow | None:
    """All of the workspace that is one value; None where it has no row."""
    month = month_of(from_us(now_us))
    row = connection.execute(say.steering, (workspace_id, month)).fetchone()
    return None if row is None else SteeringRow._make(row)


def pool_of(row: SteeringRow, now_us: int) -> Pool:
    """The pool at this moment. What was taken off, or added, in another month counts no more."""
    month = month_of(from_us(now_us))
    is_current = row.pool_month == month
    return Pool(
        month=month,
        counted_micro_usd=row.spent_micro_usd - (row.baseline_micro_usd if is_current else 0),
        reconciled_micro_usd=row.reconciled_micro_usd if is_current else 0,
        refreshed_at=None if row.refreshed_at is None else from_us(row.refreshed_at),
        ramp_seconds=max(0, row.ramp_until - now_us) / MICROSECONDS,
    )


def open_commands(connection: Connection, say: ControlStatements, workspace_id: str, row: SteeringRow) -> list[Command]:
    """What holds in this workspace, with its marks; the newest first."""
    if row.stop_level == 0:
        return []
    return commands(connection, say, workspace_id, after=row.reset_no)


def commands(
    connection: Connection, say: ControlStatements, workspace_id: str, *, after: int = 0, limit: int | None = None
) -> list[Command]:
    """The newest commands with a higher number, with their marks."""
    rows = connection.execute(say.commands, (workspace_id, after, _NO_END if limit is None else limit)).fetchall()
    return _marked(connection, say, workspace_id, [CommandRow._make(row) for row in rows])


def command(connection: Connection, say: ControlStatements, workspace_id: str, command_id: str) -> Command | None:
    """One command with its marks."""
    rows = connection.execute(say.command, (workspace_id, command_id)).fetchall()
    return next(iter(_marked(connection, say, workspace_id, [CommandRow._make(row) for row in rows])), None)


def heads(
    connection: Connection, say: SteeringReadStatements, workspace_id: str, chain_ids: Sequence[str]
) -> list[ChainHead]:
    """Where these chains end."""
    rows = connection.execute(say.heads, (json_array(list(chain_ids)), workspace_id)).fetchall()
    return [ChainHead(chain_id, seq, bytes(digest)) for chain_id, seq, digest in rows]


def _marked(
    connection: Connection, say: ControlStatements, workspace_id: str, rows: Sequence[CommandRow]
) -> list[Command]:
    named = json_array([row.command_id for row in rows])
    marks: dict[str, list[Mark]] = {}
    awaited: dict[str, list[str]] = {}
    found = connection.execute(say.marks, (workspace_id, named)).fetchall() if rows else ()
    for command_id, holder, status, marked_at, detail, ended_at in found:
        if status != CommandStatus.CREATED:
            marks.setdefault(command_id, []).append(_mark(holder, status, marked_at, detail, ended_at))
        elif ended_at is None:
            awaited.setdefault(command_id, []).append(holder)
    return [_command(row, marks.get(row.command_id, []), awaited.get(row.command_id, [])) for row in rows]


def _mark(holder: str, status: str, marked_at: int, detail: str, ended_at: int | None) -> Mark:
    said = CommandStatus(status)
    if ended_at is not None and not said.is_settled:
        # It ended in good order: there is nothing left of it to be stopped.
        return Mark(holder, CommandStatus.EXPIRED, from_us(max(marked_at, ended_at)), "the runtime has ended")
    return Mark(holder, said, from_us(marked_at), detail)


def _command(row: CommandRow, marks: Sequence[Mark], awaited: Sequence[str]) -> Command:
    fields: dict[str, Any] = {
        "command_id": row.command_id,
        "level": StopLevel(row.level),
        "reason": row.reason,
        "issuer": row.issuer,
        "issuer_actor_kind": IssuerKind(row.issuer_actor_kind),
        "created_at": from_us(row.created_at),
        "enforce_seconds": row.enforce_us / MICROSECONDS,
        "superseded_by": row.superseded_by,
        "escalated_by": row.escalated_by,
    }
    is_stop = row.level > StopLevel.RESET and row.superseded_by is None
    return Command(**fields, marks=tuple(marks), awaited=tuple(awaited) if is_stop else ())
