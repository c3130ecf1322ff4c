"""The parts of the model: an actor, what its supervisor remembers of it, and an answer that may be awaited."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.supervision import ChildSpec, SupervisorSpec

if TYPE_CHECKING:
    from tests.unit.actors.supervision.model import Group

Entry = tuple[str, str, int]
"""what is seen: its kind, whose it is, and the generation, or for a report the restarts"""


@dataclass
class Script:
    """What an actor of a name will do wrong next."""

    failing_starts: int = 0
    slow_start: float = 0.0
    slow_stop: float = 0.0
    failing_stop: bool = False


@dataclass
class Reply:
    """What whoever asked is told: a value, or the name of an error."""

    value: Any = None
    is_given: bool = False

    def give(self, value: object) -> None:
        if not self.is_given:
            self.value, self.is_given = value, True


@dataclass
class Actor:
    """It begins, starts, takes what it is told, and ends; its supervisor hears of it a little later."""

    stage: str = "new"
    until: float = math.inf
    since: float | None = None
    is_asked_to_stop: bool = False
    posts: list[str] = field(default_factory=list)

    def offers(self, *, has_mail: bool) -> tuple[str, ...]:
        if self.stage == "idle":
            at_it: tuple[str, ...] = ("takes",) * has_mail + ("ends",) * self.is_asked_to_stop
        else:
            at_it = {"new": ("begins",), "coming back": ("back",)}.get(self.stage, ())
        return (*self.posts[:1], *at_it)

    def go_on(self, kind: str, now: float, script: Script, mail: list[tuple[Any, ...]]) -> None:
        """It says that it is at this."""
        if kind == "begins":
            self._begin(now, script)
        elif kind == "takes":
            self._take(now, *mail.pop(0))
        elif kind == "ends":
            self._end(now, script)
        else:
            self.stage, self.since = "idle", None
        self.come_along(now)

    def come_along(self, now: float) -> None:
        """What took its time is over."""
        if self.until > now:
            return
        self.until = math.inf
        if self.stage == "starting":
            self.stage = "idle"
            self.posts.append("started")
        elif self.stage == "ending":
            self.stage = "over"
            self.posts.append("stopped")
        elif self.stage == "busy":
            self.stage = "coming back"

    def _begin(self, now: float, script: Script) -> None:
        if script.failing_starts:
            script.failing_starts -= 1
            self._die()
        else:
            self.stage, self.until, script.slow_start = "starting", now + script.slow_start, 0.0

    def _take(self, now: float, what: str, seconds: float = 0.0) -> None:
        if what == "crash":
            self._die()
        elif what == "end":
            self.is_asked_to_stop = True
        else:
            self.stage, self.until, self.since = "busy", now + seconds, now

    def _end(self, now: float, script: Script) -> None:
        seconds, script.slow_stop = script.slow_stop, 0.0
        if script.failing_stop:
            script.failing_stop = False
            self._die()
        else:
            self.stage, self.until, self.since = "ending", now + seconds, now

    def _die(self) -> None:
        self.stage = "over"
        self.posts.append("died")


@dataclass(eq=False)
class Child:
    """What a supervisor remembers of one child."""

    spec: ChildSpec | SupervisorSpec
    group: Group | None = None
    actor: Actor | None = None
    state: str = "stopped"
    generation: int = 0
    restarts: int = 0
    failures: int = 0
    """starts that failed in a row"""
    deadline: float | None = None
    is_first_start: bool = True
    owes_report: bool = False
    starts_again: bool = False
    is_leaving: bool = False
    is_open: bool = True
    mail: list[tuple[Any, ...]] = field(default_factory=list)
    start_replies: list[Reply] = field(default_factory=list)
    stop_replies: list[Reply] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def is_live(self) -> bool:
        return self.state in {"starting", "running", "stopping"}

    @property
    def was_to_run(self) -> bool:
        """Whether, going down with another, it comes back with it."""
        return self.spec.restart != "temporary" and (self.state in {"starting", "running"} or self.starts_again)

    def due(self) -> float | None:
        """When its patience with it is over."""
        if self.state != "running":
            return self.deadline
        hang_seconds = self.spec.hang_seconds if isinstance(self.spec, ChildSpec) else None
        if hang_seconds is None or self.actor is None or self.actor.since is None:
            return None
        return self.actor.since + hang_seconds

    def backoff(self) -> float | None:
        """How long its next start has to wait."""
        if self.failures == 0:
            return None
        pause = self.spec.backoff_initial_seconds
        for _ in range(self.failures - 1):
            pause = min(pause * self.spec.backoff_factor, self.spec.backoff_cap_seconds)
        return min(pause, self.spec.backoff_cap_seconds)

    def rest(self, state: str) -> None:
        self.state, self.deadline, self.failures, self.actor = state, None, 0, None
        self.owes_report = self.starts_again = self.is_first_start = False
        self.answer_stops(in_time=True)
        self.answer_starts("ChildStartError")

    def close(self) -> None:
        """What is told to it from now on is lost."""
        self.is_open = False
        self.mail.clear()
        for below in self.group.everybody() if self.group is not None else ():
            below.close()

    def answer_starts(self, value: object) -> None:
        for reply in self.start_replies:
            reply.give(value)
        self.start_replies.clear()

    def answer_stops(self, *, in_time: bool) -> None:
        for reply in self.stop_replies:
            reply.give(in_time)
        self.stop_replies.clear()
