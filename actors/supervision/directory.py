"""Names, and the inboxes behind them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from pykka import ThreadingFuture
from pykka._envelope import Envelope

from actors.supervision.dead_letters import DeadLetter, DeadLetters
from actors.supervision.inbox import DEFAULT_BOUND, DEFAULT_POISON_AFTER, Inbox


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
        self._inboxes: dict[str, Inbox] = {}
        self._is_control: dict[type, bool] = {}
        self._mutex = threading.Lock()

    def declare(self, name: str, *, bound: int | None = None, poison_after: int | None = None) -> Inbox:
        """The inbox of the name: the same one whenever it is asked for. A limit that is given holds from now on."""
        with self._mutex:
            inbox = self._inboxes.get(name)
            if inbox is None:
                inbox = Inbox(name, self.dead_letters, bound=DEFAULT_BOUND, poison_after=DEFAULT_POISON_AFTER)
                self._inboxes[name] = inbox
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

    def tell(self, name: str, message: object, *, control: bool = False) -> None:
        """The message waits in the name's inbox, or is a dead letter.

        It goes to the control lane if the call or its class (``CONTROL = True``) says so.
        """
        inbox = self._inboxes.get(name)
        if inbox is None:
            self.dead_letters.add(name, message, "undeclared")
            return
        kind = type(message)
        try:
            is_control = self._is_control[kind]
        except KeyError:
            is_control = self._is_control[kind] = getattr(kind, "CONTROL", False) is True
        inbox.put(message, control=control or is_control)

    def offer(self, name: str, message: object, timeout: float = 0.0) -> None:
        """As ``tell``, but where the inbox is full it waits for room. For the outside: an actor tells, it never waits.

        Raises:
            InboxFullError: there was none for ``timeout`` seconds; with 0 the message is refused at once.
        """
        inbox = self._inboxes.get(name)
        if inbox is None:
            self.dead_letters.add(name, message, "undeclared")
            return
        payload = message.message if isinstance(message, Envelope) else message
        inbox.offer(message, control=getattr(type(payload), "CONTROL", False) is True, timeout=timeout)

    def ask(self, name: str, message: object, timeout: float) -> Any:  # noqa: ANN401  # an answer is whatever the actor returns
        """The actor's answer, within ``timeout`` seconds. For the outside: an actor tells, it never asks.

        Raises:
            InboxFullError: there was no room for it in that time.
            pykka.Timeout: no answer in time; the message is handled all the same.
            pykka.ActorDeadError: the message became a dead letter.
            Exception: what the actor raised.
        """
        future: ThreadingFuture[Any] = ThreadingFuture()
        deadline = time.monotonic() + timeout
        self.offer(name, Envelope(message, reply_to=future), timeout)
        return future.get(timeout=max(0.0, deadline - time.monotonic()))

    def is_served(self, name: str) -> bool:
        """Whether an actor serves the name at this moment; a declared name keeps what it is told all the same."""
        inbox = self._inboxes.get(name)
        return inbox is not None and inbox.is_served

    def names(self) -> list[str]:
        """Every declared name, in the order of declaration."""
        return list(self._inboxes)
