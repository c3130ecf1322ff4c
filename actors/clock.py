"""The Clock tells everybody the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.actor import KoraActor
from actors.messages import Tick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.supervision import Seat
    from kora.clock import TimeSource


class Clock(KoraActor):
    """The only actor with a timer of its own.

    Receives: nothing.  Sends: `Tick` to every listener.  Owns: nothing.
    On restart: ticks on; a late tick is sent once, not made up for.
    """

    def __init__(self, seat: Seat, *, tick_seconds: float, listeners: Sequence[str], time_source: TimeSource) -> None:
        super().__init__(seat)
        self._tick_seconds = tick_seconds
        self._listeners = listeners
        self._time = time_source

    def facts(self) -> Mapping[str, object]:
        """How often it ticks, and for whom."""
        return {"tick_seconds": self._tick_seconds, "listeners": list(self._listeners)}

    def on_start(self) -> None:
        """Tick at once."""
        self.wake_at = self.seat.clock()

    def on_wake(self) -> None:
        """Tell the time and set the alarm anew."""
        tick = Tick(now=self._time.boot_seconds())
        for name in self._listeners:
            self.tell(name, tick)
        self.wake_at = self.seat.clock() + self._tick_seconds
