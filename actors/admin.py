"""The admin actor keeps the admin API served."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from actors.actor import KoraActor, handles
from actors.messages import Tick

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.supervision import Seat
    from kora.admin.port import Served


class Admin(KoraActor):
    """Has the admin API served by a thread of its own, and dies when that does, or stands still.

    Nothing of the work depends on it.

    Receives: `Tick`.  Sends: nothing.  Owns: the server's thread; the socket is the name's.
    On restart: serves anew; who has connected meanwhile is answered then.
    """

    def __init__(self, seat: Seat, *, serve: Callable[[], Served]) -> None:
        super().__init__(seat)
        self._begin = serve
        self._served: Served | None = None

    def facts(self) -> Mapping[str, object]:
        """Whether it serves."""
        return {"serves": self._served is not None}

    def on_start(self) -> None:
        """Begin to serve."""
        self._served = self._begin()

    def on_stop(self) -> None:
        """Serve no more."""
        if self._served is not None:
            self._served.close()

    def on_failure(self, *_: object) -> None:
        """Leave the socket to the successor."""
        self.on_stop()

    def on_retired(self) -> None:
        """Serve no more, in a thread that nobody waits for: the supervisor's own must not."""
        threading.Thread(target=self.on_stop, name="admin-closing", daemon=True).start()

    @handles(Tick)
    def _on_tick(self, _: Tick) -> None:
        if self._served is not None:
            self._served.check()
