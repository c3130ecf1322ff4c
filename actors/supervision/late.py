"""A text that costs something, made when it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias


class Late:
    """The text is made when ``str`` first asks for it; what it is made of is let go then. For any thread."""

    __slots__ = ("_make", "_text")

    def __init__(self, make: Callable[[], str]) -> None:
        self._text = ""
        self._make: Callable[[], str] | None = make

    def __str__(self) -> str:
        make = self._make
        if make is not None:
            # In this order: whoever finds nothing to make any more finds the text.
            self._text = make()
            self._make = None
        return self._text


Text: TypeAlias = str | Late
