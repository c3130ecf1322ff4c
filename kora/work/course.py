"""How a callable's attempt stands, between the runtime and the callable's own threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from kora.domain.operation import OperationAnswer, OperationRequest, Verdict
from kora.domain.resolution import StopReason


class Ledger(Protocol):
    """How operations reach the ledger; `kora.agents.port.Operations`, as far as it is needed here."""

    def submit(self, request: OperationRequest, on_answer: Callable[[OperationAnswer], None]) -> None:
        """Ask, and return at once; an attempt that is over is answered LOST."""


class Course:
    """What the callable told of its attempt, and what it is told. For any thread.

    Nothing here waits for the callable, whatever that does: what it runs, it runs outside.
    """

    __slots__ = ("_flights", "_mutex", "_waiting", "over", "progress_at", "reason", "tool_since")

    def __init__(self) -> None:
        self.progress_at: float | None = None
        """when it last made progress, on the boot clock"""
        self.tool_since: float | None = None
        """since when the newest of the operations in flight is, on the boot clock"""
        self.reason: StopReason | None = None
        """why it is to end; the first reason counts"""
        self.over = False
        """the outcome stands: nothing that the callable does changes anything any more"""
        self._mutex = threading.Lock()
        # Most attempts have no operations, and are to cost little.
        self._flights: list[float] | None = None
        self._waiting: set[SimpleQueue[OperationAnswer | None]] | None = None

    def lose(self, reason: StopReason) -> None:
        """From now on the callable is to return."""
        with self._mutex:
            if self.reason is None:
                self.reason = reason

    def end(self) -> None:
        """From now on nothing counts; who waits for the ledger's answer waits no longer."""
        with self._mutex:
            self.over = True
            self.tool_since = None
            waiting, self._waiting = self._waiting, None
        for answers in waiting or ():
            answers.put(None)

    def mark(self, now: float) -> None:
        """Progress was made."""
        if not self.over:
            self.progress_at = now

    def take_off(self, now: float) -> None:
        """An operation is in flight."""
        with self._mutex:
            if self._flights is None:
                self._flights = []
            self._flights.append(now)
            self._look_at_flights()

    def land(self, since: float) -> None:
        """The operation that took off then is in flight no longer."""
        with self._mutex:
            if self._flights is not None:
                self._flights.remove(since)
            self._look_at_flights()

    def ask(self, ledger: Ledger, request: OperationRequest) -> OperationAnswer:
        """The ledger's answer, for which the calling thread waits; LOST as soon as the attempt is over."""
        lost = OperationAnswer(request, Verdict.LOST)
        answers: SimpleQueue[OperationAnswer | None] = SimpleQueue()
        with self._mutex:
            if self.over:
                return lost
            if self._waiting is None:
                self._waiting = set()
            self._waiting.add(answers)
        try:
            ledger.submit(request, answers.put)
            answer = answers.get()
        finally:
            with self._mutex:
                if self._waiting is not None:
                    self._waiting.discard(answers)
        return lost if answer is None or self.over else answer

    def _look_at_flights(self) -> None:
        self.tool_since = max(self._flights) if self._flights and not self.over else None
