"""Text that is shown and never obeyed."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Letters that by Unicode's word are to be drawn as nothing, though their categories do not say so.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)


def escaped(text: str) -> str:
    r"""The text as one line that shows all it holds: control, bidi and invisible characters become \u…."""
    if text.isprintable() and not _INVISIBLE.search(text):
        return text
    return "".join(letter if _shows(letter) else _code(letter) for letter in text)


def _shows(letter: str) -> bool:
    plain = letter.isprintable() or unicodedata.category(letter) == "Zs"
    return plain and not _INVISIBLE.match(letter)


def _code(letter: str) -> str:
    number = ord(letter)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"  # noqa: PLR2004 - where \u ends
