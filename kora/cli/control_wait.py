"""A STOP command followed until it has come to its end, or for so long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from kora.cli.control_view import names_of, progress_of
from kora.cli.following import pause
from kora.cli.output import complain, say
from kora.cli.spans import span
from kora.domain.control import CommandStatus, StopLevel

if TYPE_CHECKING:
    from kora.domain.control import Command
    from kora.store.port import Reader


def followed(reader: Reader, command: Command, seconds: float, *, tell: Callable[[str], None] = say) -> Command:
    """The command as it stands at its end, or when the time is over; each step that a runtime comes on is told."""
    began = time.monotonic()
    told = set(progress_of(command, names_of(reader.fleet())))
    # Asked before the reading: what was marked since the command was given is read then, and what comes later is news.
    reader.changed()
    command = _now(reader, command)
    while True:
        for step in progress_of(command, names_of(reader.fleet())):
            if step not in told:
                told.add(step)
                tell(step)
        if _is_over(command) or time.monotonic() - began >= seconds:
            return command
        pause()
        if reader.changed():
            command = _now(reader, command)


def verdict(command: Command, seconds: float, *, tell: Callable[[str], None] = say) -> int:
    """Say how it ended; the exit code: 0 if nothing is left that it should have stopped."""
    match command.status:
        case CommandStatus.ENFORCED:
            last = max(mark.at for mark in command.marks)
            tell(f"enforced after {span((last - command.created_at).total_seconds())}")
            return 0
        case CommandStatus.EXPIRED:
            tell("nothing is left to be stopped: its runtimes were gone before they had enforced it")
            return 0
        case CommandStatus.FAILED:
            complain(f"failed: see what is left with `claims`; {_harder(command)}")
        case CommandStatus.ESCALATED:
            complain(f"escalated: command {command.escalated_by} of level 4 has taken its place")
        case CommandStatus.SUPERSEDED:
            complain("superseded: a reset has cleared it")
        case _ if _is_over(command):
            tell("no runtime is there: nothing is to be waited for")
            return 0
        case _:
            complain(f"not enforced within {span(seconds)}; it goes on, see `control list`; {_harder(command)}")
    return 1


def _harder(command: Command) -> str:
    if command.level >= StopLevel.EXTERNAL_KILL:
        return "what does not end by itself, `kill -9` ends: `status --fleet` has its machine and process"
    return "`control stop 4` stops harder"


def _is_over(command: Command) -> bool:
    return command.status.is_settled or not (command.marks or command.awaited)


def _now(reader: Reader, command: Command) -> Command:
    return next(each for each in reader.commands() if each.command_id == command.command_id)
