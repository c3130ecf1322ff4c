"""What an operator, or a watcher, changes of how a workspace is steered; each is on record in the workspace's chain."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from kora.clock import MICROSECONDS
from kora.domain.control import Command, CommandStatus, IssuerKind, StopLevel
from kora.domain.cost import Pool, Ramp
from kora.domain.ids import new_id
from kora.errors import NotFoundError, RefusedError
from kora.store.sql import steering
from kora.store.sql.change import Change
from kora.store.sql.rows import rfc3339
from kora.store.sql.steering_statements import SteeringRow
from kora.store.views import LIVE_SECONDS

_NEED_NO_ESCALATION: Final = frozenset(
    {CommandStatus.SUPERSEDED, CommandStatus.ESCALATED, CommandStatus.ENFORCED, CommandStatus.EXPIRED}
)


def stop(change: Change, level: StopLevel, *, reason: str, enforce_seconds: float) -> Command:
    """The command stands in the log, and the gate of every turn is at its level, or at the higher one that holds."""
    if level is StopLevel.RESET:
        raise RefusedError("level 0 stops nothing: `control reset` clears what stands open; nothing was changed")
    _hold_turns(change)
    row = _row(change)
    command_id = _add(change, level, reason, enforce_seconds)
    after = _raise_level(change, row, level)
    told = _told(command_id, level, reason, enforce_seconds)
    change.told("stop", command_id, before={"stop_level": row.stop_level}, after={"stop_level": after, **told})
    return _command(change, command_id)


def reset(change: Change, *, reason: str) -> list[Command]:
    """The gate is open, and what stood open is superseded; the newest of it first."""
    _hold_turns(change)
    row = _row(change)
    cleared = [command.command_id for command in steering.open_commands(*_control(change), row)]
    command_id = _add(change, StopLevel.RESET, reason, 0.0)
    change.connection.execute(change.say.steering.set_stop_level, (change.workspace_id, 0))
    change.told(
        "reset",
        command_id,
        before={"stop_level": row.stop_level, "retry_ceiling": bool(row.has_ceiling)},
        after={"stop_level": 0, "reason": reason, "superseded": cleared},
    )
    return [_command(change, command_id) for command_id in cleared]


def escalate(change: Change, command_id: str, *, reason: str, enforce_seconds: float) -> Command | None:
    """A command of level 4 that says which one it escalates; None where that needs none."""
    _hold_turns(change)
    row = _row(change)
    late = _command(change, command_id)
    if not late.is_open or late.level >= StopLevel.EXTERNAL_KILL or late.status in _NEED_NO_ESCALATION:
        return None
    level = StopLevel.EXTERNAL_KILL
    new = _add(change, level, reason, enforce_seconds, escalates=command_id)
    after = _raise_level(change, row, level)
    told = _told(new, level, reason, enforce_seconds)
    change.told("escalate", command_id, before={"stop_level": row.stop_level}, after={"stop_level": after, **told})
    return _command(change, new)


def expire(change: Change, command_id: str, holder: str, *, detail: str) -> None:
    """The runtime's mark says that it is gone, unless it had enforced the command, or that is superseded."""
    _command(change, command_id)
    _revoked_at(change, holder)
    status = CommandStatus.EXPIRED
    bound = (change.workspace_id, command_id, holder, status.value, status.rank, change.now_us, detail)
    if change.connection.execute(change.say.steering.expire, bound).rowcount == 1:
        change.told("expire", command_id, before=None, after={"holder": holder, "detail": detail})


def revoke(change: Change, runtime_id: str, *, reason: str) -> None:
    """The runtime's row says so, from which every turn of it is refused. Of one that was revoked nothing changes."""
    if _revoked_at(change, runtime_id) is not None:
        return
    change.connection.execute(change.say.steering.revoke, (change.workspace_id, runtime_id, change.now_us))
    after = {"revoked_at": rfc3339(change.now_us), "reason": reason}
    change.told("revoke", runtime_id, before={"revoked_at": None}, after=after)


def reconcile(change: Change, reported_micro_usd: int) -> Pool:
    """As much is added as what counts as spent is short of the reported figure; never less than was added before."""
    row = _row(change)
    before = steering.pool_of(row, change.now_us)
    is_current = row.pool_month == before.month
    reconciled = max(before.reconciled_micro_usd, reported_micro_usd - before.counted_micro_usd)
    baseline = row.baseline_micro_usd if is_current else 0
    bound = (change.workspace_id, before.month, baseline, reconciled)
    change.connection.execute(change.say.steering.set_pool, bound)
    return _pool_changed(change, "reconcile", before, {"reported_micro_usd": reported_micro_usd})


def refresh_credit(change: Change, ramp: Ramp) -> Pool:
    """All that was charged so far is behind the pool's baseline, and deferred tickets are in the queue."""
    _hold_turns(change)
    row = _row(change)
    before = steering.pool_of(row, change.now_us)
    until = change.now_us + round(ramp.seconds * MICROSECONDS)
    interval_us = round(ramp.interval_seconds * MICROSECONDS)
    bound = (change.workspace_id, before.month, row.spent_micro_usd, change.now_us, until, interval_us)
    change.connection.execute(change.say.steering.refresh_pool, bound)
    freed = change.connection.execute(change.say.steering.free_deferred, (change.workspace_id,)).rowcount
    return _pool_changed(change, "refresh_credit", before, {"ramp": asdict(ramp), "tickets_eligible": freed})


def bump_epoch(change: Change, *, reason: str) -> int:
    """The epoch is one higher, and no attempt so far counts towards `max_attempts`."""
    _hold_turns(change)
    before = _row(change).epoch
    change.connection.execute(change.say.steering.bump_epoch, (change.workspace_id,))
    change.connection.execute(change.say.steering.forgive_all, (change.workspace_id,))
    after = {"epoch": before + 1, "reason": reason}
    change.told("bump_epoch", change.workspace_id, before={"epoch": before}, after=after)
    return before + 1


def _hold_turns(change: Change) -> None:
    change.connection.execute(change.say.steering.hold_turns, (change.workspace_id,)).fetchall()


def _control(change: Change) -> tuple[Any, Any, str]:
    return change.connection, change.say.steering.control, change.workspace_id


def _row(change: Change) -> SteeringRow:
    row = steering.row_of(change.connection, change.say.steering, change.workspace_id, change.now_us)
    if row is None:
        raise NotFoundError(f"there is no workspace {change.workspace_id}")
    return row


def _command(change: Change, command_id: str) -> Command:
    found = steering.command(*_control(change), command_id)
    if found is None:
        raise NotFoundError(f"there is no command {command_id} in workspace {change.workspace_id}")
    return found


def _revoked_at(change: Change, runtime_id: str) -> int | None:
    found = change.connection.execute(change.say.steering.revoked_at, (change.workspace_id, runtime_id)).fetchone()
    if found is None:
        raise NotFoundError(f"there is no runtime {runtime_id} in workspace {change.workspace_id}")
    return None if found[0] is None else int(found[0])


def _add(change: Change, level: StopLevel, reason: str, enforce_seconds: float, *, escalates: str | None = None) -> str:
    command_id = new_id()
    kind = IssuerKind.OPERATOR if escalates is None else IssuerKind.WATCHER
    said = (reason, change.who, kind.value, change.now_us, round(enforce_seconds * MICROSECONDS), escalates)
    change.connection.execute(change.say.steering.add_command, (change.workspace_id, command_id, int(level), *said))
    if level is not StopLevel.RESET:
        # Written down now: what clocks say later of who was there may be something else.
        created = CommandStatus.CREATED
        bound = (
            change.workspace_id,
            command_id,
            created.value,
            created.rank,
            change.now_us,
            change.now_us - round(LIVE_SECONDS * MICROSECONDS),
        )
        change.connection.execute(change.say.steering.await_present, bound)
    return command_id


def _raise_level(change: Change, row: SteeringRow, level: StopLevel) -> int:
    after = max(row.stop_level, int(level))
    change.connection.execute(change.say.steering.set_stop_level, (change.workspace_id, after))
    return after


def _told(command_id: str, level: StopLevel, reason: str, enforce_seconds: float) -> dict[str, Any]:
    return {
        "command_id": command_id,
        "level": int(level),
        "action": level.action,
        "reason": reason,
        "enforce_seconds": enforce_seconds,
    }


def _pool_changed(change: Change, verb: str, before: Pool, more: dict[str, Any]) -> Pool:
    after = steering.pool_of(_row(change), change.now_us)
    change.told(verb, f"{change.workspace_id} {after.month}", before=_said(before), after={**_said(after), **more})
    return after


def _said(pool: Pool) -> dict[str, Any]:
    return {"counted_micro_usd": pool.counted_micro_usd, "reconciled_micro_usd": pool.reconciled_micro_usd}
