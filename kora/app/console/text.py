"""What is shown of things inside: short, with no secrets, and with no control characters."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from enum import Enum
from itertools import islice
from typing import Final

from pydantic import BaseModel

from kora.logging import escaped
from kora.redact import Redactor

PREVIEW_CHARACTERS: Final = 300
DETAIL_CHARACTERS: Final = 8_000
_STRING_CHARACTERS: Final = 80
_READ_CHARACTERS: Final = 4_000
"""of a string, how much is looked through: what is cut off before that might be half of a secret"""
_ITEMS: Final = 3
_DEEPEST: Final = 4


class Text:
    """Spells things for operators. For any thread."""

    def __init__(self) -> None:
        self._redacted = Redactor.of(os.environ)

    def preview(self, message: object) -> str:
        """A message on one line, shortened, whatever it carries."""
        return _cut(self._line(self._spelt(message, 0)), PREVIEW_CHARACTERS)

    def lines(self, text: str) -> list[str]:
        """The text's lines, such as a stack's."""
        return [escaped(line) for line in self._redacted(text).splitlines()]

    def detail(self, text: str) -> str:
        """A text of several lines, shortened at its beginning: what a traceback says stands at its end."""
        seen = text[-2 * DETAIL_CHARACTERS :]
        if len(seen) < len(text):
            # Its first line may begin in the middle of a secret.
            seen = seen.partition("\n")[2] or seen
        said = "\n".join(self.lines(seen))
        return said if len(said) <= DETAIL_CHARACTERS else f"… {said[-DETAIL_CHARACTERS:]}"

    def plain(self, value: object, depth: int = 0) -> object:
        """JSON's own types with no secrets in their texts."""
        match value:
            case bool() | int() | float() | None:
                return value
            case str():
                return self._line(value)
            case datetime():
                return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
            case Mapping():
                return {str(key): self._named(str(key), each, depth) for key, each in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.plain(each, depth + 1) for each in value]
        return self.preview(value)

    def _named(self, name: str, value: object, depth: int) -> object:
        plain = self.plain(value, depth + 1)
        if isinstance(plain, str) and self._redacted(f"{name}={plain}") != f"{name}={plain}":
            return "***"
        return plain

    def _line(self, text: str) -> str:
        return escaped(self._redacted(text))

    def _spelt(self, value: object, depth: int) -> str:  # noqa: PLR0911 - one for each kind of thing
        if isinstance(value, str) and not isinstance(value, Enum):
            return repr(_cut(self._redacted(value[:_READ_CHARACTERS]), _STRING_CHARACTERS))
        if isinstance(value, bool | int | float | None):
            return repr(value)
        if isinstance(value, Enum):
            return str(value.value)
        kind = type(value).__name__
        if depth >= _DEEPEST:
            return f"{kind}(…)"
        fields = _fields(value)
        if fields is not None:
            said = (f"{name}={self._spelt(each, depth + 1)}" for name, each in fields.items())
            return f"{kind}({', '.join(said)})"
        if isinstance(value, Mapping):
            first = [f"{key}: {self._spelt(each, depth + 1)}" for key, each in islice(value.items(), _ITEMS)]
            return f"{{{', '.join([*first, *_more(len(value))])}}}"
        if isinstance(value, tuple | list | AbstractSet):
            first = [self._spelt(each, depth + 1) for each in islice(value, _ITEMS)]
            return f"[{', '.join([*first, *_more(len(value))])}]"
        return f"{kind}(…)"


def _fields(value: object) -> Mapping[str, object] | None:
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    names = getattr(value, "_fields", None)
    return {name: getattr(value, name) for name in names} if isinstance(value, tuple) and names else None


def _more(count: int) -> list[str]:
    return [f"and {count - _ITEMS:,} more"] if count > _ITEMS else []


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"
