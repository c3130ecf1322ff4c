"""What all supervisors of one tree share."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from random import Random
from typing import TYPE_CHECKING, Any, Final

from actors.supervision.directory import Directory
from actors.supervision.late import Text
from actors.supervision.report import Context, Report
from actors.supervision.scheduler import Handle, Scheduler
from actors.supervision.timers import Timers
from actors.supervision.watch import Event, GaveUp, Post, Watcher

if TYPE_CHECKING:
    from actors.supervision.child import Child
    from actors.supervision.group import Group

DEFAULT_MAX_RETIRED: Final = 8

_logger = logging.getLogger("supervision")


class Common:
    """One tree's directory, clock, timers, observers, and the threads that it has left behind."""

    def __init__(
        self,
        directory: Directory,
        scheduler: Scheduler,
        *,
        post: Post,
        on_report: Callable[[Report], None],
        max_retired: int,
        random: Random,
    ) -> None:
        self.directory = directory
        self.scheduler = scheduler
        self.clock = scheduler.now
        self.timers = Timers(self.clock)
        self.random = random
        self.max_retired = max_retired
        self.post = post
        """where actors, and supervisors below the root, tell of what becomes of them"""
        self.owners: dict[str, tuple[Group, Child]] = {}
        """by every name in the tree but the root's: who looks after it"""
        self.watchers: list[Watcher] = []
        self.overran: list[str] = []
        """who was left behind while everything was being stopped"""
        self._on_report = on_report
        self.left_behind: tuple[str, str] | None = None
        """the name that a thread was last left behind for, and where that stood"""
        self._unsaid: deque[Callable[[], object]] = deque()
        self._retired: list[Handle] = []

    def report(
        self, supervisor: str, context: Context, offender: str, *, reason: Text, detail: Text, restarts: int
    ) -> None:
        """There is something to report; it is said once nothing more urgent is to be done, ahead of any answer."""
        self._later(lambda: self._say(supervisor, context, offender, reason=reason, detail=detail, restarts=restarts))

    def give_up(self, supervisor: str, offender: str, *, reason: Text, detail: Text, restarts: int) -> Report:
        """The report of a supervisor that gives up, after all that was to be said before."""
        self.speak()
        report = self._say(supervisor, "gave_up", offender, reason=reason, detail=detail, restarts=restarts)
        self._tell(GaveUp(supervisor, report))
        return report

    @property
    def unsaid(self) -> int:
        """How many reports wait to be said, and watchers to be told."""
        return len(self._unsaid)

    def patience(self) -> float | None:
        """How many seconds there is nothing to do, if nothing comes; None for as long as nothing does.

        Whoever is to be started goes before what there is to say of it: a traceback's text takes as long as that.
        """
        at = self.timers.next_at()
        wait = None if at is None else max(0.0, at - self.clock())
        if not self._unsaid:
            return wait
        pause = self.scheduler.pause_seconds
        return pause if wait is None else min(wait, pause)

    def speak(self) -> None:
        """Everything that waits to be said is."""
        while self._unsaid:
            self._unsaid.popleft()()

    def _say(
        self, supervisor: str, context: Context, offender: str, *, reason: Text, detail: Text, restarts: int
    ) -> Report:
        report = Report(
            supervisor=supervisor,
            context=context,
            reason=str(reason),
            offender=offender,
            restarts=restarts,
            detail=str(detail),
        )
        try:
            self._on_report(report)
        except Exception:
            _logger.exception("the callback for reports raised")
        return report

    def tell_watchers(self, event: Event) -> None:
        """Every watcher will know, in the order in which things are reported and told."""
        if self.watchers:
            self._later(lambda: self._tell(event))

    def _later(self, action: Callable[[], object]) -> None:
        self._unsaid.append(action)
        if not self.scheduler.pause_seconds:
            self.speak()

    def _tell(self, event: Event) -> None:
        for watcher in self.watchers:
            try:
                watcher(event)
            except Exception:
                _logger.exception("a watcher raised")

    def answer(self, replies: list[Future[Any]], result: object) -> None:
        """All who wait have their result, an exception raised; what came before it has been said by then."""
        if replies:
            self.speak()
        for reply in replies:
            if isinstance(result, Exception):
                reply.set_exception(result)
            else:
                reply.set_result(result)
        replies.clear()

    def leave_behind(self, name: str, handle: Handle, stack: str) -> None:
        """One more thread that nobody can end."""
        self.left_behind = name, stack
        self._retired.append(handle)

    def has_too_many_left_behind(self) -> bool:
        """Whether more threads were left behind than may be, those that have ended since not counted."""
        if self._retired:
            self._retired = [handle for handle in self._retired if handle.is_alive()]
        return len(self._retired) > self.max_retired

    def retired(self) -> int:
        """How many threads that were left behind are alive; from any thread."""
        return sum(handle.is_alive() for handle in list(self._retired))
