"""How far a runtime has come with commands: written in its turn, with the event that ends one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kora.domain.control import CommandStatus, NewMark
from kora.domain.events import EventType
from kora.store.sql.rows import rfc3339
from kora.store.sql.turn import OpenTurn

_ENDS: Final = {
    CommandStatus.ENFORCED: EventType.CONTROL_ENFORCED,
    CommandStatus.FAILED: EventType.CONTROL_FAILED,
}
_SAID_BY_RUNTIMES: Final = frozenset(
    {CommandStatus.VISIBLE_TO_RUNTIME, CommandStatus.ACKNOWLEDGED, CommandStatus.ENFORCING, *_ENDS}
)


def mark(turn: OpenTurn, marks: Sequence[NewMark]) -> None:
    """Each mark moves forward, or stays; where it comes to its end by that, the log says so.

    Nothing is written of a command that is not there, or that a reset has superseded.
    """

    def write(rows: Sequence[NewMark]) -> list[None]:
        for row in rows:
            _move(turn, row)
        return []

    turn.each(marks, write, lambda row: f"mark {row.status} of command {row.command_id}")


def _move(turn: OpenTurn, said: NewMark) -> None:
    status = said.status
    if status not in _SAID_BY_RUNTIMES:
        raise ValueError(f"no runtime says {status} of a command")
    command = (turn.workspace_id, said.command_id)
    bound = (*command, turn.runtime_id, status.value, status.rank, turn.now_us, said.detail)
    if turn.connection.execute(turn.say.steering.mark, bound).rowcount != 1 or status not in _ENDS:
        return
    (level,) = turn.connection.execute(turn.say.steering.level_of, command).fetchone()
    payload: dict[str, Any] = {
        "command_id": said.command_id,
        "workspace_id": turn.workspace_id,
        "holder": turn.runtime_id,
        "time": rfc3339(turn.now_us),
        "level": level,
    }
    if status is CommandStatus.FAILED:
        payload["detail"] = said.detail
    turn.log.append(_ENDS[status], payload)
