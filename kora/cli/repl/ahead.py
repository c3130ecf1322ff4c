"""JSON that is still being typed: what may come next, and inside what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

Expected = Literal["key", "colon", "value", "next", "nothing"]
_LITERALS: Final = frozenset("+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(slots=True)
class Container:
    """An object or a list that is not closed yet."""

    is_object: bool
    key: str | None = None
    """whose value is next, or was last"""
    given: dict[str, Any] = field(default_factory=dict)
    """the keys that it has so far, with those values that are no containers"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the typing stands."""

    expected: Expected
    containers: tuple[Container, ...]
    partial: str
    """what has been typed of the key or value that is expected"""

    @property
    def path(self) -> tuple[str | None, ...]:
        """The keys that lead to the value that is expected, or to the object whose key is; None for a list's."""
        inner = self.containers if self.expected != "key" else self.containers[:-1]
        return tuple(each.key if each.is_object else None for each in inner)


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[Container] = []
        self._expected: Expected = "value"

    def place(self) -> Place:
        while True:
            self._skip_blanks()
            if self._at >= len(self._text):
                return self._here("")
            letter = self._text[self._at]
            if letter == '"' or letter in _LITERALS:
                token = self._token()
                if token is None:
                    return self._here(self._text[self._at :])
                self._took(token)
            elif not self._took_sign(letter):
                return self._here("", "nothing")

    def _here(self, partial: str, expected: Expected | None = None) -> Place:
        return Place(expected or self._expected, tuple(self._open), partial)

    def _skip_blanks(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def _token(self) -> str | None:
        """The string or literal that begins here, and ends before the end of the text."""
        at = self._at + 1
        if self._text[self._at] == '"':
            while at < len(self._text) and self._text[at] != '"':
                at += 2 if self._text[at] == "\\" else 1
            at += 1
            if at > len(self._text):
                return None
        else:
            while at < len(self._text) and self._text[at] in _LITERALS:
                at += 1
            if at == len(self._text):
                return None
        token = self._text[self._at : at]
        self._at = at
        return token

    def _took(self, token: str) -> None:
        try:
            value = orjson.loads(token)
        except orjson.JSONDecodeError:
            value = None
        inner = self._open[-1] if self._open else None
        if self._expected == "key" and inner is not None and isinstance(value, str):
            inner.key = value
            inner.given[value] = None
            self._expected = "colon"
        elif self._expected == "value":
            if inner is not None and inner.key is not None:
                inner.given[inner.key] = value
            self._expected = "next" if inner is not None else "nothing"
        else:
            self._expected = "nothing"

    def _took_sign(self, letter: str) -> bool:
        """Whether the sign may stand here."""
        self._at += 1
        match letter, self._expected:
            case (("{" | "["), "value"):
                self._open.append(Container(letter == "{"))
                self._expected = "key" if letter == "{" else "value"
            case (("}" | "]"), ("key" | "value" | "next")) if self._open:
                self._open.pop()
                self._expected = "next" if self._open else "nothing"
            case ":", "colon":
                self._expected = "value"
            case ",", "next":
                self._expected = "key" if self._open[-1].is_object else "value"
            case _:
                return False
        return True


def place_in(text: str) -> Place:
    """Where the typing of this JSON stands, which was begun and may be anything."""
    return _Scanner(text).place()
