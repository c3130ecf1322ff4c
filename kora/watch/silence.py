"""How long a runtime was not heard of, as this watcher itself has seen it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kora.store.views import LIVE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from kora.store.views import RuntimeSeen


class Silence:
    """Each runtime's last sign of life in the store, and since when there was none after it.

    Counted on the boot clock: a wall clock that is set makes nobody silent. For one thread.
    """

    def __init__(self) -> None:
        self._heard: dict[str, tuple[datetime, float]] = {}

    def hear(self, fleet: Iterable[RuntimeSeen], boot_seconds: float) -> None:
        """So these were seen last, at this moment of the boot clock; who is not among them is forgotten."""
        heard = {}
        for each in fleet:
            seen_at, since = self._heard.get(each.runtime_id, (None, boot_seconds))
            heard[each.runtime_id] = each.last_seen, since if seen_at == each.last_seen else boot_seconds
        self._heard = heard

    def is_unheard(self, runtime_id: str, boot_seconds: float) -> bool:
        """Whether there was no sign of it for so long, all of which this watcher was there."""
        heard = self._heard.get(runtime_id)
        return heard is not None and boot_seconds - heard[1] >= LIVE_SECONDS
