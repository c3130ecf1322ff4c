"""The callable's handle on its attempt, and on an operation of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Self

from kora.clock import TimeSource
from kora.domain.operation import Operation, OperationAnswer, OperationRequest, Step, Verdict, default_key
from kora.domain.resolution import StopReason
from kora.errors import LeaseLostError, OperationError
from kora.work.values import as_json, check_key, check_tool, described

if TYPE_CHECKING:
    from types import TracebackType

    from kora.domain.claim import Claim
    from kora.work.course import Course, Ledger


class Work:
    """One attempt at a ticket, for the callable that makes it. For any of its threads.

    Tell of progress by `token()` and `tool_boundary()`, or the lease is not prolonged; ask `lost`, or call
    `raise_if_lost()`, as often as you can, and return when it says so.
    """

    __slots__ = ("_keep", "_spend", "_steps")

    def __init__(
        self,
        claim: Claim,
        course: Course,
        ledger: Ledger,
        time_source: TimeSource,
        *,
        keep: Callable[[str], None],
        spend: Callable[[object], None],
    ) -> None:
        self._steps = Steps(claim, course, ledger, time_source)
        self._keep = keep
        self._spend = spend

    @property
    def attempt(self) -> int:
        """Which try at the ticket this is; the first is 1."""
        return self._steps.claim.attempt

    @property
    def work_attempt_id(self) -> str:
        """The attempt's id: a fresh one for every try."""
        return self._steps.claim.key.work_attempt_id

    @property
    def lost(self) -> bool:
        """Whether the attempt is to end, or is over: its lease is lost, its time is up, the runtime stops.

        Return soon. Within `grace_seconds` an explicit result still counts, unless it was the lease that was lost.
        None does not: it is taken for the answer to this, and the ticket is worked again.
        """
        return self._steps.lost

    def raise_if_lost(self) -> None:
        """Raise `LeaseLostError` once the attempt is to end. Let it go up: that is not held against the ticket."""
        if self._steps.lost:
            raise self._steps.loss()

    def token(self) -> None:
        """Say that a model's tokens advanced: progress, which prolongs the lease at the next heartbeat."""
        self._steps.mark()

    def tool_boundary(self) -> None:
        """Say that a tool call began or ended: progress, which prolongs the lease at the next heartbeat."""
        self._steps.mark()

    def spent(self, usd: float) -> None:
        """Say what this attempt has cost so far, altogether, in US dollars. The highest figure counts.

        It is charged however the attempt ends, also when the runtime is killed. When it is more than an attempt may
        cost (`cost.attempt_usd`), the attempt is `lost`. What is no amount of money is left out.
        """
        self._spend(usd)

    def log(self, text: str) -> None:
        """Keep the text with the attempt's output (`kora-actors ticket log`). It is no progress.

        The last line becomes the ticket's summary, where nothing else says how the attempt ended.
        """
        self._keep(str(text))

    def previous_operations(self) -> list[Operation]:
        """What earlier attempts at this ticket recorded, oldest first; what they abandoned, too."""
        return list(self._steps.claim.operations)

    def operation(self, tool: str, key: str | None = None) -> OpenOperation:
        """One dispatch whose end is recorded, as a context manager.

        `key` names what is done, alike in every attempt ("invoice-2026-03"): an operation whose key an earlier attempt
        committed is `done`, and has its `result`. Without a key no other attempt finds it.

        Entering it, `commit` and leaving it wait for the ledger. They raise `LeaseLostError` as soon as the lease is
        lost, and `OperationError` when it cannot be recorded so.
        """
        check_tool(tool)
        if key is not None:
            check_key(key)
        return OpenOperation(self._steps, tool, key)


class _State(Enum):
    NEW = auto()
    OPEN = auto()
    COMMITTING = auto()
    CLOSED = auto()


class OpenOperation:
    """An operation in hand, made by `Work.operation`.

    Leaving the block without `commit` records None. An exception in the block abandons the operation, with the
    exception's text, and goes on up: the next attempt is given the same id, and does it again.
    """

    __slots__ = ("_done", "_key", "_operation", "_result", "_since", "_state", "_steps", "_tool")

    def __init__(self, steps: Steps, tool: str, key: str | None) -> None:
        self._steps = steps
        self._tool = tool
        self._key = key
        self._state = _State.NEW
        self._operation: Operation | None = None
        self._done = False
        self._result: Any = None
        self._since = 0.0

    @property
    def id(self) -> str:
        """The `kora_operation_id`, the same in every attempt that names the key: hand it on as an idempotency key."""
        return self._entered().kora_operation_id

    @property
    def done(self) -> bool:
        """Whether it was committed before: there is nothing to do, and `result` is what was recorded then."""
        self._entered()
        return self._done

    @property
    def result(self) -> Any:  # noqa: ANN401 - whatever JSON was recorded
        """What is recorded; None until something is."""
        self._entered()
        return self._result

    def commit(self, result: Any = None) -> None:  # noqa: ANN401 - whatever JSON is to be recorded
        """Record the result for every later attempt. Returns when the ledger has it.

        `result` is made of None, bool, int, float, str, list and dict, and is at most 1 MiB of JSON.
        """
        operation = self._entered()
        text = as_json(result)
        with self._steps.choosing:
            if self._state is not _State.OPEN:
                raise OperationError(f"operation '{self._tool}' is recorded already, or being so: commit it once")
            self._state = _State.COMMITTING
        try:
            self._steps.ask(Step.COMMIT, operation, result=text)
        except BaseException:
            self._state = _State.OPEN
            raise
        self._result = result
        self._close()

    def __enter__(self) -> Self:
        with self._steps.choosing:
            if self._state is not _State.NEW:
                raise OperationError(f"operation '{self._tool}' was entered before: ask for another one")
            self._state = _State.OPEN
        self._since = self._steps.take_off()
        try:
            self._done, self._operation = self._steps.begin(self._tool, self._key)
        except BaseException:
            self._close()
            raise
        if self._done:
            self._result = self._operation.dispatch_result
            self._close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._state is _State.OPEN:
                if error is None:
                    self.commit(None)
                else:
                    self._abandon(error)
        finally:
            self._close()

    def _abandon(self, error: BaseException) -> None:
        try:
            self._steps.ask(Step.ABANDON, self._entered(), error=described(error))
        except (LeaseLostError, OperationError):
            # An attempt's open rows are abandoned with it; what went wrong in the block is what must be heard of.
            return

    def _entered(self) -> Operation:
        if self._operation is None:
            raise OperationError(f"operation '{self._tool}' was not entered: use it in a with statement")
        return self._operation

    def _close(self) -> None:
        with self._steps.choosing:
            closed, self._state = self._state is _State.CLOSED, _State.CLOSED
        if not closed:
            self._steps.course.land(self._since)


class Steps:
    """What an attempt and its operations ask of the ledger, numbered as it wants it. For any of its threads."""

    __slots__ = ("_ledger", "_next", "_numbering", "_time_source", "choosing", "claim", "course")

    def __init__(self, claim: Claim, course: Course, ledger: Ledger, time_source: TimeSource) -> None:
        self.claim = claim
        self.course = course
        self.choosing = threading.Lock()
        """held while an operation's state is looked at and changed, never for long"""
        self._ledger = ledger
        self._time_source = time_source
        self._numbering = threading.Lock()
        self._next = 1

    @property
    def lost(self) -> bool:
        """Whether the attempt is to end, or is over."""
        return self.course.over or self.course.reason is not None

    def loss(self) -> LeaseLostError:
        """What to raise once it is."""
        why = self.course.reason or StopReason.LEASE_LOST
        return LeaseLostError(
            f"attempt {self.claim.attempt} at ticket {self.claim.key.ticket_id} is to end ({why.value}):"
            " return from the callable"
        )

    def mark(self) -> None:
        """Progress was made."""
        self.course.mark(self._time_source.boot_seconds())

    def take_off(self) -> float:
        """An operation is in flight from now on; the moment, to be handed back when it has landed."""
        now = self._time_source.boot_seconds()
        self.course.take_off(now)
        return now

    def begin(self, tool: str, key: str | None) -> tuple[bool, Operation]:
        """Whether the operation is recorded already, and its row; if it was not, it has the next number now."""
        # One at a time: a number is taken only when the one before is answered for, and so there are no gaps.
        with self._numbering:
            sequence = self._next
            chosen = default_key(tool, sequence, self.claim.key.work_attempt_id) if key is None else key
            answer = self._answer(OperationRequest(self.claim.key, Step.BEGIN, sequence, tool, chosen))
            if answer.verdict is Verdict.DISPATCHED:
                self._next += 1
        if answer.operation is None:
            raise OperationError(f"operation '{tool}': the ledger's answer names no row ({answer.verdict.value})")
        return answer.verdict is Verdict.RECORDED, answer.operation

    def ask(self, step: Step, operation: Operation, *, result: str | None = None, error: str | None = None) -> None:
        """Commit or abandon it."""
        sequence, tool, key = operation.sequence_within_attempt, operation.tool_name, operation.operation_key
        self._answer(OperationRequest(self.claim.key, step, sequence, tool, key, result, error))

    def _answer(self, request: OperationRequest) -> OperationAnswer:
        answer = self.course.ask(self._ledger, request)
        if answer.verdict is Verdict.LOST:
            self.course.lose(StopReason.LEASE_LOST)
            raise self.loss()
        if answer.verdict is Verdict.REFUSED:
            raise OperationError(
                f"operation '{request.tool_name}' with key '{request.operation_key}':"
                f" the ledger refuses to {request.step.value} it: {answer.reason}"
            )
        self.mark()
        return answer
