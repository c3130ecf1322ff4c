"""The children of one supervisor as a whole: started in order, stopped in reverse."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from typing import Any, Literal

from actors.supervision.child import Child
from actors.supervision.errors import GaveUpError, NotRunningError
from actors.supervision.lifecycle import Lifecycle
from actors.supervision.plan import start_order, stop_order
from actors.supervision.spec import SupervisorSpec

Mode = Literal["new", "starting", "running", "stopping", "ended"]


class Tree:
    """Starts the children one after the other, and stops them so as well. It waits for nothing.

    ``advance`` is called after whatever may have changed a child, and does what has become possible by it. As with
    ``Lifecycle``, all of it belongs to one thread; futures carry the answers to those who wait outside.
    """

    def __init__(self, spec: SupervisorSpec, lifecycle: Lifecycle) -> None:
        self.mode: Mode = "new"
        self._spec = spec
        self._lifecycle = lifecycle
        self._pending: deque[Child] = deque()
        self._awaited: Child | None = None
        self._start_replies: list[Future[Any]] = []
        self._stop_replies: list[Future[Any]] = []

    def start(self, reply: Future[Any]) -> None:
        """The children are started in order; the reply comes when all have, or once it has given up."""
        if self.mode != "new":
            reply.set_exception(NotRunningError(f"{self._spec.name} can be started once only"))
            return
        self.mode = "starting"
        self._start_replies.append(reply)
        self._pending.extend(self._lifecycle.children[name] for name in start_order(self._spec))

    def stop(self, reply: Future[Any]) -> None:
        """The children are stopped in reverse; the reply names those that would not end in time."""
        self._stop_replies.append(reply)
        if self.mode in {"new", "starting", "running"}:
            self._begin_stopping()

    def command(self, verb: Literal["start", "stop", "restart"], child: Child, reply: Future[Any]) -> None:
        """One child is started, stopped or restarted; refused once everything is being stopped."""
        if self.mode not in {"starting", "running"}:
            reply.set_exception(NotRunningError(f"{self._spec.name} is not running"))
        elif verb == "start":
            self._lifecycle.start_child(child, reply)
        elif verb == "restart":
            self._lifecycle.restart_child(child, reply)
        else:
            if child in self._pending:
                self._pending.remove(child)
            self._lifecycle.stop_child(child, reply)

    def advance(self) -> None:
        """The next child is started or stopped, if the one before has got there."""
        if self._lifecycle.failure is not None and self.mode in {"starting", "running"}:
            self._begin_stopping()
        while self.mode in {"starting", "stopping"}:
            awaited = self._awaited
            if awaited is not None and awaited.state in {"starting", "restarting", "stopping"}:
                return
            if not self._pending:
                self._awaited = None
                self._arrive()
                return
            self._awaited = self._pending.popleft()
            if self.mode == "starting":
                self._lifecycle.start_child(self._awaited)
            elif self._awaited.state != "failed":
                self._lifecycle.stop_child(self._awaited)

    def break_off(self, detail: str) -> None:
        """The supervisor's own thread has failed: every actor is retired, and all who wait are told."""
        lifecycle = self._lifecycle
        lifecycle.fail(self._spec.name, "the supervisor itself failed", detail)
        for child in lifecycle.children.values():
            if child.state in {"starting", "running", "stopping"}:
                lifecycle.retire(child)
                lifecycle.overran.append(child.name)
                child.state = "failed"
        self._arrive()

    def _begin_stopping(self) -> None:
        self.mode = "stopping"
        self._lifecycle.is_closing = True
        self._awaited = None
        self._pending = deque(self._lifecycle.children[name] for name in stop_order(self._spec))
        for child in self._pending:
            child.start_again = False
            if child.state == "restarting":
                self._lifecycle.stop_child(child)

    def _arrive(self) -> None:
        failure = self._lifecycle.failure
        if self.mode == "starting":
            self.mode = "running"
            for reply in self._start_replies:
                reply.set_result(None)
        else:
            self.mode = "ended"
            error = NotRunningError(f"{self._spec.name} was stopped before it had started")
            for reply in self._start_replies:
                reply.set_exception(error if failure is None else GaveUpError(failure))
            for reply in self._stop_replies:
                reply.set_result(list(self._lifecycle.overran))
            self._stop_replies.clear()
        self._start_replies.clear()
