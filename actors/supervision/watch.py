"""What watchers are told.

Exactly one ``Died``, ``Stopped`` or ``Retired`` for each actor or supervisor below the root that began; what becomes of
the root itself is said by ``Supervisor.start``, ``stop`` and ``wait_failed``, but that it gave up is said here as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, TypeAlias

from actors.supervision.report import Report
from actors.supervision.stacks import error_text

Phase = Literal["factory", "on_start", "on_receive", "on_wake", "on_stop", "loop", "children"]


@dataclass(frozen=True, slots=True)
class Started:
    """``on_start`` returned; of a supervisor, all its children have started."""

    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """It ended normally, asked to or by itself: ``on_stop`` returned; of a supervisor, all its children are down."""

    name: str
    generation: int


@dataclass(frozen=True)
class Died:
    """The actor ended by an exception, ``SystemExit`` and ``KeyboardInterrupt`` included; ``phase`` says in what.

    A supervisor dies of a ``GaveUpError``, in the phase ``children``.
    """

    name: str
    generation: int
    exception: BaseException
    phase: Phase

    @cached_property
    def traceback_text(self) -> str:
        """The exception's class, message and traceback, as Python prints them; made when it is first asked for."""
        return error_text(self.exception)


@dataclass(frozen=True, slots=True)
class Retired:
    """The actor did not start, stop or come back from a message in time, or is not to be waited for (``brutal``).

    Its name is taken from it, and what it had in hand is handed over as after a death.

    Its thread is left behind, since nobody can end it; ``stack`` is where it stood, as text.
    """

    name: str
    generation: int
    reason: str
    stack: str


@dataclass(frozen=True, slots=True)
class GaveUp:
    """A supervisor has given up, and now stops its children; ``report`` says why."""

    name: str
    report: Report


End: TypeAlias = Stopped | Died
Posted: TypeAlias = Started | End
"""what actors tell their supervisor"""
Event: TypeAlias = Posted | Retired | GaveUp


class Post(Protocol):
    """Takes what becomes of an actor to its supervisor; neither raises nor blocks."""

    def __call__(self, event: Posted, /) -> None:
        """Take the event along."""


class Watcher(Protocol):
    """Is told of events in the supervisor's thread, which it should not block; what it raises goes to the log."""

    def __call__(self, event: Event, /) -> None:
        """Take note of the event."""
