"""What an agent writes: whole lines out of chunks, and which of them speak to Kora."""

from __future__ import annotations

from typing import Final

import orjson
from pydantic import ValidationError

from kora.domain.resolution import AgentResult

LINE_BYTES: Final = 65_536
CUT: Final = b" [cut]"
_RESULT_HEAD: Final = b'{"kora":"result"'
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
        whole = [_cut(line) for line in lines]
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


class Conversation:
    """What an agent has said to Kora on its stdout. The last result that is valid counts."""

    def __init__(self) -> None:
        self.result: AgentResult | None = None
        self.protocol_fault: str | None = None
        self.not_understood: str | None = None
        """the first line that was meant for Kora and says nothing Kora knows"""
        self.progress_lines = 0

    def take(self, lines: list[bytes]) -> list[bytes]:
        """The lines that are plain output; the others are taken in."""
        return [line for line in lines if not (line.lstrip()[:1] == b"{" and self._is_spoken(line))]

    def _is_spoken(self, line: bytes) -> bool:
        if len(line) > LINE_BYTES:
            if line[: LINE_BYTES // 2].replace(b" ", b"").startswith(_RESULT_HEAD):
                self.protocol_fault = f"the result line was longer than {LINE_BYTES:,} bytes"
            return False
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            return False
        if not isinstance(said, dict) or "kora" not in said:
            return False
        match said:
            case {"kora": "progress", "signal": str(signal)} if signal in _SIGNALS:
                self.progress_lines += 1
                return True
            case {"kora": "result"}:
                self._take_result(said)
                return True
        if self.not_understood is None:
            self.not_understood = clean(line[:200])
        return False

    def _take_result(self, said: dict[str, object]) -> None:
        fields = {
            name: value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
            for name, value in said.items()
        }
        del fields["kora"]
        try:
            self.result = AgentResult.model_validate(fields)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_url=False)
            )
            self.protocol_fault = f"the result line was not understood: {faults}"[:1_000]
