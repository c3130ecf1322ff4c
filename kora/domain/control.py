"""STOP commands: what each level does, how far its enforcement has come, and which one holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Final

PERMISSION_SECONDS: Final = 5.0
"""a permission older than this counts as none: a Control that cannot read closes the gate by saying nothing"""
WATCHER_SEEN_SECONDS: Final = 5.0
"""a watcher that has not said for so long that it is there counts as gone; it says so every second"""
NO_WATCHER: Final = "control escalation unavailable - use level 4 by hand"
"""what is said where there is no watcher; wire format"""


class ClaimPermission(StrEnum):
    """What may be claimed."""

    NONE = "none"
    CRITICAL_ONLY = "critical_only"
    NORMAL = "normal"


class StopLevel(IntEnum):
    """How hard a command stops the work; a higher one includes what a lower one does."""

    RESET = 0
    """stops nothing: it clears what stands open"""
    BLOCK_NEW_INTAKE = 1
    DRAIN_CURRENT_FINISH = 2
    ABORT_RELEASE_CLAIM = 3
    EXTERNAL_KILL = 4
    REVOKE = 5
    """as `EXTERNAL_KILL`, and what the runtime could still write is refused from then on"""

    @property
    def action(self) -> str:
        """What it is called on the wire."""
        return _ACTIONS[self]


_ACTIONS: Final = {
    StopLevel.RESET: "reset",
    StopLevel.BLOCK_NEW_INTAKE: "block_new_intake",
    StopLevel.DRAIN_CURRENT_FINISH: "drain_current_finish",
    StopLevel.ABORT_RELEASE_CLAIM: "abort_release_claim",
    StopLevel.EXTERNAL_KILL: "external_kill",
    StopLevel.REVOKE: "external_kill",
}


class IssuerKind(StrEnum):
    """Who may write a command; a runtime never does."""

    OPERATOR = "operator"
    WATCHER = "watcher"
    """only to escalate what an operator has ordered"""


class CommandStatus(StrEnum):
    """How far a command has come: at one runtime, or altogether. It only ever goes forward."""

    CREATED = "created"
    VISIBLE_TO_RUNTIME = "visible_to_runtime"
    ACKNOWLEDGED = "acknowledged"
    ENFORCING = "enforcing"
    ENFORCED = "enforced"
    FAILED = "failed"
    """the runtime could not do in time what the level says"""
    EXPIRED = "expired"
    """the runtime was gone before it had enforced the command: there is nothing left to be stopped"""
    ESCALATED = "escalated"
    """it was not enforced in time, and a command of level 4 has taken its place"""
    SUPERSEDED = "superseded"
    """a reset has cleared it"""

    @property
    def rank(self) -> int:
        """Its place on the way: a mark of the same rank, or of a lower one, changes nothing."""
        return _RANKS[self]

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is to be waited for."""
        return self.rank >= _RANKS[CommandStatus.ENFORCED]


_RANKS: Final = {
    CommandStatus.CREATED: 0,
    CommandStatus.VISIBLE_TO_RUNTIME: 1,
    CommandStatus.ACKNOWLEDGED: 2,
    CommandStatus.ENFORCING: 3,
    # Of these two the first that is said holds.
    CommandStatus.ENFORCED: 4,
    CommandStatus.FAILED: 4,
    CommandStatus.EXPIRED: 5,
    CommandStatus.ESCALATED: 6,
    CommandStatus.SUPERSEDED: 7,
}


@dataclass(frozen=True, slots=True)
class NewMark:
    """How far one runtime has come with a command; of two, the one that is further on holds."""

    command_id: str
    status: CommandStatus
    detail: str = ""
    """of `failed`: what was left"""


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark as the log has it."""

    holder: str
    """the runtime"""
    status: CommandStatus
    at: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """One entry of the command log. Append-only: what becomes of it stands in its marks, and in what came after it."""

    command_id: str
    level: StopLevel
    reason: str
    issuer: str
    issuer_actor_kind: IssuerKind
    created_at: datetime
    enforce_seconds: float
    """within which it is to be enforced; then a watcher escalates it"""
    marks: Sequence[Mark] = ()
    awaited: Sequence[str] = ()
    """the runtimes that were there when it was written, or hold claims, and have not said anything of it yet"""
    superseded_by: str | None = None
    """the reset that cleared it"""
    escalated_by: str | None = None
    """the command of level 4 that took its place"""

    @property
    def is_open(self) -> bool:
        """Whether it holds: until a reset, however far it has come."""
        return self.level is not StopLevel.RESET and self.superseded_by is None

    @property
    def status(self) -> CommandStatus:
        """How far it has come altogether: as far as the last of its runtimes. A reset is enforced by being written."""
        if self.level is StopLevel.RESET:
            return CommandStatus.ENFORCED
        if self.superseded_by is not None:
            return CommandStatus.SUPERSEDED
        if self.escalated_by is not None:
            return CommandStatus.ESCALATED
        said = [mark.status for mark in self.marks] + [CommandStatus.CREATED] * len(self.awaited)
        if CommandStatus.FAILED in said and all(status.is_settled for status in said):
            return CommandStatus.FAILED
        return min(said, key=lambda status: status.rank, default=CommandStatus.CREATED)


class Ages:
    """How long ago each command was given, on a clock that nobody sets: a wall clock that jumps makes none late.

    The store's time is asked for once, when a command is seen first; from then on the boot clock counts.
    """

    def __init__(self) -> None:
        self._given_at: dict[str, float] = {}

    def see(self, commands: Iterable[Command], now: datetime, boot_seconds: float) -> None:
        """These stand open, and no others; `now` is the store's time at that moment of the boot clock."""
        self._given_at = {
            command.command_id: self._given_at.get(
                command.command_id, boot_seconds - max(0.0, (now - command.created_at).total_seconds())
            )
            for command in commands
        }

    def given_at(self, command_id: str) -> float:
        """When it was given, on the boot clock. Raises `KeyError` for one that was not seen last."""
        return self._given_at[command_id]


def is_watched(seen_seconds: float | None) -> bool:
    """Whether a watcher is there that said so that long ago; None: none ever did, or all have ended."""
    return seen_seconds is not None and seen_seconds <= WATCHER_SEEN_SECONDS


def effective(commands: Iterable[Command]) -> Command | None:
    """The open command that holds: the highest, and of equal ones the first. A later, lower one softens nothing."""
    return max(
        (command for command in commands if command.is_open),
        key=lambda command: (command.level, -command.created_at.timestamp()),
        default=None,
    )
