"""The kinds of agents: from what a configuration says to what a Worker starts."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kora.agents.callable import CallableAgent, CallableSettings
from kora.agents.coding.agent import CodingAgent, interpreter_of
from kora.agents.coding.settings import CodingSettings
from kora.agents.coding.squeeze import JsonLines
from kora.agents.command import CommandAgent, CommandSettings, resolve_executable
from kora.agents.deadlines import Deadlines
from kora.agents.executor import Executor
from kora.agents.git import LOCK_PROGRAM, PROGRAM, Git
from kora.agents.lines import Conversation, LineSplitter, parsed
from kora.agents.loading import load
from kora.agents.verify import VerifiedAgent
from kora.agents.workspaced import WorkspacedAgent
from kora.domain.cost import amount_usd, most_usd
from kora.domain.resolution import AgentResult, Outcome, Resolution, StopReason
from kora.errors import AgentError

if TYPE_CHECKING:
    from kora.agents.coding.hearing import Watcher
    from kora.agents.containment import Containment
    from kora.agents.meter import Left, Meters
    from kora.agents.port import Agent, EndListener, Lease, Operations, RunningAgent
    from kora.clock import TimeSource
    from kora.domain.claim import Claim
    from kora.domain.cost import Caps

logger = logging.getLogger(__name__)

Spec = CommandSettings | CallableSettings | CodingSettings


def check(spec: Spec, *, key: str) -> None:
    """Whether an agent can be made of it; runs nothing but the import of a callable's module.

    Raises:
        AgentError: it cannot; the message begins with the key at fault, below `key`.
    """
    workspace = "shared" if isinstance(spec, CallableSettings) else spec.workspace
    if not spec.workdir.is_dir():
        place = "repository" if workspace == "worktree" else "workdir"
        raise AgentError(f"{key}.{place}: '{spec.workdir}' is no directory")
    if workspace == "worktree":
        try:
            for program in (PROGRAM, LOCK_PROGRAM):
                resolve_executable((program,), spec.workdir, os.environ.get("PATH"))
        except AgentError as error:
            raise AgentError(f'{key}.workdir: "worktree" needs git and flock: {error}') from None
    path = os.environ.get("PATH") if "PATH" in spec.env_allow else None
    at_fault = ""
    try:
        match spec:
            case CommandSettings():
                at_fault = "command"
                resolve_executable(spec.command, spec.workdir, path)
            case CallableSettings():
                at_fault = "callable"
                load(spec.function, spec.folder)
            case CodingSettings():
                at_fault = "executable"
                resolve_executable((spec.executable,), spec.workdir, path)
        if spec.verify:
            at_fault = "verify"
            resolve_executable(spec.verify, spec.workdir, path)
    except AgentError as error:
        raise AgentError(f"{key}.{at_fault}: {error}") from None


def build(
    default: Spec,
    named: Mapping[str, Spec],
    *,
    containment: Containment,
    state_dir: Path,
    meters: Meters,
    time_source: TimeSource,
    watch: Watcher | None = None,
) -> Agents:
    """All agents of a configuration, as one that chooses by the ticket; `watch` is told of coding agents' streams.

    Raises:
        AgentError: a callable cannot be loaded.
    """
    executor, deadlines = Executor(), Deadlines(time_source)
    making = _Making(
        containment, state_dir, meters, time_source, watch, executor, deadlines, Git(containment, time_source)
    )
    agents = Agents(making.agent, meters=meters, executor=executor, deadlines=deadlines, time_source=time_source)
    agents.adopt(default, named, meters.caps)
    return agents


@dataclass(frozen=True, slots=True)
class _Making:
    """What agents are made with."""

    containment: Containment
    state_dir: Path
    meters: Meters
    time_source: TimeSource
    watch: Watcher | None
    executor: Executor
    deadlines: Deadlines
    git: Git

    def agent(self, spec: Spec) -> Agent:
        """The agent of these settings, in the place that they ask for."""
        if isinstance(spec, CallableSettings) or spec.workspace == "shared":
            return self._checked(spec)
        return WorkspacedAgent(
            lambda folder: self._checked(replace(spec, workdir=folder)),
            spec.workspace,
            repository=spec.workdir,
            git=self.git,
            timeout_seconds=spec.timeout_seconds,
            stall_seconds=spec.stall_seconds,
            state_dir=self.state_dir,
            time_source=self.time_source,
        )

    def _checked(self, spec: Spec) -> Agent:
        """The agent that runs in `workdir` itself, with its check."""
        if not spec.verify:
            return self._bare(spec)
        return VerifiedAgent(
            self._bare(spec),
            spec.verify,
            workdir=spec.workdir,
            env_allow=spec.env_allow,
            grace_seconds=spec.grace_seconds,
            containment=self.containment,
            state_dir=self.state_dir,
            time_source=self.time_source,
        )

    def _bare(self, spec: Spec) -> Agent:
        match spec:
            case CommandSettings():
                return CommandAgent(
                    spec,
                    self.containment,
                    state_dir=self.state_dir,
                    meters=self.meters,
                    time_source=self.time_source,
                )
            case CodingSettings():
                return CodingAgent(
                    spec,
                    self.containment,
                    state_dir=self.state_dir,
                    meters=self.meters,
                    time_source=self.time_source,
                    watch=self.watch,
                )
            case CallableSettings():
                return CallableAgent(
                    spec,
                    state_dir=self.state_dir,
                    meters=self.meters,
                    time_source=self.time_source,
                    executor=self.executor,
                    deadlines=self.deadlines,
                )


def told_in(spec: Spec, printed: bytes) -> float | None:
    """The highest that an attempt of this agent tells of its cost in what it printed, from the beginning of a line on.

    Pure; None if it tells of none. A callable prints nothing to Kora.
    """
    match spec:
        case CommandSettings():
            conversation, plain = Conversation(), LineSplitter()
            conversation.take([*plain.feed(printed), *plain.end()])
            return conversation.spent_usd
        case CodingSettings():
            interpreter, lines = interpreter_of(spec), JsonLines()
            told: float | None = None
            for line in (*lines.feed(printed), *lines.end()):
                if line.lstrip()[:1] == b"{" and (said := parsed(line.strip())) is not None:
                    interpreter.take(said)
                    told = most_usd(told, amount_usd(interpreter.spent_usd))
            return told
        case CallableSettings():
            return None


class Agents:
    """Chooses an agent by the name that the ticket gives; the default one where it gives none."""

    def __init__(
        self,
        make: Callable[[Spec], Agent],
        *,
        meters: Meters,
        executor: Executor,
        deadlines: Deadlines,
        time_source: TimeSource,
    ) -> None:
        self._make = make
        self._meters = meters
        self._specs: dict[str | None, Spec] = {}
        self._agents: dict[str | None, Agent] = {}
        self._former: tuple[Agent, ...] = ()
        self._executor = executor
        self._deadlines = deadlines
        self._time_source = time_source

    def adopt(self, default: Spec, named: Mapping[str, Spec], caps: Caps) -> None:
        """Attempts that start from now on are those of these agents; what runs goes on as it began.

        Raises:
            AgentError: a callable cannot be loaded; nothing has changed.
        """
        specs: dict[str | None, Spec] = {None: default}
        specs.update(named)
        agents = {
            name: self._agents[name] if self._specs.get(name) == spec else self._make(spec)
            for name, spec in specs.items()
        }
        # One that was replaced is still asked for the callables that did not return to it.
        left = [agent for name, agent in self._agents.items() if agents.get(name) is not agent]
        self._former = (*(agent for agent in self._former if agent.lingering()), *left)
        self._specs, self._agents = specs, agents
        self._meters.caps = caps

    def start(self, claim: Claim, lease: Lease, on_end: EndListener, operations: Operations) -> RunningAgent:
        """Start one attempt of the ticket's agent; one that has ended where there is none, or no money is left."""
        if why := self._meters.refusal(claim):
            unbegun = AgentResult(resolution=Resolution.RELEASED, summary=why)
            never_ran = NeverRan(Outcome(result=unbegun), self._time_source.boot_seconds())
            on_end()
            return never_ran
        name = claim.ticket.agent
        agent = self._agents.get(name)
        if agent is not None:
            return agent.start(claim, lease, on_end, operations)
        fault = f"there is no [agents.{name}] in this runtime's configuration"
        never_ran = NeverRan(Outcome(fault=fault), self._time_source.boot_seconds())
        on_end()
        return never_ran

    @property
    def caps(self) -> Caps:
        """What an attempt and a ticket may cost."""
        return self._meters.caps

    def cost_of(self, left: Left) -> float | None:
        """What an attempt of a runtime that is gone has told of its cost; None if it has told of none."""
        spec = self._specs.get(left.agent)
        if spec is None:
            attempt = left.key.work_attempt_id
            logger.warning("there is no [agents.%s] any more to tell what attempt %s has cost", left.agent, attempt)
            return left.spent_usd
        return most_usd(left.spent_usd, told_in(spec, left.unheard))

    def settled(self, work_attempt_ids: Sequence[str]) -> None:
        """The ends of these attempts are on record, and what they have cost."""
        self._meters.forget(work_attempt_ids)

    def lingering(self) -> frozenset[str]:
        """Tickets whose attempt is over though something of it still runs here."""
        found: frozenset[str] = frozenset()
        for agent in (*self._agents.values(), *self._former):
            found |= agent.lingering()
        return found

    def close(self) -> None:
        """Let the threads of callables end; one that still runs goes on until it has returned, or the process ends."""
        self._deadlines.close()
        self._executor.close()


class NeverRan:
    """An attempt that ended before it began, as `RunningAgent` has it."""

    progress_at: float | None = None
    tool_since: float | None = None
    timeout_seconds = 0.0
    stall_seconds = 0.0

    def __init__(self, outcome: Outcome, started_at: float) -> None:
        self.outcome: Outcome | None = outcome
        self.started_at = started_at

    def extend(self, lease: Lease) -> None:
        """There is nothing to prolong."""

    def stop(self, reason: StopReason) -> None:
        """There is nothing to end."""

    def kill(self, reason: StopReason) -> None:
        """There is nothing to end."""
