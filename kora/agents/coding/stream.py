"""What the streams of coding agents have in common: what a line may mean, and what all of them come to. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol

from kora.domain.resolution import SUMMARY_CHARACTERS, Reason, Resolution
from kora.domain.state import DegradationReason
from kora.redact import of_this_process

ID_CHARACTERS: Final = 200
TROUBLE_CHARACTERS: Final = 500
_NAMES_MAX: Final = 50
_STATUSES: Final = range(100, 600)
_MILLISECONDS: Final = 1e11
"""a date above this is in milliseconds: in seconds, it would be in the year 5138"""

_NO_KEY: Final = re.compile(
    r"\b40[13]\b|unauthori[sz]ed|unauthenticated|forbidden|permission.denied|invalid.api.key|api.key.not.valid"
    r"|authentication|logged?.?in again",
    re.IGNORECASE,
)
_NO_QUOTA: Final = re.compile(
    r"\b429\b|too many requests|rate.?limit|usage.limit|resource.exhausted|quota|\b402\b|billing|insufficient.credit",
    re.IGNORECASE,
)
_NO_SERVICE: Final = re.compile(
    r"\b5\d\d\b|network|connect|disconnect|sending request|timed? ?out|overloaded|high demand|unavailable"
    r"|internal server error|econn|enotfound|fetch failed|socket",
    re.IGNORECASE,
)


class Signal(StrEnum):
    """What counts as progress; wire format."""

    TOKEN = "streaming_token_advanced"  # noqa: S105 - of a model's words, no secret
    TOOL = "tool_call_boundary"


class Mark(NamedTuple):
    """A line that is progress."""

    signal: Signal
    began: tuple[str, ...] = ()
    """the tool calls that are in flight from now on"""
    ended: tuple[str, ...] = ()
    """those that are no longer"""


TOKEN: Final = Mark(Signal.TOKEN)


@dataclass(frozen=True, slots=True)
class Closing:
    """What a stream came to."""

    resolution: Resolution
    summary: str
    reason: Reason | None = None
    """what a failure counts as"""
    refused: DegradationReason | None = None
    """a provider refused: for the lack of a key (`auth`), or of quota (`dispatch`)"""
    resets_at: float | None = None
    """when it will serve again, as it said: seconds since 1970"""
    cost_usd: float | None = None
    model: str | None = None


class Interpreter(Protocol):
    """Understands the stream of one attempt, line by line. Takes any JSON; holds a bounded amount."""

    session_id: str | None
    """what the program calls its session, once it has said so"""
    trouble: str
    """what it complained of last"""
    words: int
    """how many closing words it has said; the last counts"""

    @property
    def spent_usd(self) -> float | None:
        """What it has told to have spent in this attempt, in US dollars; None while that is not known."""

    def take(self, said: dict[str, Any]) -> Mark | None:
        """Take in a line; what progress it is, or None."""

    def closing(self, exit_code: int | None) -> Closing | None:
        """What it all came to, now that the program has ended; None when it never said, and its exit does not tell."""


class Denials:
    """Which tool calls were denied, and how many were not and succeeded."""

    def __init__(self) -> None:
        self.succeeded = 0
        self.names: Counter[str] = Counter()

    def deny(self, name: object) -> None:
        """One was denied."""
        name = text_of(name)[:ID_CHARACTERS] or "a tool"
        if name in self.names or len(self.names) < _NAMES_MAX:
            self.names[name] += 1

    def judge(self, closing: Closing) -> Closing:
        """The closing word of a success, in view of what was denied: with nothing else done it is none."""
        if not self.names:
            return closing
        listed = ", ".join(name if count == 1 else f"{name} ({count} times)" for name, count in self.names.items())
        if self.succeeded:
            return replace(closing, summary=f"{closing.summary} (permission denied: {listed})".lstrip())
        said = f"; it said: {closing.summary}" if closing.summary else ""
        return replace(
            closing,
            resolution=Resolution.FAILED_RETRYABLE,
            reason=Reason.PERMISSION_DENIED,
            summary=f"permission denied: {listed}; no tool call succeeded{said}",
        )


def fault(said: str, status: int | None = None) -> Closing:
    """What it comes to that a provider, or the way to it, failed the agent; or that the agent failed, if neither did.

    `status` is what the provider answered, where that is known; else the words tell, and they are a provider's.
    """
    refused = _refused(said, status)
    answered = f" ({status})" if status is not None else ""
    if refused is not None:
        return Closing(Resolution.RELEASED, f"the provider refused{answered}: {said}", Reason.PROVIDER_FAULT, refused)
    if status is not None or _NO_SERVICE.search(said):
        return Closing(Resolution.RELEASED, f"the provider failed{answered}: {said}", Reason.PROVIDER_FAULT)
    return Closing(Resolution.FAILED_RETRYABLE, said, Reason.AGENT_REPORTED)


def _refused(said: str, status: int | None) -> DegradationReason | None:
    if status is not None:
        return {
            401: DegradationReason.AUTH,
            402: DegradationReason.DISPATCH,
            403: DegradationReason.AUTH,
            429: DegradationReason.DISPATCH,
        }.get(status)
    if _NO_QUOTA.search(said):
        return DegradationReason.DISPATCH
    return DegradationReason.AUTH if _NO_KEY.search(said) else None


def dict_of(value: object) -> dict[str, Any]:
    """The value, if it is an object; else an empty one."""
    return value if isinstance(value, dict) else {}


def dicts_of(value: object) -> list[dict[str, Any]]:
    """The objects in a list; none of anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_of(value: object) -> str:
    """The value, if it is text, as short as a summary is and without blanks around it; else nothing."""
    return cut(value[: 4 * SUMMARY_CHARACTERS].strip(), SUMMARY_CHARACTERS) if isinstance(value, str) else ""


def cut(text: str, characters: int) -> str:
    """The beginning of the text; where that is not all of it, not the first half of a secret either."""
    return text if len(text) <= characters else of_this_process().head(text, characters)


def ids_of(*values: object) -> tuple[str, ...]:
    """Those that can be an id."""
    return tuple(value for value in values if isinstance(value, str) and 0 < len(value) <= ID_CHARACTERS)


def amount_of(value: object) -> float | None:
    """The value, if it is an amount of something: a finite number, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        amount = float(value)
    except OverflowError:
        return None
    return amount if math.isfinite(amount) and amount >= 0 else None


def status_of(value: object) -> int | None:
    """The value, if it is what a server may answer."""
    return value if isinstance(value, int) and value in _STATUSES else None


def date_of(value: object) -> float | None:
    """The value as seconds since 1970, if it is a date."""
    date = amount_of(value)
    return date / 1_000 if date is not None and date > _MILLISECONDS else date
