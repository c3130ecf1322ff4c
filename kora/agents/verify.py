"""An agent whose word is not enough: what it calls completed has to pass a check."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kora.agents import records
from kora.agents.attempt import Attempt
from kora.agents.hearing import Unheeded
from kora.agents.output import Output
from kora.agents.program import Program
from kora.agents.reader import Plan
from kora.agents.record import Record, plain_path
from kora.domain.resolution import Outcome, StopReason, claims_success

if TYPE_CHECKING:
    from kora.agents.containment import Containment
    from kora.agents.port import Agent, EndListener, Lease, Operations, RunningAgent
    from kora.clock import TimeSource
    from kora.domain.claim import Claim, EarlierAttempt

VERIFY_BYTES: Final = 1_048_576
"""of what a check prints: beside all that the agent may print, so that the one does not cost the other"""
STREAM: Final = "verify"

_READ_LINES: Final = 1_000

StartCheck = Callable[["Lease", "EndListener"], Attempt]
"""Makes the check's attempt; it is the caller's to start."""

logger = logging.getLogger(__name__)


class VerifiedAgent:
    """Starts the inner agent, and after each success that it claims the check, in the same attempt.

    The check is contained and leased as a command is, reads nothing, and what it prints is kept with the attempt.
    """

    def __init__(
        self,
        inner: Agent,
        argv: Sequence[str],
        *,
        workdir: Path,
        env_allow: Sequence[str],
        grace_seconds: float,
        containment: Containment,
        state_dir: Path,
        time_source: TimeSource,
    ) -> None:
        self._inner = inner
        self._state_dir = state_dir
        self._time_source = time_source
        self._program = Program(argv, containment, workdir=workdir, env_allow=env_allow, grace_seconds=grace_seconds)

    def start(self, claim: Claim, lease: Lease, on_end: EndListener, operations: Operations) -> RunningAgent:
        """Start one attempt; see `Agent.start`."""
        name = f"the check of attempt {claim.key.work_attempt_id} of ticket {claim.key.ticket_id}"
        record = Record(
            plain_path(self._state_dir, claim.key.work_attempt_id), self._time_source, room_bytes=VERIFY_BYTES
        )

        def check(current: Lease, on_check_end: EndListener) -> Attempt:
            plan = Plan(
                name=name,
                document=lambda: b"",
                launcher=lambda stdio, latest, _: self._program.launch(claim, stdio, latest),
                output=Output(record, Unheeded(), self._time_source, kept_as=STREAM),
            )
            return Attempt(plan, current, self._time_source, on_check_end)

        verified = VerifiedAttempt(self._program.name, check, record, lease, on_end)
        verified.begin(lambda inner_end: self._inner.start(claim, lease, inner_end, operations))
        return verified

    def lingering(self) -> frozenset[str]:
        """The inner agent's."""
        return self._inner.lingering()


class VerifiedAttempt:
    """The inner attempt and then its check, as one `RunningAgent`. Orders reach whichever runs.

    A success counts only with the check's 0. One that Kora had ended, or whose check it ends, was stopped.
    """

    def __init__(self, program: str, check: StartCheck, record: Record, lease: Lease, on_end: EndListener) -> None:
        self._program = program
        self._make_check = check
        self._record = record
        self._lease = lease
        self._on_end = on_end
        self._lock = threading.Lock()
        self._inner: RunningAgent | None = None
        self._inner_ended = False
        self._check: Attempt | None = None
        self._reason: StopReason | None = None
        self._outcome: Outcome | None = None

    def begin(self, start: Callable[[EndListener], RunningAgent]) -> None:
        """Start the inner attempt. Its end may be told before it is known here: whoever comes second goes on."""
        inner = start(self._on_inner_end)
        with self._lock:
            self._inner = inner
            ended = self._inner_ended
        if ended:
            self._go_on(inner)

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, the check included; None while anything of it may still run."""
        return self._outcome

    @property
    def progress_at(self) -> float | None:
        """When the agent last made progress, or its check began."""
        return self._running.progress_at if self._check is None else self._check.started_at

    @property
    def tool_since(self) -> float | None:
        """Since when the check, or a tool of the agent's, is at work."""
        return self._running.tool_since if self._check is None else self._check.started_at

    @property
    def started_at(self) -> float:
        """When the agent was started."""
        return self._running.started_at

    @property
    def timeout_seconds(self) -> float:
        """How long the attempt may take, its check included."""
        return self._running.timeout_seconds

    @property
    def stall_seconds(self) -> float:
        """How long it may go without progress."""
        return self._running.stall_seconds

    def extend(self, lease: Lease) -> None:
        """Let whichever runs go on until the new deadline."""
        with self._lock:
            if lease.deadline > self._lease.deadline:
                self._lease = lease
            current = self._check or self._running
        current.extend(lease)

    def stop(self, reason: StopReason) -> None:
        """End whichever runs; see `RunningAgent.stop`."""
        self._order(reason).stop(reason)

    def kill(self, reason: StopReason) -> None:
        """End whichever runs, now."""
        self._order(reason).kill(reason)

    @property
    def _running(self) -> RunningAgent:
        if self._inner is None:
            raise AssertionError("nobody has this attempt before its agent was started")
        return self._inner

    def _order(self, reason: StopReason) -> RunningAgent:
        with self._lock:
            self._reason = self._reason or reason
            return self._check or self._running

    def _on_inner_end(self) -> None:
        with self._lock:
            self._inner_ended = True
            inner = self._inner
        if inner is not None:
            self._go_on(inner)

    def _go_on(self, inner: RunningAgent) -> None:
        """The agent has ended: check it, or let its end be the attempt's."""
        outcome = inner.outcome
        if outcome is None:
            raise AssertionError("an end was announced, but nothing has ended")
        if not claims_success(outcome):
            self._finish(outcome)
            return
        with self._lock:
            reason = self._reason
            if reason is None:
                self._check = self._make_check(self._lease, lambda: self._conclude(outcome))
        if self._check is not None:
            self._check.start()
        else:
            self._finish(_stopped(outcome, reason))

    def _conclude(self, claimed: Outcome) -> None:
        """The check has ended: what that makes of the success that was claimed."""
        check = self._check
        if check is None or check.outcome is None:
            raise AssertionError("an end was announced, but nothing has ended")
        found = check.outcome
        if found.stop_reason is not None:
            self._finish(_stopped(claimed, found.stop_reason))
        elif check.unrunnable:
            self._finish(replace(claimed, verify_fault=f"verify failed: {found.fault}"))
        elif found.fault is not None:
            fault = f"the check could not be seen through: {found.fault}"
            self._finish(replace(claimed, exit_code=None, fault=fault, is_unconfirmed=True))
        elif found.exit_code == 0:
            self._finish(claimed)
        else:
            how = f"died by signal {found.signal}" if found.signal else f"exited with {found.exit_code}"
            tail = f": {found.last_output}" if found.last_output else ""
            self._finish(replace(claimed, verify_fault=f"verify failed: {self._program} {how}{tail}"))

    def _finish(self, outcome: Outcome) -> None:
        self._outcome = outcome
        try:
            self._on_end()
        except Exception:
            logger.exception("whoever was to hear of the attempt's end failed")
        self._record.close()


def last_output(state_dir: Path, earlier_attempts: Sequence[EarlierAttempt], *, characters: int) -> str:
    """The last of what the check printed in the newest of these attempts in which it printed anything; mostly empty.

    It reads their records, so it is for an attempt's own thread. One that was swept, or cannot be read, says nothing.
    """
    for attempt in reversed(earlier_attempts):
        printed: deque[str] = deque(maxlen=_READ_LINES)
        try:
            lines = records.read(state_dir, attempt.work_attempt_id)
            printed.extend(line.text[-characters:] for line in lines if line.stream == STREAM)
        except OSError as error:
            logger.warning("what the check printed in attempt %s is not told: %s", attempt.work_attempt_id, error)
        if printed:
            return "\n".join(printed)[-characters:]
    return ""


def _stopped(claimed: Outcome, reason: StopReason | None) -> Outcome:
    """What was claimed and not checked: it was stopped, and cost what it did."""
    return replace(claimed, exit_code=None, stop_reason=reason, is_unconfirmed=True)
