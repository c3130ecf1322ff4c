"""Who does the work in a `World`: agents that run until the test ends them, or their lease does."""

from __future__ import annotations

from contextlib import suppress

from kora.domain.resolution import Outcome, StopReason
from tests.unit.actors.moments import CrashError


class Agent:
    """One attempt under way, and its guardian."""

    timeout_seconds = stall_seconds = 0.0
    tool_since = progress_at = None

    def __init__(self, world, claim, lease, on_end, operations):
        self.world, self.claim, self.operations, self._on_end = world, claim, operations, on_end
        self.worker = operations._worker
        self.generation = world.inboxes[self.worker].generation
        self.started_at = world.time.seconds
        self.lease = lease
        self.outcome = self.reason = self.ran_out_at = None
        self.asked = 0
        self.was_turned_away = False
        """it was not let begin an operation, so that its end without a word is none of its own"""
        self.cost_usd = (len(world.agents) + 1) / 100
        """what it tells of its cost: no two alike"""

    def extend(self, lease):
        self.world.check_lease(self.claim, lease)
        self.lease = max(self.lease, lease, key=lambda one: one.deadline)

    def stop(self, reason):
        self.reason = self.reason or reason

    kill = stop

    def make_progress(self):
        self.progress_at = self.world.time.seconds

    def run_out(self):
        """The guardian ends it, though nobody has said so."""
        self.reason, self.ran_out_at = StopReason.LEASE_LOST, self.world.time.seconds
        self.world.shelf.note()
        self.end()

    def end(self):
        code, signal = (None, 15) if self.reason else (0, None)
        self.outcome = Outcome(exit_code=code, signal=signal, stop_reason=self.reason, spent_usd=self.cost_usd)
        # An agent's own thread does not die of whoever was to hear of its end.
        with suppress(CrashError):
            self._on_end()
