"""The gates of one runtime, from the first try to what they came to, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from loguru import logger

from actors.messages import Append
from actors.names import CONTROL, LEDGER, STATE_HOLDER
from actors.steering import Booted, Transition
from kora.app.boot import known
from kora.app.boot.console import BootConsole
from kora.app.boot.gates import Ground
from kora.app.boot.keeping import Keeping
from kora.app.boot.sequence import Progress
from kora.app.boot.sequence import Sequence as GateSequence
from kora.clock import SystemTime
from kora.domain.control import ClaimPermission
from kora.domain.events import EventType, NewEvent
from kora.domain.gates import (
    GATE_FAILED,
    GATE_PASSED,
    Conclusion,
    GateOutcome,
    GateResult,
    RetrySchedule,
    conclude,
)
from kora.domain.state import EPOCH_MISMATCH, DegradationReason, OperationalState, PrimaryState, transition_payload
from kora.errors import BootError, StoreError
from kora.store.port import RuntimeRecord, Turn

if TYPE_CHECKING:
    from pathlib import Path

    from kora.app.operators import Operators
    from kora.config import Settings
    from kora.signals import Signals
    from kora.store.port import Store
    from kora.store.steering import Steering

Tell = Callable[[str, object], None]
"""puts a message into the inbox of that name"""

_BOOTING: Final = OperationalState(PrimaryState.BOOTING, ClaimPermission.NONE)


class Boot:
    """Tries the gates of one runtime; what they came to is told once its actors are about to start."""

    def __init__(
        self, settings: Settings, state_dir: Path, record: RuntimeRecord, operators: Operators, signals: Signals | None
    ) -> None:
        self._settings = settings
        self._record = record
        self._operators = operators
        self._signals = signals
        self._memory = known.Memory(state_dir)
        self._ground = Ground(settings, self._memory, SystemTime(), opens=True)
        self._progress = Progress()
        self._state = _BOOTING
        self._events: list[NewEvent] = []
        self._conclusion = Conclusion(PrimaryState.BOOTING, "")

    @property
    def runtime_id(self) -> str:
        """Whose gates they are."""
        return self._record.runtime_id

    def open(self) -> Store:
        """The store, opened, and found fit to be worked on, or for an operator to look at.

        Raises:
            BootError: a gate has failed; the store has it on record, if it could be written.
            KoraError: what `Sequence.run` raises.
        """
        operators = self._operators
        operators.state.show(self._state)
        console = BootConsole(
            operators.identity,
            lambda: self._progress,
            state=operators.state,
            log=operators.log,
            recorder=operators.recorder,
            signals=self._signals,
        )
        try:
            with operators.booting(console):
                results = self._tried()
            self._conclusion = conclude(results)
            if self._conclusion.state is PrimaryState.STOPPED:
                self._stop(results)
        except BaseException:
            self._close_store()
            raise
        finally:
            self._ground.close()
        store = self._ground.store
        if store is None:
            raise AssertionError("the gates have passed without a store")
        self._conclude(results)
        return store

    def begin(self, tell: Tell) -> None:
        """Say to the actors, before they start, how the gates have ended."""
        conclusion = self._conclusion
        tell(LEDGER, Append(events=tuple(self._events)))
        tell(STATE_HOLDER, Transition(target=conclusion.state, trigger=conclusion.trigger))
        if conclusion.failed:
            logger.warning("paused at boot: {}", conclusion.failed[0].detail)
        trigger = conclusion.trigger if conclusion.failed else ""
        tell(CONTROL, Booted(held_by=conclusion.reasons, trigger=trigger, reset_no=self._steering.reset_no))

    def keeping(self, store: Store, tell: Tell) -> Keeping:
        """What keeps in mind from now on what the store is like."""
        workspace_id, steering = self._settings.runtime.workspace, self._steering
        blank = known.Known(store=store.url, workspace_id=workspace_id, epoch=steering.epoch, heads=())

        def hold(reset_no: int) -> None:
            held_by = frozenset({DegradationReason.SUBSTRATE})
            tell(CONTROL, Booted(held_by=held_by, trigger=EPOCH_MISMATCH, reset_no=reset_no))

        return Keeping(
            store,
            self._memory,
            self._ground.known or blank,
            runtime_id=self._record.runtime_id,
            held_since=steering.reset_no if self._conclusion.failed else None,
            hold=hold,
        )

    @property
    def _steering(self) -> Steering:
        """As the gate of the epoch has seen it, which every boot that goes on has tried."""
        if self._ground.steering is None:
            raise AssertionError("nothing goes on before the store's epoch was looked at")
        return self._ground.steering

    def _tried(self) -> tuple[GateResult, ...]:
        terms = self._settings.boot

        def tell(now: Progress) -> None:
            before, self._progress = self._progress, now
            if now.failures and not before.failures and now.gate is not None:
                self._degrade(frozenset({now.gate.reason}), GATE_FAILED)
            elif before.failures and not now.failures and now.results[-1].outcome is GateOutcome.PASSED:
                self._degrade(frozenset(), GATE_PASSED)

        schedule = RetrySchedule(terms.tries, terms.retry_seconds, terms.retry_cap_seconds)
        return GateSequence(self._ground.tries(), schedule, tell=tell, signals=self._signals).run()

    def _degrade(self, reasons: frozenset[DegradationReason], trigger: str) -> None:
        """Still booting, for these reasons; on record as soon as anything can be."""
        self._go(replace(self._state, degradation_reasons=reasons), trigger)

    def _go(self, after: OperationalState, trigger: str) -> None:
        before, self._state = self._state, after
        self._operators.state.show(after)
        self._operators.state.note(before, after, trigger)
        self._events.append(NewEvent(EventType.TRANSITIONED, transition_payload(before, after, trigger)))

    def _conclude(self, results: Sequence[GateResult]) -> None:
        documents = [result.document() for result in results]
        if self._conclusion.state is PrimaryState.READY:
            self._events.append(NewEvent(EventType.BOOT_READY, {"gates": documents}))
            return
        memory = self._ground.known
        self._events.append(
            NewEvent(
                EventType.DR_OBSERVED,
                {
                    "observed_epoch": self._steering.epoch,
                    "known_epoch": None if memory is None else memory.epoch,
                    "gates": documents,
                },
            )
        )

    def _stop(self, results: Sequence[GateResult]) -> None:
        """Put it on record that the runtime stops, if that can be, and raise what stops it."""
        conclusion, failed = self._conclusion, self._conclusion.failed[0]
        self._events.append(
            NewEvent(
                EventType.BOOT_FAILED,
                {
                    "failed_gate_id": failed.gate_id,
                    "failed_detail": failed.detail,
                    "gates": [result.document() for result in results],
                },
            )
        )
        self._go(
            replace(self._state, primary_state=PrimaryState.STOPPED, degradation_reasons=conclusion.reasons),
            conclusion.trigger,
        )
        try:
            self._write()
        except StoreError as error:
            logger.warning("that the boot has failed is not on record, because the store cannot be written: {}", error)
        tries = "" if failed.attempts == 1 else f", tried {failed.attempts} times"
        raise BootError(f"boot gate {failed.gate_id} failed{tries}: {failed.detail}")

    def _write(self) -> None:
        if self._ground.store is None:
            return
        with closing(self._ground.store.writer(self._record)) as writer:
            writer.turn(writer.next_incarnation(), Turn(append=tuple(self._events)))
            writer.say_ended()

    def _close_store(self) -> None:
        if self._ground.store is not None:
            self._ground.store.close()
