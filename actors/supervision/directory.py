"""Names, and the inboxes behind them."""

from __future__ import annotations

import threading
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

    def ask(self, name: str, message: object, timeout: float) -> Any:  # noqa: ANN401  # an answer is whatever the actor returns
        """The actor's answer, within ``timeout`` seconds. For the outside: an actor tells, it never asks.

        Raises:
            pykka.Timeout: no answer in time; the message is handled all the same.
            pykka.ActorDeadError: the message became a dead letter.
            Exception: what the actor raised.
        """
        future: ThreadingFuture[Any] = ThreadingFuture()
        control = getattr(type(message), "CONTROL", False) is True
        self.tell(name, Envelope(message, reply_to=future), control=control)
        return future.get(timeout=timeout)

    def is_served(self, name: str) -> bool:
        """Whether an actor serves the name at this moment; a declared name keeps what it is told all the same."""
        inbox = self._inboxes.get(name)
        return inbox is not None and inbox.is_served

    def names(self) -> list[str]:
        """Every declared name, in the order of declaration."""
        return list(self._inboxes)
