"""A coding agent's stream as it comes: clock, session and record, beside what the interpreter understands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from kora.agents.coding.squeeze import JsonLines
from kora.agents.coding.stream import Closing, Mark, cut
from kora.agents.hearing import Heard
from kora.agents.lines import parsed, storable
from kora.clock import MICROSECONDS
from kora.domain.refusal import Refusal
from kora.domain.resolution import SUMMARY_CHARACTERS, AgentResult, Outcome, Reason, Resolution

if TYPE_CHECKING:
    from kora.agents.coding.session import Session
    from kora.agents.coding.stream import Interpreter
    from kora.agents.hearing import Splitter, Stream
    from kora.clock import TimeSource

Watcher = Callable[[dict[str, Any], Mark | None], None]
"""Is told of every line that was understood, and what progress it was; on the attempt's own thread."""

_SIGNALED: Final = range(129, 129 + 64)
"""what a program exits with that a signal ended, and that has heeded it"""
_IN_FLIGHT_MAX: Final = 1_024
_RESET_SECONDS: Final = 32 * 86_400.0
"""no provider that is to serve again makes one wait for longer"""


class CodingHearing:
    """Hears one attempt of a coding agent, as `Hearing` has it. stderr says nothing, and is kept.

    The pieces of a message are not kept one by one: the message is, when it is whole.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        session: Session,
        time_source: TimeSource,
        *,
        grace_seconds: float,
        watch: Watcher | None = None,
    ) -> None:
        self._interpreter = interpreter
        self._session = session
        self._time_source = time_source
        self._grace_seconds = grace_seconds
        self._watch = watch
        self._words = 0
        self._ends_by: float | None = None
        self._in_flight: dict[str, float] = {}
        self._has_progressed = False
        self.tool_since: float | None = None
        """since when the newest of its tool calls is in flight, on the boot clock"""

    @property
    def ends_by(self) -> float | None:
        """When its grace after its closing word is over; None while it still works, or again."""
        return self._ends_by if self.tool_since is None else None

    @property
    def spent_usd(self) -> float | None:
        """What the stream has told of its cost so far."""
        return self._interpreter.spent_usd

    def splitter(self) -> Splitter:
        """Lines of JSON, of which overlong ones are shortened."""
        return JsonLines()

    def hear(self, stream: Stream, lines: list[bytes]) -> Heard:
        """Take these lines in."""
        if stream == "stderr":
            return Heard(lines, lines, progressed=False)
        kept, plain, progressed = [], [], False
        for line in lines:
            said = parsed(line.strip()) if line.lstrip()[:1] == b"{" else None
            if said is None:
                kept.append(line)
                plain.append(line)
                continue
            mark = self._interpreter.take(said)
            progressed |= mark is not None
            self._follow(mark)
            if self._watch is not None:
                self._watch(said, mark)
            if said.get("type") != "stream_event":
                kept.append(line)
        self._has_progressed |= progressed
        self._session.keep(self._interpreter.session_id)
        return Heard(kept, plain, progressed)

    def conclude(self, outcome: Outcome) -> Outcome:
        """By the stream's own closing word, whatever the exit code is, and also where a signal ended the program."""
        self.tool_since = None
        closing = self._interpreter.closing(outcome.exit_code) or self._unfinished(outcome)
        outcome = replace(outcome, trouble=storable(self._interpreter.trouble))
        if closing is None:
            return outcome
        offset = None
        if self._could_not_go_on(closing, outcome):
            self._session.discard()
            summary = f"its earlier session could not be gone on with; the next attempt begins anew: {closing.summary}"
            closing, offset = (
                replace(closing, resolution=Resolution.RELEASED, reason=Reason.AGENT_TEMPORARY, summary=summary),
                0.0,
            )
        return replace(
            outcome,
            signal=None,
            result=AgentResult(
                resolution=closing.resolution,
                summary=cut(storable(closing.summary), SUMMARY_CHARACTERS),
                model_tier=None if closing.model is None else storable(closing.model),
                cost_usd=closing.cost_usd,
                next_eligible_offset_seconds=offset,
            ),
            reason=closing.reason,
            refusal=self._refusal(closing),
            # What it says of an end that Kora made is not its own word; what it cost, it has cost.
            is_unconfirmed=outcome.stop_reason is not None and closing.resolution is not Resolution.COMPLETED,
        )

    def _follow(self, mark: Mark | None) -> None:
        """Keep in mind which tools are in flight, and how long it may still go on."""
        words = self._interpreter.words
        if mark is None and words == self._words:
            return
        now = self._time_source.boot_seconds()
        if words != self._words:
            self._words = words
            self._in_flight.clear()
        if mark is not None:
            self._interpreter.trouble = ""
            for tool_id in mark.began:
                self._in_flight[tool_id] = now
                if len(self._in_flight) > _IN_FLIGHT_MAX:
                    del self._in_flight[next(iter(self._in_flight))]
            for tool_id in mark.ended:
                self._in_flight.pop(tool_id, None)
        latest = next(reversed(self._in_flight), None)
        self.tool_since = None if latest is None else self._in_flight[latest]
        if words:
            self._ends_by = now + self._grace_seconds

    def _unfinished(self, outcome: Outcome) -> Closing | None:
        """What it comes to that it ended by itself and never said its closing word; None for any other end."""
        code = outcome.exit_code
        if code is None or outcome.stop_reason is not None:
            return None
        why = self._interpreter.trouble or outcome.last_output
        summary = f"it ended with exit code {code} before its closing word" + (f": {why}" if why else "")
        if code in _SIGNALED:
            return Closing(Resolution.RELEASED, summary, Reason.AGENT_SIGNAL)
        return Closing(Resolution.FAILED_RETRYABLE, summary, Reason.AGENT_EXIT if code else Reason.AGENT_PROTOCOL)

    def _could_not_go_on(self, closing: Closing, outcome: Outcome) -> bool:
        return (
            self._session.earlier is not None
            and not self._has_progressed
            and closing.resolution is Resolution.FAILED_RETRYABLE
            and outcome.stop_reason is None
        )

    def _refusal(self, closing: Closing) -> Refusal | None:
        if closing.refused is None:
            return None
        until = None
        if closing.resets_at is not None:
            seconds = closing.resets_at - self._time_source.now_us() / MICROSECONDS
            if 0 < seconds <= _RESET_SECONDS:
                until = self._time_source.boot_seconds() + seconds
        return Refusal(closing.refused, cut(storable(closing.summary), SUMMARY_CHARACTERS), until)
