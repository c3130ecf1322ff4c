"""A supervisor: it starts its children, restarts those that die, and gives up when that happens too often."""

from __future__ import annotations

import logging
import queue
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

from actors.supervision.child import ChildStatus
from actors.supervision.directory import Directory
from actors.supervision.errors import CommandTimeoutError, NotRunningError, SupervisionError, UnknownChildError
from actors.supervision.lifecycle import Lifecycle
from actors.supervision.report import Report
from actors.supervision.spec import SupervisorSpec
from actors.supervision.tree import Tree
from actors.supervision.watch import Event

DEFAULT_TIMEOUT_SECONDS = 60.0

_logger = logging.getLogger("supervision")


@dataclass(frozen=True, slots=True)
class _Request:
    """Something the outside asks for, done in the supervisor's thread."""

    action: Callable[[Future[Any]], None]
    reply: Future[Any] = field(default_factory=Future)


class Supervisor:
    """A supervisor in a daemon thread of its own, with a queue of events: no child can hold it up.

    - Children are started in order, each once its predecessor's ``on_start`` has returned; stopped in reverse, each
      within its ``shutdown_seconds``. A child that dies, in whatever way, is restarted as its specification says,
      and its successor finds every message that was not handled, in order.
    - Restarts beyond the intensity: it reports ``gave_up``, stops the others in reverse, then wakes ``wait_failed``
      and calls ``on_gave_up``.
    - Every method may be called from any thread, takes no longer than its ``timeout`` in seconds, and may be called
      after the end. What timed out goes on. A supervisor is started once.
    - ``on_report`` and ``on_gave_up`` are called in the supervisor's thread, and should not block it; what they
      raise goes to the log.

    Names are declared in the directory when the supervisor is made; what is told before the start is kept.
    """

    def __init__(
        self,
        spec: SupervisorSpec,
        directory: Directory,
        on_report: Callable[[Report], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        on_gave_up: Callable[[Report], None] | None = None,
    ) -> None:
        self.name = spec.name
        self._events: queue.SimpleQueue[Event | _Request] = queue.SimpleQueue()
        self._clock = clock
        self._on_gave_up = on_gave_up
        self._lifecycle = Lifecycle(spec, directory, watcher=self._events.put, on_report=on_report, clock=clock)
        self._tree = Tree(spec, self._lifecycle)
        self._failed = threading.Event()
        self._has_ended = False
        self._thread: threading.Thread | None = None
        self._mutex = threading.Lock()

    def start(self, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """Every child runs.

        Raises:
            GaveUpError: they failed too often; what had started was stopped again.
            NotRunningError: it was started before, or stopped meanwhile.
            CommandTimeoutError: they are not all there yet.
            SupervisionError: there is no thread to be had for the supervisor itself.
        """
        with self._mutex:
            if self._thread is None and not self._has_ended:
                thread = threading.Thread(target=self._run, name=f"supervisor-{self.name}", daemon=True)
                # Known before it runs: a request that finds no thread empties the queue itself.
                self._thread = thread
                try:
                    thread.start()
                except RuntimeError as error:
                    self._thread = None
                    raise SupervisionError(f"{self.name}: {error}") from error
        self._request(self._tree.start, timeout)

    def stop(self, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> list[str]:
        """Every child has ended, but those named: they overran their deadline, and their threads are left behind.

        Raises:
            CommandTimeoutError: they are still being stopped.
        """
        with self._mutex:
            if self._thread is None:
                self._has_ended = True
        if self._has_ended:
            return list(self._lifecycle.overran)
        overran: list[str] = self._request(self._tree.stop, timeout)
        return overran

    def start_child(self, name: str, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """The child runs.

        Raises:
            ChildStartError: this start failed; a child to be restarted is tried again all the same.
            UnknownChildError, NotRunningError, CommandTimeoutError: it could not be asked for, or takes longer.
        """
        self._command("start", name, timeout)

    def restart_child(self, name: str, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """The child runs as a new actor, its messages kept. Does not count as a restart. Raises as ``start_child``."""
        self._command("restart", name, timeout)

    def stop_child(self, name: str, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> bool:
        """The child is stopped, and stays so; whether it ended within its deadline. Its messages are dead letters.

        Raises:
            UnknownChildError, NotRunningError, CommandTimeoutError: it could not be asked for, or takes longer.
        """
        return bool(self._command("stop", name, timeout))

    def children(self) -> list[ChildStatus]:
        """How each child stands, in the order of their start; answers also when the supervisor is busy."""
        return [child.status() for child in self._lifecycle.children.values()]

    def wait_failed(self, timeout: float | None = None) -> Report | None:
        """The report of having given up, once everything is stopped; None if that has not come about in time."""
        return self._lifecycle.failure if self._failed.wait(timeout) else None

    def _command(self, verb: Literal["start", "stop", "restart"], name: str, timeout: float) -> object:
        child = self._lifecycle.children.get(name)
        if child is None:
            raise UnknownChildError(f"{self.name} has no child {name!r}")
        return self._request(lambda reply: self._tree.command(verb, child, reply), timeout)

    def _request(self, action: Callable[[Future[Any]], None], timeout: float) -> Any:  # noqa: ANN401  # each knows its own
        if threading.current_thread() is self._thread:
            raise SupervisionError(f"{self.name}: its own thread would wait for itself")
        request = _Request(action)
        self._events.put(request)
        if self._thread is None or self._has_ended:
            # The loop may have ended before it saw this one.
            self._refuse_the_rest()
        try:
            return request.reply.result(timeout)
        except TimeoutError:
            if request.reply.done():
                raise
            raise CommandTimeoutError(f"{self.name}: no answer within {timeout:g} s") from None

    def _run(self) -> None:
        try:
            while self._tree.mode != "ended":
                self._turn()
        except BaseException:
            _logger.exception("the supervisor %s failed", self.name)
            self._tree.break_off(traceback.format_exc())
        self._has_ended = True
        self._refuse_the_rest()
        failure = self._lifecycle.failure
        if failure is None:
            return
        self._failed.set()
        if self._on_gave_up is not None:
            try:
                self._on_gave_up(failure)
            except Exception:
                _logger.exception("the callback for giving up raised")

    def _turn(self) -> None:
        deadline = self._lifecycle.next_deadline()
        wait = None if deadline is None else min(max(0.0, deadline - self._clock()), threading.TIMEOUT_MAX)
        try:
            event = self._events.get(timeout=wait)
        except queue.Empty:
            pass
        else:
            if isinstance(event, _Request):
                event.action(event.reply)
            else:
                self._lifecycle.handle(event)
        self._lifecycle.tick()
        self._tree.advance()

    def _refuse_the_rest(self) -> None:
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            if isinstance(event, _Request):
                if event.action == self._tree.stop:
                    event.reply.set_result(list(self._lifecycle.overran))
                else:
                    event.reply.set_exception(NotRunningError(f"{self.name} is not running"))
