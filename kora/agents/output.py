"""What comes out of an attempt: split into lines, heard, kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from kora.agents.lines import LineSplitter, clean
from kora.redact import of_this_process

if TYPE_CHECKING:
    from kora.agents.hearing import Hearing, Splitter, Stream
    from kora.clock import TimeSource

_LAST_OUTPUT_CHARACTERS: Final = 500


class Keeper(Protocol):
    """Whoever keeps the lines that are printed: a `Record`, mostly."""

    def write(self, stream: str, lines: list[bytes]) -> None:
        """Keep these lines."""

    def close(self) -> None:
        """Take no more."""


class Output:
    """Both streams of one attempt, fed chunk by chunk. Holds a line of each at most, however much is printed.

    With a `kept_as` both streams are kept under that name.
    """

    def __init__(
        self,
        record: Keeper,
        hearing: Hearing,
        time_source: TimeSource,
        *,
        kept_as: str | None = None,
    ) -> None:
        self.hearing = hearing
        self._record = record
        self._time_source = time_source
        self._splitters: dict[Stream, Splitter] = {"stdout": hearing.splitter(), "stderr": LineSplitter()}
        self._last: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
        self._kept_as = kept_as
        self.progress_at: float | None = None
        """when it last made progress, on the boot clock"""

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
        return of_this_process().head(clean(first or second).strip(), _LAST_OUTPUT_CHARACTERS)

    def _take(self, stream: Stream, lines: list[bytes]) -> None:
        if not lines:
            return
        heard = self.hearing.hear(stream, lines)
        if heard.progressed:
            self.progress_at = self._time_source.boot_seconds()
        self._record.write(self._kept_as or stream, heard.kept)
        self._last[stream] = next((line for line in reversed(heard.plain) if line.strip()), self._last[stream])
