"""What grows, and of which the newest are kept: the log, the operational state's transitions, an actor's messages."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from kora.admin.port import Batch
from kora.admin.views import LogLine, StateChange, StateView, Traced
from kora.domain.state import OperationalState, PrimaryState
from kora.logging import Said, shown

if TYPE_CHECKING:
    from actors.supervision import Directory, Sent
    from kora.app.console.text import Text

LINES_KEPT: Final = 5_000
TRANSITIONS_KEPT: Final = 1_000
TRACED_KEPT: Final = 2_000

_Item = TypeVar("_Item")
_Kept = TypeVar("_Kept")


class Ring(Generic[_Kept, _Item]):
    """Implements `Feed`. What is kept becomes what is read only when it is read. For any thread."""

    def __init__(self, kept: int, read: Callable[[_Kept], _Item]) -> None:
        self._kept: deque[_Kept] = deque(maxlen=kept)
        self._read = read
        self._count = 0
        self._mutex = threading.Lock()

    def add(self, *items: _Kept) -> None:
        """These come next."""
        with self._mutex:
            self._kept.extend(items)
            self._count += len(items)

    def since(self, position: int, limit: int) -> Batch[_Item]:
        """At most so many from this position on, the oldest first."""
        with self._mutex:
            oldest = self._count - len(self._kept)
            begin = min(max(position, oldest), self._count)
            found = list(islice(self._kept, begin - oldest, begin - oldest + limit))
        return Batch([self._read(each) for each in found], begin + len(found), max(0, begin - position))

    def position(self) -> int:
        """Where the next one will stand."""
        return self._count


class StateShown:
    """The operational state as the StateHolder last had it, and its last transitions: kept for whoever looks."""

    def __init__(self) -> None:
        self._state = OperationalState(PrimaryState.BOOTING)
        self.transitions: Ring[StateChange, StateChange] = Ring(TRANSITIONS_KEPT, lambda change: change)

    def show(self, state: OperationalState) -> None:
        """It is so now."""
        self._state = state

    def note(self, before: OperationalState, after: OperationalState, trigger: str) -> None:
        """A transition; a listener of the StateHolder."""
        change = StateChange(datetime.now(UTC), before.primary_state.value, _view(after), trigger)
        self.transitions.add(change)

    @property
    def view(self) -> StateView:
        """It, as an operator sees it."""
        return _view(self._state)


class LogShown:
    """The last lines of the log, redacted as the log itself is."""

    def __init__(self) -> None:
        self.lines: Ring[LogLine, LogLine] = Ring(LINES_KEPT, lambda line: line)

    def hear(self, said: Said) -> None:
        """One more record: each of its lines is one here."""
        first, *others = shown(said)
        texts = (first, *(f"    {text}" for text in others))
        self.lines.add(*(LogLine(said.time.astimezone(UTC), said.level, said.actor, text) for text in texts))


@contextmanager
def traced(directory: Directory, name: str, text: Text) -> Iterator[Ring[tuple[datetime, Sent], Traced]]:
    """What the name is told and tells, until the end of the context."""

    def read(kept: tuple[datetime, Sent]) -> Traced:
        at, sent = kept
        return Traced(at, sent.sender, sent.receiver, type(sent.message).__name__, text.preview(sent.message))

    ring: Ring[tuple[datetime, Sent], Traced] = Ring(TRACED_KEPT, read)

    def tap(sent: Sent) -> None:
        if name in {sent.receiver, sent.sender}:
            ring.add((datetime.now(UTC), sent))

    end = directory.trace(tap)
    try:
        yield ring
    finally:
        end()


def _view(state: OperationalState) -> StateView:
    reasons = sorted(reason.value for reason in state.degradation_reasons)
    return StateView(state.primary_state.value, state.claim_permission.value, reasons)
