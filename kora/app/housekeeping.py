"""What grows while agents work, kept small: the records of what they printed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from loguru import logger

from kora.agents import records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kora.clock import TimeSource

SWEEP_SECONDS: Final = 3_600.0


class Housekeeping:
    """Sweeps the records when it is started and once an hour, in a daemon thread that nobody waits for.

    What it cannot remove is logged and tried again with the next sweep.
    """

    def __init__(
        self, state_dir: Path, *, keep_days: float, time_source: TimeSource, live: Callable[[str], bool]
    ) -> None:
        self._state_dir = state_dir
        self._keep_days = keep_days
        self._time = time_source
        self._live = live
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Sweep no more; a sweep under way ends with the process."""
        self._ended.set()

    def _run(self) -> None:
        while True:
            try:
                records.sweep(self._state_dir, keep_days=self._keep_days, now_us=self._time.now_us(), live=self._live)
            except OSError as error:
                logger.warning("{}: old records could not be swept: {}", self._state_dir, error)
            if self._ended.wait(SWEEP_SECONDS):
                return
