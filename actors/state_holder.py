"""The StateHolder mirrors what the runtime is doing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from loguru import logger

from actors.actor import KoraActor, handles
from actors.messages import Append, Flush, Held
from actors.names import LEDGER
from actors.steering import Standing, Transition
from kora.domain.events import EventType, NewEvent
from kora.domain.state import (
    OperationalState,
    PrimaryState,
    mirror,
    standing,
    transition,
    transition_payload,
)
from kora.errors import InvalidTransitionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.supervision import Seat

_NEVER: Final = (0, 0)

Listener = Callable[[OperationalState, OperationalState, str], None]
"""Called with the state before, the state after, and the trigger, when the change is done."""


class StateHolder(KoraActor):
    """Mirrors READY ↔ ACTIVE, and PAUSED or STOPPED as Control tells it; it is told, never asked, nothing waits for it.

    A transition that is refused, or whose listener raises, is one WARNING and no more.

    Receives: `Held`, `Standing`, `Transition`.  Sends: events to the Ledger.
    Owns: the operational state as last told. Every change of it is passed to `show`; what is a transition, to the
    listeners, too.
    On restart: adopts the state silently, from the next `Held` and the next `Standing`.
    """

    def __init__(
        self,
        seat: Seat,
        *,
        listeners: Sequence[Listener] = (),
        show: Callable[[OperationalState], None] = lambda _: None,
    ) -> None:
        super().__init__(seat)
        self._state = OperationalState(PrimaryState.BOOTING)
        self._version = self._standing_version = _NEVER
        self._has_booted = False
        """it has seen how the runtime began, or has adopted how it stands"""
        self._held = False
        self._paused_by = ""
        """what Control called the reason for which the state is where it is; empty while it names none"""
        self._listeners = (self._record, *listeners)
        self._show = show

    @property
    def state(self) -> OperationalState:
        """The state as last told."""
        return self._state

    def facts(self) -> Mapping[str, object]:
        """The state, and whether claims are held."""
        state = self._state
        return {
            "primary_state": state.primary_state.value,
            "claim_permission": state.claim_permission.value,
            "degradation_reasons": sorted(state.degradation_reasons),
            "holds_claims": self._held,
        }

    @handles(Transition)
    def _on_transition(self, message: Transition) -> None:
        self._has_booted = True
        try:
            after = transition(self._state, message.target)
        except InvalidTransitionError as error:
            logger.warning(
                "operational-state transition to {} ({}) refused: {}", message.target, message.trigger, error
            )
        else:
            self._go(after, message.trigger)
        self._follow()

    @handles(Standing)
    def _on_standing(self, message: Standing) -> None:
        if message.version <= self._standing_version:
            return
        self._standing_version = message.version
        change = standing(
            self._state,
            message.permission,
            message.reasons,
            target=message.target,
            trigger=message.trigger,
            paused_by=self._paused_by,
        )
        has_booted, self._has_booted = self._has_booted, True
        if change is not None and has_booted:
            self._go(*change)
            self._follow()
        elif change is not None:
            self._adopt(change[0])
        self._paused_by = message.trigger if message.target is self._state.primary_state else ""

    @handles(Held)
    def _on_held(self, held: Held) -> None:
        if held.version <= self._version:
            return
        self._version = held.version
        self._held = bool(held.attempts)
        if self._state.primary_state is PrimaryState.BOOTING:
            primary_state = PrimaryState.ACTIVE if self._held else PrimaryState.READY
            self._adopt(replace(self._state, primary_state=primary_state))
        self._follow()

    @handles(Flush)
    def _on_flush(self, _: Flush) -> None:
        """What came before this has been mirrored."""

    def _follow(self) -> None:
        step = mirror(self._state, held=self._held)
        if step is not None:
            target, trigger = step
            self._go(replace(self._state, primary_state=target), trigger)

    def _adopt(self, state: OperationalState) -> None:
        self._state = state
        self._show(state)

    def _go(self, after: OperationalState, trigger: str) -> None:
        before, target = self._state, after.primary_state
        self._adopt(after)
        for listener in self._listeners:
            try:
                listener(before, after, trigger)
            except Exception as error:  # noqa: BLE001 - whatever a listener does, the mirror goes on
                logger.warning(
                    "operational-state transition to {} ({}): a listener failed: {!r}", target, trigger, error
                )

    def _record(self, before: OperationalState, after: OperationalState, trigger: str) -> None:
        payload = transition_payload(before, after, trigger)
        self.tell(LEDGER, Append(events=(NewEvent(EventType.TRANSITIONED, payload),)))
