"""A ledger of operations in memory, for tests that need no store: it answers as the Desk does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from kora.domain.ids import operation_id
from kora.domain.operation import (
    Operation,
    OperationAnswer,
    OperationRequest,
    OperationState,
    Step,
    Verdict,
)
from tests.claims import NOW

OnAnswer = Callable[[OperationAnswer], None]


@dataclass
class MemoryLedger:
    """Every row by its operation id, and every request in the order asked. Answers at once, unless `holds` is set."""

    rows: dict[str, Operation] = field(default_factory=dict)
    asked: list[OperationRequest] = field(default_factory=list)
    verdicts: dict[Step, Verdict] = field(default_factory=dict)
    """what to answer to a step, whatever the rows say"""
    holds: bool = False
    """answer only when told to"""
    held: list[tuple[OperationRequest, OnAnswer]] = field(default_factory=list)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """released once a request"""
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def submit(self, request: OperationRequest, on_answer: OnAnswer) -> None:
        with self._mutex:
            self.asked.append(request)
            if self.holds:
                self.held.append((request, on_answer))
        if not self.holds:
            on_answer(self.answer(request))
        self.arrived.release()

    def answer_held(self, verdict: Verdict | None = None) -> None:
        """Answer everything that is held: as the rows say, or so."""
        with self._mutex:
            held, self.held = self.held, []
        for request, on_answer in held:
            on_answer(self.answer(request) if verdict is None else OperationAnswer(request, verdict))

    def answer(self, request: OperationRequest) -> OperationAnswer:
        with self._mutex:
            verdict = self.verdicts.get(request.step)
            if verdict is not None:
                return OperationAnswer(request, verdict, None, "because")
            return self._do(request)

    def states(self) -> list[tuple[str, OperationState, Any, str | None]]:
        """Key, state, result and error of every row, in the order of making."""
        return [(row.operation_key, row.state, row.dispatch_result, row.dispatch_error) for row in self.rows.values()]

    def _do(self, request: OperationRequest) -> OperationAnswer:
        row_id = operation_id(request.claim.ticket_id, request.operation_key)
        row = self.rows.get(row_id)
        if request.step is Step.BEGIN:
            if row is not None and row.state is OperationState.COMMITTED:
                return OperationAnswer(request, Verdict.RECORDED, row)
            self.rows[row_id] = Operation(
                work_attempt_id=request.claim.work_attempt_id,
                sequence_within_attempt=request.sequence_within_attempt,
                kora_operation_id=row_id,
                tool_name=request.tool_name,
                operation_key=request.operation_key,
                state=OperationState.DISPATCHED,
                dispatch_result=None,
                dispatch_error=None,
                allocated_at=NOW,
                ended_at=None,
            )
            return OperationAnswer(request, Verdict.DISPATCHED, self.rows[row_id])
        assert row is not None, f"no such row: {request}"
        assert row.state is OperationState.DISPATCHED, f"not open: {row}"
        assert row.sequence_within_attempt == request.sequence_within_attempt
        if request.step is Step.COMMIT:
            assert request.result is not None
            result = orjson.loads(request.result)
            self.rows[row_id] = replace(row, state=OperationState.COMMITTED, dispatch_result=result)
            return OperationAnswer(request, Verdict.COMMITTED)
        self.rows[row_id] = replace(row, state=OperationState.ABANDONED, dispatch_error=request.error)
        return OperationAnswer(request, Verdict.ABANDONED)
