"""The driver's connection, as Kora needs it: it waits for no answer for ever, and takes one statement at a time."""

from __future__ import annotations

import re
import time
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from typing import Any, Final, Self

import psycopg
from psycopg import RawCursor

from kora.store.postgres.arrays import register

ANSWER_SECONDS: Final = 8.0
"""how long an answer is waited for, before the server counts as out of reach"""
AHEAD_TIMES: Final = 3
"""by how much longer, where several statements are under way: each may take its time, on a server that is slow"""

PLANS_SECONDS: Final = 60.0
"""how long a plan is kept: one that was made while a table had next to nothing may be the wrong one for what it has
become, and only where autovacuum is on, and has come to that table, does the server make it anew"""
_PREPARED_FROM: Final = 2
"""a statement that is executed more often is planned once, as long as the connection lives"""
_PLACE: Final = re.compile(r"\$(\d+)")


class Answer(RawCursor[tuple[Any, ...]]):
    """What a statement answers; who looks at it waits for it, where the connection runs ahead."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed, or found."""
        if super().rowcount < 0 and isinstance(self.connection, Waiting):
            self.connection.catch_up()
        return super().rowcount


class Waiting(psycopg.Connection[tuple[Any, ...]]):
    """Waits no longer for an answer than it may."""

    answer_seconds = ANSWER_SECONDS
    planned_at = 0.0
    """when it was last begun to plan all anew"""

    _ahead: tuple[psycopg.Pipeline, AbstractContextManager[psycopg.Pipeline]] | None = None

    @classmethod
    def opened(cls, conninfo: str, answer_seconds: float) -> Self:
        """A connection on which each statement commits itself. Raises what psycopg raises."""
        bare = cls.connect(conninfo, autocommit=True, cursor_factory=Answer, prepare_threshold=None)
        register(bare.adapters)
        bare.answer_seconds, bare.planned_at = answer_seconds, time.monotonic()
        try:
            found = bare.execute("SELECT pg_backend_pid()").fetchone()
        except BaseException:
            bare.close()
            raise
        if found == (bare.info.backend_pid,):
            # Nobody stands between who could hand the next transaction to another session, in which what was prepared
            # is not, or is something else: a proxy that pools has told a number of its own.
            bare.prepare_threshold = _PREPARED_FROM
        return bare

    def begin(self, statement: str) -> None:
        """Begin a transaction so; what has been planned for long is planned anew in it."""
        now = time.monotonic()
        if now - self.planned_at >= PLANS_SECONDS:
            statement, self.planned_at = f"{statement}; DISCARD PLANS", now
        self.execute(statement.encode())

    def run_ahead(self) -> None:
        """Send each statement without waiting for what the last one answers; nothing, where that is so already."""
        if self._ahead is None:
            pipeline = self.pipeline()
            self._ahead = pipeline.__enter__(), pipeline

    def catch_up(self) -> None:
        """Wait for all answers that are still to come. Raises what the first statement that failed has done wrong."""
        if self._ahead is not None:
            self._ahead[0].sync()

    def run_no_longer_ahead(self) -> None:
        """Wait for what is still to come, as `catch_up` does, and from now on for each answer."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead[1].__exit__(None, None, None)

    def break_off(self) -> None:
        """As `run_no_longer_ahead`, whatever the answers are; nothing counts as prepared from here on.

        For what stands behind a statement that fails is passed over by the server, and psycopg takes it for prepared.
        """
        with suppress(psycopg.Error):
            self.run_no_longer_ahead()
        self._prepared.clear()

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ANN401 - as psycopg has it
        """As psycopg does; `OperationalError` when an answer does not come in time, and the connection is no more.

        Who says how long it waits, as for what may never come, is told so as psycopg tells it.
        """
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        seconds = self.answer_seconds if self._ahead is None else AHEAD_TIMES * self.answer_seconds
        try:
            return super().wait(gen, interval, seconds)
        except psycopg.errors._WaitTimeout as error:  # noqa: SLF001 - it has no public name
            # What comes later would be taken for the answer to something else.
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {seconds:g} s") from error


@lru_cache(maxsize=512)
def steps(text: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The single statements of a text, each with the places of the values that it takes, numbered anew."""
    return tuple(map(_step, text.split(";\n")))


def _step(statement: str) -> tuple[str, tuple[int, ...]]:
    used = sorted({int(place) for place in _PLACE.findall(statement)})
    numbers = {place: number for number, place in enumerate(used, 1)}
    renumbered = _PLACE.sub(lambda match: f"${numbers[int(match[1])]}", statement)
    return renumbered, tuple(place - 1 for place in used)
