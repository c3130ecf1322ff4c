"""What becomes of each child: started, restarted, stopped, retired."""

from __future__ import annotations

import heapq
import itertools
import logging
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from actors.supervision.actor import Seat
from actors.supervision.child import Child, State
from actors.supervision.directory import Directory
from actors.supervision.errors import ChildStartError
from actors.supervision.intensity import add_restart
from actors.supervision.messages import Stop
from actors.supervision.plan import backoff_seconds, is_restarted
from actors.supervision.report import Context, Report
from actors.supervision.spec import SupervisorSpec
from actors.supervision.tenure import Tenure
from actors.supervision.watch import Died, Event, Started, Watcher

_logger = logging.getLogger("supervision")


class Lifecycle:
    """Each child by itself, by its specification and by the intensity that all share. It waits for nothing.

    All of it belongs to one thread, which hands it events as they come and the time as it passes. Past the
    intensity it leaves ``failure`` and restarts nothing more; ``is_closing`` has the latter effect as well.
    """

    def __init__(
        self,
        spec: SupervisorSpec,
        directory: Directory,
        *,
        watcher: Watcher,
        on_report: Callable[[Report], None],
        clock: Callable[[], float],
    ) -> None:
        self.failure: Report | None = None
        self.is_closing = False
        self.overran: list[str] = []
        self.children: Mapping[str, Child] = {
            child.name: Child(
                child, directory.declare(child.name, bound=child.inbox_bound, poison_after=child.poison_after)
            )
            for child in spec.children
        }
        self._spec = spec
        self._directory = directory
        self._watcher = watcher
        self._on_report = on_report
        self._clock = clock
        self._restart_times: list[float] = []
        self._deadlines: list[tuple[float, int, Child]] = []
        self._order = itertools.count()

    def start_child(self, child: Child, reply: Future[Any] | None = None) -> None:
        """The reply comes when it runs, or when this start has failed."""
        if reply is not None:
            child.start_replies.append(reply)
        if child.state == "running":
            _answer(child.start_replies, None)
        elif child.state == "stopping":
            child.start_again = True
        elif child.state != "starting":
            self._launch(child)

    def restart_child(self, child: Child, reply: Future[Any]) -> None:
        """As ``start_child``, with a new actor; not counted among the restarts."""
        if child.state in {"running", "starting"}:
            self._ask_to_stop(child)
        self.start_child(child, reply)

    def stop_child(self, child: Child, reply: Future[Any] | None = None) -> None:
        """The reply says whether it ended in time."""
        child.start_again = False
        if reply is not None:
            child.stop_replies.append(reply)
        if child.state in {"running", "starting"}:
            self._ask_to_stop(child)
        elif child.state != "stopping":
            self._rest(child, "stopped")

    def retire(self, child: Child) -> None:
        """Its thread, which nobody can end, may neither take nor send any more; what it had in hand is kept."""
        child.generation = child.inbox.supersede()
        child.inbox.recover("its actor was retired while it was busy with the message")
        if child.tenure is not None:
            child.tenure.abandon()

    def handle(self, event: Event) -> None:
        """The consequences of an event; one of an actor that was superseded has none."""
        child = self.children[event.name]
        if event.generation != child.generation:
            return
        if isinstance(event, Started):
            if child.state == "starting":
                self._started(child)
            return
        reason, detail = self._why(event)
        child.inbox.recover(detail)
        if child.state == "starting":
            self._start_failed(child, reason, detail)
        elif isinstance(event, Died) or (child.state == "running" and child.spec.restart == "permanent"):
            self.report("child_terminated", child, reason, detail)
            self._ended(child, reason, detail, abnormal=isinstance(event, Died))
        else:
            self._ended(child, reason, abnormal=False)

    def _why(self, event: Event) -> tuple[str, str]:
        if not isinstance(event, Died):
            return "it stopped by itself", ""
        if isinstance(event.exception, self._spec.plain_errors):
            return str(event.exception), ""
        return _reason(event.exception), event.traceback_text

    def next_deadline(self) -> float | None:
        """When ``tick`` is due next, on the supervisor's clock."""
        while self._deadlines and self._deadlines[0][2].deadline != self._deadlines[0][0]:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def tick(self) -> None:
        """The consequences of the deadlines that have passed."""
        now = self._clock()
        while (due := self.next_deadline()) is not None and due <= now:
            _, _, child = heapq.heappop(self._deadlines)
            child.deadline = None
            if child.state == "restarting":
                # It may have given up in this very turn.
                if not self.is_closing:
                    self._launch(child)
            elif child.state == "starting":
                self.retire(child)
                self._start_failed(child, f"it had not started after {child.spec.start_seconds:g} s")
            elif child.state == "stopping":
                self.retire(child)
                reason = f"it had not stopped after {child.spec.shutdown_seconds:g} s"
                self.report("shutdown_overrun", child, reason)
                if self.is_closing:
                    self.overran.append(child.name)
                _answer(child.stop_replies, False)  # noqa: FBT003  # the answer itself
                self._ended(child, reason, abnormal=True)

    def report(self, context: Context, child: Child, reason: str, detail: str = "") -> Report:
        """The report, handed to the callback, whose exceptions go to the log."""
        return self._send(context, child.name, reason, detail, child.restarts)

    def fail(self, offender: str, reason: str, detail: str, restarts: int = 0) -> None:
        """It gives up: nothing is restarted any more."""
        self.is_closing = True
        self.failure = self._send("gave_up", offender, reason, detail, restarts)

    def _launch(self, child: Child) -> None:
        child.generation = child.inbox.attach()
        child.state = "starting"
        seat = Seat(child.name, child.inbox, child.generation, self._directory, self._watcher)
        child.tenure = Tenure(seat, child.spec.factory)
        self._set_deadline(child, child.spec.start_seconds)
        try:
            child.tenure.begin()
        except RuntimeError as error:
            self._start_failed(child, _reason(error), traceback.format_exc())

    def _started(self, child: Child) -> None:
        child.state, child.deadline, child.failed_starts = "running", None, 0
        if child.is_restart:
            child.is_restart = False
            self.report("restarted", child, "it runs again")
        _answer(child.start_replies, None)

    def _start_failed(self, child: Child, reason: str, detail: str = "") -> None:
        self.report("start_failed", child, reason, detail)
        child.failed_starts += 1
        _refuse(child.start_replies, f"{child.name}: {reason}")
        self._fell(child, reason, detail, abnormal=True)

    def _ended(self, child: Child, reason: str, detail: str = "", *, abnormal: bool) -> None:
        if child.state != "stopping":
            self._fell(child, reason, detail, abnormal=abnormal)
        elif child.start_again:
            child.start_again = False
            _answer(child.stop_replies, True)  # noqa: FBT003  # the answer itself
            self._launch(child)
        else:
            self._rest(child, "stopped")

    def _fell(self, child: Child, reason: str, detail: str, *, abnormal: bool) -> None:
        child.deadline = None
        if self.is_closing or not is_restarted(child.spec.restart, abnormal=abnormal):
            self._rest(child, "failed" if abnormal else "stopped")
            return
        if self._is_too_much(child):
            self._rest(child, "failed")
            most, within = self._spec.max_restarts, self._spec.within_seconds
            why = f"more than {most} restarts within {within:g} s, the last for: {reason}"
            if child.spec.may_fail_alone:
                self.report("child_abandoned", child, why, detail)
            else:
                self.fail(child.name, why, detail, child.restarts)
            return
        child.restarts += 1
        child.is_restart = True
        if child.failed_starts:
            # By the deadlines even when the wait is nought: a start that fails at once must not recurse.
            child.state = "restarting"
            self._set_deadline(child, backoff_seconds(child.spec, child.failed_starts))
        else:
            self._launch(child)

    def _is_too_much(self, child: Child) -> bool:
        alone = child.spec.may_fail_alone
        times, too_many = add_restart(
            child.restart_times if alone else self._restart_times,
            self._clock(),
            max_restarts=self._spec.max_restarts,
            within_seconds=self._spec.within_seconds,
        )
        if alone:
            child.restart_times = times
        else:
            self._restart_times = times
        return too_many

    def _rest(self, child: Child, state: State) -> None:
        child.state, child.deadline, child.failed_starts, child.is_restart = state, None, 0, False
        child.tenure = None
        self._directory.withdraw(child.name)
        _answer(child.stop_replies, True)  # noqa: FBT003  # the answer itself
        _refuse(child.start_replies, f"{child.name}: it was stopped")

    def _ask_to_stop(self, child: Child) -> None:
        child.state = "stopping"
        self._set_deadline(child, child.spec.shutdown_seconds)
        child.inbox.put(Stop(child.generation), control=True)

    def _set_deadline(self, child: Child, seconds: float) -> None:
        child.deadline = self._clock() + seconds
        heapq.heappush(self._deadlines, (child.deadline, next(self._order), child))

    def _send(self, context: Context, offender: str, reason: str, detail: str, restarts: int) -> Report:
        report = Report(
            supervisor=self._spec.name,
            context=context,
            reason=reason,
            offender=offender,
            restarts=restarts,
            detail=detail,
        )
        try:
            self._on_report(report)
        except Exception:
            _logger.exception("the callback for reports raised")
        return report


def _reason(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


def _answer(replies: list[Future[Any]], result: object) -> None:
    for reply in replies:
        reply.set_result(result)
    replies.clear()


def _refuse(replies: list[Future[Any]], why: str) -> None:
    for reply in replies:
        reply.set_exception(ChildStartError(why))
    replies.clear()
