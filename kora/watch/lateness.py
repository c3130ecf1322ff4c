"""Who has not enforced the command that holds, and since when that is too late: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kora.domain.control import CommandStatus

if TYPE_CHECKING:
    from kora.domain.control import Command
    from kora.store.views import RuntimeSeen


@dataclass(frozen=True, slots=True)
class Awaited:
    """A runtime that has not enforced the command."""

    runtime_id: str
    seen: RuntimeSeen | None
    """None: it was not seen for a day, and holds nothing"""
    due_seconds: float
    """how long after the command it is to have enforced it"""


def awaited(command: Command, fleet: Mapping[str, RuntimeSeen]) -> Iterator[Awaited]:
    """Every runtime that the command waits for, also one that has said it could not do it.

    One that has begun under the command is given its seconds from then on.
    """
    done = {CommandStatus.ENFORCED, CommandStatus.EXPIRED}
    holders = [mark.holder for mark in command.marks if mark.status not in done]
    for runtime_id in (*holders, *command.awaited):
        seen = fleet.get(runtime_id)
        since = 0.0 if seen is None else max(0.0, (seen.started_at - command.created_at).total_seconds())
        has_failed = any(mark.holder == runtime_id and mark.status is CommandStatus.FAILED for mark in command.marks)
        # That it could not is its own word: there is nothing more to be waited for.
        yield Awaited(runtime_id, seen, since if has_failed else since + command.enforce_seconds)
