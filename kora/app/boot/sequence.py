"""The gates, one after the other, on the process's own thread; a signal ends them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from loguru import logger

from kora.domain.gates import GATES, Gate, GateClass, GateOutcome, GateResult, RetrySchedule
from kora.errors import (
    BootEndedError,
    KoraError,
    StartError,
    StoreLockedError,
    StoreUnavailableError,
    StoreUnreachableError,
    StoreUnusableError,
)

if TYPE_CHECKING:
    from kora.signals import Signals

_WAITED_FOR: Final = (StoreUnreachableError, StoreLockedError)
_LOOK_SECONDS: Final = 0.1
_SAY_SECONDS: Final = 60.0
"""when it is said again that a gate does not pass; then whenever it has been so for twice as long"""
_SAY_MAX_SECONDS: Final = 3_600.0

Try = Callable[[], str]
"""tries a gate once: what it found; raises `KoraError` that says what is wrong"""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the gates stand."""

    results: tuple[GateResult, ...] = ()
    gate: Gate | None = None
    """the one that is tried; None before the first and behind the last"""
    failures: int = 0
    """how often that has failed so far, and is tried again"""
    since: datetime | None = None
    """when it was tried first"""
    detail: str = ""
    """why it failed last"""


class Sequence:
    """Tries the gates in their order until all have ended, or one has stopped the runtime.

    One that may pass a little later is tried again in place, with pauses that double. What only the store is the cause
    of is treated so at any gate: a server out of reach, or a store that another process writes to, is waited for until
    somebody tells this runtime to end, for it will be back, and there is nothing else to be done.

    `tell` hears of every change, on this thread.
    """

    def __init__(
        self,
        tries: Mapping[Gate, Try],
        schedule: RetrySchedule,
        *,
        tell: Callable[[Progress], None],
        signals: Signals | None,
    ) -> None:
        self._tries = tries
        self._schedule = schedule
        self._tell = tell
        self._signals = signals
        self._now = Progress()

    def run(self) -> tuple[GateResult, ...]:
        """The results, up to the first gate that stops the runtime.

        Raises:
            BootEndedError: told to end before that.
            StoreUnusableError: no database, not writable, of another schema: nothing of it could be written either.
            StoreUnreachableError: its server is out of reach, and nobody could end the waiting.
            StartError: the machine does not have what the configuration asks for.
        """
        for gate in GATES:
            result = self._passed(gate)
            self._show(Progress(results=(*self._now.results, result)))
            if result.outcome is GateOutcome.FAILED and gate.gate_class is not GateClass.INVARIANT_PAUSE:
                break
        return self._now.results

    def _passed(self, gate: Gate) -> GateResult:
        began = time.monotonic()
        saying = _Saying(began)
        self._show(replace(self._now, gate=gate, failures=0, since=datetime.now(UTC), detail=""))
        while True:
            self._heed_signals()
            failures = self._now.failures
            try:
                detail = self._tries[gate]()
            except (StoreUnusableError, StartError):
                raise
            except KoraError as error:
                failures += 1
                if self._is_final(gate, error, failures):
                    return _result(gate, GateOutcome.FAILED, failures, began, str(error))
                self._show(replace(self._now, failures=failures, detail=str(error)))
                if saying.is_due():
                    logger.warning("boot gate {}: {}; {}", gate.gate_id, error, self._what_next(error))
                pause = self._schedule.pause_seconds(failures)
                # Not all at once, where a whole fleet waits for one server.
                self._rest(pause * random.uniform(0.5, 1.0) if isinstance(error, StoreUnreachableError) else pause)
            else:
                if failures:
                    logger.info("boot gate {} passes: {}", gate.gate_id, detail)
                return _result(gate, GateOutcome.PASSED, failures + 1, began, detail)

    def _is_final(self, gate: Gate, error: KoraError, failures: int) -> bool:
        if isinstance(error, _WAITED_FOR) and self._signals is not None:
            return False
        if isinstance(error, StoreUnreachableError):
            raise error
        may_pass = gate.gate_class is GateClass.TRANSIENT or isinstance(error, StoreUnavailableError)
        return not may_pass or self._schedule.is_spent(failures)

    def _what_next(self, error: KoraError) -> str:
        if isinstance(error, _WAITED_FOR) and self._signals is not None:
            return "this runtime tries again until the store is there, or it is told to end"
        return f"it is tried again, up to {self._schedule.tries} times in all"

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._heed_signals()
            time.sleep(min(left, _LOOK_SECONDS))

    def _heed_signals(self) -> None:
        if self._signals is not None and self._signals.count:
            raise BootEndedError("told to end before it began")

    def _show(self, now: Progress) -> None:
        self._now = now
        self._tell(now)


class _Saying:
    """When it is to be said again that something is still so."""

    def __init__(self, began: float) -> None:
        self._began = self._at = began

    def is_due(self) -> bool:
        """Whether now."""
        now = time.monotonic()
        if now < self._at:
            return False
        self._at = now + min(max(now - self._began, _SAY_SECONDS), _SAY_MAX_SECONDS)
        return True


def _result(gate: Gate, outcome: GateOutcome, attempts: int, began: float, detail: str) -> GateResult:
    elapsed_ms = round((time.monotonic() - began) * 1_000)
    return GateResult(gate.gate_id, gate.gate_class, outcome, attempts, elapsed_ms, detail)
