"""Who is still to be started, or to be stopped, and who of them is next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

Order = Callable[[Sequence[str]], tuple[str, ...]]


class Agenda:
    """Some of the names, in an order that is taken of all of them when some are added."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._names: set[str] = set()
        self._queue: deque[str] = deque()

    def add(self, names: Iterable[str], everybody: Iterable[str]) -> None:
        """These as well."""
        self._names.update(names)
        self._queue = deque(name for name in self._order(list(everybody)) if name in self._names)

    def discard(self, name: str) -> None:
        """Not this one."""
        self._names.discard(name)

    def clear(self) -> None:
        """Nobody."""
        self._names.clear()

    def first(self) -> str | None:
        """Who is next; None when nobody is left."""
        while self._queue and self._queue[0] not in self._names:
            self._queue.popleft()
        return self._queue[0] if self._queue else None

    def __contains__(self, name: str) -> bool:
        return name in self._names
