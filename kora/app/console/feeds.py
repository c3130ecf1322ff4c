"""What grows, and of which the newest are kept: the log, the operational state's transitions, an actor's messages."""

from __future__ import annotations

import threading
import time
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
TRACED_A_SECOND: Final = 500

_Item = TypeVar("_Item")


class Ring(Generic[_Item]):
    """Implements `Feed`. For any thread."""

    def __init__(self, kept: int) -> None:
        self._kept: deque[_Item] = deque(maxlen=kept)
        self._count = 0
        self._mutex = threading.Lock()

    def add(self, *items: _Item) -> None:
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
        return Batch(found, begin + len(found), max(0, begin - position))

    def position(self) -> int:
        """Where the next one will stand."""
        return self._count


class StateShown:
    """The operational state as the StateHolder last had it, and its last transitions: kept for whoever looks."""

    def __init__(self) -> None:
        self._state = OperationalState(PrimaryState.BOOTING)
        self.transitions: Ring[StateChange] = Ring(TRANSITIONS_KEPT)

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
        self.lines: Ring[LogLine] = Ring(LINES_KEPT)

    def hear(self, said: Said) -> None:
        """One more record: each of its lines is one here."""
        first, *others = shown(said)
        texts = (first, *(f"    {text}" for text in others))
        self.lines.add(*(LogLine(said.time.astimezone(UTC), said.level, said.actor, text) for text in texts))


class Trace:
    """What one name is told and tells, as it is shown. Not the message itself: that may hold hundreds of claims."""

    def __init__(self, name: str, text: Text, clock: Callable[[], float] = time.monotonic) -> None:
        self.messages: Ring[Traced] = Ring(TRACED_KEPT)
        self._name = name
        self._text = text
        self._clock = clock
        self._may_be_shown, self._at = float(TRACED_A_SECOND), clock()
        self._left_out = 0
        self._mutex = threading.Lock()

    def hear(self, sent: Sent) -> None:
        """A tap: spelt in the sender's thread, so of more than a few hundred a second only how many there were."""
        if self._name not in {sent.receiver, sent.sender}:
            return
        with self._mutex:
            before, self._at = self._at, self._clock()
            earned = (self._at - before) * TRACED_A_SECOND
            self._may_be_shown = min(TRACED_A_SECOND, self._may_be_shown + earned)
            if self._may_be_shown < 1:
                self._left_out += 1
                return
            self._may_be_shown -= 1
            left_out, self._left_out = self._left_out, 0
        kind, preview = type(sent.message).__name__, self._text.preview(sent.message)
        self.messages.add(Traced(datetime.now(UTC), sent.sender, sent.receiver, kind, preview, left_out))


@contextmanager
def traced(directory: Directory, name: str, text: Text) -> Iterator[Ring[Traced]]:
    """What the name is told and tells, until the end of the context."""
    trace = Trace(name, text)
    end = directory.trace(trace.hear)
    try:
        yield trace.messages
    finally:
        end()


def _view(state: OperationalState) -> StateView:
    reasons = sorted(reason.value for reason in state.degradation_reasons)
    return StateView(state.primary_state.value, state.claim_permission.value, reasons)
