"""The Heartbeat decides which leases have earned their refresh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from actors.actor import KoraActor, handles
from actors.gap import Gap
from actors.messages import Progress, Refresh, Refreshed, Tick
from actors.names import LEDGER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.supervision import Seat
    from kora.clock import TimeSource
    from kora.domain.claim import ClaimKey


_TICKS_LATE: Final = 3
"""a Worker's word, what is made of it here, and what the Ledger makes of that are each a tick late at most"""


@dataclass(slots=True)
class _Pulse:
    """One attempt's progress, and how much of it has been spent on refreshes."""

    key: ClaimKey
    progress_at: float | None
    spent_until: float
    """progress up to here has earned its refresh already"""
    due_at: float
    asked_for: float | None = None
    """the progress that the refresh now asked for is to spend"""

    def facts(self) -> dict[str, object]:
        """It, in JSON's own types."""
        return {
            "ticket_id": self.key.ticket_id,
            "work_attempt_id": self.key.work_attempt_id,
            "progress_at": self.progress_at,
            "spent_until": self.spent_until,
            "due_at": self.due_at,
            "asks": self.asked_for is not None,
        }


class Heartbeat(KoraActor):
    """Once an interval, asks for a longer lease for each attempt that made progress since its last refresh.

    A few ticks early, so that with all that may come a tick late an attempt that stands still has lost its lease
    `lease_seconds` and one interval after its last progress, and not later.

    Asks again on every tick until the refresh is confirmed, so that what was earned is not lost with a message. After a
    gap in the ticks, when leases may be close to their ends, it asks at once for whatever has made progress.

    Receives: `Progress` (repeated on every tick), `Refreshed`, `Tick`.  Sends: `Refresh` to the Ledger.
    Owns: what each attempt has earned and spent.
    On restart: hears from every Worker within a tick, and counts the progress since it would last have asked.
    """

    def __init__(self, seat: Seat, *, interval_seconds: float, tick_seconds: float, time_source: TimeSource) -> None:
        super().__init__(seat)
        self._interval_seconds = interval_seconds
        self._beat_seconds = max(interval_seconds - _TICKS_LATE * tick_seconds, 0.0)
        self._time = time_source
        self._gap = Gap(tick_seconds)
        self._hurries = False
        """until the tick after a gap: the Workers' first words since then count at once"""
        self._pulses: dict[str, _Pulse] = {}
        self._ticked_at = time_source.boot_seconds()
        self._refreshed_at: float | None = None

    def facts(self) -> Mapping[str, object]:
        """When it last heard a tick, and of a refresh, on the boot clock; and what each Worker's attempt has earned."""
        return {
            "interval_seconds": self._interval_seconds,
            "ticked_at": self._ticked_at,
            "refreshed_at": self._refreshed_at,
            "pulses": {worker: pulse.facts() for worker, pulse in list(self._pulses.items())},
        }

    @handles(Progress)
    def _on_progress(self, message: Progress) -> None:
        pulse = self._pulses.get(message.worker)
        if message.key is None:
            self._pulses.pop(message.worker, None)
        elif pulse is not None and pulse.key == message.key:
            pulse.progress_at = message.progress_at
        else:
            self._pulses[message.worker] = _Pulse(
                message.key,
                message.progress_at,
                spent_until=max(message.started_at, self._time.boot_seconds() - self._beat_seconds),
                due_at=message.started_at + self._beat_seconds,
            )
        if self._hurries and message.key is not None:
            self._ask(self._pulses[message.worker])

    @handles(Refreshed)
    def _on_refreshed(self, message: Refreshed) -> None:
        self._refreshed_at = self._time.boot_seconds()
        for pulse in self._pulses.values():
            if pulse.key.work_attempt_id == message.work_attempt_id and pulse.asked_for is not None:
                pulse.spent_until, pulse.asked_for = pulse.asked_for, None
                pulse.due_at = self._time.boot_seconds() + self._beat_seconds

    @handles(Tick)
    def _on_tick(self, tick: Tick) -> None:
        self._ticked_at = tick.now
        self._hurries = self._gap.tick(tick.now)
        self._ask(*(pulse for pulse in self._pulses.values() if self._hurries or tick.now >= pulse.due_at))

    def _ask(self, *pulses: _Pulse) -> None:
        """Ask for what these have earned and not spent."""
        earned = []
        for pulse in pulses:
            if pulse.progress_at is not None and pulse.progress_at > pulse.spent_until:
                pulse.asked_for = pulse.progress_at
                earned.append((pulse.key, pulse.progress_at))
        if earned:
            self.tell(LEDGER, Refresh(tuple(earned)))
