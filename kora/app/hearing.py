"""Waking Poller and Control the moment that there is something for them, where the store tells of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from actors.messages import Poll
from actors.names import CONTROL, POLLER
from actors.steering import Recheck
from kora.store.hints import Hint

if TYPE_CHECKING:
    from kora.store.hints import Hints

_SLICE_SECONDS: Final = 0.5
"""so often it is looked whether to end"""


class Hearing:
    """Listens on a thread of its own. Without it, and while its connection is away, polling finds everything."""

    def __init__(self, hints: Hints | None, tell: Callable[[str, object], None]) -> None:
        self._hints = hints
        self._tell = tell
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="hearing", daemon=True)

    def start(self) -> None:
        """Begin, if there is anything to listen to."""
        if self._hints is not None:
            self._thread.start()

    def close(self) -> None:
        """End, within about a second."""
        self._is_closed.set()
        if self._thread.is_alive():
            self._thread.join(2 * _SLICE_SECONDS)

    def _serve(self) -> None:
        hints = self._hints
        if hints is None:
            return
        try:
            while not self._is_closed.is_set():
                hint = hints.wait(_SLICE_SECONDS)
                if hint is not None:
                    self._wake(hint)
        finally:
            hints.close()

    def _wake(self, hint: Hint) -> None:
        if hint is Hint.STEERING:
            self._tell(CONTROL, Recheck())
        self._tell(POLLER, Poll())
