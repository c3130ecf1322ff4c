"""What lies in an inbox: the entries of its lanes, what is in hand, and how both look from the outside."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from pykka._envelope import Envelope

from actors.supervision.messages import Stop

WIDTH: Final = 3
"""A message takes three places in its lane: itself, who told it, and since when it waits (monotonic seconds).

Not one with a tuple in it: that would be an object for the garbage collector to look through for each message that
waits, which makes a tell take twice as long. ``deque.extend`` of a tuple is as atomic as ``append``.
"""

Lane: TypeAlias = deque[Any]
Entry: TypeAlias = tuple[Any, str | None, float, bool]
"""one by itself: a message, who told it, since when it waits, and whether its lane is control"""

Place = Literal["in_hand", "suspect", "control", "work"]

# Messages that the loop itself answers: each comes in a batch of its own, so that a batch is all alike.
_TAKEN_ALONE: Final = frozenset({Envelope, Stop})


class Depths(NamedTuple):
    """How many messages wait in each lane, how many are suspects, how many are in hand."""

    control: int
    work: int
    suspects: int
    in_hand: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """One message that has not been handled. What was asked is here as it was asked, without its envelope."""

    lane: Place
    message: Any
    sender: str | None
    """the name of the actor that told it; None for the outside"""
    age_seconds: float
    """since it was put, however often it has been handed out"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What an inbox has still to give, in the order in which it will be handled."""

    total: int
    messages: tuple[Waiting, ...]
    """the first of them"""


class Hand:
    """What one ``take`` handed out. Late words of a retired thread land in its own hand, never its successor's."""

    __slots__ = ("control_count", "deaths", "flat", "generation", "handled", "stepwise")

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.flat: list[Any] = []
        """as in a lane"""
        self.control_count = 0
        self.deaths = 0
        self.handled = 0
        self.stepwise = False

    @property
    def messages(self) -> list[Any]:
        """All of them, handled or not; a new list."""
        return self.flat[::WIDTH]

    def __len__(self) -> int:
        return len(self.flat) // WIDTH

    def entries(self, begin: int, end: int) -> list[Entry]:
        """Those from one place to another, each by itself."""
        flat = self.flat[WIDTH * begin : WIDTH * end]
        rows = zip(flat[::WIDTH], flat[1::WIDTH], flat[2::WIDTH], strict=True)
        return [(*row, place < self.control_count) for place, row in enumerate(rows, begin)]


def move(lane: Lane, flat: list[Any], limit: int) -> bool:
    """Moves what may share a batch; False when one that is taken alone has ended the batch."""
    if lane and type(lane[0]) in _TAKEN_ALONE:
        if not flat:
            flat += [lane.popleft() for _ in range(WIDTH)]
        return False
    moved = [lane.popleft() for _ in range(min(len(lane), WIDTH * limit - len(flat)))]
    messages = moved[::WIDTH]
    if _TAKEN_ALONE.isdisjoint(map(type, messages)):
        flat += moved
        return True
    end = WIDTH * next(index for index, message in enumerate(messages) if type(message) in _TAKEN_ALONE)
    flat += moved[:end]
    lane.extendleft(reversed(moved[end:]))
    return False


def pop(lane: Lane, *, control: bool) -> Entry:
    """The first entry, which leaves the lane."""
    return lane.popleft(), lane.popleft(), lane.popleft(), control


def first_of(lane: Lane, limit: int) -> list[tuple[Any, ...]]:
    """The first entries of a lane, to which others may append meanwhile."""
    while True:
        try:
            flat = list(islice(lane, WIDTH * limit))
        except RuntimeError:
            # Python lets nobody look through a deque that has grown since the look began.
            continue
        return list(zip(flat[::WIDTH], flat[1::WIDTH], flat[2::WIDTH], strict=True))


def shown(place: Place, entries: Iterable[tuple[Any, ...]], now: float) -> Iterator[Waiting]:
    """The entries as they look from the outside."""
    for message, sender, at, *_ in entries:
        payload = message.message if isinstance(message, Envelope) else message
        yield Waiting(place, payload, sender, max(0.0, now - at))
