"""What comes out of an attempt: what it says to Kora, what counts as progress, what is kept."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Literal

from kora.agents.lines import Conversation, LineSplitter, Operating, clean
from kora.domain.resolution import AgentResult

if TYPE_CHECKING:
    from kora.agents.record import Record
    from kora.clock import TimeSource

Progress = Literal["lines", "protocol"]
Stream = Literal["stdout", "stderr"]

_LAST_OUTPUT_CHARACTERS: Final = 500

logger = logging.getLogger(__name__)


class Output:
    """Both streams of one attempt, fed chunk by chunk. Holds a line of each at most, however much is printed.

    stdout is heard, and `operating` hears of operations. With a `kept_as` both streams are kept under that name, and
    nothing that is printed there speaks to Kora.
    """

    def __init__(
        self,
        name: str,
        record: Record,
        progress: Progress,
        time_source: TimeSource,
        *,
        operating: Operating | None = None,
        kept_as: str | None = None,
    ) -> None:
        self._name = name
        self._record = record
        self._progress = progress
        self._time_source = time_source
        self._splitters: dict[Stream, LineSplitter] = {"stdout": LineSplitter(), "stderr": LineSplitter()}
        self._last: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
        self._conversation = Conversation(operating)
        self._kept_as = kept_as
        self._warned = False
        self.progress_at: float | None = None
        """when it last made progress, on the boot clock"""

    @property
    def result(self) -> AgentResult | None:
        """The agent's closing word, if it said one that could be understood."""
        return self._conversation.result

    @property
    def protocol_fault(self) -> str | None:
        """Why a closing word could not be understood."""
        return self._conversation.protocol_fault

    def feed(self, stream: Stream, chunk: bytes) -> None:
        """Take in what was read."""
        self._take(stream, self._splitters[stream].feed(chunk))

    def end(self) -> None:
        """Take in last lines that had no end."""
        for stream, splitter in self._splitters.items():
            self._take(stream, splitter.end())

    def close(self) -> None:
        """Close the record, which compresses it: that can take a second."""
        self._record.close()

    def last_line(self, *, failed: bool) -> str:
        """The last line that is not blank; of stderr, if the agent failed and wrote there, else rather of stdout."""
        first, second = (self._last["stderr"], self._last["stdout"])[:: 1 if failed else -1]
        return clean(first or second).strip()[:_LAST_OUTPUT_CHARACTERS]

    def _take(self, stream: Stream, lines: list[bytes]) -> None:
        if not lines:
            return
        conversation = self._conversation
        progressed_before = conversation.progress_lines
        plain = conversation.take(lines) if stream == "stdout" and self._kept_as is None else lines
        if conversation.progress_lines > progressed_before or (plain and self._progress == "lines"):
            self.progress_at = self._time_source.boot_seconds()
        if conversation.not_understood is not None and not self._warned:
            self._warned = True
            logger.warning("%s: not understood, taken as output: %s", self._name, conversation.not_understood)
        self._record.write(self._kept_as or stream, plain)
        self._last[stream] = next((line for line in reversed(plain) if line.strip()), self._last[stream])
