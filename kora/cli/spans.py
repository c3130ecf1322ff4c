"""Times and spans of time, as people write and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Final

_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)")
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})")
_TENTHS_BELOW: Final = 10
_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400


def span(seconds: float) -> str:
    """The span in two units at most: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min, 4 d 6 h."""
    if seconds < _TENTHS_BELOW:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if whole < _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "d", _HOUR, "h")


def ago(seconds: float) -> str:
    """How long ago something was."""
    return f"{span(seconds)} ago"


def span_since(written: str) -> str:
    """The span from the moment, as JSON has it, until now."""
    return span((datetime.now(UTC) - datetime.fromisoformat(written)).total_seconds())


def moment_before(text: str, now: datetime) -> datetime:
    """The moment that the text means: RFC 3339, HH:MM of today or yesterday, or a span before now (90m, 12h, 2d).

    What names no zone is local time. Raises `ValueError` that says what is wrong.
    """
    text = text.strip()
    try:
        moment = _clock(text, now) or _before(text, now) or _written(text)
    except OverflowError:
        raise ValueError(f"{text!r} lies too far back") from None
    if moment is None:
        raise ValueError(f"{text!r} is no time; write 2026-07-04T08:00:00Z, 22:30, or how long ago: 90m, 12h, 2d")
    if moment > now:
        raise ValueError(f"{text!r} lies in the future")
    return moment


def _two(whole: int, large: int, large_name: str, small: int, small_name: str) -> str:
    first, rest = divmod(whole, large)
    second = rest // small
    return f"{first} {large_name} {second} {small_name}" if second else f"{first} {large_name}"


def _clock(text: str, now: datetime) -> datetime | None:
    found = _CLOCK.fullmatch(text)
    if found is None:
        return None
    try:
        wanted = time(int(found[1]), int(found[2]))
    except ValueError:
        return None
    today = now.astimezone().date()
    moment = datetime.combine(today, wanted).astimezone()
    return moment if moment <= now else datetime.combine(today - timedelta(days=1), wanted).astimezone()


def _before(text: str, now: datetime) -> datetime | None:
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip():
        return None
    return now - timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def _written(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None
