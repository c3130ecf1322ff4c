"""What a Worker needs of an agent; never an implementation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from kora.domain.claim import Claim
from kora.domain.cost import Caps
from kora.domain.operation import OperationAnswer, OperationRequest
from kora.domain.resolution import Outcome, StopReason

GUARDED_SECONDS: Final = 1.0
"""an agent is killed at most so long before its lease is over"""


@dataclass(frozen=True, slots=True)
class Lease:
    """How long an attempt may go on without a refresh. Both are seconds; `deadline` is on the boot clock."""

    deadline: float
    lease_seconds: float
    kill_at: float = field(init=False, compare=False)
    """when its agent is killed, unless the lease is prolonged before: a little ahead of the deadline"""

    def __post_init__(self) -> None:
        """Once for all the claims of a turn, of which each asks several times."""
        object.__setattr__(self, "kill_at", self.deadline - min(GUARDED_SECONDS, self.lease_seconds / 10))


EndListener = Callable[[], None]
"""Called once, from any thread, when the attempt is over and nothing of it is left; must not block."""


OnAnswer = Callable[[OperationAnswer], None]
"""Called once, from any thread, with what came of a request; must not block."""


class Operations(Protocol):
    """How a running attempt reaches the operation ledger. For any thread."""

    def submit(self, request: OperationRequest, on_answer: OnAnswer) -> None:
        """Ask, and return at once.

        The request is repeated until it is answered, over crashes of any actor and outages of the store; an attempt
        that is over is answered LOST.
        """


class RunningAgent(Protocol):
    """One attempt under way. Every method returns at once and may be called from any thread."""

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while anything of it may still run."""

    @property
    def progress_at(self) -> float | None:
        """When it last made progress, on the boot clock; None before the first."""

    @property
    def tool_since(self) -> float | None:
        """Since when a tool call is in flight, on the boot clock; None when none is."""

    @property
    def started_at(self) -> float:
        """When it was started, on the boot clock."""

    @property
    def timeout_seconds(self) -> float:
        """How long the attempt may take; 0: as long as it makes progress."""

    @property
    def stall_seconds(self) -> float:
        """How long it may go without progress; 0: as long as its lease lasts."""

    def extend(self, lease: Lease) -> None:
        """Let it go on until the new deadline. An earlier deadline than the present one is ignored."""

    def stop(self, reason: StopReason) -> None:
        """End it: SIGTERM, then SIGKILL after the grace. The first reason counts; a later one may only hasten."""

    def kill(self, reason: StopReason) -> None:
        """End it now, with no grace."""


class Agent(Protocol):
    """A kind of agent, ready to be started any number of times."""

    def start(self, claim: Claim, lease: Lease, on_end: EndListener, operations: Operations) -> RunningAgent:
        """Start one attempt.

        Never raises for what concerns this one attempt: an agent that cannot be started is one that ends with a fault.
        The end is announced through `on_end`, also then.
        """

    def lingering(self) -> frozenset[str]:
        """Tickets whose attempt is over though something of it still runs here: a callable that did not return.

        They must not be claimed by this runtime before it has.
        """


class Agents(Agent, Protocol):
    """All agents of a configuration, of which each attempt is given the one that its ticket names."""

    @property
    def caps(self) -> Caps:
        """What an attempt and a ticket may cost; for any thread."""

    def settled(self, work_attempt_ids: Sequence[str]) -> None:
        """The ends of these attempts are on record, and what they have cost: nothing need be kept for that any more."""
