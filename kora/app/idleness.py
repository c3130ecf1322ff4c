"""When there is nothing left for a runtime to wait for."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from kora.domain.cost import Rung
from kora.errors import StoreUnavailableError

if TYPE_CHECKING:
    from kora.store.port import Reader


class Idleness:
    """Asks the store what is left, and again only when that was written. A pause changes nothing of what is left.

    But one for cost does: while the credit pool is used up, all that nobody holds waits for its refresh.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._found: tuple[int, bool] | None = None
        """for which pool, and what, when the store was last written"""

    def is_idle(self, pool_micro_usd: int) -> bool:
        """Whether nothing is left that this runtime could come to work. A store that cannot be read has not said so."""
        with suppress(StoreUnavailableError):
            if self._reader.changed() or self._found is None or self._found[0] != pool_micro_usd:
                self._found = None
                self._found = pool_micro_usd, self._look(pool_micro_usd)
            return self._found[1]
        return False

    def _look(self, pool_micro_usd: int) -> bool:
        left = self._reader.outstanding()
        if left.held or not left.any:
            return not left.any
        return self._reader.steering().pool.rung(pool_micro_usd) is Rung.HARD_STOP_100
