"""What the store says of steering, as it was read last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger

from actors.remembered import Reading
from kora.domain.control import StopLevel
from kora.domain.cost import Rung
from kora.domain.ticket import Status
from kora.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.remembered import Owed, Remembered
    from kora.domain.control import Command
    from kora.domain.events import NewEvent
    from kora.store.port import Reader
    from kora.store.steering import Steering


class Lookout:
    """The eyes of Control, on its own thread. What cannot be read leaves what was read before."""

    def __init__(self, open_reader: Callable[[], Reader], remembered: Remembered) -> None:
        self._open_reader = open_reader
        self._remembered = remembered
        self._reader: Reader | None = None
        self.is_readable = True

    @property
    def steering(self) -> Steering | None:
        """What was read last, by whichever Control; None before the first that could be read."""
        reading = self._remembered.reading
        return None if reading is None else reading.steering

    @property
    def open_commands(self) -> Sequence[Command]:
        """Every command that stood open at the same moment."""
        return () if self.steering is None else self.steering.open_commands

    @property
    def read_at(self) -> float:
        """When that was; on the boot clock."""
        reading = self._remembered.reading
        return 0.0 if reading is None else reading.read_at

    @property
    def command(self) -> Command | None:
        """The command that holds."""
        return None if self.steering is None else self.steering.command

    @property
    def level(self) -> StopLevel:
        """Its level; `RESET` where there is none."""
        return StopLevel.RESET if self.command is None else self.command.level

    def rung(self, pool_micro_usd: int) -> Rung:
        """How much of a pool of this size is spent."""
        return Rung.NORMAL if self.steering is None else self.steering.pool.rung(pool_micro_usd)

    def look(self, now: float) -> bool:
        """Read; False when it could not be. A line for people when that changes."""
        try:
            if self._reader is None:
                self._reader = self._open_reader()
            steering = self._reader.steering()
        except StoreError as error:
            if self.is_readable:
                logger.warning("what steers this runtime cannot be read, so nothing is claimed: {}", error)
            self.is_readable = False
            return False
        if not self.is_readable:
            logger.info("what steers this runtime can be read again")
        self.is_readable = True
        self._remembered.ages.see(steering.open_commands, steering.now, now)
        self._remembered.reading = Reading(steering, now)
        return True

    def has_deferred(self) -> bool | None:
        """Whether any ticket waits for the end of a pause for cost; None where that cannot be read."""
        try:
            return self._reader is not None and any(self._reader.tickets((Status.DEFERRED_COST_LIMIT,), 1))
        except StoreError:
            return None

    def owed(self, by: float) -> tuple[NewEvent, ...]:
        """What the log is to be told of by then and does not show yet; nothing while it cannot be read."""
        try:
            self._remembered.owed = [each for each in self._remembered.owed if not self._shows(each, by)]
        except StoreError:
            return ()
        return tuple(each.event for each in self._remembered.owed if each.after_seq is not None)

    def _shows(self, owed: Owed, by: float) -> bool:
        if self._reader is None or owed.due_at > by:
            return False
        if owed.after_seq is None:
            # Nobody has told of it: what comes behind this is all that there is to be looked through.
            owed.after_seq = self._reader.last_seq()
            return False
        kinds = (owed.event.event_type,)
        found = self._reader.events(event_types=kinds, after_seq=owed.after_seq, up_to_now=True)
        return any(event.event_id == owed.event.event_id for event in found)

    def deadline(self, drain_seconds: float) -> float | None:
        """When what still runs is to end by a command of level 2, on the boot clock; None by any other."""
        command = self.command
        if command is None or command.level is not StopLevel.DRAIN_CURRENT_FINISH:
            return None
        return self._remembered.ages.given_at(command.command_id) + drain_seconds

    def age(self, command: Command) -> float:
        """How long before the last reading this one was given, which was open then."""
        return self.read_at - self._remembered.ages.given_at(command.command_id)

    def close(self) -> None:
        """Give the reading handle back."""
        if self._reader is not None:
            self._reader.close()
