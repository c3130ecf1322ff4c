"""What the admin API answers, as JSON: moments in UTC with a Z, and nothing that JSON cannot say."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Final

import orjson
from pydantic import BaseModel

_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS
_DEEPEST: Final = 64
_MOST_VALUES: Final = 100_000
_SHOWN_CHARACTERS: Final = 1_000
_INTEGER_BITS: Final = 63


def spelt(value: object) -> bytes:
    """One JSON document of whatever an actor or a store hands out; never fails, whatever that is."""
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS)
    except TypeError:
        # Halves of surrogate pairs, integers beyond 64 bits, circles: said as well as they can be.
        return orjson.dumps(_Sound().of(value))


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return orjson.Fragment(value.model_dump_json())
    return _simpler(value)


def _simpler(value: object) -> object:  # noqa: PLR0911 - one for each kind of thing
    """The value, a step closer to JSON's own types."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case BaseModel():
            return value.model_dump()
        case Mapping():
            return dict(value)
        case AbstractSet():
            return sorted(value, key=str)
        case Path() | Enum():
            return str(value)
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case Sequence() | deque():
            return list(value)
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return repr(value)[:_SHOWN_CHARACTERS]


class _Sound:
    """Makes JSON's own types of anything: so deep, and so much of it, that a circle comes to an end."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def of(self, value: object, depth: int = 0) -> object:
        self._left -= 1
        if depth > _DEEPEST or self._left < 0:
            return "…"
        match value:
            case None | bool() | str() | int() | float():
                return _scalar(value)
            case dict():
                return {_scalar(str(key)): self.of(item, depth + 1) for key, item in value.items()}
            case list() | tuple():
                return [self.of(item, depth + 1) for item in value]
        return self.of(_simpler(value), depth + 1)


def _scalar(value: str | int | float | None) -> object:  # noqa: PYI041 - an integer may be too long, a float none
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case float() if not math.isfinite(value):
            return None
        case int() if value.bit_length() > _INTEGER_BITS:
            return str(value)
    return value
