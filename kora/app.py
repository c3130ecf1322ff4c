"""The composition root: the only module of `kora` that knows the actors."""

from __future__ import annotations

import os
import resource
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Final, Self

import pykka
from loguru import logger

from actors import tree
from actors.messages import Append, Drain, Flush, Held, Transition
from actors.names import LEDGER, POLLER, RUNTIME, STATE_HOLDER
from actors.supervision import (
    ChildSpec,
    CommandTimeoutError,
    Directory,
    GaveUpError,
    Report,
    Supervisor,
    SupervisorSpec,
)
from actors.worker import Post
from kora import __version__, logging
from kora.agents.command import CommandAgent, resolve_executable
from kora.agents.containment import Containment
from kora.clock import SystemTime
from kora.domain.events import EventType, NewEvent
from kora.domain.ids import new_id
from kora.domain.resolution import StopReason
from kora.domain.state import BOOTED, PrimaryState
from kora.errors import AgentError, StartError, StoreError, StoreUnavailableError
from kora.signals import Signals
from kora.state_dir import StateDir
from kora.store.open import open_store
from kora.store.port import RuntimeRecord

if TYPE_CHECKING:
    from kora.config import Settings
    from kora.store.port import Outstanding

ABORT_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.1
_START_SECONDS: Final = 30.0
_FLUSH_SECONDS: Final = 2.0
_SWITCH_SECONDS: Final = 0.0005
"""how long a thread may keep the interpreter: a busy one would otherwise cost every message 5 ms"""

_REPORTED: Final = {
    "restarted": EventType.SUPERVISOR_RESTARTED,
    "child_abandoned": EventType.SUPERVISOR_GAVE_UP,
    "gave_up": EventType.SUPERVISOR_GAVE_UP,
}


Plan = Callable[[tree.Parts, Mapping[str, Post]], Mapping[str, ChildSpec]]
"""which children there are, made from their parts and the Workers' posts"""

_TICKS_A_BEAT: Final = 4
_DESCRIPTORS_AT_REST: Final = 128
_DESCRIPTORS_AN_ATTEMPT: Final = 12
_TICK_LEAST_SECONDS: Final = 0.01
_FATAL: Final = frozenset({"child_abandoned", "gave_up"})


class Runtime:
    """One runtime: a supervision tree in this process, from the state directory's lock to the last agent's end.

    Opening refuses with a `KoraError` that says why, before anything is changed; `start` begins to work the board.
    """

    def __init__(self, settings: Settings, *, plan: Plan = tree.children) -> None:
        self._settings = settings
        self._plan = plan
        self._opened = ExitStack()
        self._failure: Report | None = None
        self._held: Held | None = None
        try:
            self._open()
        except BaseException:
            self._opened.close()
            raise

    def _open(self) -> None:
        settings = self._settings
        agent = settings.agent
        path = os.environ.get("PATH") if "PATH" in agent.env_allow else None
        resolve_executable(agent.command, settings.path.parent, path)
        if not agent.workdir.is_dir():
            raise AgentError(f"agent.workdir: '{agent.workdir}' is no directory")
        _allow_descriptors(settings.workers.count)
        self._state_dir = StateDir(settings.runtime.state_dir)
        self._opened.callback(self._state_dir.close)
        self._store = self._opened.enter_context(
            open_store(settings.runtime.store, workspace_id=settings.runtime.workspace, actor_id=settings.runtime.actor)
        )
        self._reader = self._store.reader()
        self._opened.callback(self._reader.close)
        self.runtime_id = new_id()
        self._record = RuntimeRecord(self.runtime_id, socket.gethostname(), os.getpid(), __version__)
        lock_fd = self._state_dir.register(self.runtime_id)
        self._opened.callback(self._unregister)
        containment = Containment(lock_fd)
        self._opened.callback(containment.close)
        self._opened.callback(self._end_agents)
        self._time = SystemTime()
        self._posts: dict[str, Post] = tree.posts(settings.workers.count)
        parts = tree.Parts(
            agent=CommandAgent(
                agent.command_settings(), containment, state_dir=settings.runtime.state_dir, time_source=self._time
            ),
            open_writer=lambda: self._store.writer(self._record),
            open_reader=self._store.reader,
            predecessors=self._state_dir,
            time_source=self._time,
            workers=settings.workers.count,
            lease_seconds=settings.poller.lease_seconds,
            poll_interval_seconds=settings.poller.poll_interval_seconds,
            heartbeat_seconds=settings.heartbeat.interval_seconds,
            tick_seconds=_tick_seconds(settings),
            max_attempts=settings.control.max_attempts,
            policies=settings.supervisor.children.model_dump(),
        )
        self._children = self._plan(parts, self._posts)
        self._supervise()

    def _supervise(self) -> None:
        settings = self._settings.supervisor
        self._directory = Directory()
        self._inbox = self._directory.declare(RUNTIME)
        self._generation = self._inbox.attach()
        spec = SupervisorSpec(
            name="kora",
            children=tuple(self._children.values()),
            strategy=settings.strategy,
            max_restarts=settings.max_restarts,
            within_seconds=settings.within_seconds,
        )
        self._supervisor = Supervisor(spec, self._directory, self._on_report)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start every actor. Raises `StartError` when the supervisor gives up on one."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        # The gates have passed; said before anybody starts, it is the first thing that the StateHolder hears.
        self._directory.tell(STATE_HOLDER, Transition(target=PrimaryState.READY, trigger=BOOTED))
        try:
            self._supervisor.start(_START_SECONDS)
        except (GaveUpError, CommandTimeoutError) as error:
            raise StartError(f"the actors could not be started: {error}") from None

    def tell(self, name: str, message: object) -> None:
        """Send a message to an actor's name."""
        self._directory.tell(name, message)

    def outstanding(self) -> Outstanding:
        """What is left to do on this actor's board."""
        return self._reader.outstanding()

    def is_idle(self) -> bool:
        """Whether nothing is left that this runtime could come to work. A store that cannot be read has not said so."""
        with suppress(StoreUnavailableError):
            return not self._reader.outstanding().any
        return False

    def wait(self, timeout: float) -> bool:
        """Wait for as long, or until the supervisor has given up; True when it has."""
        self._failure = self._failure or self._supervisor.wait_failed(timeout)
        self._listen(0.0)
        return self._failure is not None

    def drain(self, signals: Signals | None = None) -> bool:
        """Claim nothing more, let what runs end, and see its end written. False when something is left under a claim.

        What still runs after `drain_seconds` is ended and released; after a further signal, everything at once.
        """
        settings = self._settings
        deadline = self._time.boot_seconds() + settings.control.drain_seconds
        patience = deadline + settings.agent.grace_seconds + ABORT_SECONDS
        aborted = False
        while not self._drained() and self._time.boot_seconds() < patience and not self.wait(0.0):
            if signals and signals.count > 1 and not aborted:
                aborted = True
                logger.warning("aborting: the agents are ended now")
                deadline = self._time.boot_seconds()
                patience = deadline + ABORT_SECONDS
            self._tell_drain(Drain(deadline=deadline, at_once=aborted))
            self._listen(_LOOK_SECONDS)
        return not aborted and self._drained()

    def close(self) -> None:
        """Stop every actor, end every agent, and leave. Claims that are still held are the successor's to return."""
        with self._opened:
            for name in (STATE_HOLDER, LEDGER):
                # What the mirror has yet to say, the Ledger has yet to write.
                with suppress(pykka.Timeout, pykka.ActorDeadError):
                    self._directory.ask(name, Flush(), _FLUSH_SECONDS)
            patience_seconds = sum(child.shutdown_seconds for child in self._children.values()) + ABORT_SECONDS
            for name in self._supervisor.stop(patience_seconds):
                logger.warning("{} would not stop and is left behind", name)

    def _end_agents(self) -> None:
        for post in self._posts.values():
            if post.agent is not None:
                post.agent.kill(StopReason.DRAINED)

    def _unregister(self) -> None:
        """Leave nothing to return; unless the store says that there is, or says nothing."""
        with suppress(StoreError), closing(self._store.writer(self._record)) as writer:
            if not writer.holds_any([self.runtime_id]):
                self._state_dir.unregister()

    def _drained(self) -> bool:
        return self._held is not None and self._held.drained

    def _tell_drain(self, drain: Drain) -> None:
        for name in (POLLER, LEDGER, *self._posts):
            self._directory.tell(name, drain)

    def _listen(self, timeout: float) -> None:
        """Hear what the Ledger has told."""
        for message in self._inbox.take(self._generation, 1_000_000, timeout):
            if isinstance(message, Held) and (self._held is None or message.version > self._held.version):
                self._held = message
        self._inbox.done(self._generation)

    def _on_report(self, report: Report) -> None:
        logger.log("ERROR" if report.context in _FATAL else "WARNING", "{}", report.text())
        event_type = _REPORTED.get(report.context)
        if event_type is not None:
            payload = {
                "supervisor": report.supervisor,
                "context": report.context,
                "reason": report.reason,
                "offender": report.offender,
            }
            self._directory.tell(LEDGER, Append(events=(NewEvent(event_type, payload),)))


def _allow_descriptors(workers: int) -> None:
    """Raise this process's limit of open files to what so many attempts need. Raises `StartError` if it may not."""
    needed = _DESCRIPTORS_AT_REST + workers * _DESCRIPTORS_AN_ATTEMPT
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise StartError(
                f"{workers} workers need {needed:,} open files, and this process may have {hard:,}: "
                "raise the limit (ulimit -n), or set workers.count lower"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _tick_seconds(settings: Settings) -> float:
    """As configured, but often enough for a short heartbeat or poll to come when it is due."""
    beat = settings.heartbeat.interval_seconds / _TICKS_A_BEAT
    return max(_TICK_LEAST_SECONDS, min(settings.runtime.tick_seconds, beat, settings.poller.poll_interval_seconds))


def run(settings: Settings, *, until_idle: bool) -> int:
    """Work the board until told to stop, or until there is nothing left to wait for. The process's exit code."""
    logging.configure(settings.runtime.log_level)
    try:
        with Signals() as signals, Runtime(settings) as runtime:
            logger.info(
                "runtime {} works {} with {} workers",
                runtime.runtime_id,
                settings.runtime.store,
                settings.workers.count,
            )
            runtime.start()
            while not signals.count and not runtime.wait(_LOOK_SECONDS):
                if until_idle and runtime.is_idle():
                    logger.info("nothing is left to do")
                    return 0 if runtime.drain(signals) else 1
            if not signals.count:
                return 1
            logger.info(
                "draining: what runs may end within {:g} s; a second signal ends it now", settings.control.drain_seconds
            )
            return 0 if runtime.drain(signals) else 1
    finally:
        logging.shutdown()
