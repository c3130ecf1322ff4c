"""Where messages end that nobody will handle."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pykka import ActorDeadError, Future
from pykka._envelope import Envelope

from actors.supervision.late import Text

Reason = Literal["undeclared", "withdrawn", "overflow", "poison", "in doubt"]

KEPT: Final = 1_000

_logger = logging.getLogger("supervision")

# Whoever sent to a name that is not there is told nothing; these two, however, are messages that were accepted.
_WORTH_A_WARNING: Final = frozenset({"poison", "in doubt"})


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that nobody will handle: to whom it went, and why it ended here.

    - ``undeclared``: there is no such name. ``withdrawn``: the name has nobody to serve it any more.
    - ``overflow``: it was the oldest one waiting when the inbox went beyond its bound.
    - ``poison``: ``1 + poison_after`` actors died of it, or hung in it; ``detail`` is the last traceback or stack.
    - ``in doubt``: its class says ``AT_MOST_ONCE``, and its actor ended while it was in hand; ``detail`` as above.
    """

    name: str
    message: Any
    reason: Reason
    text: Text = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def detail(self) -> str:
        """The traceback, the stack, or whatever else there is to say."""
        return str(self.text)


def resolve(future: Future[Any] | None, value: object = None, *, error: BaseException | None = None) -> None:
    """The future has a result. One that has been given already stays."""
    if future is None:
        return
    try:
        if error is None:
            future.set(value)
        else:
            future.set_exception((type(error), error, error.__traceback__))
    except queue.Full:
        return


class DeadLetters:
    """The last thousand dead letters and the count of them all, in memory: they survive actors, not the process.

    ``add`` neither raises nor blocks: it leaves one log line, wakes whoever waits for a reply with
    ``pykka.ActorDeadError``, and calls ``on_add``, whose own exceptions go to the log. Thread-safe.
    """

    def __init__(self, on_add: Callable[[DeadLetter], None] | None = None, *, keep: int = KEPT) -> None:
        self._letters: deque[DeadLetter] = deque(maxlen=keep)
        # Re-entrant, because a signal handler may tell something while its thread is in here.
        self._mutex = threading.RLock()
        self._on_add = on_add
        self._total = 0

    @property
    def total(self) -> int:
        """How many there have been, those no longer kept included."""
        return self._total

    def add(self, name: str, message: object, reason: Reason, detail: Text = "") -> None:
        """The message is counted among the dead letters, and its asker, if it has one, knows."""
        reply_to = None
        if isinstance(message, Envelope):
            reply_to, message = message.reply_to, message.message
        letter = DeadLetter(name, message, reason, detail)
        with self._mutex:
            self._letters.append(letter)
            self._total += 1
        level = logging.WARNING if reason in _WORTH_A_WARNING else logging.DEBUG
        _logger.log(level, "dead letter for %s: %s (%s)", name, type(message).__name__, reason)
        if reply_to is not None:
            resolve(reply_to, error=ActorDeadError(f"{name} did not handle the message ({reason})"))
        if self._on_add is not None:
            try:
                self._on_add(letter)
            except Exception:
                _logger.exception("the callback for dead letters raised")

    def __len__(self) -> int:
        return len(self._letters)

    def __iter__(self) -> Iterator[DeadLetter]:
        with self._mutex:
            return iter(list(self._letters))
