"""One attempt of an agent outside the board: contained and leased as any, and nothing of it in a store."""

from __future__ import annotations

import fcntl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kora.agents import records
from kora.agents.containment import Containment
from kora.agents.git import Git
from kora.agents.kinds import build
from kora.agents.meter import FOLDER as METERS
from kora.agents.meter import Meters
from kora.agents.port import Lease
from kora.agents.workspaces import Fate, Sweep
from kora.clock import from_us
from kora.domain.claim import Claim, ClaimKey
from kora.domain.ids import new_id, operation_id
from kora.domain.operation import (
    OperationAnswer,
    OperationRequest,
    Step,
    Verdict,
    begun_by,
)
from kora.domain.resolution import Settlement, StopReason, settle
from kora.domain.ticket import NewTicket, Status, Ticket

if TYPE_CHECKING:
    from kora.agents.coding.hearing import Watcher
    from kora.agents.kinds import Spec
    from kora.agents.port import OnAnswer, RunningAgent
    from kora.clock import TimeSource

LOOK_SECONDS: Final = 0.1
_HOLDER: Final = "trial"
_ENDS: Final = {Step.COMMIT: Verdict.COMMITTED, Step.ABANDON: Verdict.ABANDONED}


@dataclass(frozen=True, slots=True)
class Times:
    """What a runtime with this configuration would go by."""

    lease_seconds: float
    beat_seconds: float
    tool_seconds: float


class Trial:
    """One attempt under way. `tell` hears what a runtime would have done, in words; from any thread."""

    def __init__(
        self, running: RunningAgent, times: Times, time_source: TimeSource, tell: Callable[[str], None]
    ) -> None:
        self._running = running
        self._times = times
        self._time_source = time_source
        self._tell = tell
        self._spent_until = running.started_at
        self._due_at = running.started_at + times.beat_seconds

    def look(self) -> None:
        """Do what a Worker and the Heartbeat would: end one that has no time left, refresh a lease that is earned."""
        now, running = self._time_source.boot_seconds(), self._running
        progress_at = self._progress_at(now)
        if running.timeout_seconds and now - running.started_at >= running.timeout_seconds:
            running.stop(StopReason.TIMED_OUT)
        elif running.stall_seconds and now - max(running.started_at, progress_at or 0.0) >= running.stall_seconds:
            running.stop(StopReason.STALLED)
        if now < self._due_at:
            return
        self._due_at = now + self._times.beat_seconds
        if progress_at is None or progress_at <= self._spent_until:
            self._tell("no progress since the last heartbeat: the lease is not refreshed")
            return
        self._spent_until = progress_at
        running.extend(Lease(now + self._times.lease_seconds, self._times.lease_seconds))
        self._tell("the heartbeat refreshes the lease")

    def _progress_at(self, now: float) -> float | None:
        progress_at, tool_since = self._running.progress_at, self._running.tool_since
        if tool_since is None:
            return progress_at
        return max(progress_at or 0.0, min(now, tool_since + self._times.tool_seconds))


class Ledger:
    """The operations of a trial: each is done as if it were the first, told of, and forgotten."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def submit(self, request: OperationRequest, on_answer: OnAnswer) -> None:
        """Answer at once."""
        what = f"operation {request.tool_name} ({request.operation_key})"
        if request.step is not Step.BEGIN:
            self._tell(f"{what}: {_ENDS[request.step].value} {request.result or request.error or ''}".rstrip())
            on_answer(OperationAnswer(request, _ENDS[request.step]))
            return
        self._tell(f"{what}: begins")
        row_id = operation_id(request.claim.ticket_id, request.operation_key)
        row = begun_by(request, operation_id=row_id, at=datetime.now(UTC))
        on_answer(OperationAnswer(request, Verdict.DISPATCHED, row))


def a_claim(ticket: NewTicket, workspace_id: str, actor_id: str, *, lease_seconds: float) -> Claim:
    """The first claim of a ticket that is on no board."""
    now = datetime.now(UTC)
    made = Ticket(
        ticket_id=new_id(),
        workspace_id=workspace_id,
        ticket_title=ticket.ticket_title,
        ticket_objective=ticket.ticket_objective,
        sea_status=Status.IN_PROGRESS,
        sea_priority=ticket.sea_priority,
        sea_idea_kind=ticket.sea_idea_kind,
        sea_captured_at=now,
        created_at=now,
        assigned_to_actor_id=actor_id,
        next_eligible_at=None,
        claim_count=1,
        work_attempt_count=1,
        failure_count_by_reason={},
    )
    return Claim(ClaimKey(made.ticket_id, 1, new_id()), made, _HOLDER, now + timedelta(seconds=lease_seconds))


def attempt(
    spec: Spec,
    claim: Claim,
    times: Times,
    time_source: TimeSource,
    *,
    tell: Callable[[str], None],
    watch: Watcher,
    line: Callable[[records.RecordLine], None],
) -> Settlement | None:
    """See one attempt through; what would be written of its end, or None where its lease was lost.

    `tell` and `watch` hear of it as it goes, from any thread; `line` is told what is kept of its output. Interrupted
    (`KeyboardInterrupt`), the agent is stopped, and the end of that is handed back.

    Raises:
        AgentError: the agent cannot be made.
    """
    with _room(time_source) as (folder, containment):
        agents = build(
            spec,
            {},
            containment=containment,
            state_dir=folder,
            meters=Meters(folder / METERS),
            time_source=time_source,
            watch=watch,
        )
        ended = threading.Event()
        lease = Lease(time_source.boot_seconds() + times.lease_seconds, times.lease_seconds)
        running = agents.start(claim, lease, ended.set, Ledger(tell))
        trial = Trial(running, times, time_source, tell)

        def wait() -> bool:
            try:
                if ended.wait(LOOK_SECONDS):
                    return False
                trial.look()
            except KeyboardInterrupt:
                running.stop(StopReason.OPERATOR)
            return True

        try:
            for kept in records.follow(folder, claim.key.work_attempt_id, wait=wait):
                line(kept)
        finally:
            # Ended already, unless nobody could be told of it any more.
            running.kill(StopReason.OPERATOR)
            ended.wait()
            agents.close()
        outcome = running.outcome
        if outcome is None:
            raise AssertionError("an end was announced, but nothing has ended")
        return settle(claim, outcome, max_attempts=2)


@contextmanager
def _room(time_source: TimeSource) -> Iterator[tuple[Path, Containment]]:
    """A state directory of its own, and the containment in it; gone at the end, with all that it holds."""
    with tempfile.TemporaryDirectory(prefix="kora-try-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            containment = Containment(lock.fileno())
            try:
                yield folder, containment
                _leave_no_place(folder, containment, time_source)
            finally:
                containment.close()


def _leave_no_place(state_dir: Path, containment: Containment, time_source: TimeSource) -> None:
    """Take away what was made for the attempt alone, a worktree's branch included."""
    fate = Fate(is_completed=False, ended_at=from_us(0))
    Sweep(
        state_dir=state_dir,
        keep_days=0.0,
        fate_of=lambda _ticket, _attempt: fate,
        live=lambda _: False,
        git=Git(containment, time_source),
        time_source=time_source,
    ).run()
