"""One thread that minds the deadlines of all callables: what ends an attempt must not depend on its own thread."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from typing import Final, Protocol

from kora.clock import TimeSource

_IDLE_SECONDS: Final = 1.0
"""The boot clock runs on through a suspend and a thread's wait does not: no wait is longer than this."""

logger = logging.getLogger(__name__)


class Guarded(Protocol):
    """What has a deadline."""

    def look(self, now: float) -> float:
        """Do what is due by now; the moment at which to look again, on the boot clock."""


class Deadlines:
    """Looks at everything guarded when it is due. For any thread.

    The thread of its own is made on demand, and again if it is gone: one that the machine refuses costs only the
    attempt that needed it.
    """

    def __init__(self, time_source: TimeSource) -> None:
        self._time_source = time_source
        self._mutex = threading.Lock()
        """held while a thread is made"""
        # Without a lock, each use being one step of the interpreter's: every attempt comes and goes here.
        self._guarded: set[Guarded] = set()
        self._bell = threading.Event()
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None
        self._was_refused = False
        self._closed = False

    def guard(self, guarded: Guarded, due: float) -> None:
        """Look at it when it is due, until it is forgotten.

        Raises `RuntimeError` when the machine refuses a thread, or it is closed: then it is not guarded, and is not to
        be begun. The next one asks for a thread again.
        """
        self._see_to_thread()
        # First this, then the look: what the thread did not find when it looked, it is rung for.
        self._guarded.add(guarded)
        if due < self._wakes_at:
            self._bell.set()

    def hasten(self, due: float) -> None:
        """Something guarded has become due earlier."""
        # For what is guarded already, this may be the last chance to have a thread that is gone made again.
        with contextlib.suppress(RuntimeError):
            self._see_to_thread()
        if due < self._wakes_at:
            self._bell.set()

    def forget(self, guarded: Guarded) -> None:
        """Look at it no more."""
        self._guarded.discard(guarded)

    def close(self) -> None:
        """Let the thread end; what is guarded is looked at no more."""
        self._closed = True
        self._bell.set()

    def _see_to_thread(self) -> None:
        """There is a thread that looks. Raises `RuntimeError` if none can be had; the first time there is a WARNING."""
        if self._is_watching() and not self._closed:
            return
        with self._mutex:
            if self._closed:
                raise RuntimeError("the runtime is ending")
            if self._is_watching():
                return
            thread = threading.Thread(target=self._watch, name="callable-deadlines", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                refusal, was_refused, self._was_refused = error, self._was_refused, True
            else:
                self._thread, self._was_refused = thread, False
                return
        if not was_refused:
            logger.warning(
                "no thread could be had for the deadlines of callables: %s; until one can be had, attempts of callables"
                " are not begun and end with a fault: raise the limit of threads, or lower the number of workers",
                refusal,
            )
        raise refusal

    def _is_watching(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _watch(self) -> None:
        while not self._closed:
            self._bell.clear()
            # Whatever comes while the others are looked at has not been, and so rings.
            self._wakes_at = math.inf
            guarded = self._guarded.copy()
            due = min((self._look(one) for one in guarded), default=math.inf)
            del guarded
            now = self._time_source.boot_seconds()
            self._wakes_at = due = min(due, now + _IDLE_SECONDS)
            self._bell.wait(max(0.0, due - now))

    def _look(self, one: Guarded) -> float:
        try:
            return one.look(self._time_source.boot_seconds())
        except BaseException:
            # Whoever hears of an end may raise anything: the others' deadlines go on.
            # A handler of the log may be a callable's, and may raise as well.
            with contextlib.suppress(BaseException):
                logger.exception("a callable's deadline could not be looked at")
            return math.inf
