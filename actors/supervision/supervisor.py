"""A supervisor: it starts its children, restarts those that die, and gives up when that happens too often."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from actors.supervision.common import DEFAULT_MAX_RETIRED, Common
from actors.supervision.difference import Change, difference
from actors.supervision.directory import Directory
from actors.supervision.errors import (
    ChildStartError,
    CommandTimeoutError,
    GaveUpError,
    NotRunningError,
    SupervisionError,
)
from actors.supervision.group import Verb
from actors.supervision.observation import Observation
from actors.supervision.report import Report
from actors.supervision.scheduler import Scheduler, Threads
from actors.supervision.spec import AnySpec, SupervisorSpec
from actors.supervision.stacks import error_text
from actors.supervision.tree import Tree
from actors.supervision.watch import Posted

DEFAULT_TIMEOUT_SECONDS = 60.0
_UNSAID_MOST = 64

_logger = logging.getLogger("supervision")


@dataclass(frozen=True, slots=True)
class _Request:
    """Something the outside asks for, done in the supervisor's thread."""

    action: Callable[[Future[Any]], None]
    reply: Future[Any] = field(default_factory=Future)


class Supervisor(Observation):
    """The root of a tree: a daemon thread of its own with a queue of events, so that no child can hold it up.

    - Children are started in order, each once its predecessor's ``on_start`` has returned; stopped in reverse, each
      within its ``shutdown_seconds``. If one fails to start, those before it are stopped in reverse, and so is the
      start. A child that dies later, in whatever way, is restarted as its specification and the strategy say, and its
      successor finds every message that was not handled, in order.
    - Restarts beyond the intensity: it reports ``gave_up``, and stops the others in reverse. A supervisor that stands
      under another has died by that; the root wakes ``wait_failed`` and calls ``on_gave_up``.
    - An actor that does not start, stop, or come back from a message in time is retired: its thread is left behind.
      More than ``max_retired`` such threads at a time, and the root gives up.
    - Every method may be called from any thread, takes no longer than its ``timeout`` in seconds, and may be called
      after the end. What timed out goes on. A supervisor is started once.
    - ``on_report``, ``on_gave_up`` and the watchers are called in the supervisor's thread, and should not block it;
      what they raise goes to the log.
    - Names are declared when the supervisor is made. What is told from then on, and not handled, survives every actor,
      and every supervisor but the root, at whose end it becomes dead letters.
    """

    def __init__(
        self,
        spec: SupervisorSpec,
        directory: Directory,
        on_report: Callable[[Report], None],
        *,
        on_gave_up: Callable[[Report], None] | None = None,
        max_retired: int = DEFAULT_MAX_RETIRED,
        scheduler: Scheduler | None = None,
        random: Random | None = None,
    ) -> None:
        self._events: queue.SimpleQueue[Posted | _Request] = queue.SimpleQueue()
        self._scheduler = scheduler or Threads()
        self._on_gave_up = on_gave_up
        common = Common(
            directory,
            self._scheduler,
            post=self._events.put,
            on_report=on_report,
            max_retired=max_retired,
            random=random or Random(),
        )
        self._tree = Tree(spec, common)
        super().__init__(spec.name, self._tree.root, common)
        self._start_replies, self._stop_replies = list[Future[Any]](), list[Future[Any]]()
        self._failed = threading.Event()
        self._has_begun = False
        self._has_ended = False
        self._busy_thread: int | None = None
        self._mutex = threading.Lock()

    def start(self, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """Every child runs.

        Raises:
            GaveUpError: one could not be started, or they died too often; what had started was stopped again.
            NotRunningError: it was started before, or stopped meanwhile.
            CommandTimeoutError: they are not all there yet.
            SupervisionError: there is no thread to be had for the supervisor itself.
        """
        with self._mutex:
            if not self._has_begun and not self._has_ended:
                # Known before it runs: a request that finds no thread empties the queue itself.
                self._has_begun = True
                try:
                    self._handle = self._scheduler.begin(f"supervisor-{self.name}", self)
                except RuntimeError as error:
                    self._has_begun = False
                    raise SupervisionError(f"{self.name}: {error}") from error
        self._request(self._begin, timeout)

    def stop(self, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> list[str]:
        """Every child has ended, but those named: they overran their deadline, and their threads are left behind.

        Raises:
            CommandTimeoutError: they are still being stopped.
        """
        with self._mutex:
            if not self._has_begun:
                self._has_ended = True
        if self._has_ended:
            return list(self._common.overran)
        overran: list[str] = self._request(self._end, timeout)
        return overran

    def start_child(self, name: str, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """The child runs.

        Raises:
            ChildStartError: this start failed; a child to be restarted is tried again all the same.
            UnknownChildError, NotRunningError, CommandTimeoutError: it could not be asked for, or takes longer.
        """
        self._command("start", name, timeout)

    def restart_child(self, name: str, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """The child runs as a new actor, its messages kept, whatever the strategy: no other is touched.

        Does not count as a restart. Raises as ``start_child``.
        """
        self._command("restart", name, timeout)

    def stop_child(self, name: str, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> bool:
        """The child is down until it or its supervisor is started, its messages dead letters; whether it ended in time.

        Raises:
            UnknownChildError, NotRunningError, CommandTimeoutError: it could not be asked for, or takes longer.
        """
        return bool(self._command("stop", name, timeout))

    def add_child(self, spec: AnySpec, under: str | None = None, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """A further child runs, the last one of the supervisor that is named, or of the root; it survives restarts.

        Raises:
            ChildStartError: it could not be started, and is no child.
            NameTakenError: its name, or one below it, is in use.
            UnknownChildError, NotRunningError, CommandTimeoutError: it could not be asked for, or takes longer.
        """
        self._request(lambda reply: self._tree.add(spec, under or self.name, reply), timeout)

    def remove_child(self, name: str, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> bool:
        """As ``stop_child``, and it is a child no more; its name is free."""
        return bool(self._command("remove", name, timeout))

    def reread(self, spec: SupervisorSpec, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> tuple[Change, ...]:
        """What ``update`` would do, without doing it: the fewest restarts that make the tree what the spec says.

        Raises:
            ValueError: the specification is of a supervisor of another name.
            NotRunningError, CommandTimeoutError: as ever.
        """
        if spec.name != self.name:
            raise ValueError(f"{spec.name!r} is not {self.name!r}")
        now: SupervisorSpec = self._request(lambda reply: reply.set_result(self._root.spec()), timeout)
        return difference(now, spec)

    def update(self, spec: SupervisorSpec, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> tuple[Change, ...]:
        """The tree is what the specification says; what has been done for that.

        First all that go have stopped, and all that are made anew run again; then those that come are started.

        Raises:
            ChildStartError: some that were added could not be started, and are no children; all else was done.
            ValueError, NotRunningError, CommandTimeoutError: as ``reread``.
        """
        changes = self.reread(spec, timeout)
        added = [change for change in changes if change.kind == "added"]
        if changes:
            self._request(lambda reply: self._tree.part(changes, reply), timeout)
        self._request(lambda reply: self._tree.welcome(spec, added, reply), timeout)
        missing = [change.name for change in added if change.name not in self._common.owners]
        if missing:
            raise ChildStartError(f"could not be started: {', '.join(missing)}")
        return changes

    def wait_failed(self, timeout: float | None = None) -> Report | None:
        """The report of having given up, once all is stopped; None if that has not come within ``timeout`` seconds."""
        return self._root.failure if self._failed.wait(timeout) else None

    # --- as a task ---

    def life(self) -> Iterator[bool]:
        """Everything from the first request to the end."""
        try:
            while self._root.mode != "ended":
                yield True
                self._turn()
        except GeneratorExit:
            raise
        except BaseException as error:
            _logger.exception("the supervisor %s failed", self.name)
            self._tree.break_off(error_text(error))
        self._conclude()

    def is_ready(self) -> bool:
        """Whether an event, a request or a report waits."""
        return self._common.unsaid > 0 or not self._events.empty()

    def due_at(self) -> float | None:
        """When the next timer is due."""
        return self._common.timers.next_at()

    def _turn(self) -> None:
        wait = self._common.patience()
        event: Posted | _Request | None = None
        with suppress(queue.Empty):
            event = self._events.get(timeout=wait if wait is None else min(wait, threading.TIMEOUT_MAX))
        self._busy_thread = threading.get_ident()
        if event is None or self._common.unsaid > _UNSAID_MOST:
            self._common.speak()
        if isinstance(event, _Request):
            self._do(event)
        elif event is not None and event.name != self.name:
            self._tree.hear(event)
        self._tree.advance()
        self._busy_thread = None

    def _do(self, request: _Request) -> None:
        try:
            request.action(request.reply)
        except SupervisionError as error:
            request.reply.set_exception(error)

    def _begin(self, reply: Future[Any]) -> None:
        if self._root.mode != "new":
            raise NotRunningError(f"{self.name} can be started once only")
        self._start_replies.append(reply)
        self._root.when_settled(self._say_started)
        self._root.begin()

    def _say_started(self) -> None:
        """At once, and not by the queue, where a child's end may stand before it: that all have started stays true."""
        if self._root.mode == "running":
            self._common.answer(self._start_replies, None)

    def _end(self, reply: Future[Any]) -> None:
        self._stop_replies.append(reply)
        self._root.ask_to_stop()

    def _command(self, verb: Verb, name: str, timeout: float) -> object:
        return self._request(lambda reply: self._tree.command(verb, name, reply), timeout)

    def _request(self, action: Callable[[Future[Any]], None], timeout: float) -> Any:  # noqa: ANN401  # each knows its own
        if self._busy_thread == threading.get_ident():
            raise SupervisionError(f"{self.name}: its own thread would wait for itself")
        request = _Request(action)
        self._events.put(request)
        if not self._has_begun or self._has_ended:
            # The loop may have ended before it saw this one.
            self._refuse_the_rest()
        self._scheduler.wait(request.reply, timeout)
        if not request.reply.done():
            raise CommandTimeoutError(f"{self.name}: no answer within {timeout:g} s")
        return request.reply.result()

    def _conclude(self) -> None:
        root = self._root
        self._common.speak()
        root.withdraw()
        self._has_ended = True
        error = NotRunningError(f"{self.name} was stopped before it had started")
        self._common.answer(self._start_replies, error if root.failure is None else GaveUpError(root.failure))
        self._common.answer(self._stop_replies, list(self._common.overran))
        self._refuse_the_rest()
        if root.failure is None:
            return
        self._failed.set()
        if self._on_gave_up is not None:
            try:
                self._on_gave_up(root.failure)
            except Exception:
                _logger.exception("the callback for giving up raised")

    def _refuse_the_rest(self) -> None:
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            if isinstance(event, _Request):
                if event.action == self._end:
                    event.reply.set_result(list(self._common.overran))
                else:
                    event.reply.set_exception(NotRunningError(f"{self.name} is not running"))
