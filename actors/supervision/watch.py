"""What watchers are told of an actor's life: exactly one ``Died`` or ``Stopped`` for each that began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Phase = Literal["factory", "on_start", "on_receive", "on_wake", "on_stop", "loop"]


@dataclass(frozen=True, slots=True)
class Started:
    """``on_start`` returned."""

    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The actor ended as it was asked to; ``on_stop`` returned."""

    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class Died:
    """The actor ended by an exception, ``SystemExit`` and ``KeyboardInterrupt`` included; ``phase`` says in what."""

    name: str
    generation: int
    exception: BaseException
    traceback_text: str
    phase: Phase


Event: TypeAlias = Started | Stopped | Died


class Watcher(Protocol):
    """Is told of an event, in the actor's own thread: it neither raises nor blocks."""

    def __call__(self, event: Event, /) -> None:
        """Take note of the event."""
