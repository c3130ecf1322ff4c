"""The runtime as a service: systemd hears that it is up, how it is, and that it lives, for as long as it does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from loguru import logger

from kora.domain.health import health

if TYPE_CHECKING:
    from kora.domain.vitals import Vitals
    from kora.systemd import ServiceManager

_LOOK_SECONDS: Final = 5.0
_BEATS: Final = 3
"""within the time in which one is expected"""


class Service:
    """Tells by a thread of its own, so that nothing which the runtime waits for holds up a beat.

    A beat is given only while the supervisor lives and the Ledger turns; that the store is away is no reason to end the
    process. Where nobody listens, nothing is done.
    """

    def __init__(self, manager: ServiceManager, vitals: Callable[[], Vitals]) -> None:
        self._manager = manager
        self._vitals = vitals
        self._closing = threading.Event()
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="service", daemon=True)

    def start(self) -> None:
        """It is up."""
        if self._manager.listens:
            self._manager.ready("started")
            self._thread.start()

    def begin_to_end(self) -> None:
        """It drains; as long as that takes, it lives."""
        self._manager.stopping("draining")

    def close(self) -> None:
        """Say no more."""
        self._closing.set()

    def _run(self) -> None:
        expected = self._manager.watchdog_seconds
        pause = _LOOK_SECONDS if expected is None else min(_LOOK_SECONDS, expected / _BEATS)
        while not self._closing.is_set():
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - it is tried again: one bad look is no reason to end the service
                logger.opt(exception=error).error("cannot tell how the runtime is: {!r}", error)
            self._closing.wait(pause)

    def _look(self) -> None:
        vitals = self._vitals()
        found = health(vitals)
        if found.is_live and self._manager.watchdog_seconds is not None:
            self._manager.beat()
        said = f"{vitals.primary_state}, {found.summary}"
        if said != self._said:
            self._said = said
            self._manager.status(said)
