"""One runtime: a supervision tree in this process."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Final, Self

from loguru import logger

from actors import tree
from actors.messages import Append
from actors.names import LEDGER
from actors.post import Post
from actors.remembered import Remembered
from actors.supervision import (
    CommandTimeoutError,
    Directory,
    GaveUpError,
    Report,
    Supervisor,
    SupervisorSpec,
)
from kora import __version__
from kora.agents.containment import Containment
from kora.agents.record import await_closed
from kora.app import assembly, reports, rereading
from kora.app.beside import Beside
from kora.app.boot.booting import Boot
from kora.app.ending import ABORT_SECONDS, Ending, kill_agents
from kora.app.idleness import Idleness
from kora.app.operators import Operators
from kora.clock import SystemTime
from kora.domain.cost import micro_usd
from kora.domain.ids import new_id
from kora.domain.resolution import StopReason
from kora.errors import StartError, StoreError
from kora.state_dir import StateDir
from kora.store.port import RuntimeRecord

if TYPE_CHECKING:
    from kora.config import Settings
    from kora.signals import Signals
    from kora.store.port import Writer
    from kora.store.views import Outstanding

_START_SECONDS: Final = 30.0
_RECORDS_SECONDS: Final = 5.0
"""for what the last agents printed to be compressed; what is left plain is the next sweep's"""
_SWITCH_SECONDS: Final = 0.0005
"""how long a thread may keep the interpreter: a busy one would otherwise cost every message 5 ms"""
_YOUNG_OBJECTS: Final = 20_000
"""how many objects are made before Python looks for cycles among them: claims come by the hundred, and hold none"""

Plan = Callable[[tree.Parts, Mapping[str, Post]], SupervisorSpec]
"""the tree, made from its parts and the Workers' posts"""


class Runtime:
    """One runtime: a supervision tree in this process, from the state directory's lock to the last agent's end.

    Opening tries the boot gates, and refuses with a `KoraError` that says why, before anything is claimed; `start`
    begins to work the board. A store whose server is out of reach is waited for, if there are signals to end that.
    """

    def __init__(self, settings: Settings, *, plan: Plan = tree.supervision, signals: Signals | None = None) -> None:
        self._settings = settings
        self._signals = signals
        self._plan = plan
        self._opened = ExitStack()
        self._failure: Report | None = None
        self._remembered = Remembered()
        try:
            self._open()
        except BaseException:
            self._opened.close()
            raise

    def _open(self) -> None:
        settings = self._settings
        self._state_dir = StateDir(settings.runtime.state_dir)
        self._opened.callback(self._state_dir.close)
        self.runtime_id = new_id()
        self._record = RuntimeRecord(self.runtime_id, socket.gethostname(), os.getpid(), __version__)
        self._operators = Operators(settings, self._state_dir, self._record)
        self._opened.callback(self._operators.close)
        self._boot = Boot(settings, self._state_dir.path, self._record, self._operators, self._signals)
        self._store = self._opened.enter_context(self._boot.open())
        self._reader = self._opened.enter_context(closing(self._store.reader()))
        self._idleness = Idleness(self._reader)
        lock_fd = self._state_dir.register(self.runtime_id)
        self._opened.callback(self._unregister)
        self._opened.callback(await_closed, _RECORDS_SECONDS)
        containment = self._opened.enter_context(closing(Containment(lock_fd)))
        self._time = SystemTime()
        self._posts: dict[str, Post] = tree.posts(settings.workers.count)
        self._agents = assembly.agents(settings, containment, self.runtime_id, self._time)
        self._opened.callback(self._agents.close)
        self._opened.callback(self._end_agents)  # first of all, while whatever serves them is still there
        self._random = Random()
        self._supervise()
        self.console = self._operators.attach(
            self._store,
            supervisor=self._supervisor,
            directory=self._directory,
            settings=lambda: self._settings,
            posts=lambda: self._posts,
            reread=lambda: rereading.preview(self, self._settings.path),
            update=lambda: rereading.follow(self, self._settings.path),
            signals=self._signals,
            time_source=self._time,
        )
        self._beside = Beside(settings, self._store, self._boot, containment, live=self._is_live, tell=self.tell)
        self._opened.callback(self._beside.close)

    def _supervise(self) -> None:
        self._directory = Directory()
        self._ending = Ending(
            self._directory,
            posts=lambda: self._posts,
            has_failed=lambda: self._wait(0.0),
            time_source=self._time,
        )
        self._supervisor = Supervisor(
            self._tree(self._settings, self._posts),
            self._directory,
            self._on_report,
            max_retired=self._settings.supervisor.max_retired,
        )

    def _tree(self, settings: Settings, posts: Mapping[str, Post]) -> SupervisorSpec:
        parts = assembly.parts(
            settings,
            agents=self._agents,
            open_writer=self._open_writer,
            open_reader=self._store.reader,
            state_dir=self._state_dir,
            operators=self._operators,
            holder=self.runtime_id,
            remembered=self._remembered,
            time_source=self._time,
        )
        # The same one whenever it is asked for, so that the Poller stays as it is.
        return self._plan(replace(parts, random=self._random), posts)

    def _open_writer(self) -> Writer:
        return self._store.writer(self._record)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_stopped(self) -> bool:
        """Whether a command of level 4 or 5 wants it to end; see `obey`."""
        return self._ending.order is not None

    def start(self) -> None:
        """Start every actor. Raises `StartError` when the supervisor gives up on one."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        # What is there now stays: there is no use in looking through it for garbage again and again.
        gc.freeze()
        gc.set_threshold(_YOUNG_OBJECTS)
        if (pause := self._state_dir.paused()) is not None:
            logger.warning("paused {}: nothing is claimed until `kora-actors resume`", pause.said())
        self._operators.start()
        # Said before anybody starts, it is the first thing that they hear.
        self._boot.begin(self.tell)
        try:
            self._supervisor.start(_START_SECONDS)
        except (GaveUpError, CommandTimeoutError) as error:
            raise StartError(f"the actors could not be started: {error}") from None
        self._beside.start()

    def tell(self, name: str, message: object) -> None:
        """Send a message to an actor's name."""
        self._directory.tell(name, message)

    def reread(self, settings: Settings) -> tuple[str, ...]:
        """What `update` would do, without doing it. Raises `KoraError` when it cannot be done."""
        assembly.check_agents(settings)
        changes = self._supervisor.reread(self._tree(settings, self._posts_of(settings)))
        return rereading.lines(self._settings, settings, changes)

    def update(self, settings: Settings) -> None:
        """Go on by these settings, with the fewest restarts, as `reread` has said.

        What a Worker runs that is to be no more is released, eligible at once.

        Raises:
            KoraError: an agent cannot be had, or files are too few: nothing was changed.
            SupervisionError: an actor that was added does not start; all else was done.
        """
        assembly.check_agents(settings)
        assembly.allow_descriptors(settings.workers.count, settings.admin.max_connections)
        posts = self._posts_of(settings)
        dismissed = [name for name in self._posts if name not in posts]
        for name in reversed(dismissed):
            self._supervisor.remove_child(name)
        # Their agents have ended before the Ledger learns of it, and gives back what nobody runs.
        patience_seconds = assembly.longest_grace(settings) + ABORT_SECONDS
        # Without serving anybody: of two updates, one within the other, the older would be the last.
        rereading.end_agents([self._posts[name] for name in dismissed], patience_seconds, self._wait)
        assembly.adopt(settings, self._agents)
        self._settings, self._posts = settings, posts
        self._supervisor.update(self._tree(settings, posts))

    def _posts_of(self, settings: Settings) -> dict[str, Post]:
        return {name: self._posts.get(name, post) for name, post in tree.posts(settings.workers.count).items()}

    def outstanding(self) -> Outstanding:
        """What is left to do on this actor's board."""
        return self._reader.outstanding()

    def is_idle(self) -> bool:
        """Whether nothing is left that this runtime could come to work, see `Idleness`; nor of those before it.

        Nor is it to make eligible what waits deferred since an earlier month. The store is not asked while anything is
        known to be held here: a busy one would be read ten times a second for nothing.
        """
        if self._ending.holds_any:
            return False
        # In this order: what is made eligible stands in the store before it is remembered.
        pool_micro_usd, is_resumed = micro_usd(self._settings.cost.pool_usd), self._remembered.resumes is False
        return is_resumed and self._idleness.is_idle(pool_micro_usd) and self._state_dir.is_settled()

    def wait(self, timeout: float) -> bool:
        """Wait for as long, or until the supervisor has given up; True when it has.

        What operators ask for that only this thread may do is done meanwhile: whoever drives a runtime calls this.
        """
        self._operators.main.serve()
        return self._wait(timeout)

    def drain(self, signals: Signals | None = None) -> bool:
        """Claim nothing more, let what runs end, and see its end written. False when something is left under a claim.

        What still runs after `drain_seconds` is ended and released, with its grace; what still runs when every grace is
        over, and after a further signal everything, is ended at once. A command of level 4 or 5 breaks it off.
        """
        self._operators.begin_to_end()
        return self._ending.drain(self._settings, signals)

    def obey(self) -> None:
        """End all agents now, release what they had, for at most five seconds, and say so in the log.

        Raises `RuntimeError` when no command wants it.
        """
        if self._ending.order is None:
            raise RuntimeError("there is no command to be obeyed")
        self._operators.begin_to_end()
        self._ending.obey(self._ending.order)

    def close(self) -> None:
        """Stop every actor, end every agent, and leave. Claims that are still held are the successor's to return."""
        with self._opened:
            self._operators.begin_to_end()
            try:
                self._ending.flush()
            finally:
                self._stop()

    def _wait(self, timeout: float) -> bool:
        self._failure = self._failure or self._supervisor.wait_failed(timeout)
        self._ending.listen(0.0)
        return self._failure is not None

    def _stop(self) -> None:
        patience_seconds = assembly.shutdown_seconds(self._settings) + ABORT_SECONDS
        try:
            left_behind = self._supervisor.stop(patience_seconds)
        except CommandTimeoutError:
            logger.warning("the actors would not stop within {:g} s and are left behind", patience_seconds)
            return
        for name in left_behind:
            logger.warning("{} would not stop and is left behind", name)

    def _end_agents(self) -> None:
        kill_agents(self._posts.values(), StopReason.DRAINED)

    def _unregister(self) -> None:
        """Leave nothing to return; unless the store says that there is, or says nothing."""
        with suppress(StoreError), closing(self._store.writer(self._record)) as writer:
            if not writer.holds_any([self.runtime_id]):
                self._state_dir.unregister()
                writer.say_ended()
        self._ending.revoke(self._store, self.runtime_id)

    def _is_live(self, work_attempt_id: str) -> bool:
        return any(post.has(work_attempt_id) for post in self._posts.values())

    def _on_report(self, report: Report) -> None:
        logger.log("ERROR" if report.context == "gave_up" else "WARNING", "{}", report.text())
        event = reports.event(report)
        if event is not None:
            self._directory.tell(LEDGER, Append(events=(event,)))
