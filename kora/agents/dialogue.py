"""An attempt's operations, as its agent speaks of them: lines in, steps to the ledger, answers out."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson

from kora.agents.lines import storable
from kora.domain.ids import operation_id
from kora.domain.operation import KEY_CHARACTERS, OperationAnswer, OperationRequest, Step, Verdict, default_key
from kora.errors import OperationError
from kora.work.values import as_json, check_key, check_tool

if TYPE_CHECKING:
    from kora.agents.port import Operations
    from kora.clock import TimeSource
    from kora.domain.claim import ClaimKey

WAITING_MAX: Final = 1_024
"""lines that wait for their turn, and operations that are in flight"""
WAITING_BYTES: Final = 8 * 1_024 * 1_024
"""of results that wait for their turn"""
_ERROR_CHARACTERS: Final = 4_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """What an agent said of one operation: that it begins, or how it ended."""

    step: Step
    since: float
    tool: str = ""
    operation_id: str | None = None
    key: str | None = None
    result: str | None = None
    error: str | None = None

    @property
    def size(self) -> int:
        return len(self.result or "") + len(self.error or "")


@dataclass(frozen=True, slots=True)
class _Open:
    """An operation that the ledger holds as dispatched."""

    begin: _Line
    request: OperationRequest


class Dialogue:
    """Takes what an agent says of its operations, and has what it is to be answered.

    A line has its turn when all before it were answered; then it is put to the ledger, or refused. So rows are numbered
    without gaps, and answers come in the order of the lines, but for the refusal of one that finds no room to wait.
    Where the agent is not `interactive`, the same is recorded, and it is answered nothing.

    All methods are for the attempt's reader; `tool_since` may be read by anyone. Answers may come from any thread:
    they are taken in by the next `pump`, and `ring`, which the reader sets, says that there is one.
    """

    def __init__(
        self, name: str, claim: ClaimKey, operations: Operations, time_source: TimeSource, *, interactive: bool
    ) -> None:
        self.interactive = interactive
        self.ring: Callable[[], None] = _nobody_listens
        self.tool_since: float | None = None
        """since when the latest of the operations in flight is, on the boot clock"""
        self._name = name
        self._claim = claim
        self._operations = operations
        self._time_source = time_source
        self._sequence = 1
        self._waiting: deque[_Line | bytes] = deque()
        self._waiting_bytes = 0
        self._asked: _Line | None = None
        self._heard: deque[tuple[_Line, OperationAnswer]] = deque()
        self._in_flight: dict[_Line, None] = {}
        self._open: dict[str, _Open] = {}
        self._not_begun: dict[str, OperationAnswer] = {}
        self._unordered: list[bytes] = []
        self._warned = False

    @property
    def is_idle(self) -> bool:
        """Whether everything that was asked for is with the ledger, and waits for its word at most."""
        return not self._waiting and not self._heard

    def take(self, said: dict[str, Any]) -> bool:
        """Take in a line; False, and it is refused, when it makes no sense or finds no room."""
        try:
            line = _read(said, self._time_source.boot_seconds())
            self._check_room(line)
        except OperationError as error:
            self._refuse_at_once(said, str(error))
            return False
        self._waiting.append(line)
        self._waiting_bytes += line.size
        if line.step is Step.BEGIN:
            self._in_flight[line] = None
            self.tool_since = line.since
        return True

    def take_unreadable(self, why: str) -> None:
        """Refuse a line that speaks of an operation and cannot be read."""
        self._refuse_at_once({}, why)

    def pump(self) -> list[bytes]:
        """Take in answers, ask what is next. The lines that the agent is to be told, in order."""
        said, self._unordered = self._unordered, []
        while True:
            if self._heard:
                said.append(self._take_answer(*self._heard.popleft()))
            elif self._asked is None and self._waiting:
                line = self._waiting.popleft()
                if isinstance(line, _Line):
                    self._waiting_bytes -= line.size
                    line = self._ask(line)
                said.append(line)
            else:
                return [line for line in said if line] if self.interactive else []

    def agent_ended(self) -> None:
        """No tool of the agent's works any more; what it asked for still goes to the ledger."""
        self._in_flight.clear()
        self.tool_since = None

    def _check_room(self, line: _Line) -> None:
        # An end may wait where a beginning may not: it is worth more, and there are no more of them.
        room = WAITING_MAX if line.step is Step.BEGIN else 2 * WAITING_MAX
        if len(self._waiting) >= room or (line.step is Step.BEGIN and len(self._in_flight) >= room):
            raise OperationError(f"more than {WAITING_MAX:,} operations are under way: end some first")
        if self._waiting_bytes + line.size > WAITING_BYTES:
            raise OperationError(f"more than {WAITING_BYTES:,} bytes of results wait to be recorded: end it later")

    def _ask(self, line: _Line) -> bytes:
        """Put it to the ledger; or the answer, where there is nothing to ask."""
        try:
            request = self._begin(line) if line.step is Step.BEGIN else self._end(line)
        except OperationError as error:
            self._lands(line)
            return self._refusal({"operation_id": line.operation_id, "key": line.key}, str(error))
        if isinstance(request, OperationAnswer):
            return self._told(request)
        self._asked = line
        self._operations.submit(request, partial(self._hear, line))
        return b""

    def _begin(self, line: _Line) -> OperationRequest:
        if line.key is not None and self._id_of(line.key) in self._open:
            raise OperationError(f"the operation with the key '{line.key}' is under way: end it first")
        key = line.key or default_key(line.tool, self._sequence, self._claim.work_attempt_id)
        return OperationRequest(self._claim, Step.BEGIN, self._sequence, line.tool, key)

    def _end(self, line: _Line) -> OperationRequest | OperationAnswer:
        meant = line.operation_id or self._id_of(line.key or "")
        if (not_begun := self._not_begun.get(meant)) is not None:
            return not_begun
        if (found := self._open.pop(meant, None)) is None:
            raise OperationError("no operation of that name is under way in this attempt")
        self._lands(found.begin)
        begun = found.request
        return OperationRequest(
            self._claim,
            line.step,
            begun.sequence_within_attempt,
            begun.tool_name,
            begun.operation_key,
            result=line.result,
            error=line.error,
        )

    def _hear(self, line: _Line, answer: OperationAnswer) -> None:
        self._heard.append((line, answer))
        self.ring()

    def _take_answer(self, line: _Line, answer: OperationAnswer) -> bytes:
        if line is not self._asked:
            # Said twice: the first word was taken.
            return b""
        self._asked = None
        if line.step is Step.BEGIN:
            meant = self._id_of(answer.request.operation_key)
            self._not_begun.pop(meant, None)
            if answer.verdict is Verdict.DISPATCHED:
                self._sequence += 1
                self._open[meant] = _Open(line, answer.request)
            else:
                self._lands(line)
                self._remember_not_begun(meant, answer)
        return self._told(answer)

    def _remember_not_begun(self, meant: str, answer: OperationAnswer) -> None:
        """Its end may still be told, by an agent that does not hear answers; it is not remembered for ever."""
        self._not_begun[meant] = answer
        if len(self._not_begun) > WAITING_MAX:
            del self._not_begun[next(iter(self._not_begun))]

    def _lands(self, begin: _Line) -> None:
        self._in_flight.pop(begin, None)
        latest = next(reversed(self._in_flight), None)
        self.tool_since = None if latest is None else latest.since

    def _id_of(self, key: str) -> str:
        return operation_id(self._claim.ticket_id, key)

    def _refuse_at_once(self, said: dict[str, Any], why: str) -> None:
        line = self._refusal(said, why)
        if not self.interactive:
            return
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append(line)
        else:
            self._unordered.append(line)

    def _refusal(self, said: dict[str, Any], why: str) -> bytes:
        if not self._warned:
            self._warned = True
            logger.warning("%s: what it said of an operation was refused: %s", self._name, why)
        names = {
            field: storable(value)
            for field in ("operation_id", "key")
            if isinstance(value := said.get(field), str) and len(value) <= KEY_CHARACTERS
        }
        return _json({"state": Verdict.REFUSED.value} | names | {"reason": why})

    def _told(self, answer: OperationAnswer) -> bytes:
        row, verdict, request = answer.operation, answer.verdict, answer.request
        said: dict[str, Any] = {
            "state": "committed" if verdict is Verdict.RECORDED else verdict.value,
            "operation_id": self._id_of(request.operation_key),
        }
        if verdict not in (Verdict.REFUSED, Verdict.LOST):
            said["sequence"] = (row or request).sequence_within_attempt
        said["key"] = request.operation_key
        if verdict is Verdict.RECORDED and row is not None:
            said["result"] = row.dispatch_result
        if answer.reason:
            said["reason"] = answer.reason
        return _json(said)


def _read(said: dict[str, Any], now: float) -> _Line:
    """What the line says, as far as it can be told from it alone."""
    key, named = said.get("key"), said.get("operation_id")
    if key is not None:
        check_key(key)
    if "result" not in said and "error" not in said:
        if "tool" not in said:
            raise OperationError("it has neither a tool, to begin, nor a result or an error, to end")
        check_tool(said["tool"])
        return _Line(Step.BEGIN, now, tool=said["tool"], key=key)
    if not isinstance(named, str) and (named is not None or key is None):
        raise OperationError("it names no operation: give its operation_id, or its key")
    error = said.get("error")
    if error is not None:
        if said.get("result") is not None:
            raise OperationError("it has both a result and an error")
        text = error if isinstance(error, str) else as_json(error)
        if not text.strip():
            raise OperationError("its error must say what went wrong")
        return _Line(Step.ABANDON, now, operation_id=named, key=key, error=storable(text)[:_ERROR_CHARACTERS])
    if "result" not in said:
        raise OperationError("its error is null, and there is no result: one of them must say how it ended")
    return _Line(Step.COMMIT, now, operation_id=named, key=key, result=as_json(said["result"]))


def _json(said: dict[str, Any]) -> bytes:
    return orjson.dumps({"kora": "operation"} | said, option=orjson.OPT_APPEND_NEWLINE)


def _nobody_listens() -> None:
    """Until a reader sets another."""
