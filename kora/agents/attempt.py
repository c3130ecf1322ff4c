"""One attempt of a command under way: its lifeline, and the thread that reads it and its pipes."""

from __future__ import annotations

import logging
import select
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kora.agents.pipes import Bell, Pipes
from kora.agents.reader import LOOK_SECONDS, Plan, Reader, receive
from kora.agents.wire import STARTED, EndedBy, Fate, Order, Report, dump_order
from kora.domain.resolution import Outcome, StopReason
from kora.errors import AgentError

if TYPE_CHECKING:
    from kora.agents.dialogue import Dialogue
    from kora.agents.port import EndListener, Lease
    from kora.clock import TimeSource

_TRIES: Final = 2
_HAND_IN_SECONDS: Final = 5.0
"""how long a stopped attempt may take to have recorded what its agent asked for"""

logger = logging.getLogger(__name__)


class Attempt:
    """A running command, as `RunningAgent` has it. All but `run` returns at once and is for any thread.

    `run` is the body of the attempt's own thread. Whatever goes wrong in it becomes an outcome with a fault, and no
    outcome is set before the lifeline has ended or carried the report: nothing of the attempt is left then.
    """

    def __init__(self, plan: Plan, lease: Lease, time_source: TimeSource, on_end: EndListener) -> None:
        self._plan = plan
        self._time_source = time_source
        self._lease = lease
        self._on_end = on_end
        self._lock = threading.Lock()
        self._lifeline: socket.socket | None = None
        self._order: Order | None = None
        self._reason: StopReason | None = None
        self._outcome: Outcome | None = None
        self._started_at = time_source.boot_seconds()
        self._bell: Bell | None = None
        self.unrunnable = False
        """whether the program itself could not be run: it is missing, or no program, or its folder is gone"""

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while anything of it may still run."""
        return self._outcome

    @property
    def progress_at(self) -> float | None:
        """When it last made progress, on the boot clock; None before the first."""
        return self._plan.output.progress_at

    @property
    def tool_since(self) -> float | None:
        """Since when a tool call is in flight, on the boot clock; None when none is."""
        return self._plan.output.hearing.tool_since

    @property
    def started_at(self) -> float:
        """When it was started, on the boot clock."""
        return self._started_at

    @property
    def timeout_seconds(self) -> float:
        """How long the attempt may take; 0: as long as it makes progress."""
        return self._plan.timeout_seconds

    @property
    def stall_seconds(self) -> float:
        """How long it may go without progress; 0: as long as its lease lasts."""
        return self._plan.stall_seconds

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

    def start(self) -> None:
        """Begin, in a thread of its own; where the machine refuses one, it has ended with a fault."""
        try:
            threading.Thread(target=self.run, name=self._plan.name, daemon=True).start()
        except RuntimeError as error:
            self.finish(Outcome(fault=f"no attempt could be prepared: {error}"))

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
        """Set the outcome, tell the listener, and only then close the record, which may take a while."""
        meter = self._plan.meter
        if meter is not None:
            outcome = replace(outcome, spent_usd=meter.spent_usd)
            meter.close()
        self._outcome = outcome
        try:
            self._on_end()
        except Exception:
            logger.exception("%s: whoever was to hear of the attempt's end failed", self._plan.name)
        self._plan.output.close()

    def _end(self, order: Order, reason: StopReason) -> None:
        with self._lock:
            if self._reason is None:
                self._reason = reason
            if self._order not in (order, Order.KILL):
                self._order = order
                self._tell(dump_order(order))
            bell = self._bell
        if bell is not None:
            bell.ring()

    def _end_lingering(self) -> None:
        """End a program that has said its last word; that is no reason of Kora's, and its word stands."""
        with self._lock:
            if self._order is None:
                self._order = Order.TERMINATE
                self._tell(dump_order(Order.TERMINATE))

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
        document, dialogue = self._plan.document(), self._plan.dialogue
        keep_stdin = dialogue is not None and dialogue.interactive
        with Bell() as bell:
            self._bell = bell
            if dialogue is not None:
                dialogue.ring = bell.ring
            for _ in range(_TRIES):
                with Pipes(document, keep_stdin=keep_stdin) as pipes:
                    lifeline = self._launch(pipes)
                    reader = Reader(
                        self._plan,
                        lifeline,
                        pipes,
                        bell,
                        on_linger=self._end_lingering,
                        on_over_budget=lambda: self.stop(StopReason.OVER_BUDGET),
                        time_source=self._time_source,
                    )
                    report = reader.run()
                self._drop_lifeline()
                if report.fate is not Fate.UNSTARTED or report.ended_by is not EndedBy.ITSELF:
                    self._end_output()
                    outcome = self._as_outcome(report)
                    if dialogue is not None:
                        self._hand_in(dialogue, bell)
                    return outcome
        raise AgentError("the spawner died before it could start the attempt")

    def _hand_in(self, dialogue: Dialogue, bell: Bell) -> None:
        """Have the ledger asked for all that the agent asked for; as long as its lease lasts, and a killed one's not.

        An attempt's steps are asked one after the other, so what was asked last may have to wait here for its turn.
        """
        dialogue.agent_ended()
        ended_at = self._time_source.boot_seconds()
        poll = select.poll()
        poll.register(bell.descriptor, select.POLLIN)
        dialogue.pump()
        while not dialogue.is_idle:
            until = self._lease.deadline if self._order is None else ended_at + _HAND_IN_SECONDS
            left = min(until, self._lease.deadline) - self._time_source.boot_seconds()
            if left <= 0 or self._order is Order.KILL:
                logger.warning("%s: what it asked of the ledger last was not recorded: it had to end", self._plan.name)
                return
            poll.poll(int(min(left, LOOK_SECONDS) * 1_000) + 1)
            bell.hear()
            dialogue.pump()

    def _end_output(self) -> None:
        """Take in last lines that had no end, and what they tell of its cost."""
        output, meter = self._plan.output, self._plan.meter
        output.end()
        if meter is not None:
            meter.tell(output.hearing.spent_usd)

    def _launch(self, pipes: Pipes) -> socket.socket:
        lease, meter = self._lease, self._plan.meter
        file = None if meter is None else meter.fd
        lifeline = self._plan.launcher(pipes.theirs, lease, None if file is None else (pipes.stdout, file))
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
            message = receive(lifeline)
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
        self.unrunnable = report.fate is Fate.FAULT
        ended = Outcome(
            exit_code=report.value if report.fate is Fate.EXITED else None,
            signal=report.value if report.fate is Fate.SIGNALED else None,
            fault=report.text if report.fate in (Fate.FAULT, Fate.UNKNOWN) else None,
            stop_reason=stop_reason,
            last_output=output.last_line(failed=report.value != 0),
        )
        return output.hearing.conclude(ended)
