"""The StateHolder mirrors what the runtime is doing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from loguru import logger

from actors.actor import KoraActor, handles
from actors.messages import Append, Flush, Held, Transition
from actors.names import LEDGER
from kora.domain.events import EventType, NewEvent
from kora.domain.state import OperationalState, PrimaryState, mirror, transition
from kora.errors import InvalidTransitionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.supervision import Seat

Listener = Callable[[OperationalState, OperationalState, str], None]
"""Called with the state before, the state after, and the trigger, when the change is done."""


class StateHolder(KoraActor):
    """Mirrors READY ↔ ACTIVE; it is told, never asked, and nothing waits for it.

    A transition that is refused, or whose listener raises, is one WARNING and no more.

    Receives: `Held`, `Transition`.  Sends: through its listeners, events to the Ledger.
    Owns: the operational state as last told.
    On restart: adopts the state silently from the next `Held`.
    """

    def __init__(self, seat: Seat, *, listeners: Sequence[Listener] | None = None) -> None:
        super().__init__(seat)
        self._state = OperationalState(PrimaryState.BOOTING)
        self._version = (0, 0)
        self._held = False
        self._listeners = (self._record,) if listeners is None else tuple(listeners)

    @property
    def state(self) -> OperationalState:
        """The state as last told."""
        return self._state

    @handles(Transition)
    def _on_transition(self, message: Transition) -> None:
        self._go(message.target, message.trigger)
        self._follow()

    @handles(Held)
    def _on_held(self, held: Held) -> None:
        if held.version <= self._version:
            return
        self._version = held.version
        self._held = bool(held.attempts)
        if self._state.primary_state is PrimaryState.BOOTING:
            self._state = OperationalState(PrimaryState.ACTIVE if self._held else PrimaryState.READY)
        self._follow()

    @handles(Flush)
    def _on_flush(self, _: Flush) -> None:
        """What came before this has been mirrored."""

    def _follow(self) -> None:
        step = mirror(self._state, held=self._held)
        if step is not None:
            self._go(*step)

    def _go(self, target: PrimaryState, trigger: str) -> None:
        before = self._state
        try:
            self._state = transition(before, target)
        except InvalidTransitionError as error:
            logger.warning("operational-state transition to {} ({}) refused: {}", target, trigger, error)
            return
        for listener in self._listeners:
            try:
                listener(before, self._state, trigger)
            except Exception as error:  # noqa: BLE001 - whatever a listener does, the mirror goes on
                logger.warning(
                    "operational-state transition to {} ({}): a listener failed: {!r}", target, trigger, error
                )

    def _record(self, before: OperationalState, after: OperationalState, trigger: str) -> None:
        payload = {
            "from_primary_state": before.primary_state,
            "to_primary_state": after.primary_state,
            "claim_permission": after.claim_permission,
            "degradation_reasons": sorted(after.degradation_reasons),
            "trigger": trigger,
        }
        self.tell(LEDGER, Append(events=(NewEvent(EventType.TRANSITIONED, payload),)))
