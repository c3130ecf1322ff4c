"""STOP commands as people and programs see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from kora.cli.output import shown, table
from kora.cli.spans import ago, span
from kora.domain.control import NO_WATCHER, CommandStatus, StopLevel, is_watched

if TYPE_CHECKING:
    from kora.domain.control import Command
    from kora.store.views import RuntimeSeen

COMMAND_STYLES: Final = {
    "created": "yellow",
    "visible_to_runtime": "yellow",
    "acknowledged": "cyan",
    "enforcing": "cyan",
    "enforced": "green",
    "failed": "red",
    "escalated": "red",
    "expired": "yellow",
    "superseded": "dim",
}
MEANINGS: Final = {
    StopLevel.BLOCK_NEW_INTAKE: "goes on to its end",
    StopLevel.DRAIN_CURRENT_FINISH: "begins no new operation, and may end within control.drain_seconds; then as 3",
    StopLevel.ABORT_RELEASE_CLAIM: "is stopped now; its tickets go back, eligible at once",
    StopLevel.EXTERNAL_KILL: "is killed; each runtime releases what it can, and exits with 5",
    StopLevel.REVOKE: "is killed as by 4, and whatever these runtimes could still write is refused",
}
"""what becomes of what runs; from any level on nothing new is claimed"""
_COLUMNS: Final = ("created_at", "level", "action", "status", "issuer", "runtimes", "reason", "command_id")
_ID_CHARACTERS: Final = 8


def document_of(command: Command) -> Mapping[str, Any]:
    """All that is known of the command, as programs get it."""
    return {
        "command_id": command.command_id,
        "level": command.level.value,
        "action": command.level.action,
        "reason": command.reason,
        "issuer": command.issuer,
        "issuer_actor_kind": command.issuer_actor_kind,
        "created_at": command.created_at,
        "enforce_seconds": command.enforce_seconds,
        "status": command.status,
        "is_open": command.is_open,
        "marks": [
            {"holder": mark.holder, "status": mark.status, "at": mark.at, "detail": mark.detail}
            for mark in command.marks
        ],
        "awaited": list(command.awaited),
        "superseded_by": command.superseded_by,
        "escalated_by": command.escalated_by,
    }


def in_a_line(command: Command) -> str:
    """Which level, who ordered it and why, and how far it has come."""
    level = f"level {command.level.value}, {command.level.action}"
    return f"{level}, by {command.issuer} at {shown(command.created_at)}, {command.status}: {command.reason}"


def show_commands(commands: Iterable[Command], names: Mapping[str, str]) -> None:
    """Print a line for each; `names` has the runtimes'."""
    rows = (
        (
            command.created_at,
            command.level.value,
            command.level.action,
            command.status,
            command.issuer,
            progress_of(command, names),
            command.reason,
            command.command_id,
        )
        for command in commands
    )
    table(_COLUMNS, rows, "no command was ever given", below=3, styles=COMMAND_STYLES)


def progress_of(command: Command, names: Mapping[str, str]) -> list[str]:
    """How far each runtime has come with it; those that have said nothing of it stand last."""
    said = [
        f"{_name(mark.holder, names)} {mark.status}{f' ({mark.detail})' if mark.detail else ''}"
        for mark in command.marks
    ]
    return said + [f"{_name(holder, names)} {CommandStatus.CREATED}" for holder in command.awaited]


def names_of(fleet: Iterable[RuntimeSeen]) -> dict[str, str]:
    """What each runtime is called: its machine and its process."""
    return {each.runtime_id: f"{each.host}/{each.pid}" for each in fleet}


def what_follows(command: Command) -> str:
    """Within which time it is to be enforced, and what a watcher does with a runtime that is late."""
    late = (
        "kills (SIGKILL) what is late" if command.level >= StopLevel.EXTERNAL_KILL else "stops by level 4 what is late"
    )
    return f"{span(command.enforce_seconds)}; a watcher {late}"


def watcher(seen_seconds: float | None) -> str:
    """Whether a watcher is there."""
    if seen_seconds is not None and is_watched(seen_seconds):
        return f"alive, seen {ago(seen_seconds)}"
    return NO_WATCHER


def levels() -> str:
    """Every level with what it does, a line each."""
    return "\n".join(f"  {level.value}  {level.action:<20}  {meaning}" for level, meaning in MEANINGS.items())


def _name(holder: str, names: Mapping[str, str]) -> str:
    # The end of a time-ordered id tells runtimes apart, its beginning only when they booted.
    return names.get(holder, holder[-_ID_CHARACTERS:])
