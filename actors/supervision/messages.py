"""The one message that the kit itself sends to an actor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Stop:
    """End after what is in hand: ``on_stop`` is called, what was not handled stays in the name's inbox.

    With a ``generation`` it is meant for that actor alone: a successor throws it away.
    """

    CONTROL: ClassVar[bool] = True

    generation: int | None = None
