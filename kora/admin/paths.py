"""What the admin API has: a table of paths. Each says what it takes, what it does, and whom it may wait for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from kora.admin.calls import Asked, Call, Nothing, Query


class Lane(Enum):
    """Who may wait for whom: each has threads of its own."""

    LOOK = "look"
    """what is in memory, and never asks an actor"""
    STORE = "store"
    CHANGE = "change"
    ASK = "ask"
    """what finds no thread free is refused, and does not wait"""


THREADS: Final = {Lane.LOOK: 4, Lane.STORE: 4, Lane.CHANGE: 8, Lane.ASK: 64}


@dataclass(frozen=True, slots=True)
class Document:
    """An answer as it is sent."""

    content: bytes
    status: int = 200
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Path:
    """One path and method. `do` runs in a thread of its lane; what it returns is the answer: a `Document`, or JSON."""

    method: Literal["GET", "POST", "DELETE"]
    template: str
    says: str
    do: Callable[[Call], object]
    lane: Lane = Lane.LOOK
    query: type[Query] = Nothing
    body: type[Asked] | None = None
