"""What makes actors and supervisors run: threads, or, for tests, ``rehearsal.Rehearsal``."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Protocol

from actors.supervision.stacks import stack_text


class Task(Protocol):
    """Something that runs by itself: an actor in its seat, or a supervisor.

    Its life is an iterator, whose items say whether it now waits: for something to do (``is_ready``), or for a moment
    (``due_at``). An item that is False only shows that it has been at something, and goes on.
    """

    def life(self) -> Iterator[bool]:
        """All that it does. Where it waits it blocks, unless it is gone on with only once it need not."""

    def is_ready(self) -> bool:
        """Whether there is something for it to do that does not depend on the time."""

    def due_at(self) -> float | None:
        """At what moment of the clock there will be something to do, whatever else happens."""


class Handle(Protocol):
    """A task that has begun."""

    @property
    def ident(self) -> int | None:
        """That of its thread; None where there is none."""

    def is_alive(self) -> bool:
        """Whether its life goes on."""

    def stack(self) -> str:
        """Where it stands at this moment, as a traceback's text; empty when that is not to be had."""


class Scheduler(Protocol):
    """Makes tasks run, by a clock."""

    batch_limit: int
    """how many messages an actor takes at a time at most"""
    pause_seconds: float
    """how long what there is to report waits for something more urgent; with 0 it is said at once"""

    def now(self) -> float:
        """Seconds on a clock that only goes forward."""

    def begin(self, name: str, task: Task) -> Handle:
        """The task runs from now on. Raises `RuntimeError` when it cannot be made to."""

    def wait(self, future: Future[Any], timeout: float | None) -> None:
        """Wait until the future is done, or for so many seconds."""


class Threads:
    """Every task in a daemon thread of its own, by the monotonic clock, or by another that is given."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, pause_seconds: float = 0.002) -> None:
        self.now = clock
        self.batch_limit = sys.maxsize
        self.pause_seconds = pause_seconds

    def begin(self, name: str, task: Task) -> _Thread:
        """A thread of that name goes through the task's life."""
        thread = threading.Thread(target=_live, args=(task,), name=name, daemon=True)
        thread.start()
        return _Thread(thread)

    def wait(self, future: Future[Any], timeout: float | None) -> None:
        """Wait in the calling thread."""
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        done.wait(None if timeout is None else min(timeout, threading.TIMEOUT_MAX))


class _Thread:
    """The handle of a task in a thread."""

    __slots__ = ("_thread",)

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread

    @property
    def ident(self) -> int | None:
        return self._thread.ident

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stack(self) -> str:
        frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001  # the only way to another thread's stack
        return "" if frame is None else stack_text(frame)


def _live(task: Task) -> None:
    for _ in task.life():
        pass
