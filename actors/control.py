"""Control says whether claiming is permitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger

from actors.actor import KoraActor, handles
from actors.messages import Permission, Tick
from actors.names import POLLER
from kora.domain.control import PERMISSION_SECONDS
from kora.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.supervision import Seat
    from kora.clock import TimeSource
    from kora.store.port import Reader


class Control(KoraActor):
    """Reads the permission from the store on every tick and passes it on, good for five seconds.

    Fails closed: what cannot be read is not passed on, and the Poller's last permission runs out.

    Receives: `Tick`.  Sends: `Permission` to the Poller.  Owns: a reading handle.  On restart: reads again.
    """

    def __init__(self, seat: Seat, *, open_reader: Callable[[], Reader], time_source: TimeSource) -> None:
        super().__init__(seat)
        self._open_reader = open_reader
        self._time = time_source
        self._reader: Reader | None = None
        self._unreadable = False

    def on_start(self) -> None:
        """Let the Poller begin without waiting for a tick."""
        self._permit()

    def on_stop(self) -> None:
        """Give the reading handle back."""
        if self._reader is not None:
            self._reader.close()

    @handles(Tick)
    def _on_tick(self, _: Tick) -> None:
        self._permit()

    def _permit(self) -> None:
        asked_at = self._time.boot_seconds()
        try:
            if self._reader is None:
                self._reader = self._open_reader()
            permission = self._reader.claim_permission()
        except StoreError as error:
            if not self._unreadable:
                logger.warning("the claim permission cannot be read, so nothing is claimed: {}", error)
            self._unreadable = True
            return
        if self._unreadable:
            logger.info("the claim permission can be read again")
        self._unreadable = False
        self.tell(POLLER, Permission(permission=permission, until=asked_at + PERMISSION_SECONDS))
