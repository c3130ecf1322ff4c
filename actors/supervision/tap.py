"""Listening to what is told, while it is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from pykka._envelope import Envelope

_logger = logging.getLogger("supervision")


@dataclass(frozen=True, slots=True)
class Sent:
    """One message, told to a name. What was asked is here as it was asked, without its envelope."""

    receiver: str
    message: Any
    sender: str | None
    """the name of the actor that told it; None for the outside"""
    control: bool
    """whether it overtakes work"""


Tap: TypeAlias = Callable[[Sent], None]


class Taps:
    """Whoever listens. While nobody does, a message costs a look at ``everyone`` and no more."""

    __slots__ = ("everyone",)

    def __init__(self) -> None:
        self.everyone: list[Tap] = []

    def listen(self, tap: Tap) -> Callable[[], None]:
        """The tap hears of every message from now on; the answer, when called, ends that."""
        self.everyone.append(tap)

        def end() -> None:
            with suppress(ValueError):
                self.everyone.remove(tap)

        return end

    def hear(self, receiver: str, message: object, sender: str | None, *, control: bool) -> None:
        """All are told. One that raises is told nothing more, and the log says so."""
        payload = message.message if isinstance(message, Envelope) else message
        sent = Sent(receiver, payload, sender, control)
        for tap in list(self.everyone):
            try:
                tap(sent)
            except Exception:
                _logger.exception("a tap raised, and listens no more")
                with suppress(ValueError):
                    self.everyone.remove(tap)
