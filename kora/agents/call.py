"""One attempt of a callable."""

from __future__ import annotations

import contextvars
import logging
import sys
import threading
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kora.agents.notes import Notes
from kora.agents.record import Record, plain_path
from kora.agents.returned import outcome_of, plain_number
from kora.domain.cost import amount_usd
from kora.domain.made import made
from kora.domain.resolution import Outcome, StopReason
from kora.domain.ticket import Ticket
from kora.errors import LeaseLostError
from kora.work import Work
from kora.work.course import Course
from kora.work.values import described

if TYPE_CHECKING:
    from kora.agents.callable import CallableAgent
    from kora.agents.port import EndListener, Lease, Operations
    from kora.domain.claim import Claim

_TRACEBACK_FRAMES: Final = 50

logger = logging.getLogger(__name__)


class Call:
    """One attempt of a callable, as `RunningAgent` has it. All but `run` returns at once and is for any thread.

    The outcome is set once, under the lock: by the function's return, or by whoever declares the attempt over first.

    Wherever something is made, Python may run a finalizer of a callable's, and that may log. So the lock can be taken
    again by who holds it, and nothing is made, logged or waited for under it.
    """

    __slots__ = (
        "_agent",
        "_begun",
        "_course",
        "_gives_up_at",
        "_lease",
        "_meter",
        "_mutex",
        "_notes",
        "_on_end",
        "_operations",
        "_outcome",
        "_started_at",
        "claim",
    )

    def __init__(
        self, agent: CallableAgent, claim: Claim, lease: Lease, on_end: EndListener, operations: Operations
    ) -> None:
        self.claim = claim
        self._agent = agent
        self._lease = lease
        self._on_end = on_end
        self._operations = operations
        self._course = Course()
        self._meter = agent.meters.meter(claim)
        self._mutex = threading.RLock()
        self._begun = False
        self._gives_up_at: float | None = None
        self._notes: Notes | None = None
        self._outcome: Outcome | None = None
        self._started_at = agent.time_source.boot_seconds()

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it counts."""
        return self._outcome

    @property
    def progress_at(self) -> float | None:
        """When it last made progress, on the boot clock; None before the first."""
        return self._course.progress_at

    @property
    def tool_since(self) -> float | None:
        """Since when the newest of its operations is in flight, on the boot clock; None when none is."""
        return self._course.tool_since

    @property
    def started_at(self) -> float:
        """When it was started, on the boot clock."""
        return self._started_at

    @property
    def timeout_seconds(self) -> float:
        """How long the attempt may take; 0: as long as it makes progress."""
        return self._agent.settings.timeout_seconds

    @property
    def stall_seconds(self) -> float:
        """How long it may go without progress; 0: as long as its lease lasts."""
        return self._agent.settings.stall_seconds

    @property
    def due(self) -> float:
        """When it is declared over, returned or not: ahead of the lease's end by as much as a command is killed."""
        lost_at, gives_up_at = self._lease.kill_at, self._gives_up_at
        return lost_at if gives_up_at is None else min(lost_at, gives_up_at)

    def extend(self, lease: Lease) -> None:
        """Let it go on until the new deadline. An earlier deadline than the present one is ignored."""
        with self._mutex:
            if lease.deadline > self._lease.deadline:
                self._lease = lease

    def stop(self, reason: StopReason) -> None:
        """Tell it that it is lost, and declare it over when it has not returned after the grace."""
        self._course.lose(reason)
        gives_up_at = self._agent.time_source.boot_seconds() + self._agent.settings.grace_seconds
        with self._mutex:
            if self._outcome is not None or self._gives_up_at is not None:
                return
            self._gives_up_at = gives_up_at
        self._agent.deadlines.hasten(gives_up_at)

    def kill(self, reason: StopReason) -> None:
        """Declare it over now."""
        self._course.lose(reason)
        self._declare_over()

    def look(self, now: float) -> float:
        """Declare it over if it is due; the moment at which to look again."""
        due = self.due
        if now < due:
            return due
        # If it was told to end, that stays the reason.
        self._course.lose(StopReason.LEASE_LOST)
        self._declare_over()
        return now

    def fail(self, fault: str) -> None:
        """It could not be started; nothing, if it was declared over before."""
        self._end(Outcome(fault=fault))()

    def run(self) -> EndListener:
        """Call the function; what is to be called once the thread is free for another attempt.

        Where there are notes, the end is told before: they can take a second to close, and may fail.
        """
        self.look(self._agent.time_source.boot_seconds())
        if self._course.reason is not None:
            self._declare_over()
        with self._mutex:
            if self._outcome is not None:
                return _nothing
            self._begun = True
        try:
            outcome = self._called()
        except BaseException as error:  # noqa: BLE001 - not the function's own: out of memory for its traceback, say
            outcome = Outcome(raised=described(error), last_output=self._last_output())
        self._meter.tell(outcome.cost_usd)
        tell = self._end(outcome)
        if self._notes is None:
            return tell
        try:
            tell()
        finally:
            self._notes.close()
        return _nothing

    def keep(self, text: str) -> None:
        """Keep what the callable logs."""
        self._keep("log", text)

    def spend(self, usd: object) -> None:
        """Take in what the callable says that it has spent so far; one that has spent more than it may is to end."""
        if self._outcome is not None:
            return
        amount = plain_number(usd)
        if amount is None or amount_usd(amount) != amount:
            what = type(usd).__name__ if amount is None else amount
            logger.warning("%s: what it says to have spent is no amount of money, or an absurd one: %s", self, what)
        if self._meter.tell(amount):
            self.stop(StopReason.OVER_BUDGET)

    def _called(self) -> Outcome:
        agent, course = self._agent, self._course
        work = Work(self.claim, course, self._operations, agent.time_source, keep=self.keep, spend=self.spend)
        try:
            try:
                # In a context of its own, so that it leaves nothing to the next attempt on this thread.
                value = contextvars.Context().run(agent.function, _own_copy(self.claim.ticket), work)
            finally:
                # Hooks that it hung on the thread would run in what follows. (One that raises takes itself off.)
                try:
                    sys.setprofile(None)
                finally:
                    sys.settrace(None)
            return outcome_of(value, self._last_output())
        except BaseException as error:  # noqa: BLE001 - whatever it raises is how this attempt ended, and nothing more
            if course.reason is not None and issubclass(type(error), LeaseLostError):
                return Outcome(last_output=self._last_output())
            self._keep("stderr", _traceback(error))
            return Outcome(raised=described(error), last_output=self._last_output())

    def _end(self, outcome: Outcome) -> EndListener:
        """Set the outcome, unless the attempt was over before; what tells of it."""
        reason = self._course.reason
        if reason is not None and (outcome.result is None or reason is StopReason.LEASE_LOST):
            # It was told to end, and did: only an explicit word says more than that.
            outcome = replace(outcome, stop_reason=reason)
        if (spent_usd := self._meter.spent_usd) is not None:
            outcome = replace(outcome, spent_usd=spent_usd)
        with self._mutex:
            late = self._outcome is not None
            if not late:
                self._outcome = outcome
        self._course.end()
        if late:
            if self._agent.returned_late(self):
                logger.info("%s: the callable has returned at last, which changes nothing", self)
            return _nothing
        self._meter.close()
        self._agent.deadlines.forget(self)
        return self._tell

    def _declare_over(self) -> None:
        spent_usd = self._meter.spent_usd
        outcome = Outcome(stop_reason=self._course.reason, last_output=self._last_output(), spent_usd=spent_usd)
        with self._mutex:
            if self._outcome is not None:
                return
            lingers = self._begun
            if lingers:
                # First: nobody here may see that it is over, and claim its ticket while it goes on.
                self._agent.left_behind(self)
            self._outcome = outcome
        self._course.end()
        self._meter.close()
        self._agent.deadlines.forget(self)
        self._tell()
        if lingers:
            logger.warning(
                "%s: over (%s), and the callable has not returned: its thread is left to it, and this runtime claims"
                " the ticket again only when it has",
                self,
                self._course.reason,
            )

    def _tell(self) -> None:
        # Let go of as it is told: it holds what holds this, and for such circles, thousands a second, the
        # interpreter would have to stop and look.
        on_end, self._on_end = self._on_end, _nothing
        try:
            on_end()
        except Exception:
            logger.exception("%s: whoever was to hear of the attempt's end failed", self)

    def _keep(self, stream: str, text: str) -> None:
        if self._outcome is not None:
            return
        notes = self._notes or self._opened_notes()
        if notes is not None:
            notes.keep(stream, text)

    def _opened_notes(self) -> Notes | None:
        """The attempt's notes, opened by whoever comes first; None when it is over."""
        path = plain_path(self._agent.state_dir, self.claim.key.work_attempt_id)
        made = Notes(Record(path, self._agent.time_source))
        with self._mutex:
            if self._outcome is None and self._notes is None:
                self._notes = made
            notes = self._notes if self._outcome is None else None
        if notes is not made:
            made.close()
        return notes

    def _last_output(self) -> str:
        return "" if self._notes is None else self._notes.last_line

    def __str__(self) -> str:
        return f"attempt {self.claim.key.work_attempt_id} of ticket {self.claim.key.ticket_id}"


def _own_copy(ticket: Ticket) -> Ticket:
    """The ticket, to be done with as the callable likes: what it came from is what the attempt's end is judged by."""
    fields = ticket.__dict__.copy()
    fields["failure_count_by_reason"] = fields["failure_count_by_reason"].copy()
    return made(Ticket, ticket.model_fields_set.copy(), fields)


def _traceback(error: BaseException) -> str:
    """The traceback, from the callable's own first line on, whatever the exception does when it is asked."""
    trace = error.__traceback__
    try:
        return "".join(
            traceback.format_exception(type(error), error, trace and trace.tb_next, limit=-_TRACEBACK_FRAMES)
        )
    except BaseException:  # noqa: BLE001 - an agent's code: it may raise anything
        return described(error)


def _nothing() -> None:
    """The end was told of by whoever declared it."""
