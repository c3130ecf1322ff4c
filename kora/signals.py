"""The signals that ask something of a runtime, counted."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import FrameType

_ASKING: Final = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """While entered, SIGTERM and SIGINT are counted, SIGHUP is noted, and they do nothing else. For the main thread."""

    def __init__(self) -> None:
        self.count = 0
        self._hung_up = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in (*_ASKING, signal.SIGHUP)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def ask_to_end(self, *, at_once: bool) -> None:
        """As when SIGTERM has come; `at_once`: as when a second one has. For any thread."""
        self.count = max(self.count, 2 if at_once else 1)

    def hung_up(self) -> bool:
        """Whether SIGHUP has come since this was last asked."""
        hung_up, self._hung_up = self._hung_up, False
        return hung_up

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._hung_up = True
        else:
            self.count += 1
