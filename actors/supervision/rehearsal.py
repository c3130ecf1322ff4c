"""A scheduler for tests: the same actors and supervisors without a thread, by a virtual clock, in a seed's order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from random import Random
from typing import TYPE_CHECKING, Any, Final

from actors.supervision.errors import SupervisionError

if TYPE_CHECKING:
    from actors.supervision.scheduler import Task

MOST_STEPS: Final = 1_000_000


class Rehearsal:
    """Whoever can go on may be next, and the seed says who is; the clock moves only when nobody can.

    - The same program and the same seed give the same ``trace``: who went on, and when, in order.
    - A step is one batch of an actor, of ``batch_limit`` messages at most, and is never interrupted. By ``take_time``
      it takes virtual seconds: the actor is busy for so long, while the others go on, and it may be retired for it.
      What it sends is under way at once.
    - What waits for an answer, as ``Supervisor.start`` does, makes the steps itself. An ``ask`` does not: tell, and
      ``run``.
    """

    def __init__(self, seed: int = 0, *, batch_limit: int = 1) -> None:
        self.batch_limit = batch_limit
        self.pause_seconds = 0.0
        self.random = Random(seed)
        self.trace: list[tuple[float, str]] = []
        self._now = 0.0
        self._parts: list[_Part] = []
        self._current: _Part | None = None

    def now(self) -> float:
        """The virtual seconds that have passed."""
        return self._now

    def begin(self, name: str, task: Task) -> _Part:
        """The task takes part from now on."""
        part = _Part(name, task)
        self._parts.append(part)
        return part

    def take_time(self, seconds: float) -> None:
        """The actor that this is called in is at its message for so long; ``math.inf``: it never comes back."""
        if self._current is None:
            raise SupervisionError("nobody is at anything: take_time is for actors")
        self._current.busy_until = self._now + seconds

    def run(self, seconds: float = 0.0) -> None:
        """Let so many virtual seconds pass, and all happen that happens in them. With 0: what can happen at once."""
        horizon = self._now + seconds
        self._go_on(horizon, lambda: False)
        self._now = horizon

    def wait(self, future: Future[Any], timeout: float | None) -> None:
        """Go on until the future is done, or for so many virtual seconds."""
        horizon = math.inf if timeout is None else self._now + timeout
        self._go_on(horizon, future.done)
        if not future.done() and horizon < math.inf:
            self._now = horizon

    def _go_on(self, horizon: float, is_over: Callable[[], bool]) -> None:
        for _ in range(MOST_STEPS):
            if is_over():
                return
            ready = [part for part in self._parts if part.can_go_on(self._now)]
            if ready:
                self._step(self.random.choice(ready))
                continue
            next_at = min((part.next_at() for part in self._parts), default=math.inf)
            if next_at > horizon or next_at == math.inf:
                return
            self._now = max(self._now, next_at)
        raise SupervisionError(f"they have not come to rest after {MOST_STEPS:,} steps")

    def _step(self, part: _Part) -> None:
        self.trace.append((self._now, part.name))
        before, self._current = self._current, part
        try:
            part.go_on()
        finally:
            self._current = before
        if not part.is_alive():
            self._parts.remove(part)


class _Part:
    """One task, and how far it has come."""

    ident = None

    def __init__(self, name: str, task: Task) -> None:
        self.name = name
        self.busy_until = -math.inf
        self._task = task
        self._life: Iterator[bool] | None = task.life()
        self._waits = False

    def can_go_on(self, now: float) -> bool:
        if self.busy_until > now:
            return False
        if not self._waits or self._task.is_ready():
            return True
        due = self._task.due_at()
        return due is not None and due <= now

    def next_at(self) -> float:
        due = self._task.due_at() if self._waits else None
        if self.busy_until > -math.inf and not self._waits:
            return self.busy_until
        return math.inf if due is None else max(due, self.busy_until)

    def go_on(self) -> None:
        self.busy_until = -math.inf
        assert self._life is not None  # noqa: S101  # whoever has ended takes no part
        try:
            self._waits = next(self._life)
        except StopIteration:
            self._life = None

    def is_alive(self) -> bool:
        return self._life is not None

    def stack(self) -> str:
        return f"busy until {self.busy_until:g}, in a rehearsal"
