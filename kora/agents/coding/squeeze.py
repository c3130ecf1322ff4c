"""JSON lines of any length, in bounded memory: of an overlong one the long texts are cut, and it stays JSON."""

from __future__ import annotations

import re
from typing import Final

from kora.agents.lines import CUT, LINE_BYTES

TEXT_BYTES: Final = 32_768
"""of each text of an overlong line: more than any that Kora shows"""
_ESCAPE_BYTES: Final = 6
_WHOLE: Final = re.compile(rb'[^"\\]*+(?:\\(?:u[0-9a-fA-F]{4}|[^u])[^"\\]*+)*+', re.DOTALL)
"""text up to its end, or up to an escape that is not whole"""
_ANY: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
"""text up to its end, whatever its escapes are"""


class JsonLines:
    """Lines, without their ends, out of chunks.

    A line of more than `LINE_BYTES` has its texts cut to `TEXT_BYTES` each, so that what it says can still be read: its
    keys may stand in any order, and a long text before them. One that is still too long then, for it consists of many
    parts, or is no JSON at all, is cut where it is, and ends in `CUT`: it says nothing.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._squeezed: Squeezed | None = None

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes."""
        first, *others = chunk.split(b"\n")
        self._add(first)
        lines = []
        for piece in others:
            lines.append(self._line())
            self._add(piece)
        return lines

    def end(self) -> list[bytes]:
        """The line that had no end, if there is one."""
        line = self._line()
        return [line] if line else []

    def _add(self, piece: bytes) -> None:
        if self._squeezed is None:
            self._rest += piece
            if len(self._rest) <= LINE_BYTES:
                return
            self._squeezed, piece = Squeezed(), bytes(self._rest)
            self._rest = bytearray()
        self._squeezed.add(piece)

    def _line(self) -> bytes:
        if self._squeezed is not None:
            line, self._squeezed = self._squeezed.text(), None
        else:
            line, self._rest = bytes(self._rest), bytearray()
        return line


class Squeezed:
    """One overlong line, piece by piece; keeps what fits."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._is_full = False
        self._in_text = False
        self._room = 0
        self._carried = b""

    def add(self, piece: bytes) -> None:
        """Take in the next piece."""
        if self._is_full:
            return
        data, at = self._carried + piece, 0
        self._carried = b""
        while at < len(data) and not self._is_full:
            at = self._text(data, at) if self._in_text else self._structure(data, at)
            if len(self._kept) > LINE_BYTES:
                self._is_full = True

    def text(self) -> bytes:
        """The line, as far as it was kept."""
        if self._is_full:
            return bytes(self._kept[:LINE_BYTES]) + CUT
        return bytes(self._kept) + self._carried

    def _structure(self, data: bytes, at: int) -> int:
        """Keep what stands between two texts, with the quote that begins the next."""
        quote = data.find(b'"', at)
        end = len(data) if quote < 0 else quote + 1
        self._kept += data[at : min(end, at + LINE_BYTES + 1)]
        if quote >= 0:
            self._in_text, self._room = True, TEXT_BYTES
        return end

    def _text(self, data: bytes, at: int) -> int:
        """Keep the beginning of a text, and skip its rest; no escape is torn apart."""
        room = self._room
        end = _end(_WHOLE, data, at, at + room) if room else _end(_ANY, data, at, len(data))
        if room:
            self._kept += data[at:end]
            self._room = room - (end - at)
        if data[end : end + 1] == b'"':
            self._kept += b'"'
            self._in_text = False
            return end + 1
        if end == len(data):
            return end
        # Here stands an escape: it is not whole, or there is no room for it.
        if room and self._room < _ESCAPE_BYTES:
            self._room = 0
            return end
        if len(data) - end < _ESCAPE_BYTES:
            self._carried = data[end:]
            return len(data)
        # It is none. Any other reader will say so.
        self._kept += data[end : end + 1]
        self._room -= 1
        return end + 1


def _end(pattern: re.Pattern[bytes], data: bytes, at: int, stop: int) -> int:
    """Where the text that begins at `at` ends."""
    found = pattern.match(data, at, stop)
    return at if found is None else found.end()
