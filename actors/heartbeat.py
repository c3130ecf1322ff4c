"""The Heartbeat decides which leases have earned their refresh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.actor import KoraActor, handles
from actors.messages import Progress, Refresh, Tick
from actors.names import LEDGER

if TYPE_CHECKING:
    from actors.supervision import Seat
    from kora.clock import TimeSource
    from kora.domain.claim import ClaimKey


class Heartbeat(KoraActor):
    """Once an interval, asks for a longer lease for the attempts that made progress since the last beat, and no other.

    Receives: `Progress` (repeated on every tick), `Tick`.  Sends: `Refresh` to the Ledger.
    Owns: the time of the last beat.
    On restart: hears from every Worker within a tick, and takes the last beat to be one interval ago.
    """

    def __init__(self, seat: Seat, *, interval_seconds: float, time_source: TimeSource) -> None:
        super().__init__(seat)
        self._interval_seconds = interval_seconds
        self._beat_at = time_source.boot_seconds()
        self._progress_since = self._beat_at - interval_seconds
        self._by_worker: dict[str, tuple[ClaimKey, float]] = {}

    @handles(Progress)
    def _on_progress(self, message: Progress) -> None:
        if message.key is None or message.progress_at is None:
            self._by_worker.pop(message.worker, None)
        else:
            self._by_worker[message.worker] = (message.key, message.progress_at)

    @handles(Tick)
    def _on_tick(self, tick: Tick) -> None:
        if tick.now < self._beat_at + self._interval_seconds:
            return
        earned = tuple(key for key, progress_at in self._by_worker.values() if progress_at > self._progress_since)
        if earned:
            self.tell(LEDGER, Refresh(keys=earned))
        self._beat_at = self._progress_since = tick.now
