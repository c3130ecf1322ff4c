"""Who makes sense of what an agent prints: one for each way of speaking to Kora."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from kora.agents.lines import Conversation, LineSplitter, Operating

if TYPE_CHECKING:
    from kora.domain.resolution import Outcome

Progress = Literal["lines", "protocol"]
Stream = Literal["stdout", "stderr"]

logger = logging.getLogger(__name__)


class Heard(NamedTuple):
    """What became of some lines."""

    kept: list[bytes]
    """for the attempt's record"""
    plain: list[bytes]
    """those that are output for people"""
    progressed: bool


class Splitter(Protocol):
    """Lines, without their ends, out of chunks; holds a bounded part of one at most."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes."""

    def end(self) -> list[bytes]:
        """The line that had no end, if there is one."""


class Hearing(Protocol):
    """Hears one attempt. All but the attributes is for its reader alone."""

    @property
    def tool_since(self) -> float | None:
        """Since when the newest of its tool calls is in flight, on the boot clock; None when none is."""

    @property
    def spent_usd(self) -> float | None:
        """What it has told to have spent so far in this attempt; None before it has told anything."""

    @property
    def ends_by(self) -> float | None:
        """When its program is to be ended, on the boot clock, since it has said its last word; None before."""

    def splitter(self) -> Splitter:
        """A fresh splitter for what it prints on stdout."""

    def hear(self, stream: Stream, lines: list[bytes]) -> Heard:
        """Take these lines in."""

    def conclude(self, outcome: Outcome) -> Outcome:
        """How the attempt ended, by what was heard; called once, when nothing of it is left and all was heard."""


class Spoken:
    """A plain command: lines that are JSON with a `kora` key are for Kora, all others are output.

    `operating` hears of operations. With `progress` "lines" each line of output counts as progress.
    """

    ends_by: float | None = None

    def __init__(self, name: str, progress: Progress, operating: Operating | None = None) -> None:
        self._name = name
        self._progress = progress
        self._operating = operating
        self._conversation = Conversation(operating)
        self._warned = self._warned_of_cost = False

    @property
    def tool_since(self) -> float | None:
        """Since when the newest of its operations is in flight."""
        return None if self._operating is None else self._operating.tool_since

    @property
    def spent_usd(self) -> float | None:
        """The highest that its lines have told."""
        return self._conversation.spent_usd

    def splitter(self) -> Splitter:
        """Lines as they are, cut where they are overlong."""
        return LineSplitter()

    def hear(self, stream: Stream, lines: list[bytes]) -> Heard:
        """Take these lines in; stderr never speaks to Kora."""
        conversation = self._conversation
        progressed_before = conversation.progress_lines
        plain = conversation.take(lines) if stream == "stdout" else lines
        if conversation.not_understood is not None and not self._warned:
            self._warned = True
            logger.warning("%s: not understood, taken as output: %s", self._name, conversation.not_understood)
        if conversation.odd_cost is not None and not self._warned_of_cost:
            self._warned_of_cost = True
            logger.warning("%s: no amount of money, not charged: %s", self._name, conversation.odd_cost)
        progressed = conversation.progress_lines > progressed_before or (bool(plain) and self._progress == "lines")
        return Heard(plain, plain, progressed)

    def conclude(self, outcome: Outcome) -> Outcome:
        """With the last result line, or why that could not be understood."""
        conversation = self._conversation
        return replace(outcome, result=conversation.result, protocol_fault=conversation.protocol_fault)


class Unheeded:
    """What nobody listens to: it is kept, speaks to nobody, and is no progress."""

    tool_since: float | None = None
    spent_usd: float | None = None
    ends_by: float | None = None

    def splitter(self) -> Splitter:
        """Lines as they are, cut where they are overlong."""
        return LineSplitter()

    def hear(self, _stream: Stream, lines: list[bytes]) -> Heard:
        """Keep these lines."""
        return Heard(lines, lines, progressed=False)

    def conclude(self, outcome: Outcome) -> Outcome:
        """As it ended."""
        return outcome
