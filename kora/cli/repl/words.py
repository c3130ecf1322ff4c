"""What was typed, taken apart: commands into words, quoted as in a shell, or JSON, which needs no quotes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_OPENING: Final = {"{": "}", "[": "]"}
_ENDS: Final = frozenset(";\n")


@dataclass(frozen=True, slots=True)
class Word:
    """One word: what it means, and where it stands in what was typed."""

    text: str
    start: int
    end: int


@dataclass(slots=True)
class Typed:
    """The commands that were typed, each a list of words; what is left open: a bracket or a quote, and where."""

    commands: list[list[Word]] = field(default_factory=list)
    last: list[Word] = field(default_factory=list)
    """the words behind the last `;` or end of a line"""
    open_at: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left open, so that no further line belongs to it."""
        return self.open_at is None


def read(text: str) -> Typed:
    """The commands of the text: parted by `;` or the end of a line, outside quotes and JSON."""
    typed = Typed()
    words: list[Word] = []
    at = 0
    while at < len(text):
        letter = text[at]
        if letter in _ENDS:
            if words:
                typed.commands.append(words)
            words = []
            at += 1
        elif letter.isspace():
            at += 1
        else:
            word, closed = _json(text, at) if letter in _OPENING else _plain(text, at)
            words.append(word)
            at = word.end
            if not closed:
                typed.open_at = word.start
    if words:
        typed.commands.append(words)
    typed.last = words
    return typed


def _json(text: str, start: int) -> tuple[Word, bool]:
    """The JSON that begins here, and whether it is whole. What is no JSON ends with its line."""
    closing: list[str] = []
    at = start
    while at < len(text):
        letter = text[at]
        if letter == '"':
            at = _end_of_string(text, at)
            continue
        if letter in _OPENING:
            closing.append(_OPENING[letter])
        elif letter in _OPENING.values():
            if closing.pop() != letter:
                closing.clear()
            if not closing:
                return Word(text[start : at + 1], start, at + 1), True
        at += 1
    return Word(text[start:], start, len(text)), False


def _end_of_string(text: str, start: int) -> int:
    at = start + 1
    while at < len(text) and text[at] not in '"\n':
        at += 2 if text[at] == "\\" else 1
    return min(at + 1, len(text))


def _plain(text: str, start: int) -> tuple[Word, bool]:
    """The word that begins here, without its quotes, and whether they are all closed."""
    parts: list[str] = []
    quote = ""
    at = start
    while at < len(text) and (quote or not (text[at].isspace() or text[at] in _ENDS)):
        letter = text[at]
        if letter == "\\" and quote != "'" and at + 1 < len(text) and (not quote or text[at + 1] in '"\\'):
            at += 1
            parts.append(text[at])
        elif letter == quote:
            quote = ""
        elif letter in "\"'" and not quote:
            quote = letter
        else:
            parts.append(letter)
        at += 1
    return Word("".join(parts), start, at), not quote
