"""An agent each of whose attempts gets a place of its own to run in, made within the attempt."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from kora.agents.git import Git, GitRun
from kora.agents.port import Lease
from kora.agents.record import Record, plain_path
from kora.agents.workspace import Workspace, put_mark, workspace_for
from kora.agents.workspaces import remove_tree
from kora.domain.resolution import Outcome, StopReason
from kora.errors import AgentError

if TYPE_CHECKING:
    from kora.agents.port import Agent, EndListener, Operations, RunningAgent
    from kora.clock import TimeSource
    from kora.domain.claim import Claim

CHECKOUT_SECONDS: Final = 900.0
"""how long git may take for a worktree, whatever the lease allows"""
GIT_BYTES: Final = 262_144
"""of what it prints, kept with the attempt"""

logger = logging.getLogger(__name__)


class WorkspacedAgent:
    """Makes the place, and then starts the agent that `make` gives for it, checks and all, within the same attempt.

    The place is there before anything of the agent's runs. One that cannot be made is a fault of dispatch. Nothing of
    it is removed here, however the attempt ends: see `workspaces.sweep`.
    """

    def __init__(
        self,
        make: Callable[[Path], Agent],
        kind: Literal["fresh", "worktree"],
        *,
        repository: Path,
        git: Git,
        timeout_seconds: float,
        stall_seconds: float,
        state_dir: Path,
        time_source: TimeSource,
        checkout_seconds: float = CHECKOUT_SECONDS,
    ) -> None:
        self.make = make
        self.kind: Literal["fresh", "worktree"] = kind
        self.repository = repository
        self.git = git
        self.timeout_seconds = timeout_seconds
        self.stall_seconds = stall_seconds
        self.state_dir = state_dir
        self.time_source = time_source
        self.checkout_seconds = checkout_seconds

    def start(self, claim: Claim, lease: Lease, on_end: EndListener, operations: Operations) -> RunningAgent:
        """Start one attempt; see `Agent.start`."""
        attempt = WorkspacedAttempt(self, claim, lease, on_end, operations)
        attempt.start()
        return attempt

    def lingering(self) -> frozenset[str]:
        """No ticket: only programs have places of their own."""
        return frozenset()


class WorkspacedAttempt:
    """The making of the place and then the agent in it, as one `RunningAgent`. Orders reach whichever is under way.

    While it is made, the attempt is at a tool: that is progress, for as long as any tool's is.
    """

    def __init__(
        self, agent: WorkspacedAgent, claim: Claim, lease: Lease, on_end: EndListener, operations: Operations
    ) -> None:
        self._agent = agent
        self._claim = claim
        self._lease = lease
        self._on_end = on_end
        self._operations = operations
        self._name = f"attempt {claim.key.work_attempt_id} of ticket {claim.key.ticket_id}"
        self._record = Record(
            plain_path(agent.state_dir, claim.key.work_attempt_id), agent.time_source, room_bytes=GIT_BYTES
        )
        self._lock = threading.Lock()
        self._git: GitRun | None = None
        self._inner: RunningAgent | None = None
        self._inner_ended = False
        self._reason: StopReason | None = None
        self._is_killed = False
        self._outcome: Outcome | None = None
        self._started_at = agent.time_source.boot_seconds()
        self._git_until = self._started_at + agent.checkout_seconds

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while anything of it may still run."""
        return self._outcome

    @property
    def progress_at(self) -> float | None:
        """When the agent last made progress, or was started, or the making of its place was."""
        inner = self._inner
        if inner is None:
            return self._started_at
        return inner.started_at if inner.progress_at is None else inner.progress_at

    @property
    def tool_since(self) -> float | None:
        """Since when the place is being made, or a tool of the agent's is at work."""
        inner = self._inner
        return self._started_at if inner is None else inner.tool_since

    @property
    def started_at(self) -> float:
        """When the making of its place was begun."""
        return self._started_at

    @property
    def timeout_seconds(self) -> float:
        """How long the attempt may take, the making included."""
        return self._agent.timeout_seconds

    @property
    def stall_seconds(self) -> float:
        """How long it may go without progress."""
        return self._agent.stall_seconds

    def extend(self, lease: Lease) -> None:
        """Let whichever is under way go on until the new deadline."""
        with self._lock:
            if lease.deadline > self._lease.deadline:
                self._lease = lease
            inner, git = self._inner, self._git
        if inner is not None:
            inner.extend(lease)
        elif git is not None:
            git.attempt.extend(self._for_git(lease))

    def stop(self, reason: StopReason) -> None:
        """End whichever is under way; see `RunningAgent.stop`."""
        if (running := self._ordered(reason)) is not None:
            running.stop(reason)

    def kill(self, reason: StopReason) -> None:
        """End whichever is under way, now."""
        self._is_killed = True
        if (running := self._ordered(reason)) is not None:
            running.kill(reason)

    def start(self) -> None:
        """Begin, in a thread of its own; where the machine refuses one, it has ended with a fault."""
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError as error:
            self._finish(Outcome(fault=f"no attempt could be prepared: {error}"))

    def _ordered(self, reason: StopReason) -> RunningAgent | None:
        with self._lock:
            self._reason = self._reason or reason
            return self._inner or (None if self._git is None else self._git.attempt)

    def _run(self) -> None:
        try:
            agent = self._agent
            workspace = workspace_for(self._claim, agent.kind, agent.repository)
            outcome = self._prepare(workspace)
            if outcome is None:
                self._begin(agent.make(workspace.folder(agent.state_dir)))
        except AgentError as error:
            outcome = Outcome(fault=str(error))
        except Exception as error:
            logger.exception("%s: its workspace could not be made", self._name)
            outcome = Outcome(fault=f"its workspace could not be made: {error!r}")
        if outcome is not None:
            self._finish(outcome)

    def _prepare(self, workspace: Workspace) -> Outcome | None:
        """The place is there; or how the attempt has ended, if it was to end first.

        Raises:
            AgentError: it cannot be made.
        """
        folder = workspace.folder(self._agent.state_dir)
        try:
            put_mark(workspace, self._agent.state_dir)
            if workspace.kind == "fresh":
                folder.mkdir(mode=0o700)
        except OSError as error:
            raise AgentError(
                f"no workspace could be made at '{folder}': {error.strerror}; "
                "is there room on that disk, and may the runtime write there?"
            ) from None
        is_lost = workspace.kind == "worktree" and not self._check_out(workspace, folder)
        with self._lock:
            if self._reason is not None:
                return Outcome(stop_reason=self._reason)
            is_lost = is_lost or self._lease.kill_at <= self._agent.time_source.boot_seconds()
        return Outcome(stop_reason=StopReason.LEASE_LOST) if is_lost else None

    def _check_out(self, workspace: Workspace, folder: Path) -> bool:
        """Have git make the worktree; False, if that was ended because the attempt is to end.

        Raises:
            AgentError: git could not, or took too long.
        """
        repository, branch = workspace.repository or Path(), str(workspace.branch)
        # Without tracking, nothing is written into the repository's configuration, whose lock others may hold. And a
        # git that makes a worktree stumbles over one that another git has half made; the checkout itself takes longer,
        # and may go on beside others.
        add = ("-C", str(repository), "worktree", "add", "--no-checkout", "--no-track", "-b", branch, str(folder))
        fault = self._git_fault(add, alone_in=repository)
        if fault is None:
            fault = self._git_fault(("-C", str(folder), "checkout", "--quiet", "--force"))
        if fault is None:
            return True
        # A disk that is full gets its room back at once; the rest is the sweep's.
        with suppress(OSError):
            remove_tree(folder)
        if fault:
            raise AgentError(
                f"no worktree of '{repository}' could be made at '{folder}', on a new branch {branch}: {fault}"
            )
        logger.warning("%s: was to end before its worktree of '%s' was made", self._name, repository)
        return False

    def _git_fault(self, arguments: tuple[str, ...], *, alone_in: Path | None = None) -> str | None:
        """What went wrong; nothing, but no None, if git was ended because the attempt is to end."""
        with self._lock:
            if self._reason is not None:
                return ""
            self._git = made = self._agent.git.prepare(
                f"git for {self._name}",
                arguments,
                self._for_git(self._lease),
                alone_in=alone_in,
                record=self._record,
            )
        made.attempt.run()
        if made.fault is None:
            return None
        is_stopped = made.attempt.outcome is not None and made.attempt.outcome.stop_reason is not None
        if self._reason is not None or (is_stopped and self._lease.deadline <= self._git_until):
            return ""
        if is_stopped:
            return (
                f"git took longer than {self._agent.checkout_seconds:g} s and was ended; "
                "is the repository too large for a checkout of each attempt's own, or its disk too slow?"
            )
        return made.fault

    def _for_git(self, lease: Lease) -> Lease:
        return Lease(min(lease.deadline, self._git_until), lease.lease_seconds)

    def _begin(self, agent: Agent) -> None:
        """Start the agent. What was ordered while nothing was under way is ordered anew."""
        given = self._lease
        inner = agent.start(self._claim, given, self._on_inner_end, self._operations)
        with self._lock:
            self._inner = inner
            ended, reason, lease = self._inner_ended, self._reason, self._lease
        if lease is not given:
            inner.extend(lease)
        if reason is not None:
            (inner.kill if self._is_killed else inner.stop)(reason)
        if ended:
            self._conclude(inner)

    def _on_inner_end(self) -> None:
        with self._lock:
            self._inner_ended = True
            inner = self._inner
        if inner is not None:
            self._conclude(inner)

    def _conclude(self, inner: RunningAgent) -> None:
        if inner.outcome is None:
            raise AssertionError("an end was announced, but nothing has ended")
        self._finish(inner.outcome)

    def _finish(self, outcome: Outcome) -> None:
        self._outcome = outcome
        try:
            self._on_end()
        except Exception:
            logger.exception("%s: whoever was to hear of the attempt's end failed", self._name)
        self._record.close()
