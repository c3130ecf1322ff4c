"""One attempt of a command under way: its lifeline, and the thread that reads it and its pipes."""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kora.agents.output import Output, Stream
from kora.agents.pipes import CHUNK_BYTES, Pipes
from kora.agents.wire import MESSAGE_BYTES, STARTED, EndedBy, Fate, Order, Report, dump_order, load_report
from kora.domain.resolution import Outcome, StopReason
from kora.errors import AgentError

if TYPE_CHECKING:
    from kora.agents.port import EndListener, Lease

Launcher = Callable[[tuple[int, int, int], "Lease"], socket.socket]
"""Starts the program on these three descriptors and hands back its lifeline; raises `AgentError`."""

_TRIES: Final = 2

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one attempt is made of, beside its lease and its listener."""

    name: str
    """for logs"""
    document: Callable[[], bytes]
    """makes what is written to stdin"""
    launcher: Launcher
    output: Output


class Attempt:
    """A running command, as `RunningAgent` has it. All but `run` returns at once and is for any thread.

    `run` is the body of the attempt's own thread. Whatever goes wrong in it becomes an outcome with a fault, and no
    outcome is set before the lifeline has ended or carried the report: nothing of the attempt is left then.
    """

    def __init__(self, plan: Plan, lease: Lease, started_at: float, on_end: EndListener) -> None:
        self._plan = plan
        self._lease = lease
        self._on_end = on_end
        self._lock = threading.Lock()
        self._lifeline: socket.socket | None = None
        self._order: Order | None = None
        self._reason: StopReason | None = None
        self._outcome: Outcome | None = None
        self._started_at = started_at

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while anything of it may still run."""
        return self._outcome

    @property
    def progress_at(self) -> float | None:
        """When it last made progress, on the boot clock; None before the first."""
        return self._plan.output.progress_at

    @property
    def started_at(self) -> float:
        """When it was started, on the boot clock."""
        return self._started_at

    def extend(self, lease: Lease) -> None:
        """Let it go on until the new deadline. An earlier deadline than the present one is ignored."""
        with self._lock:
            if lease.deadline > self._lease.deadline:
                self._lease = lease
                self._tell(dump_order(Order.LEASE, lease.deadline, lease.lease_seconds))

    def stop(self, reason: StopReason) -> None:
        """End it: SIGTERM, then SIGKILL after the grace. The first reason counts; a later one may only hasten."""
        self._end(Order.TERMINATE, reason)

    def kill(self, reason: StopReason) -> None:
        """End it now, with no grace."""
        self._end(Order.KILL, reason)

    def run(self) -> None:
        """See the attempt through, then `finish`."""
        try:
            outcome = self._see_through()
        except AgentError as error:
            outcome = Outcome(fault=str(error), stop_reason=self._reason)
        except Exception as error:
            logger.exception("%s: the attempt's reader failed", self._plan.name)
            self._await_end()
            outcome = Outcome(fault=f"the attempt's reader failed: {error!r}", stop_reason=self._reason)
        self.finish(outcome)

    def finish(self, outcome: Outcome) -> None:
        """Set the outcome, and tell the listener."""
        self._plan.output.close()
        self._outcome = outcome
        try:
            self._on_end()
        except Exception:
            logger.exception("%s: whoever was to hear of the attempt's end failed", self._plan.name)

    def _end(self, order: Order, reason: StopReason) -> None:
        with self._lock:
            if self._reason is None:
                self._reason = reason
            if self._order not in (order, Order.KILL):
                self._order = order
                self._tell(dump_order(order))

    def _tell(self, message: bytes) -> None:
        """Write to the lifeline; the caller holds the lock. As long as there is none, `_launch` will tell."""
        if self._lifeline is None:
            return
        try:
            self._lifeline.send(message)
        except BlockingIOError:
            # The guardian has not listened for hundreds of messages. The line's end cannot be lost, and says: end.
            self._lifeline.shutdown(socket.SHUT_WR)
        except OSError:
            # The guardian is gone, as the reader is about to hear.
            return

    def _see_through(self) -> Outcome:
        document = self._plan.document()
        for _ in range(_TRIES):
            with Pipes(document) as pipes:
                report = self._read(self._launch(pipes.theirs), pipes)
            self._drop_lifeline()
            if report.fate is not Fate.UNSTARTED or report.ended_by is not EndedBy.ITSELF:
                return self._as_outcome(report)
        raise AgentError("the spawner died before it could start the attempt")

    def _launch(self, theirs: tuple[int, int, int]) -> socket.socket:
        lease = self._lease
        lifeline = self._plan.launcher(theirs, lease)
        with self._lock:
            self._lifeline = lifeline
            if self._lease is not lease:
                self._tell(dump_order(Order.LEASE, self._lease.deadline, self._lease.lease_seconds))
            if self._order is not None:
                self._tell(dump_order(self._order))
        return lifeline

    def _drop_lifeline(self) -> None:
        with self._lock:
            if self._lifeline is not None:
                self._lifeline.close()
                self._lifeline = None

    def _read(self, lifeline: socket.socket, pipes: Pipes) -> Report:
        """Serve the pipes until the lifeline has said how it went."""
        streams: dict[int, Stream] = {pipes.stdout: "stdout", pipes.stderr: "stderr"}
        poll = select.poll()
        for descriptor in (lifeline.fileno(), *streams):
            poll.register(descriptor, select.POLLIN)
        if not pipes.write():
            poll.register(pipes.stdin, select.POLLOUT)
        started, report = False, None
        while report is None:
            for descriptor, _ in poll.poll():
                if descriptor in streams:
                    chunk = os.read(descriptor, CHUNK_BYTES)
                    self._plan.output.feed(streams[descriptor], chunk)
                    finished = not chunk
                elif descriptor != lifeline.fileno():
                    finished = pipes.write()
                else:
                    message, finished = _receive(lifeline), False
                    if message == STARTED:
                        started = True
                        pipes.close_theirs()
                    else:
                        report = _report_in(message, started=started)
                if finished:
                    poll.unregister(descriptor)
        for descriptor, stream in streams.items():
            self._plan.output.feed(stream, pipes.read_left_over(descriptor))
        return report

    def _await_end(self) -> None:
        """Have the agent killed, and wait until that is done: the reader itself has failed."""
        with self._lock:
            lifeline = self._lifeline
            self._tell(dump_order(Order.KILL))
        if lifeline is None:
            return
        poll = select.poll()
        poll.register(lifeline, select.POLLIN)
        message = STARTED
        while message == STARTED:
            poll.poll()
            message = _receive(lifeline)
        self._drop_lifeline()

    def _as_outcome(self, report: Report) -> Outcome:
        match report.ended_by:
            case EndedBy.ITSELF:
                stop_reason = self._reason if report.fate is Fate.UNKNOWN else None
            case EndedBy.LEASE:
                stop_reason = StopReason.LEASE_LOST
            case EndedBy.ORPHANED:
                stop_reason = self._reason or StopReason.LEASE_LOST
            case EndedBy.TERMINATE | EndedBy.KILL:
                stop_reason = self._reason
        output = self._plan.output
        output.end()
        return Outcome(
            exit_code=report.value if report.fate is Fate.EXITED else None,
            signal=report.value if report.fate is Fate.SIGNALED else None,
            fault=report.text if report.fate in (Fate.FAULT, Fate.UNKNOWN) else None,
            stop_reason=stop_reason,
            result=output.result,
            protocol_fault=output.protocol_fault,
            last_output=output.last_line(failed=report.value != 0),
        )


def _receive(lifeline: socket.socket) -> bytes:
    """The next message; empty at the line's end."""
    try:
        return lifeline.recv(MESSAGE_BYTES)
    except ConnectionResetError:
        # The other end went with orders unread. The kernel says so once, ahead of the report that may lie behind it.
        return lifeline.recv(MESSAGE_BYTES)


def _report_in(message: bytes, *, started: bool) -> Report:
    """What the line's last word says, or its end without one."""
    if message:
        return load_report(message)
    if started:
        return Report(Fate.UNKNOWN, text="the attempt's guardian and the spawner were both killed")
    return Report(Fate.UNSTARTED)
