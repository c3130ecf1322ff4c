"""What bounds a Worker's attempts: their agents' own limits, a drain, and what Control says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from actors.gap import Gap
from actors.steering import Bounds
from kora.domain.control import StopLevel
from kora.domain.resolution import (
    BLAMELESS,
    EXIT_DENIED,
    EXIT_TEMPORARY,
    StopReason,
)

if TYPE_CHECKING:
    from actors.messages import Drain
    from kora.agents.port import RunningAgent
    from kora.domain.resolution import Outcome

_OWN_WORDS: Final = frozenset({EXIT_TEMPORARY, EXIT_DENIED})
"""exit codes by which an agent says more of its ticket than that it has ended"""


@dataclass(frozen=True, slots=True)
class Closed:
    """Why nothing is begun."""

    why: str
    is_deferred: bool = False
    """it waits for the end of a pause for cost"""


class Limits:
    """Part of one Worker, and of its thread; a successor hears all of it again within a tick."""

    def __init__(self, *, tool_seconds: float, tick_seconds: float) -> None:
        self._tool_seconds = tool_seconds
        self._gap = Gap(tick_seconds)
        self._awake_since = float("-inf")
        self._probing_since = float("inf")
        self.drain: Drain | None = None
        self.bounds = Bounds(version=(0, 0))

    def tick(self, now: float) -> None:
        """Time has passed."""
        if self._gap.tick(now):
            # An agent that slept with the machine has not stalled.
            self._awake_since = now

    def hear(self, bounds: Bounds, now: float) -> bool:
        """Let these hold, unless newer ones do."""
        if bounds.version <= self.bounds.version:
            return False
        if not bounds.probes:
            self._probing_since = float("inf")
        elif not self.bounds.probes:
            self._probing_since = now
        self.bounds = bounds
        return True

    @property
    def closed(self) -> Closed | None:
        """Why nothing is begun; None while attempts are."""
        if self.bounds.level >= StopLevel.DRAIN_CURRENT_FINISH:
            return Closed(BLAMELESS[StopReason.STOPPED])
        if self.drain is not None:
            return Closed(BLAMELESS[StopReason.DRAINED])
        return Closed(BLAMELESS[StopReason.COST], is_deferred=True) if self.bounds.ends_for_cost else None

    @property
    def no_operation(self) -> str:
        """Why no operation is begun; empty while they are."""
        level = self.bounds.level
        if level < StopLevel.DRAIN_CURRENT_FINISH:
            return ""
        return f"a command of level {level.value} stops this runtime: begin nothing more, and end"

    def progress_at(self, agent: RunningAgent, now: float) -> float | None:
        """The agent's last progress. A tool call in flight counts as progress, but not for ever."""
        progress_at, tool_since = agent.progress_at, agent.tool_since
        if tool_since is None:
            return progress_at
        in_tool = min(now, tool_since + self._tool_seconds)
        return in_tool if progress_at is None else max(progress_at, in_tool)

    def end_of(self, agent: RunningAgent, now: float) -> StopReason | None:
        """Why it is to be ended now, if it is."""
        bounds, timeout, stall = self.bounds, agent.timeout_seconds, agent.stall_seconds
        is_over = bounds.deadline is not None and now >= bounds.deadline
        if bounds.level >= StopLevel.ABORT_RELEASE_CLAIM or is_over:
            return StopReason.STOPPED
        if bounds.ends_for_cost:
            return StopReason.COST
        if self.drain is not None and now >= self.drain.deadline:
            return StopReason.DRAINED
        if timeout and now - agent.started_at >= timeout:
            return StopReason.TIMED_OUT
        progress_at = self.progress_at(agent, now) or 0.0
        is_stalled = stall and now - max(agent.started_at, progress_at, self._awake_since) >= stall
        return StopReason.STALLED if is_stalled else None

    def is_served(self, agent: RunningAgent) -> bool:
        """Whether it has made progress since it was to be shown whether its provider serves."""
        return agent.progress_at is not None and agent.progress_at >= self._probing_since

    def has_been_served(self, outcome: Outcome) -> bool:
        """Whether an end shows the same: it is the agent's own, and no refusal."""
        is_own = outcome.refusal is None and outcome.stop_reason is None and outcome.fault is None
        return is_own and self.bounds.probes


def ended_at_boundary(outcome: Outcome) -> Outcome:
    """How an attempt ended that was not let begin an operation: it was stopped by that, unless it says otherwise.

    Also one that ends as if it were done: what it asked for may be left undone.
    """
    is_own_end = outcome.raised is not None or outcome.exit_code not in {None, *_OWN_WORDS}
    is_silent = outcome.result is None and outcome.stop_reason is None and outcome.verify_fault is None
    return replace(outcome, stop_reason=StopReason.STOPPED) if is_own_end and is_silent else outcome
