"""What becomes of each child: started, watched, stopped, retired."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol

from actors.supervision.actor_body import ActorBody
from actors.supervision.child import Body, Child, State
from actors.supervision.common import Common
from actors.supervision.errors import ChildStartError, GaveUpError
from actors.supervision.late import Late, Text
from actors.supervision.plan import backoff_seconds
from actors.supervision.report import Context
from actors.supervision.spec import AnySpec, ChildSpec
from actors.supervision.stacks import error_text
from actors.supervision.timers import Timer
from actors.supervision.watch import Died, Posted, Retired, Started


class Superior(Protocol):
    """Who decides about the children that one lifecycle looks after."""

    def fell(self, child: Child, reason: Text, detail: Text, *, abnormal: bool) -> None:
        """The child ended without having been asked to, or did not start: what now?"""

    def is_wanted(self, child: Child) -> bool:
        """Whether a child that was stopped is started again in its turn."""

    def rested(self, child: Child) -> None:
        """The child is down, and is not coming back by itself."""


class Lifecycle:
    """Each child of one supervisor by itself. It waits for nothing; all of it belongs to the root's one thread."""

    def __init__(
        self, name: str, common: Common, superior: Superior, plain_errors: tuple[type[Exception], ...]
    ) -> None:
        self.is_closing = False
        """whether everything is being stopped: nothing is started any more, and names are kept"""
        self._name = name
        self._common = common
        self._superior = superior
        self.plain_errors = plain_errors

    def take_in(self, spec: AnySpec, body: Body | None = None) -> Child:
        """A child of that specification, which is not started yet; an actor, unless it has a body."""
        if body is None:
            assert isinstance(spec, ChildSpec)  # noqa: S101  # a supervisor brings itself
            body = ActorBody(spec, self._common)
        child = Child(spec, body, Timer(lambda: None))
        child.timer.on_due = partial(self._due, child)
        return child

    def start(self, child: Child, reply: Future[Any]) -> None:
        """The reply comes when it runs, or when this start has failed."""
        if child.state == "running":
            reply.set_result(None)
            return
        child.start_replies.append(reply)
        if child.state == "stopping":
            child.start_again = True
        elif child.state != "starting" and not self._superior.is_wanted(child):
            self.launch(child)

    def restart(self, child: Child, reply: Future[Any]) -> None:
        """As ``start``, with a new actor; not counted among the restarts."""
        if child.state not in {"running", "starting"}:
            self.start(child, reply)
            return
        # Known before it stops: one that is not waited for has stopped at once.
        child.start_again = True
        child.start_replies.append(reply)
        self.ask_to_stop(child)

    def stop(self, child: Child, reply: Future[Any]) -> None:
        """The reply says whether it ended in time."""
        child.start_again = False
        child.stop_replies.append(reply)
        if child.state in {"running", "starting"}:
            self.ask_to_stop(child)
        elif child.state != "stopping":
            self.rest(child, "stopped")

    def launch(self, child: Child) -> None:
        """It starts; that it has, or has failed to, comes as an event or, without a thread for it, at once."""
        child.state, child.timer.at = "starting", None
        if child.name in self._common.overran:
            self._common.overran.remove(child.name)
        if child.spec.start_seconds is not None:
            self._common.timers.set(child.timer, child.spec.start_seconds)
        # Known before anything can be heard of it.
        child.generation = child.body.attach()
        try:
            child.body.begin()
        except RuntimeError as error:
            self._start_failed(child, reason_of(error), error_text(error))

    def launch_after_backoff(self, child: Child) -> None:
        """It starts at once, or after failed starts by the timers, even without a wait, so that nothing recurses."""
        if child.failed_starts:
            child.state = "restarting"
            self._common.timers.set(child.timer, self.backoff(child))
        else:
            self.launch(child)

    def backoff(self, child: Child) -> float:
        """The seconds to wait before its next start."""
        return backoff_seconds(child.spec, child.failed_starts, self._common.random.random())

    def ask_to_stop(self, child: Child) -> None:
        """It ends within its time, or is left behind."""
        seconds = child.spec.shutdown_seconds
        child.state, child.timer.at = "stopping", None
        if seconds == "brutal":
            self._retire(child, "it is not waited for")
            self._ended(child, "it was stopped", abnormal=False)
            return
        if seconds != "infinity":
            self._common.timers.set(child.timer, seconds)
        child.body.ask_to_stop()

    def rest(self, child: Child, state: State) -> None:
        """It is down. While everything is being stopped its messages wait for what will become of the whole."""
        child.state, child.timer.at, child.failed_starts = state, None, 0
        child.is_new = child.is_restart = child.start_again = False
        if not self.is_closing:
            child.body.withdraw()
        self._common.answer(child.stop_replies, True)  # noqa: FBT003  # the answer itself
        self._common.answer(child.start_replies, ChildStartError(f"{child.name}: it was stopped"))
        self._superior.rested(child)

    def handle(self, child: Child, event: Posted) -> None:
        """The consequences of an event; one of an actor that was superseded has none."""
        if isinstance(event, Started):
            if child.state == "starting":
                self._started(child)
            return
        reason, detail = self._why(event)
        child.body.recover(detail)
        if child.state == "starting":
            self._start_failed(child, reason, detail)
        elif isinstance(event, Died) or (child.state == "running" and child.spec.restart == "permanent"):
            self.report("child_terminated", child, reason, detail)
            self._ended(child, reason, detail, abnormal=isinstance(event, Died))
        else:
            self._ended(child, reason, abnormal=False)

    def report(self, context: Context, child: Child, reason: Text, detail: Text = "") -> None:
        """What there is to say of a child."""
        self._common.report(self._name, context, child.name, reason=reason, detail=detail, restarts=child.restarts)

    def leave_behind(self, children: Iterable[Child]) -> None:
        """All are left behind at once, whatever they are at."""
        for child in children:
            if child.is_live:
                self._retire(child, "its supervisor did not wait for it")
            if child.state != "failed":
                self.rest(child, "failed")

    def _started(self, child: Child) -> None:
        child.state, child.timer.at, child.failed_starts, child.is_new = "running", None, 0, False
        self._watch_for_hang(child)
        if child.is_restart:
            child.is_restart = False
            self.report("restarted", child, "it runs again")
        self._common.answer(child.start_replies, None)

    def _start_failed(self, child: Child, reason: Text, detail: Text = "") -> None:
        self.report("start_failed", child, reason, detail)
        child.failed_starts += 1
        child.timer.at = None
        self._common.answer(child.start_replies, ChildStartError(f"{child.name}: {reason}"))
        self._fell(child, reason, detail, abnormal=True)

    def _ended(self, child: Child, reason: Text, detail: Text = "", *, abnormal: bool) -> None:
        if child.state != "stopping":
            self._fell(child, reason, detail, abnormal=abnormal)
        elif self._superior.is_wanted(child):
            # Its turn will come; whoever asked for its start waits for that.
            child.start_again = False
            self._common.answer(child.stop_replies, True)  # noqa: FBT003  # the answer itself
            child.state, child.timer.at = "restarting", None
        elif child.start_again:
            child.start_again = False
            self._common.answer(child.stop_replies, True)  # noqa: FBT003  # the answer itself
            self.launch(child)
        else:
            self.rest(child, "stopped")

    def _fell(self, child: Child, reason: Text, detail: Text, *, abnormal: bool) -> None:
        child.timer.at = None
        if self.is_closing:
            self.rest(child, "failed" if abnormal else "stopped")
        else:
            self._superior.fell(child, reason, detail, abnormal=abnormal)

    def _due(self, child: Child) -> None:
        if child.state == "restarting":
            self.launch(child)
        elif child.state == "running":
            self._watch_for_hang(child)
        elif child.state == "starting":
            reason = f"it had not started after {child.spec.start_seconds:g} s"
            self._start_failed(child, reason, self._retire(child, reason))
        elif child.state == "stopping":
            reason = f"it had not stopped after {child.spec.shutdown_seconds:g} s"
            stack = self._retire(child, reason)
            self.report("shutdown_overrun", child, reason, stack)
            if self.is_closing:
                self._common.overran.append(child.name)
            self._common.answer(child.stop_replies, False)  # noqa: FBT003  # the answer itself
            self._ended(child, reason, abnormal=True)

    def _watch_for_hang(self, child: Child) -> None:
        hang_seconds = child.spec.hang_seconds if isinstance(child.spec, ChildSpec) else None
        if hang_seconds is None:
            return
        now, since = self._common.clock(), child.body.busy_since
        due = (now if since is None else since) + hang_seconds
        if due > now:
            self._common.timers.set_at(child.timer, due)
            return
        reason = f"it was at one thing for {hang_seconds:g} s"
        stack = self._retire(child, reason)
        self.report("hung", child, reason, stack)
        self._fell(child, reason, stack, abnormal=True)

    def _retire(self, child: Child, reason: str) -> str:
        generation = child.generation
        child.timer.at = None
        child.generation, stack = child.body.retire()
        self._common.tell_watchers(Retired(child.name, generation, reason, stack))
        return stack

    def _why(self, event: Posted) -> tuple[Text, Text]:
        if not isinstance(event, Died):
            return "it stopped by itself", ""
        if isinstance(event.exception, GaveUpError):
            return f"it gave up: {event.exception.report.reason}", event.exception.report.detail
        if isinstance(event.exception, self.plain_errors):
            return str(event.exception), ""
        return Late(lambda: reason_of(event.exception)), Late(lambda: event.traceback_text)


def reason_of(error: BaseException) -> str:
    """An exception's class and message."""
    return "".join(traceback.format_exception_only(error)).strip()
