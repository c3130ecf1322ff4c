"""Where messages end that nobody will handle."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pykka import ActorDeadError, Future
from pykka._envelope import Envelope

from actors.supervision.errors import UnknownLetterError
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

    The ``number`` is its own: 1 for the first, and never given again.
    """

    number: int
    name: str
    message: Any
    reason: Reason
    text: Text = ""
    sender: str | None = None
    """the name of the actor that told it; None for the outside"""
    control: bool = False
    """whether it was to overtake work"""
    was_asked: bool = False
    """whether somebody waited for an answer, who has been told that there will be none"""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def detail(self) -> str:
        """The traceback, the stack, or whatever else there is to say."""
        return str(self.text)

    @property
    def may_be_resent(self) -> bool:
        """Not if its class says ``AT_MOST_ONCE``: nobody can tell whether it was handled."""
        return not is_at_most_once(self.message)


def is_at_most_once(message: object) -> bool:
    """Whether the class of the message, be it in an envelope, says ``AT_MOST_ONCE = True``."""
    kind = type(message.message if isinstance(message, Envelope) else message)
    return getattr(kind, "AT_MOST_ONCE", False) is True


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
    ``pykka.ActorDeadError``, and calls ``on_add``, whose own exceptions go to the log. ``Directory.resend`` sends one
    again. Thread-safe.
    """

    def __init__(self, on_add: Callable[[DeadLetter], None] | None = None, *, keep: int = KEPT) -> None:
        self._letters: dict[int, DeadLetter] = {}
        self._keep = keep
        # Re-entrant, because a signal handler may tell something while its thread is in here.
        self._mutex = threading.RLock()
        self._on_add = on_add
        self._total = 0

    @property
    def total(self) -> int:
        """How many there have been, those no longer kept included."""
        return self._total

    def add(
        self,
        name: str,
        message: object,
        reason: Reason,
        detail: Text = "",
        *,
        sender: str | None = None,
        control: bool = False,
    ) -> None:
        """The message is counted among the dead letters, and its asker, if it has one, knows."""
        reply_to, was_asked = None, isinstance(message, Envelope)
        if isinstance(message, Envelope):
            reply_to, message = message.reply_to, message.message
        with self._mutex:
            self._total += 1
            letter = DeadLetter(self._total, name, message, reason, detail, sender, control, was_asked)
            self._letters[letter.number] = letter
            while len(self._letters) > self._keep:
                del self._letters[next(iter(self._letters))]
        level = logging.WARNING if reason in _WORTH_A_WARNING else logging.DEBUG
        _logger.log(level, "dead letter for %s: %s (%s)", name, type(message).__name__, reason)
        if reply_to is not None:
            resolve(reply_to, error=ActorDeadError(f"{name} did not handle the message ({reason})"))
        if self._on_add is not None:
            try:
                self._on_add(letter)
            except Exception:
                _logger.exception("the callback for dead letters raised")

    def drop(self, number: int) -> DeadLetter:
        """The letter is forgotten; of several who ask for the same at once, one has it.

        Raises:
            UnknownLetterError: there is none, or none any more.
        """
        with self._mutex:
            letter = self._letters.pop(number, None)
        if letter is None:
            raise UnknownLetterError(f"there is no dead letter {number}: dropped, resent, or older than the last kept")
        return letter

    def drop_all(self) -> int:
        """All that are kept are forgotten; how many."""
        with self._mutex:
            dropped, self._letters = len(self._letters), {}
        return dropped

    def restore(self, letter: DeadLetter) -> None:
        """One that was dropped is kept again, in its place."""
        with self._mutex:
            self._letters = dict(sorted({**self._letters, letter.number: letter}.items()))

    def __len__(self) -> int:
        return len(self._letters)

    def __iter__(self) -> Iterator[DeadLetter]:
        with self._mutex:
            return iter(list(self._letters.values()))
