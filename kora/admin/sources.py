"""Where streams are read from: what is kept in memory, and the store's log. Each by position, and by many readers."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Protocol, Self

from kora.admin.port import Console, Feed
from kora.admin.spelling import spelt
from kora.domain.events import EventType
from kora.errors import StoreError
from kora.store.port import Reader


@dataclass(frozen=True, slots=True)
class Chunk:
    """What came after some position and up to another, spelt once for all who read it."""

    until: int
    content: bytes = b""
    ids: Sequence[int] = ()
    """of each item the position that follows it"""
    starts: Sequence[int] = ()
    """where in the content each item begins"""
    missed: int = 0

    @classmethod
    def of(cls, until: int, parts: Sequence[tuple[int, bytes]], missed: int = 0) -> Self:
        """One of these items, each with its id."""
        lengths = itertools.accumulate((len(part) for _, part in parts), initial=0)
        ids = [number for number, _ in parts]
        return cls(until, b"".join(part for _, part in parts), ids, list(lengths)[:-1], missed)

    def after(self, position: int) -> memoryview:
        """What of it comes after this position; the content itself, not a copy."""
        first = bisect_right(self.ids, position)
        return memoryview(self.content)[self.starts[first] if first < len(self.ids) else len(self.content) :]


class Source(Protocol):
    """Something to be followed. One thread at a time; all but `close` raise `StoreError` like the store."""

    def open(self) -> None:
        """Begin. Raises `KoraError` for what is not there."""

    def end(self) -> int:
        """The position after the newest."""

    def has_changed(self) -> bool:
        """Whether there may be more than at the last asking; cheap."""

    def look(self, position: int, limit: int, *, skip: bool) -> Chunk:
        """At most so many that come after this position; if there are more, `skip` leaves them out."""

    def close(self) -> None:
        """End."""


class FeedSource:
    """A feed in memory. Where some have to be left out, the newest are shown."""

    def __init__(self, event: str, make: Callable[[], AbstractContextManager[Feed[Any]]]) -> None:
        self._event = event.encode()
        self._make = make
        self._stack = ExitStack()
        self._feed: Feed[Any] | None = None

    def open(self) -> None:
        """Begin."""
        self._feed = self._stack.enter_context(self._make())

    def end(self) -> int:
        """Where the next one will stand."""
        return self._opened.position()

    def has_changed(self) -> bool:
        """To look costs no more."""
        return True

    def look(self, position: int, limit: int, *, skip: bool) -> Chunk:
        """At most so many, the newest if some are left out."""
        end = self._opened.position()
        start = max(position, end - limit) if skip else position
        batch = self._opened.since(start, limit)
        missed = start - position + batch.missed
        first = batch.next - len(batch.items) + 1
        parts = [_missed(first - 1, missed)] if missed else []
        parts += [_part(number, self._event, spelt(item)) for number, item in enumerate(batch.items, first)]
        return Chunk.of(batch.next, parts, missed)

    def close(self) -> None:
        """End."""
        self._stack.close()

    @property
    def _opened(self) -> Feed[Any]:
        assert self._feed is not None  # noqa: S101 - a source is opened before it is read
        return self._feed


class EventSource:
    """The store's log of events, of one ticket and some types, or all."""

    def __init__(self, console: Console, ticket: str | None, types: Sequence[EventType]) -> None:
        self._console = console
        self._ticket = ticket
        self._types = types
        self._handle: tuple[ExitStack, Reader] | None = None

    def open(self) -> None:
        """Begin. Raises `NotFoundError` when there is no such ticket."""
        if self._ticket is not None:
            self._read().ticket(self._ticket)

    def end(self) -> int:
        """The newest event's `seq`."""
        with _Again(self):
            return self._read().last_seq()

    def has_changed(self) -> bool:
        """Whether anybody has written."""
        with _Again(self):
            return self._read().changed()

    def look(self, position: int, limit: int, *, skip: bool) -> Chunk:
        """At most so many, the oldest if some are left out; these are then counted by `seq`, whoever's they are."""
        with _Again(self):
            reader = self._read()
            # Asked before the reading: what is older has been read then, also where a filter lets nothing through.
            last_seq = reader.last_seq()
            found = reader.events(ticket_id=self._ticket, event_types=self._types, after_seq=position)
            events = list(itertools.islice(found, limit + 1))
        has_more = len(events) > limit
        parts = [_part(event.seq, b"event", event.model_dump_json().encode()) for event in events[:limit]]
        until = parts[-1][0] if parts else position
        if not has_more:
            return Chunk.of(max(until, last_seq), parts)
        if not skip or last_seq <= until:
            return Chunk.of(until, parts)
        parts.append(_missed(last_seq, last_seq - until))
        return Chunk.of(last_seq, parts, last_seq - until)

    def close(self) -> None:
        """End."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(StoreError):
                handle[0].close()

    def _read(self) -> Reader:
        if self._handle is None:
            stack = ExitStack()
            self._handle = stack, stack.enter_context(self._console.reader())
        return self._handle[1]


class _Again:
    """A handle that failed once is not asked again: the file may be another by now."""

    def __init__(self, source: EventSource) -> None:
        self._source = source

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, StoreError):
            self._source.close()


def _part(number: int, event: bytes, data: bytes) -> tuple[int, bytes]:
    return number, b"id: %d\nevent: %s\ndata: %s\n\n" % (number, event, data)


def _missed(number: int, count: int) -> tuple[int, bytes]:
    return _part(number, b"missed", spelt({"count": count}))
