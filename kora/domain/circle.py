"""Whether things that wait for one another wait in a circle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator


def find_circle(starts: Iterable[int], waits_for: Callable[[int], Iterable[int]]) -> list[int]:
    """A circle that is reached from one of these, each waiting for the next and the last for the first; else empty.

    `waits_for` is asked at most once about each. No recursion: a chain may be a million long.
    """
    done: set[int] = set()
    for start in starts:
        # The way from `start`, in order, each with those that are still to be looked at from there.
        way: dict[int, Iterator[int]] = {} if start in done else {start: iter(waits_for(start))}
        while way:
            last = next(reversed(way))
            following = next(way[last], None)
            if following is None:
                # Not `del`: that would leave a gap which every further look at the last must pass over.
                way.popitem()
                done.add(last)
            elif following in way:
                members = list(way)
                return members[members.index(following) :]
            elif following not in done:
                way[following] = iter(waits_for(following))
    return []
