"""Control says whether claiming is permitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger

from actors.actor import KoraActor, handles
from actors.messages import Tick
from actors.names import POLLER, STATE_HOLDER
from actors.steering import Permission, ProviderRefused, Recheck, Standing
from kora.domain.control import PERMISSION_SECONDS, ClaimPermission
from kora.domain.state import DegradationReason
from kora.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.ports import Gate
    from actors.supervision import Seat
    from kora.clock import TimeSource
    from kora.store.port import Reader

_PAUSED = frozenset({DegradationReason.OPERATOR})
_AT_FIRST = (ClaimPermission.NORMAL, frozenset[DegradationReason]())
"""what a StateHolder takes to be so until it hears otherwise"""


class Control(KoraActor):
    """Reads what may be claimed on every tick and passes it on, good for five seconds.

    That is what the store says; and nothing while an operator has paused this runtime.

    Fails closed: what cannot be read is not passed on, and the Poller's last permission runs out.

    A provider's refusal is kept in mind, and shown; it changes nothing of what may be claimed.

    Receives: `Tick`, `Recheck`, `ProviderRefused`.  Sends: `Permission` to the Poller, `Standing` to the StateHolder.
    Owns: a reading handle.  On restart: reads again.
    """

    def __init__(self, seat: Seat, *, open_reader: Callable[[], Reader], gate: Gate, time_source: TimeSource) -> None:
        super().__init__(seat)
        self._open_reader = open_reader
        self._gate = gate
        self._time = time_source
        self._reader: Reader | None = None
        self._unreadable = False
        self._count = 0
        self._told: tuple[ClaimPermission, frozenset[DegradationReason]] | None = None
        self._refusals: dict[str | None, ProviderRefused] = {}
        """the last of each agent's"""

    def facts(self) -> Mapping[str, object]:
        """What it told last."""
        permission, reasons = self._told or (None, frozenset())
        return {
            "permission": None if permission is None else permission.value,
            "reasons": sorted(reasons),
            "store_readable": not self._unreadable,
            "refusals": {agent or "": _shown(refused) for agent, refused in list(self._refusals.items())},
        }

    def on_start(self) -> None:
        """Let the Poller begin without waiting for a tick."""
        self._look()

    def on_stop(self) -> None:
        """Give the reading handle back."""
        if self._reader is not None:
            self._reader.close()

    @handles(Tick)
    def _on_tick(self, _: Tick) -> None:
        self._look()

    @handles(Recheck)
    def _on_recheck(self, _: Recheck) -> None:
        self._look()

    @handles(ProviderRefused)
    def _on_provider_refused(self, message: ProviderRefused) -> None:
        known = self._refusals.get(message.agent)
        self._refusals[message.agent] = message
        if known is not None and known.work_attempt_id == message.work_attempt_id:
            return
        refusal = message.refusal
        logger.warning(
            "the provider of {} refused ({}), until {}: {}",
            "the default agent" if message.agent is None else f"[agents.{message.agent}]",
            refusal.reason.value,
            "it serves again"
            if refusal.until is None
            else f"{max(0.0, refusal.until - self._time.boot_seconds()):.0f} s from now",
            refusal.said,
        )

    def _look(self) -> None:
        asked_at = self._time.boot_seconds()
        if self._gate.is_paused():
            self._tell_all(ClaimPermission.NONE, _PAUSED, asked_at)
            return
        permission = self._read()
        if permission is not None:
            self._tell_all(permission, frozenset(), asked_at)

    def _read(self) -> ClaimPermission | None:
        """What the store permits; None when it cannot be read."""
        try:
            if self._reader is None:
                self._reader = self._open_reader()
            permission = self._reader.steering().granted
        except StoreError as error:
            if not self._unreadable:
                logger.warning("the claim permission cannot be read, so nothing is claimed: {}", error)
            self._unreadable = True
            return None
        if self._unreadable:
            logger.info("the claim permission can be read again")
        self._unreadable = False
        return permission

    def _tell_all(self, permission: ClaimPermission, reasons: frozenset[DegradationReason], asked_at: float) -> None:
        self._count += 1
        version = (self.seat.generation, self._count)
        self.tell(POLLER, Permission(version=version, permission=permission, until=asked_at + PERMISSION_SECONDS))
        if self.seat.directory.is_served(STATE_HOLDER):
            self.tell(STATE_HOLDER, Standing(version=version, permission=permission, reasons=reasons))
        elif (self._told or _AT_FIRST) != (permission, reasons):
            logger.debug("claim permission {} is not mirrored: holder not initialized", permission)
        self._told = permission, reasons


def _shown(refused: ProviderRefused) -> dict[str, object]:
    refusal = refused.refusal
    return {
        "work_attempt_id": refused.work_attempt_id,
        "reason": refusal.reason.value,
        "said": refusal.said,
        "until": refusal.until,
    }
