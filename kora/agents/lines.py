"""What an agent writes: whole lines out of chunks, and which of them speak to Kora."""

from __future__ import annotations

import json
import re
from typing import Any, Final, Protocol

import orjson
from pydantic import ValidationError

from kora.domain.cost import amount_usd, most_usd
from kora.domain.resolution import AgentResult
from kora.redact import of_this_process

LINE_BYTES: Final = 1_048_576
CUT: Final = b" [cut]"
_SHOWN_CHARACTERS: Final = 200
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_A_RESULT: Final = re.compile(rb'"kora"\s*:\s*"result"')
_AN_OPERATION: Final = re.compile(rb'"kora"\s*:\s*"operation"')
_SIGNALS: Final = frozenset({"streaming_token_advanced", "tool_call_boundary"})


class LineSplitter:
    """Lines, without their ends, out of chunks; one longer than `LINE_BYTES` is cut, and then ends in `CUT`."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes; a line that is being cut is handed out at once."""
        if self._skipping:
            _, newline, chunk = chunk.partition(b"\n")
            if not newline:
                return []
            self._skipping = False
        if b"\n" not in chunk:
            self._rest += chunk
            if len(self._rest) <= LINE_BYTES:
                return []
            self._skipping = True
            return self.end()
        lines = chunk.split(b"\n")
        lines[0] = bytes(self._rest + lines[0])
        self._rest = bytearray(lines.pop())
        # A flood of short lines must not cost a look at each: of a small chunk, only the first can be long.
        whole = [_cut(line) for line in lines] if len(chunk) > LINE_BYTES else [_cut(lines[0]), *lines[1:]]
        if len(self._rest) > LINE_BYTES:
            self._skipping = True
            whole += self.end()
        return whole

    def end(self) -> list[bytes]:
        """The line that had no end, if there is one."""
        last, self._rest = bytes(self._rest), bytearray()
        return [_cut(last)] if last else []


def _cut(line: bytes) -> bytes:
    return line if len(line) <= LINE_BYTES else line[:LINE_BYTES] + CUT


def clean(line: bytes) -> str:
    """The line as text that any store and any terminal's file can hold: broken UTF-8 and NULs are replaced."""
    return line.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


class Operating(Protocol):
    """Who hears what an agent says of its operations."""

    tool_since: float | None
    """since when the newest of those in flight is, on the boot clock"""

    def take(self, said: dict[str, Any]) -> bool:
        """Take in a line; False when it makes no sense, and so is output."""

    def take_unreadable(self, why: str) -> None:
        """Refuse a line that speaks of an operation and cannot be read."""


class Conversation:
    """What an agent has said to Kora on its stdout. The last result line counts, whether it could be understood or not.

    A line is taken as meant even where it is not quite JSON as Kora would write it: bytes that are no UTF-8, NaN and
    lone surrogates (which other writers of JSON let through), a byte order mark, or a progress bar before it. One that
    is plainly a result and cannot be read is a fault, never plain output: a failure must not pass for a success.
    """

    def __init__(self, operating: Operating | None = None) -> None:
        self._operating = operating
        self.result: AgentResult | None = None
        self.protocol_fault: str | None = None
        self.not_understood: str | None = None
        """the first line that was meant for Kora and says nothing Kora knows"""
        self.progress_lines = 0
        self.spent_usd: float | None = None
        """the highest that it has told to have spent, on its way or at last"""
        self.odd_cost: str | None = None
        """the first line that says of a cost what is no amount of money"""

    def take(self, lines: list[bytes]) -> list[bytes]:
        """The lines that are plain output; the others are taken in."""
        if b"{" not in b"".join(lines):
            return lines
        return [line for line in lines if not self._is_spoken(line)]

    def _is_spoken(self, line: bytes) -> bool:
        meant = line.strip().rpartition(b"\r")[2].removeprefix(_BYTE_ORDER_MARK)
        if meant[:1] != b"{":
            return False
        said = None if len(line) > LINE_BYTES else parsed(meant)
        if said is None:
            why = f"longer than {LINE_BYTES:,} bytes" if len(line) > LINE_BYTES else "no JSON"
            if _A_RESULT.search(meant):
                self._take_fault(f"the result line was {why}")
            elif self._operating is not None and _AN_OPERATION.search(meant):
                self._operating.take_unreadable(f"it is {why}")
            return False
        match said:
            case {"kora": "progress", "signal": str(signal)} if signal in _SIGNALS:
                self.progress_lines += 1
                self._take_cost(said, line)
                return True
            case {"kora": "result"}:
                self._take_result(said)
                self._take_cost(said, line)
                return True
            case {"kora": "operation"} if self._operating is not None:
                understood = self._operating.take(said)
                self.progress_lines += understood
                return understood
            case {"kora": _} if self.not_understood is None:
                self.not_understood = of_this_process().head(clean(line), _SHOWN_CHARACTERS)
        return False

    def _take_cost(self, said: dict[str, Any], line: bytes) -> None:
        told = said.get("cost_usd")
        amount = amount_usd(told)
        self.spent_usd = most_usd(self.spent_usd, amount)
        if amount != told and self.odd_cost is None:
            self.odd_cost = of_this_process().head(clean(line), _SHOWN_CHARACTERS)

    def _take_result(self, said: dict[str, Any]) -> None:
        fields = {name: storable(value) if isinstance(value, str) else value for name, value in said.items()}
        try:
            self.result = AgentResult.model_validate(fields)
            self.protocol_fault = None
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_url=False)
            )
            self._take_fault(f"the result line was not understood: {faults}")

    def _take_fault(self, fault: str) -> None:
        self.result = None
        self.protocol_fault = storable(fault)[:1_000]


def parsed(line: bytes) -> dict[str, Any] | None:
    """The JSON object that the line is, also if other writers of JSON would have let it pass; {} for other JSON."""
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            said = json.loads(line.decode(errors="replace"))
        except (ValueError, RecursionError):
            return None
    return said if isinstance(said, dict) else {}


def storable(text: str) -> str:
    """The text without what no store can hold: lone surrogates and NULs."""
    if text.isascii():
        return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    whole = text.encode("utf-16", errors="surrogatepass").decode("utf-16", errors="replace")
    return whole.replace("\0", "\N{REPLACEMENT CHARACTER}")
