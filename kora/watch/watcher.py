"""What a watcher does, once a second."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from loguru import logger

from kora.domain.control import Ages, Command, StopLevel
from kora.errors import StoreUnavailableError
from kora.store.views import LIVE_SECONDS, Presence
from kora.watch import processes
from kora.watch.lateness import Awaited, awaited
from kora.watch.processes import Look
from kora.watch.silence import Silence

if TYPE_CHECKING:
    from kora.store.port import Board, Reader
    from kora.store.steering import Steering
    from kora.store.views import RuntimeSeen

_log: Final = logger.bind(actor="watcher")
SILENT_SECONDS: Final = 15.0
"""a runtime writes every ten: one that was not seen for so long, and whose process is not there, is gone"""
END_SECONDS: Final = 2.0
"""for a process that was killed to be gone"""


class Watcher:
    """Escalates a command that stands open and is late, and ends who of this machine is late with level 4 or 5.

    Who is gone is said to be, so that nobody waits for it. For one thread.

    But for the age of commands, and for how long nothing was heard of a runtime, nothing is remembered that a wrong
    step could follow from: each round goes by what the store and the process table say then. So several may be at it,
    and one that is killed anywhere leaves nothing undone.
    """

    def __init__(
        self,
        watcher_id: str,
        board: Board,
        reader: Reader,
        *,
        level_4_seconds: float,
        boot_seconds: Callable[[], float],
    ) -> None:
        self._id = watcher_id
        self._board = board
        self._reader = reader
        self._level_4_seconds = level_4_seconds
        self._boot_seconds = boot_seconds
        self._ages = Ages()
        self._silence = Silence()
        self._host = socket.gethostname()
        self._pid = os.getpid()
        self._who = f"watcher {self._host}/{self._pid}"
        self._known: set[str] = set()
        """runtimes whose processes were seen here: when there is none any more, it is sure that they are gone"""
        self._said: set[tuple[str, str]] = set()

    def round(self, *, may_act: bool = True) -> None:
        """Say that it is there, and see to the commands that stand open, unless nothing is to be done about them yet.

        What can be read is acted upon, also while nothing can be written: so a runtime that was frozen with the store's
        lock in its hands is ended like any other.

        Raises:
            StoreUnavailableError: something could not be read, or written; all else was done.
            StoreUnusableError: a person must act.
        """
        refused: list[StoreUnavailableError] = []
        try:
            self._board.watch(self._id, host=self._host, pid=self._pid)
        except StoreUnavailableError as error:
            refused.append(error)
        read_at = self._boot_seconds()
        steering = self._reader.steering()
        if steering.command is not None and may_act:
            refused += self._see_to(steering, steering.command, read_at)
        if refused:
            raise refused[0]

    def end(self) -> None:
        """It is there no more. Raises `StoreError`."""
        self._board.unwatch(self._id)

    def _see_to(self, steering: Steering, holding: Command, read_at: float) -> Sequence[StoreUnavailableError]:
        fleet = {each.runtime_id: each for each in self._reader.fleet()}
        refused: list[StoreUnavailableError] = []
        commands = _hardest_first(steering.open_commands, holding)
        # Remembered, unlike all else: a wall clock that is set may make nothing late, and nothing wait for an hour.
        self._ages.see(commands, steering.now, read_at)
        self._silence.hear(fleet.values(), read_at)
        for command in commands:
            age_seconds = read_at - self._ages.given_at(command.command_id)
            late = []
            for each in awaited(command, fleet):
                is_lost = self._is_lost(each.seen, read_at)
                why = self._gone(command, each, is_lost=is_lost)
                if why is not None:
                    unwritten = _unwritten(partial(self._expire, command, each.runtime_id, why))
                    refused += unwritten
                    if not unwritten:
                        _log.info("runtime {} has nothing left to be stopped: {}", each.runtime_id, why)
                elif age_seconds >= each.due_seconds:
                    if each.seen is not None and is_lost and command.level < StopLevel.EXTERNAL_KILL:
                        refused += self._shut_out(command, each.seen)
                    else:
                        late.append(each)
            if command.level >= StopLevel.EXTERNAL_KILL:
                for each in late:
                    refused += self._end(command, each)
            elif late and holding.level < StopLevel.EXTERNAL_KILL:
                return refused + self._escalate(command, age_seconds, late)
        return refused

    # --- who is gone ---

    def _is_lost(self, seen: RuntimeSeen | None, now: float) -> bool:
        """Whether nothing can be said of it but that it is silent; of one of this machine its process says more."""
        return seen is not None and seen.host != self._host and self._silence.is_unheard(seen.runtime_id, now)

    def _gone(self, command: Command, one: Awaited, *, is_lost: bool) -> str | None:
        """Why it is sure that nothing is left of the runtime to be stopped; None while it is not."""
        seen = one.seen
        if seen is None:
            return "it was not seen for a day, and holds nothing"
        if seen.state is Presence.ENDED:
            return "it has ended"
        if seen.host == self._host:
            return self._gone_from_here(seen)
        is_unseen = seen.last_seen < command.created_at and seen.state is not Presence.LIVE
        if (is_unseen or is_lost) and not self._has_lease(seen.runtime_id):
            return f"nothing is heard of it any more, on {seen.host}, and it holds no lease that still runs"
        return None

    def _gone_from_here(self, seen: RuntimeSeen) -> str | None:
        found = processes.look(seen.pid, seen.runtime_id)
        if found is Look.IS_IT:
            self._known.add(seen.runtime_id)
        is_sure = seen.runtime_id in self._known or seen.last_seen_seconds > SILENT_SECONDS
        if found is Look.IS_NOT and is_sure:
            return f"its process {seen.pid} is not there any more, on {seen.host}"
        return None

    def _has_lease(self, runtime_id: str) -> bool:
        return any(each.holder == runtime_id and each.lease_left_seconds > 0 for each in self._reader.claims())

    def _expire(self, command: Command, runtime_id: str, why: str) -> None:
        self._board.expire(command.command_id, runtime_id, detail=why, who=self._who)

    # --- who is late ---

    def _shut_out(self, command: Command, seen: RuntimeSeen) -> Sequence[StoreUnavailableError]:
        """It alone: whatever it might still write is refused, and its agents end with their leases.

        Level 4 would end every other runtime, and could not reach this one.
        """
        level, silent = command.level.value, f"nothing was heard of it for {LIVE_SECONDS:g} s, on {seen.host}"
        reason = f"it has not enforced a STOP command of level {level}, and {silent}"
        refused = _unwritten(partial(self._board.revoke, seen.runtime_id, reason=reason, who=self._who))
        if not refused:
            self._say_once(seen, f"was revoked, and is not waited for when its leases have run out: {reason}")
        return refused

    def _escalate(self, command: Command, age_seconds: float, late: Sequence[Awaited]) -> list[StoreUnavailableError]:
        unwritten = _unwritten(partial(self._write_escalation, command, late))
        refused = list(unwritten)
        for each in late if unwritten else ():
            # By now it would be late with level 4 as well, if that could have been written.
            if age_seconds - each.due_seconds >= self._level_4_seconds:
                refused += self._end(command, each)
        return refused

    def _write_escalation(self, command: Command, late: Sequence[Awaited]) -> None:
        names = ", ".join(_named(each) for each in late)
        reason = f"level {command.level.value} is not enforced within {command.enforce_seconds:g} s by runtime {names}"
        new = self._board.escalate(
            command.command_id, reason=reason, enforce_seconds=self._level_4_seconds, who=self._who
        )
        # None: another watcher was quicker, or it is enforced by now.
        if new is not None:
            _log.warning("escalated to level 4: {} ({}: {})", reason, command.issuer, command.reason)

    def _end(self, command: Command, late: Awaited) -> Sequence[StoreUnavailableError]:
        seen = late.seen
        if seen is None:
            return ()
        reason = f"it ignores a STOP command of level {command.level.value}"
        is_here = seen.host == self._host
        refused: Sequence[StoreUnavailableError] = ()
        if command.level >= (StopLevel.EXTERNAL_KILL if is_here else StopLevel.REVOKE):
            refused = _unwritten(partial(self._board.revoke, seen.runtime_id, reason=reason, who=self._who))
        if not is_here:
            self._say_once(seen, f"does not end: it runs on {seen.host}: a watcher there has to end it")
        elif (found := processes.look(seen.pid, seen.runtime_id)) is Look.UNSURE:
            self._say_once(seen, f"does not end: process {seen.pid} is another user's: run the watcher as that one")
        elif found is Look.IS_IT:
            self._known.add(seen.runtime_id)
            if processes.end(seen.pid, seen.runtime_id, END_SECONDS):
                _log.warning("runtime {} (process {}) was killed: {}", seen.runtime_id, seen.pid, reason)
                why = "it was killed by the watcher"
                refused = [*refused, *_unwritten(partial(self._expire, command, seen.runtime_id, why))]
        return refused

    def _say_once(self, seen: RuntimeSeen, what: str) -> None:
        if (seen.runtime_id, what) not in self._said:
            self._said.add((seen.runtime_id, what))
            _log.warning("runtime {} {}", seen.runtime_id, what)


def _unwritten(write: Callable[[], None]) -> Sequence[StoreUnavailableError]:
    """Write; what kept that from being done, if anything did."""
    try:
        write()
    except StoreUnavailableError as error:
        return (error,)
    return ()


def _hardest_first(commands: Sequence[Command], holding: Command) -> Sequence[Command]:
    """Those of the open ones that are to be seen to, the one that holds ahead of all.

    One below that, or given after it, is waited for as well: by others than the first was, perhaps.
    """
    others = [each for each in commands if each.escalated_by is None and each.command_id != holding.command_id]
    return [holding, *sorted(others, key=lambda command: -command.level)]


def _named(late: Awaited) -> str:
    seen = late.seen
    return late.runtime_id if seen is None else f"{late.runtime_id} ({seen.host}/{seen.pid})"
