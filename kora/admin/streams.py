"""Streams: what is read and spelt once, and sent to all who follow it; a slow reader holds up nobody.

Each topic (a path with its filter) is looked at ten times a second as long as anybody follows it, and keeps what it
read last. Who is further behind than that is given what it asks for by readings of its own, few at a time.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Final, TypeVar

from anyio import CapacityLimiter, to_thread
from loguru import logger
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from kora.admin.calls import Call
from kora.admin.counters import Counters
from kora.admin.paths_stream import Followed
from kora.admin.sources import Chunk, Source
from kora.errors import BadRequestError, KoraError

LOOK_SECONDS: Final = 0.1
ITEMS_A_SECOND: Final = 2_000
"""shown of one topic at most"""
SENDINGS_A_SECOND: Final = 10_000
"""of all topics to all their readers together: the more there are, the less each is shown, and the runtime's own work
goes on; one for each item and reader"""
KEEP_ALIVE_SECONDS: Final = 10.0
_KEPT_BYTES: Final = 1_048_576
_PIECE_BYTES: Final = 262_144
_THREADS: Final = 4
_AGAIN_SECONDS: Final = 1.0
_ID_DIGITS: Final = 18
_CATCH_UP: Final = 200
_HEADERS: Final = {"cache-control": "no-store"}

T = TypeVar("T")


class Topic:
    """One thing that is followed, by any number of readers."""

    def __init__(self, source: Source, limiter: CapacityLimiter, counters: Counters) -> None:
        self.readers = 0
        self.position = 0
        """up to where it was read"""
        self.kept_from = 0
        """after which position nothing is missing among the chunks"""
        self.news = asyncio.Event()
        self.has_failed = False
        self._source = source
        self._limiter = limiter
        self._counters = counters
        self._chunks: deque[Chunk] = deque()
        self._turn = asyncio.Lock()
        self._mutex = threading.Lock()
        self._task: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Opened and looked at from now on. Raises what its source raises."""
        async with self._turn:
            if self._task is None:
                await self._in_thread(self._source.open)
                self.position = self.kept_from = await self._in_thread(self._source.end)
                self._task = asyncio.create_task(self._run())

    async def end(self) -> None:
        """Not looked at any more."""
        async with self._turn:
            if self._task is not None:
                self._task.cancel()
            await self._in_thread(self._source.close)

    def next_after(self, position: int) -> Chunk | None:
        """The first of the chunks that has anything after this position."""
        return next((chunk for chunk in self._chunks if chunk.until > position), None)

    async def look(self, position: int, limit: int, *, skip: bool) -> Chunk:
        """A reading, one at a time. Raises what the source raises."""
        async with self._turn:
            chunk = await self._in_thread(lambda: self._source.look(position, limit, skip=skip))
        self._counters.items_left_out += chunk.missed
        return chunk

    async def _run(self) -> None:
        allowance, at, is_in_trouble = self._items_a_second, time.monotonic(), False
        while True:
            await asyncio.sleep(_AGAIN_SECONDS if is_in_trouble else LOOK_SECONDS)
            before, at = at, time.monotonic()
            rate = self._items_a_second
            allowance = min(rate, allowance + (at - before) * rate)
            try:
                allowance -= await self._advance(max(1, int(allowance)), always=is_in_trouble)
                is_in_trouble = False
            except KoraError as error:
                if not is_in_trouble:
                    logger.warning("admin API: a stream waits until it can be read again: {}", error)
                is_in_trouble = True
            except Exception as error:  # noqa: BLE001 - the streams end, and the log says why
                logger.opt(exception=error).error("admin API: a stream cannot go on: {!r}", error)
                self.has_failed = True
                self._ring()
                return

    async def _advance(self, limit: int, *, always: bool) -> int:
        async with self._turn:
            changed = await self._in_thread(self._source.has_changed)
        if not changed and not always:
            return 0
        chunk = await self.look(self.position, limit, skip=True)
        self.position = chunk.until
        if chunk.ids:
            self._chunks.append(chunk)
            while sum(len(each.content) for each in self._chunks) > _KEPT_BYTES and len(self._chunks) > 1:
                self.kept_from = self._chunks.popleft().until
            self._ring()
        return len(chunk.ids)

    @property
    def _items_a_second(self) -> float:
        return min(ITEMS_A_SECOND, SENDINGS_A_SECOND / max(1, self._counters.streams_open))

    def _ring(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()

    async def _in_thread(self, do: Callable[[], T]) -> T:
        return await to_thread.run_sync(self._alone, do, limiter=self._limiter)

    def _alone(self, do: Callable[[], T]) -> T:
        # A task that is cancelled leaves its turn, but its thread goes on: a store's handle that is closed under a
        # reading would take the whole process with it.
        with self._mutex:
            return do()


class Hub:
    """The topics that anybody follows."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._topics: dict[object, Topic] = {}
        self._limiter: CapacityLimiter | None = None
        self._catching_up = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def close(self) -> None:
        """Every stream ends."""
        self._is_closed = True
        for topic in self._topics.values():
            topic.news.set()

    async def follow(self, path: Followed, call: Call, request: Request) -> StreamingResponse:
        """The stream. Raises `KoraError` for what cannot be followed."""
        after = _after(call, request)
        key = (path.template, tuple(call.names.items()), call.query.model_copy(update={"after": None}))
        if (topic := self._topics.get(key)) is None:
            self._limiter = self._limiter or CapacityLimiter(_THREADS)
            topic = self._topics[key] = Topic(path.source(call), self._limiter, self._counters)
        topic.readers += 1
        self._counters.streams_open += 1
        try:
            await topic.ready()
        except BaseException:
            self._leave(key, topic)
            raise
        if after is None or (path.has_runs and after > topic.position):
            # What an earlier runtime numbered says nothing of this one's, of which all that is kept is new.
            after = topic.position if after is None else 0
        return _Stream(self._items(topic, after), leave=lambda: self._leave(key, topic))

    def _leave(self, key: object, topic: Topic) -> None:
        self._counters.streams_open -= 1
        topic.readers -= 1
        if not topic.readers:
            if self._topics.get(key) is topic:
                del self._topics[key]
            task = asyncio.get_running_loop().create_task(topic.end())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _items(self, topic: Topic, after: int) -> AsyncGenerator[bytes | memoryview]:
        yield b"id: %d\n: following\n\n" % after
        has_joined = False
        while not (self._is_closed or topic.has_failed):
            if after < topic.kept_from:
                chunk = await self._catch_up(topic, after, skip=has_joined)
            elif (kept := topic.next_after(after)) is not None:
                has_joined, chunk = True, kept
            else:
                has_joined = True
                if not await _rings(topic.news):
                    yield b": still following\n\n"
                continue
            content, after = chunk.after(after), chunk.until
            # A piece at a time: what is handed over is copied, for each reader.
            for start in range(0, len(content), _PIECE_BYTES):
                yield content[start : start + _PIECE_BYTES]

    async def _catch_up(self, topic: Topic, after: int, *, skip: bool) -> Chunk:
        # All who are behind share what one may have.
        async with self._catching_up:
            try:
                chunk = await topic.look(after, _CATCH_UP, skip=skip)
            except KoraError:
                await asyncio.sleep(_AGAIN_SECONDS)
                return Chunk(after)
            await asyncio.sleep(len(chunk.ids) / ITEMS_A_SECOND)
        return chunk if chunk.until > after else Chunk(topic.kept_from)


class _Stream(StreamingResponse):
    """Says when it is over, whether it was ever begun or not."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncGenerator[bytes | memoryview], *, leave: Callable[[], None]) -> None:
        super().__init__(content, headers=_HEADERS)
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, until either side ends it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


async def _rings(news: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(KEEP_ALIVE_SECONDS):
            await news.wait()
    except TimeoutError:
        return False
    return True


def _after(call: Call, request: Request) -> int | None:
    text = request.headers.get("last-event-id", "").strip()
    if not text:
        after: int | None = call.query.after
        return after
    if not (text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS):
        raise BadRequestError(f"Last-Event-ID: {text[:50]!r} is none that was sent; it is a number", 422)
    return int(text)
