"""The Poller decides when to ask for work, and for how much."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from actors.actor import KoraActor, handles
from actors.messages import Drain, Held, Order, Poll, Tick
from actors.names import LEDGER
from actors.steering import Permission
from kora.domain.control import ClaimPermission

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from actors.supervision import Seat
    from kora.clock import TimeSource

_JITTER: Final = 0.1
_HELD_UP_SECONDS: Final = 1.0
"""the pause before it is asked again of a store that lets nothing be claimed, though Control knows of no reason yet"""
_HEARD_SECONDS: Final = 1.0
"""for what an attempt has shown of its provider to come back from Control"""
_NEVER: Final = (0, 0)


class Poller(KoraActor):
    """Says how many claims the runtime should hold, whenever there is room, permission, and hope of finding a ticket.

    One a Worker; more, while all attempts of late were so short that claims should wait for Workers, and not Workers
    for claims.

    Worked something: asks again at once. Found too little: sleeps a jittered interval, or until the next dated ticket
    falls due, or until told to look, or until more is permitted than before. Without a permission it takes back the
    order that stands.

    Receives: `Held`, `Permission`, `Poll`, `Tick`, `Drain`.  Sends: `Order` to the Ledger.  Owns: its schedule.
    On restart: asks anew; an order is a wish for a total, so that asking twice claims nothing twice.
    """

    def __init__(
        self, seat: Seat, *, workers: int, poll_interval_seconds: float, time_source: TimeSource, random: Random
    ) -> None:
        super().__init__(seat)
        self._workers = workers
        self._want = workers
        self._poll_interval_seconds = poll_interval_seconds
        self._time = time_source
        self._random = random
        self._version = _NEVER
        self._held = 0
        self._quiet_until = 0.0
        self._heard_until = 0.0
        """until when Control may have yet to hear how the last attempt has ended"""
        self._permission = Permission(version=_NEVER, permission=ClaimPermission.NONE, until=0.0)
        self._draining = False

    def facts(self) -> Mapping[str, object]:
        """What it wants, and what keeps it from asking."""
        now, permission = self._time.boot_seconds(), self._permission
        return {
            "want": self._want,
            "held": self._held,
            "quiet_seconds": max(0.0, self._quiet_until - now),
            "permission": permission.permission.value,
            "most": permission.most,
            "permitted_seconds": max(0.0, permission.until - now),
            "draining": self._draining,
        }

    @handles(Held)
    def _on_held(self, held: Held) -> None:
        if held.version <= self._version:
            return
        self._version = held.version
        fewer = len(held.attempts) < self._held
        if fewer:
            self._heard_until = self._time.boot_seconds() + _HEARD_SECONDS
        self._held = len(held.attempts)
        self._want = self._workers * held.claims_a_worker
        if held.exhausted:
            self._sleep(held.next_eligible_in_seconds)
        elif held.is_held_up:
            # Control will say what holds it up, or the ramp lets the next one through by then.
            self._quiet_until = self._time.boot_seconds() + (held.next_eligible_in_seconds or _HELD_UP_SECONDS)
        elif fewer:
            self._quiet_until = 0.0
        self._ask()

    @handles(Permission)
    def _on_permission(self, permission: Permission) -> None:
        if permission.version <= self._permission.version:
            return
        before, self._permission = self._permission, permission
        if permission.permission is ClaimPermission.NONE:
            # Each time anew: a predecessor that wakes late may have said otherwise meanwhile.
            self.tell(LEDGER, self._order(0))
        elif _breadth(permission) > _breadth(before):
            # It sleeps because nothing was found, and there may be more to be found now.
            self._quiet_until = 0.0
            self._ask()
        elif _breadth(permission) < _breadth(before):
            self.tell(LEDGER, self._order(self._wanted()))

    @handles(Poll)
    def _on_poll(self, _: Poll) -> None:
        self._quiet_until = 0.0
        self._ask()

    @handles(Tick)
    def _on_tick(self, _: Tick) -> None:
        self._ask()

    @handles(Drain)
    def _on_drain(self, _: Drain) -> None:
        self._draining = True

    def _sleep(self, next_eligible_in_seconds: float | None) -> None:
        seconds = self._poll_interval_seconds * self._random.uniform(1 - _JITTER, 1 + _JITTER)
        if next_eligible_in_seconds is not None:
            seconds = min(seconds, next_eligible_in_seconds)
        self._quiet_until = self._time.boot_seconds() + seconds

    def _ask(self) -> None:
        now, want = self._time.boot_seconds(), self._wanted()
        permitted = self._permission.permission is not ClaimPermission.NONE and now < self._permission.until
        if self._draining or not permitted or now < self._quiet_until or self._held >= want:
            return
        if self._permission.most is not None and now < self._heard_until:
            # It was tried out whether a provider serves: what has come of that is known first.
            return
        self.tell(LEDGER, self._order(want))

    def _wanted(self) -> int:
        most = self._permission.most
        return self._want if most is None else min(self._want, most)

    def _order(self, want: int) -> Order:
        permission = self._permission
        return Order(
            want=want,
            permitted_until=permission.until,
            permitted_by=permission.version,
            is_critical_only=permission.permission is ClaimPermission.CRITICAL_ONLY,
            is_single=permission.most is not None,
        )


def _breadth(permission: Permission) -> tuple[int, float]:
    """How much it allows: of two, the greater one allows more."""
    kinds = (ClaimPermission.NONE, ClaimPermission.CRITICAL_ONLY, ClaimPermission.NORMAL)
    return kinds.index(permission.permission), math.inf if permission.most is None else permission.most
