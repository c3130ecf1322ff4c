"""What grows while agents work, kept small: the records of what they printed, and the places that they had."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING, Final

from loguru import logger

from kora.agents import records
from kora.agents.git import Git
from kora.agents.workspaces import Fate, Sweep
from kora.domain.resolution import Resolution
from kora.errors import KoraError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kora.agents.containment import Containment
    from kora.clock import TimeSource
    from kora.store.port import Reader

SWEEP_SECONDS: Final = 3_600.0


class Housekeeping:
    """Sweeps records and workspaces when it is started and once an hour, in a daemon thread that nobody waits for.

    What it cannot remove is logged and tried again with the next sweep.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        keep_days: float,
        open_reader: Callable[[], Reader],
        containment: Containment,
        time_source: TimeSource,
        live: Callable[[str], bool],
    ) -> None:
        self._state_dir = state_dir
        self._keep_days = keep_days
        self._open_reader = open_reader
        self._git = Git(containment, time_source)
        self._time = time_source
        self._live = live
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Sweep no more; a sweep under way ends with the process, and what it has git do ends now."""
        self._ended.set()
        self._git.close()

    def _run(self) -> None:
        while True:
            try:
                records.sweep(self._state_dir, keep_days=self._keep_days, now_us=self._time.now_us(), live=self._live)
            except OSError as error:
                logger.warning("{}: old records could not be swept: {}", self._state_dir, error)
            try:
                self._sweep_workspaces()
            except (OSError, KoraError) as error:
                if not self._ended.is_set():
                    logger.warning("{}: old workspaces could not be swept: {}", self._state_dir, error)
            if self._ended.wait(SWEEP_SECONDS):
                return

    def _sweep_workspaces(self) -> None:
        with closing(self._open_reader()) as reader:
            Sweep(
                state_dir=self._state_dir,
                keep_days=self._keep_days,
                fate_of=lambda ticket_id, attempt_id: _fate_of(reader, ticket_id, attempt_id),
                live=self._live,
                git=self._git,
                time_source=self._time,
            ).run()


def _fate_of(reader: Reader, ticket_id: str, work_attempt_id: str) -> Fate | None:
    try:
        attempts = reader.attempts(ticket_id)
    except NotFoundError:
        return None
    for attempt in attempts:
        if attempt.work_attempt_id == work_attempt_id:
            return Fate(attempt.resolution == Resolution.COMPLETED, attempt.ended_at)
    return None
