"""What the shared logic asks of a database to steer a workspace; the same holds of these as of `statements`.

In a database in which many write at once, a turn reads `Gate` with its first statement, once nobody else can change its
runtime's row; whoever changes what a gate says first holds all turns, and so knows that none goes by what was before.
A turn itself never waits for its workspace's row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

CEILING_US: Final = 3_600_000_000
"""three tickets that run into `max_attempts` within so long raise the retry ceiling"""


class Gate(NamedTuple):
    """What bounds a turn's claims, as every turn finds it with its first statement."""

    stop_level: int
    """above 0 nothing is claimed"""
    ramp_until: int
    """until then claims are made one by one"""
    ramp_interval_us: int
    """the least time between two of them"""
    paced_at: int
    """when the last of them was made"""


@dataclass(frozen=True, slots=True)
class ControlStatements:
    """The command log."""

    commands: str
    """workspace, number, how many at most → the newest `CommandRow`s with a higher number, the newest first"""
    command: str
    """workspace, command → its `CommandRow`"""
    marks: str
    """workspace, commands → command, holder, status, when, detail, and when the runtime ended or null; the oldest
    first"""


@dataclass(frozen=True, slots=True)
class SteeringReadStatements:
    """A reader's."""

    control: ControlStatements
    steering: str
    """workspace, month → a `SteeringRow`"""
    heads: str
    """chains, workspace → chain, last place, last hash of those that have begun"""
    spend: str
    """workspace → month and what was charged in it, the newest first"""


@dataclass(frozen=True, slots=True)
class SteeringBoardStatements:
    """An operator's, and a watcher's."""

    control: ControlStatements
    hold_turns: str
    """workspace: from here to the end no turn of it is under way, and none begins"""
    steering: str
    """as a reader's"""
    add_command: str
    """workspace, command, level, reason, issuer, kind of issuer, now, µs to be enforced within, what it escalates"""
    await_present: str
    """workspace, command, status, stage, now, moment: a mark for each runtime that has not ended, and was seen since
    that moment or holds claims"""
    set_stop_level: str
    """workspace, level"""
    expire: str
    """workspace, command, holder, status, stage, now, detail: where it is not enforced, further on, or superseded"""
    revoked_at: str
    """workspace, runtime → when it was revoked, or null"""
    revoke: str
    """workspace, runtime, now"""
    watch: str
    """workspace, watcher, host, process, now: it was seen now"""
    unwatch: str
    """workspace, watcher, moment: it is gone, and so are those that were not seen since then"""
    set_pool: str
    """workspace, month, baseline, reconciled"""
    refresh_pool: str
    """workspace, month, baseline, now, end of the ramp, its interval: all that is spent is behind the baseline"""
    free_deferred: str
    """workspace: what was deferred for cost is in the queue"""
    bump_epoch: str
    """workspace"""
    forgive_all: str
    """workspace: of what is not final, no attempt so far counts towards `max_attempts`"""


@dataclass(frozen=True, slots=True)
class SteeringTurnStatements:
    """A turn's. None of them waits for the workspace's row."""

    mark: str
    """workspace, command, holder, status, stage, now, detail: where the stage is a later one and the command is not
    superseded"""
    level_of: str
    """workspace, command → its level"""
    note_ceilings: str
    """workspace, now, tickets: these ran into `max_attempts`, under the last reset"""
    charged: str
    """workspace, a JSON array of (ticket, attempt) → ticket, attempt, ticket's number, what it was charged, its state,
    its end as JSON or null; locks the tickets and the presence marks"""
    charge: str
    """a JSON array of (attempt, micro-dollars)"""
    add_cost: str
    """a JSON array of (ticket's number, micro-dollars)"""
    add_spend: str
    """workspace, month, chain, micro-dollars: added to what is there"""
    pace: str
    """workspace, now: where a paced claim is due; it changes nothing while somebody else has the row"""
    unpace: str
    """workspace, when the last paced claim was made after all"""
    lock_pool: str
    """workspace → when the pool was last refreshed, or null; no row where it could not be locked at once"""
    hold_turns_at_rest: str
    """workspace → whether no other turn is under way; if so, none begins before the transaction's end"""
    resume_pool: str
    """workspace, month, now, end of the ramp, its interval"""
    free_deferred: str
    """as an operator's"""
    free_too_late: str
    """workspace, moment, numbers: those of these that were deferred, and claimed before the moment or before the last
    refresh, are in the queue"""


class CommandRow(NamedTuple):
    """The columns of a command, in their order."""

    command_no: int
    command_id: str
    level: int
    reason: str
    issuer: str
    issuer_actor_kind: str
    created_at: int
    enforce_us: int
    superseded_by: str | None
    escalated_by: str | None


class SteeringRow(NamedTuple):
    """All of a workspace that is one value, in this order."""

    claim_permission: str
    stop_level: int
    epoch: int
    reset_no: int
    """of the last reset; 0: there was none"""
    has_ceiling: bool
    pool_month: int
    """of which month the next two are"""
    baseline_micro_usd: int
    """what was spent in it at the last refresh"""
    reconciled_micro_usd: int
    refreshed_at: int | None
    ramp_until: int
    spent_micro_usd: int
    """what was charged in the month that was asked for"""
    watcher_seen_at: int | None
