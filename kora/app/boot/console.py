"""What an operator sees of a runtime while its gates are tried: how it stands, its log, and how to end it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NoReturn

from kora.admin.views import BootView, RuntimeStatus
from kora.app.console.recorder import Acted
from kora.domain.vitals import Vitals
from kora.errors import RefusedError

if TYPE_CHECKING:
    from kora.admin.port import Feed
    from kora.admin.views import (
        ActorInfo,
        DeadLettersView,
        LogLine,
        Mailbox,
        MessageKind,
        Restarted,
        RuntimeIdentity,
        StateChange,
        SupervisorView,
        ThreadStack,
        Traced,
    )
    from kora.app.boot.sequence import Progress
    from kora.app.console.feeds import LogShown, StateShown
    from kora.app.console.recorder import Recorder
    from kora.signals import Signals
    from kora.store.port import Reader


class BootConsole:
    """Implements `Console`, as far as there is anything to be seen or done yet. For any thread.

    `status` and `vitals` say which gate is tried.
    """

    def __init__(
        self,
        identity: RuntimeIdentity,
        progress: Callable[[], Progress],
        *,
        state: StateShown,
        log: LogShown,
        recorder: Recorder,
        signals: Signals | None,
    ) -> None:
        self._identity = identity
        self._progress = progress
        self._state = state
        self._log = log
        self._recorder = recorder
        self._signals = signals

    def status(self) -> RuntimeStatus:
        """How far the gates have come; there are no actors yet."""
        return RuntimeStatus(self._identity, self._state.view, (), 0, self._boot())

    def vitals(self) -> Vitals:
        """What the gates are at; there is nobody else yet whose health it could be."""
        now = self._progress()
        if now.gate is None:
            return Vitals(booting="the boot gates are tried")
        tried = f", tried {now.failures:,} times so far: {now.detail}" if now.failures else ""
        return Vitals(booting=f"at the gate {now.gate.gate_id}{tried}")

    @property
    def log(self) -> Feed[LogLine]:
        """The last log lines."""
        return self._log.lines

    @property
    def transitions(self) -> Feed[StateChange]:
        """The last transitions of the operational state."""
        return self._state.transitions

    def shutdown(self, *, at_once: bool, who: str) -> None:
        """The runtime tries its gates no more, and ends."""
        if self._signals is None:
            raise RefusedError("this runtime is driven by a program of its own, which ends it")
        self._recorder.add(Acted(who, "shutdown", self._identity.runtime_id, {}, {"at_once": at_once}))
        self._signals.ask_to_end(at_once=at_once)

    def _boot(self) -> BootView:
        now = self._progress()
        gate = now.gate
        return BootView(
            gate=None if gate is None else gate.gate_id,
            failures=now.failures,
            since=now.since,
            detail=now.detail,
            results=[result.document() for result in now.results],
        )

    def _refuse(self) -> NoReturn:
        gate = self._progress().gate
        at = "" if gate is None else f", at the gate `{gate.gate_id}`"
        raise RefusedError(
            f"this runtime is booting{at}: nothing of it runs yet. `kora-actors status` says what it waits for"
        )

    # --- what there is none of yet ---

    def tree(self) -> SupervisorView:
        """Refused."""
        self._refuse()

    def info(self, name: str) -> ActorInfo:  # noqa: ARG002 - refused whatever it is
        """Refused."""
        self._refuse()

    def kinds(self, name: str) -> Sequence[MessageKind]:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()

    def mailbox(self, name: str, limit: int) -> Mailbox:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()

    def stacks(self, name: str | None = None) -> Sequence[ThreadStack]:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()

    def dead_letters(self) -> DeadLettersView:
        """Refused."""
        self._refuse()

    def stats(self) -> Mapping[str, Any]:
        """Refused."""
        self._refuse()

    def control(self) -> Mapping[str, Any]:
        """Refused."""
        self._refuse()

    def reader(self) -> AbstractContextManager[Reader]:
        """Refused."""
        self._refuse()

    def trace(self, name: str) -> AbstractContextManager[Feed[Traced]]:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()

    def tell(self, name: str, message: Mapping[str, Any], *, who: str) -> None:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()

    def ask(self, name: str, message: Mapping[str, Any], timeout_seconds: float, *, who: str) -> object:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()

    def start_actor(self, name: str, *, who: str) -> None:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()

    def stop_actor(self, name: str, *, who: str) -> None:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()

    def restart_actor(self, name: str, *, who: str) -> Restarted:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()

    def pause(self, *, who: str) -> None:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()

    def resume(self, *, who: str) -> None:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()

    def drain(self, seconds: float | None, *, who: str) -> int:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()

    def release(self, ticket_id: str, *, who: str) -> None:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()

    def resend(self, number: int, *, who: str) -> None:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()

    def drop(self, number: int | None, *, who: str) -> int:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()

    def reread(self) -> Sequence[str]:
        """Refused."""
        self._refuse()

    def update(self, *, who: str) -> Sequence[str]:  # noqa: ARG002 - as above
        """Refused."""
        self._refuse()
