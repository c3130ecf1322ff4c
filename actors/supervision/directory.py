"""Names, and the inboxes behind them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from pykka import ThreadingFuture
from pykka._envelope import Envelope

from actors.supervision.dead_letters import DeadLetter, DeadLetters
from actors.supervision.errors import ResendRefusedError, SupervisionError, UnknownNameError
from actors.supervision.inbox import Inbox
from actors.supervision.lanes import Backlog
from actors.supervision.tap import Tap, Taps

WAITING_SHOWN: Final = 100


class Directory:
    """Whom to tell, by name.

    - ``tell`` never raises and never blocks, whoever lives or has died.
    - A declared name keeps its messages until somebody serves it, and across every restart.
    - A name that was never declared, or was withdrawn, has its messages among the ``dead_letters``.
    - All of it is in memory: it survives every actor and supervisor, and ends with the process.

    Thread-safe.
    """

    def __init__(self, on_dead_letter: Callable[[DeadLetter], None] | None = None) -> None:
        self.dead_letters = DeadLetters(on_dead_letter)
        self._taps = Taps()
        self._inboxes: dict[str, Inbox] = {}
        self._is_control: dict[type, bool] = {}
        self._mutex = threading.Lock()

    def declare(self, name: str, *, bound: int | None = None, poison_after: int | None = None) -> Inbox:
        """The inbox of the name: the same one whenever it is asked for. A limit that is given holds from now on."""
        with self._mutex:
            inbox = self._inboxes.get(name)
            if inbox is None:
                inbox = self._inboxes[name] = Inbox(name, self.dead_letters, taps=self._taps)
            if bound is not None:
                inbox.bound = bound
            if poison_after is not None:
                inbox.poison_after = poison_after
            return inbox

    def withdraw(self, name: str) -> None:
        """Nobody will serve the name: its messages are dead letters, until an actor is attached again."""
        inbox = self._inboxes.get(name)
        if inbox is not None:
            inbox.close()

    def tell(self, name: str, message: object, *, control: bool = False, sender: str | None = None) -> None:
        """The message waits in the name's inbox, or is a dead letter.

        It goes to the control lane if the call or its class (``CONTROL = True``) says so. ``sender`` is the name of the
        actor that tells it (``Seat.tell`` gives its own), None for the outside.
        """
        kind = type(message)
        try:
            is_control = self._is_control[kind]
        except KeyError:
            is_control = self._is_control[kind] = getattr(kind, "CONTROL", False) is True
        inbox = self._inboxes.get(name)
        if inbox is None:
            self._tell_nobody(name, message, sender, control=control or is_control)
        else:
            inbox.put(message, control=control or is_control, sender=sender)

    def offer(self, name: str, message: object, timeout: float = 0.0, *, sender: str | None = None) -> None:
        """As ``tell``, but where the inbox is full it waits for room. For the outside: an actor tells, it never waits.

        Raises:
            InboxFullError: there was none for ``timeout`` seconds; with 0 the message is refused at once.
        """
        payload = message.message if isinstance(message, Envelope) else message
        control = getattr(type(payload), "CONTROL", False) is True
        inbox = self._inboxes.get(name)
        if inbox is None:
            self._tell_nobody(name, message, sender, control=control)
        else:
            inbox.offer(message, control=control, timeout=timeout, sender=sender)

    def ask(self, name: str, message: object, timeout: float, *, sender: str | None = None) -> Any:  # noqa: ANN401  # an answer is whatever the actor returns
        """The actor's answer, within ``timeout`` seconds. For the outside: an actor tells, it never asks.

        Raises:
            InboxFullError: there was no room for it in that time.
            pykka.Timeout: no answer in time; the message is handled all the same.
            pykka.ActorDeadError: the message became a dead letter.
            Exception: what the actor raised.
        """
        future: ThreadingFuture[Any] = ThreadingFuture()
        deadline = time.monotonic() + timeout
        self.offer(name, Envelope(message, reply_to=future), timeout, sender=sender)
        return future.get(timeout=max(0.0, deadline - time.monotonic()))

    def resend(self, number: int) -> DeadLetter:
        """The message of a dead letter waits for its name again, in its lane, as from its sender; the letter is gone.

        Of several who resend the same at once, one does. What was asked is handled as such, but nobody hears the
        answer. A name that is only down for a moment will handle it; one that is withdrawn just now makes it a dead
        letter again, of another number. When it is refused the letter is kept.

        Raises:
            UnknownLetterError: there is no such letter.
            ResendRefusedError: its class says ``AT_MOST_ONCE``; or nobody will serve the name: it is not declared, or
                stopped. Start it first.
            InboxFullError: there is no room; a newer message would have to go for it.
        """
        letter = self.dead_letters.drop(number)
        try:
            self._send_again(letter)
        except SupervisionError:
            self.dead_letters.restore(letter)
            raise
        return letter

    def trace(self, tap: Tap) -> Callable[[], None]:
        """From now on the tap is told of every message that is told to anybody; the answer, when called, ends that.

        It is called in the sender's thread, just before the message can be handled, also for what will be a dead
        letter. So it must be cheap, must not block, and must be fit for any thread. One that raises is ended, and the
        log says so; the message is sent all the same. While nobody listens this costs next to nothing.
        """
        return self._taps.listen(tap)

    def waiting(self, name: str, limit: int = WAITING_SHOWN) -> Backlog:
        """What the name has still to handle, its first ``limit`` messages; see ``Inbox.waiting``.

        Raises:
            UnknownNameError: it was never declared.
        """
        inbox = self._inboxes.get(name)
        if inbox is None:
            raise UnknownNameError(f"no inbox was declared for {name!r}")
        return inbox.waiting(limit)

    def is_served(self, name: str) -> bool:
        """Whether an actor serves the name at this moment; a declared name keeps what it is told all the same."""
        inbox = self._inboxes.get(name)
        return inbox is not None and inbox.is_served

    def names(self) -> list[str]:
        """Every declared name, in the order of declaration."""
        return list(self._inboxes)

    def _send_again(self, letter: DeadLetter) -> None:
        kind = type(letter.message).__name__
        if not letter.may_be_resent:
            raise ResendRefusedError(f"dead letter {letter.number}: {kind} must be handled once at most")
        inbox = self._inboxes.get(letter.name)
        if inbox is None or inbox.is_closed:
            what = "there is no such name" if inbox is None else "nobody serves it: start it first"
            raise ResendRefusedError(f"dead letter {letter.number}: {letter.name}: {what}")
        message = Envelope(letter.message) if letter.was_asked else letter.message
        inbox.offer(message, control=letter.control, sender=letter.sender)

    def _tell_nobody(self, name: str, message: object, sender: str | None, *, control: bool) -> None:
        if self._taps.everyone:
            self._taps.hear(name, message, sender, control=control)
        self.dead_letters.add(name, message, "undeclared", sender=sender, control=control)
