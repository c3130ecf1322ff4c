"""Where a running attempt asks the operation ledger, and hears what came of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from actors.messages import Operate
from actors.names import LEDGER
from kora.domain.operation import OperationAnswer, OperationRequest, Step, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from kora.agents.port import OnAnswer


class Desk:
    """Implements `Operations` for the attempts of one Worker name, one attempt at a time. For any thread.

    Each request is answered exactly once, and kept until then: the Worker tells the Ledger again what was not answered,
    so that no crash and no outage loses one. What is asked for an attempt that is not the present one is answered LOST;
    while a command lets no operation be begun, BEGIN is answered REFUSED here, and nobody else hears of it.
    """

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._tell: Callable[[str, object], None] | None = None
        self._mutex = threading.Lock()
        self._attempt: str | None = None
        self._closed = ""
        """why no operation is begun; empty while they are"""
        self._turned_away: set[str] = set()
        self._unanswered: dict[OperationRequest, list[OnAnswer]] = {}

    def connect(self, tell: Callable[[str, object], None]) -> None:
        """From now on requests are told by this."""
        self._tell = tell

    def turn_to(self, work_attempt_id: str | None) -> None:
        """This attempt may ask from now on, and no other; what others have asked still waits for its answer."""
        with self._mutex:
            self._attempt = work_attempt_id

    def admit(self, closed: str = "") -> None:
        """From now on operations are begun, or, where it says why not, are not."""
        self._closed = closed

    def has_turned_away(self, work_attempt_id: str) -> bool:
        """Whether this attempt asked to begin an operation and was refused that, while none were begun."""
        return work_attempt_id in self._turned_away

    def submit(self, request: OperationRequest, on_answer: OnAnswer) -> None:
        """Ask, and return at once. `on_answer` may be called before this returns."""
        with self._mutex:
            attempt = request.claim.work_attempt_id
            may_ask = attempt == self._attempt
            closed = self._closed if may_ask and request.step is Step.BEGIN else ""
            if closed:
                self._turned_away.add(attempt)
            elif may_ask:
                # The same request twice is one question with one answer, which both hear.
                self._unanswered.setdefault(request, []).append(on_answer)
        if not may_ask:
            on_answer(_lost(request))
        elif closed:
            on_answer(OperationAnswer(request, Verdict.REFUSED, reason=closed))
        elif self._tell is not None:
            self._tell(LEDGER, Operate(self._worker, (request,)))

    def unanswered(self) -> tuple[OperationRequest, ...]:
        """What is to be told again, in the order in which it was asked."""
        if not self._unanswered:
            return ()
        with self._mutex:
            return tuple(self._unanswered)

    def answer(self, answers: Iterable[OperationAnswer]) -> None:
        """Pass these on to whoever asked; an answer that nobody waits for any more does no harm."""
        for answer in answers:
            with self._mutex:
                # All at once: one that asks the same again on hearing this has asked something new.
                listeners = self._unanswered.pop(answer.request, [])
            try:
                while listeners:
                    listeners.pop(0)(answer)
            finally:
                if listeners:
                    # One has raised. The others are answered when the message is handled again.
                    with self._mutex:
                        self._unanswered.setdefault(answer.request, [])[:0] = listeners

    def close(self, work_attempt_ids: Collection[str]) -> None:
        """These attempts are over: what they still ask, and will ask, is LOST."""
        with self._mutex:
            if self._attempt in work_attempt_ids:
                self._attempt = None
            self._turned_away.difference_update(work_attempt_ids)
            if not self._unanswered:
                return
            theirs = [request for request in self._unanswered if request.claim.work_attempt_id in work_attempt_ids]
        self.answer(_lost(request) for request in theirs)


def _lost(request: OperationRequest) -> OperationAnswer:
    return OperationAnswer(request, Verdict.LOST)
