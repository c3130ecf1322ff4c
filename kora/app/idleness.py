"""When there is nothing left for a runtime to wait for."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from kora.errors import StoreUnavailableError

if TYPE_CHECKING:
    from kora.store.port import Reader
    from kora.store.views import Outstanding


class Idleness:
    """Asks the store what is left, and again only when that was written. A pause changes nothing of what is left."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._outstanding: Outstanding | None = None
        """as it was when the store was last written"""

    def is_idle(self) -> bool:
        """Whether nothing is left that this runtime could come to work. A store that cannot be read has not said so."""
        with suppress(StoreUnavailableError):
            if self._outstanding is None or self._reader.changed():
                self._outstanding = None
                self._outstanding = self._reader.outstanding()
            return not self._outstanding.any
        return False
