"""What a supervisor remembers of one child, and what it tells of it."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from actors.supervision.late import Text
from actors.supervision.spec import AnySpec, Restart
from actors.supervision.timers import Timer

State = Literal["starting", "running", "restarting", "stopping", "stopped", "failed"]

LIVE: Final = frozenset({"starting", "running", "stopping"})


class Body(Protocol):
    """What a child is: an actor at its name, or a supervisor with children of its own."""

    def attach(self) -> int:
        """Something new is about to begin; its generation."""

    def begin(self) -> None:
        """It begins. Raises `RuntimeError` when it cannot."""

    def ask_to_stop(self) -> None:
        """It ends soon, and says so."""

    def recover(self, detail: Text) -> None:
        """It has ended: what it had in hand waits for its successor."""

    def retire(self) -> tuple[int, str]:
        """It is left behind, and nothing it does counts; the new generation, and where it stood, as text."""

    def withdraw(self) -> None:
        """It will not be back: what waits for it are dead letters."""

    def adopt(self, spec: Any) -> None:  # noqa: ANN401  # each kind has its own
        """What can be changed while it runs is, from now on, as this specification says."""

    @property
    def busy_since(self) -> float | None:
        """Since when it has been at one thing; None when it waits."""

    @property
    def mailbox(self) -> int:
        """How many messages wait for it."""


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """One child at this moment, under the supervisor that is named.

    ``restarting`` waits for its backoff or its turn; ``failed`` is not coming back by itself. ``generation`` is higher
    for each actor that took the name; ``restarts`` are those that count. ``mailbox``: how many messages wait, 0 of a
    supervisor. ``busy_seconds`` is None when it is idle.
    """

    name: str
    supervisor: str
    state: State
    generation: int
    restarts: int
    mailbox: int
    busy_seconds: float | None
    restart: Restart


@dataclass(slots=True, eq=False)
class Child:
    """One child. Only the supervisor's thread writes; others read what ``status`` says."""

    spec: AnySpec
    body: Body
    timer: Timer
    state: State = "stopped"
    generation: int = 0
    restarts: int = 0
    failed_starts: int = 0
    is_new: bool = True
    """whether it has yet to start for the first time since its supervisor did"""
    is_restart: bool = False
    start_again: bool = False
    is_leaving: bool = False
    start_replies: list[Future[Any]] = field(default_factory=list)
    stop_replies: list[Future[Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name it serves."""
        return self.spec.name

    @property
    def is_live(self) -> bool:
        """Whether something of it may be running."""
        return self.state in LIVE

    def status(self, supervisor: str, now: float) -> ChildStatus:
        """How it stands; a snapshot, from any thread."""
        busy_since = self.body.busy_since
        busy_seconds = None if busy_since is None else max(0.0, now - busy_since)
        return ChildStatus(
            name=self.name,
            supervisor=supervisor,
            state=self.state,
            generation=self.generation,
            restarts=self.restarts,
            mailbox=self.body.mailbox,
            busy_seconds=busy_seconds,
            restart=self.spec.restart,
        )
