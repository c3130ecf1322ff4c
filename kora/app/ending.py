"""How a runtime comes to its end: drained, or at once, as a command of level 4 or 5 wants it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from loguru import logger

from actors.messages import Drain, Flush, Held
from actors.names import CONTROL, LEDGER, POLLER, RUNTIME, STATE_HOLDER
from actors.steering import EndRuntime, MarkCommands
from kora.app import assembly
from kora.domain.control import CommandStatus, NewMark, StopLevel
from kora.domain.resolution import StopReason
from kora.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from actors.post import Post
    from actors.supervision import Directory
    from kora.clock import TimeSource
    from kora.config import Settings
    from kora.signals import Signals
    from kora.store.port import Store

ABORT_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.1
_FLUSH_SECONDS: Final = 2.0
_OVERRUN: Final = "agents are still there although every grace is over: they are ended now"


def kill_agents(posts: Iterable[Post], reason: StopReason) -> None:
    """Nothing is ever begun at these posts again, and what runs there is killed; it is not waited for."""
    # All of them closed first: an attempt that ends would begin the next.
    running = [post.close() for post in posts]
    for agent in running:
        if agent is not None:
            agent.kill(reason)


class Ending:
    """What the process's own thread hears of the actors, and what it tells them when all is to end."""

    def __init__(
        self,
        directory: Directory,
        *,
        posts: Callable[[], Mapping[str, Post]],
        has_failed: Callable[[], bool],
        time_source: TimeSource,
    ) -> None:
        self._directory = directory
        self._inbox = directory.declare(RUNTIME)
        self._generation = self._inbox.attach()
        self._posts = posts
        self._has_failed = has_failed
        self._time = time_source
        self._held: Held | None = None
        self.order: EndRuntime | None = None
        """the command of level 4 or 5 by which the runtime is to end"""

    @property
    def holds_any(self) -> bool:
        """Whether the Ledger held anything when it was heard last."""
        return self._held is not None and bool(self._held.attempts)

    def listen(self, timeout: float) -> None:
        """Hear what the Ledger and Control have told."""
        for message in self._inbox.take(self._generation, 1_000_000, timeout):
            if isinstance(message, EndRuntime):
                if self.order is None or message.level >= self.order.level:
                    self.order = message
            elif isinstance(message, Held) and (self._held is None or message.version > self._held.version):
                self._held = message
        self._inbox.done(self._generation)

    def drain(self, settings: Settings, signals: Signals | None) -> bool:
        """What `Runtime.drain` says. It breaks off for a command that wants the end at once."""
        deadline = self._time.boot_seconds() + settings.control.drain_seconds
        patience = deadline + assembly.longest_grace(settings) + ABORT_SECONDS
        aborted = at_once = False
        while not self._is_drained() and not self._has_failed() and self.order is None:
            now = self._time.boot_seconds()
            aborted |= signals is not None and signals.count > 1
            if now >= patience and at_once:
                break
            if not at_once and (aborted or now >= patience):
                at_once = True
                logger.warning("aborting: the agents are ended now" if aborted else _OVERRUN)
                deadline, patience = now, now + ABORT_SECONDS
            self._tell_drain(Drain(deadline=deadline, at_once=at_once))
            self.listen(_LOOK_SECONDS)
        return not aborted and self._is_drained()

    def obey(self, order: EndRuntime) -> None:
        """The agents are ended now, and what they had is released, for at most five seconds; and that is on record."""
        logger.warning(
            "stopped by a command of level {} ({}): the agents are ended now, and this runtime exits with 5; "
            "before it is started again, `kora-actors control reset`",
            order.level.value,
            order.said,
        )
        # From this thread, whatever hangs.
        kill_agents(self._posts().values(), StopReason.STOPPED)
        until = self._time.boot_seconds() + ABORT_SECONDS
        while not self._is_drained() and not self._has_failed() and (now := self._time.boot_seconds()) < until:
            self._tell_drain(Drain(deadline=now, at_once=True))
            self.listen(_LOOK_SECONDS)
        self._put_on_record(order)

    def revoke(self, store: Store, runtime_id: str) -> None:
        """By a command of level 5, whatever might still write in this runtime's name is refused from now on."""
        order = self.order
        if order is None or order.level is not StopLevel.REVOKE:
            return
        try:
            with closing(store.board()) as board:
                board.revoke(runtime_id, reason=order.said, who=f"command {order.command_id}")
        except StoreError as error:
            logger.error("this runtime could not be revoked in the store: {}", error)

    def flush(self) -> None:
        """What the mirror has yet to say, and then Control, the Ledger has yet to write."""
        for name in (STATE_HOLDER, CONTROL, LEDGER):
            self._flush(name)

    def _put_on_record(self, order: EndRuntime) -> None:
        left = [
            f"{name}: the agent of attempt {running.claim.key.work_attempt_id} is still there"
            for name, post in self._posts().items()
            if (running := post.running) is not None and (running.agent is None or running.agent.outcome is None)
        ]
        for text in left:
            logger.error("{}", text)
        status = CommandStatus.FAILED if left else CommandStatus.ENFORCED
        # The mirror's last transition stands ahead of it.
        self._flush(STATE_HOLDER)
        self._directory.tell(LEDGER, MarkCommands(marks=(NewMark(order.command_id, status, "; ".join(left)),)))
        self._flush(LEDGER)

    def _flush(self, name: str) -> None:
        try:
            self._directory.ask(name, Flush(), _FLUSH_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever befalls an actor that is asked, all have to be stopped
            logger.debug("{} was not flushed: {!r}", name, error)

    def _is_drained(self) -> bool:
        return self._held is not None and self._held.drained

    def _tell_drain(self, drain: Drain) -> None:
        for name in (POLLER, LEDGER, *self._posts()):
            self._directory.tell(name, drain)
