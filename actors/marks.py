"""How far this runtime has come with a command: computed anew from the log and from what is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kora.domain.control import CommandStatus, NewMark, StopLevel

if TYPE_CHECKING:
    from kora.domain.control import Command

_ON_THE_WAY: Final = (CommandStatus.VISIBLE_TO_RUNTIME, CommandStatus.ACKNOWLEDGED, CommandStatus.ENFORCING)


def next_marks(
    command: Command, holder: str, *, age_seconds: float, is_at_rest: bool, left: str = ""
) -> tuple[NewMark, ...]:
    """What is to be written of this command, once everybody here was told of it; nothing that the log has.

    Args:
        command: as the log has it.
        holder: this runtime.
        age_seconds: how long before it was read it was given.
        is_at_rest: nothing is held, and nothing can be claimed any more.
        left: what is held, for people.

    """
    said = _said(command, holder)
    if said.is_settled:
        return ()
    if said is not CommandStatus.ENFORCING:
        # The end waits for the log to have these: by then it has the mirror's word that the work is paused, too.
        return tuple(NewMark(command.command_id, status) for status in _ON_THE_WAY if status.rank > said.rank)
    is_late = age_seconds > command.enforce_seconds
    if command.level >= StopLevel.EXTERNAL_KILL:
        # Its end is the process's own thread's to say, just before it goes.
        return ()
    if is_at_rest or command.level <= StopLevel.BLOCK_NEW_INTAKE:
        # The store itself claims nothing since the command's commit: level 1 asks for no more.
        return (NewMark(command.command_id, CommandStatus.ENFORCED),)
    return (NewMark(command.command_id, CommandStatus.FAILED, left),) if is_late else ()


def _said(command: Command, holder: str) -> CommandStatus:
    return next((mark.status for mark in command.marks if mark.holder == holder), CommandStatus.CREATED)
