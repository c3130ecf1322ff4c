"""The callable: a Python function as an agent, on a thread of the runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kora.agents.call import Call
from kora.agents.command import DEFAULT_ENV_ALLOW
from kora.agents.loading import load

if TYPE_CHECKING:
    from kora.agents.deadlines import Deadlines
    from kora.agents.executor import Executor
    from kora.agents.meter import Meters
    from kora.agents.port import EndListener, Lease, Operations, RunningAgent
    from kora.clock import TimeSource
    from kora.domain.claim import Claim


@dataclass(frozen=True, slots=True)
class CallableSettings:
    """The `[agent]` of kind "callable"."""

    function: str
    """'module:function', called as `run(ticket, work)`"""
    folder: Path
    """where the module is looked for first"""
    workdir: Path
    """where `verify` runs; the callable itself runs in the runtime's own working directory"""
    timeout_seconds: float = 0.0
    """how long an attempt may take; 0: as long as it makes progress"""
    stall_seconds: float = 0.0
    """how long an attempt may go without progress; 0: as long as its lease lasts"""
    grace_seconds: float = 5.0
    """between the word that it is to end and the end of the attempt, returned or not"""
    env_allow: tuple[str, ...] = DEFAULT_ENV_ALLOW
    """which of the runtime's environment variables `verify` gets"""
    verify: tuple[str, ...] = ()
    """what confirms a claimed success"""


class CallableAgent:
    """Calls the function as `Agent` has it. What it logs, and the traceback of what it raises, stays with the attempt.

    A callable cannot be killed. When its attempt is over and it has not returned, it *lingers*: its thread is left to
    it, and whatever it still does changes nothing.

    Raises:
        AgentError: the function cannot be found, or not be called.
    """

    def __init__(
        self,
        settings: CallableSettings,
        *,
        state_dir: Path,
        meters: Meters,
        time_source: TimeSource,
        executor: Executor,
        deadlines: Deadlines,
    ) -> None:
        self.settings = settings
        self.function = load(settings.function, settings.folder)
        self.time_source = time_source
        self.executor = executor
        self.deadlines = deadlines
        self.state_dir = state_dir
        self.meters = meters
        # Without a lock, each use being one step of the interpreter's: it is written under the locks of calls.
        self._lingering: dict[Call, str] = {}

    def start(self, claim: Claim, lease: Lease, on_end: EndListener, operations: Operations) -> RunningAgent:
        """Start one attempt and return at once.

        `on_end` is called by the attempt's own thread, or by whichever ends it; only where the machine refuses a thread
        it is called from within. It may start the next attempt, which then runs on the same thread, unless this one has
        a record to be closed.
        """
        call = Call(self, claim, lease, on_end, operations)
        try:
            self.deadlines.guard(call, call.due)
            self.executor.submit(call.run)
        except RuntimeError as error:
            call.fail(f"no thread could be had for the attempt: {error}")
        return call

    def lingering(self) -> frozenset[str]:
        """Tickets whose attempt is over though the function did not return yet."""
        return frozenset(self._lingering.copy().values()) if self._lingering else frozenset()

    def left_behind(self, call: Call) -> None:
        """This attempt is over, and its function goes on."""
        self._lingering[call] = call.claim.key.ticket_id

    def returned_late(self, call: Call) -> bool:
        """What was left behind is done; False if it was not: one that was over before it began."""
        return self._lingering.pop(call, None) is not None
