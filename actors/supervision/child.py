"""What a supervisor remembers of one child, and what it tells of it."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

from actors.supervision.inbox import Inbox
from actors.supervision.spec import ChildSpec
from actors.supervision.tenure import Tenure

State = Literal["starting", "running", "restarting", "stopping", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """One child at this moment. ``restarting`` waits for its backoff; ``busy_seconds`` is None when it is idle."""

    name: str
    state: State
    generation: int
    restarts: int
    mailbox: int
    busy_seconds: float | None


@dataclass(slots=True, eq=False)
class Child:
    """One child. Only the supervisor's thread writes; others read what ``status`` says."""

    spec: ChildSpec
    inbox: Inbox
    state: State = "stopped"
    generation: int = 0
    restarts: int = 0
    restart_times: list[float] = field(default_factory=list)
    failed_starts: int = 0
    deadline: float | None = None
    tenure: Tenure | None = None
    is_restart: bool = False
    start_again: bool = False
    start_replies: list[Future[Any]] = field(default_factory=list)
    stop_replies: list[Future[Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name it serves."""
        return self.spec.name

    def status(self) -> ChildStatus:
        """How it stands; a snapshot, from any thread."""
        actor = None if self.tenure is None else self.tenure.actor
        busy_since = None if actor is None else actor.busy_since
        busy_seconds = None if busy_since is None else max(0.0, time.monotonic() - busy_since)
        return ChildStatus(self.name, self.state, self.generation, self.restarts, len(self.inbox), busy_seconds)
