"""Connections to a PostgreSQL server: made anew when they were lost, and never waited on for ever.

A connection relies on nothing in its session: no setting and no lock outlives a transaction, and statements are
prepared only where the session is known to be the connection's own. So any proxy may stand between, and hand each
transaction to another of its own connections.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import lru_cache
from random import Random
from typing import Any, Final, NoReturn

import psycopg
from psycopg import RawCursor, sql
from psycopg.conninfo import make_conninfo

from kora.errors import StoreUnavailableError, StoreUnreachableError
from kora.store.postgres.board_statements import OPEN_CHAIN
from kora.store.postgres.errors import translate, translated
from kora.store.sql.place import Cursor, Mark

LOCK_SECONDS: Final = 1.0
"""how long a statement waits for a row that somebody else has locked"""
STATEMENT_SECONDS: Final = 5.0
"""how long the server may take for a statement of a change, before it breaks the change off"""
IDLE_SECONDS: Final = 5.0
"""how long the server lets a change lie, whoever made it being frozen or cut off, before it undoes it"""
ANSWER_SECONDS: Final = 8.0
"""how long an answer is waited for, before the server counts as out of reach"""
CONNECT_SECONDS: Final = 2
PAUSE_LEAST_SECONDS: Final = 0.05
PAUSE_MOST_SECONDS: Final = 2.0
"""between two tries to connect, doubling from the least and scattered: meanwhile every call fails at once"""
OUTCOME_SECONDS: Final = 1.0
OUTCOME_PATIENT_SECONDS: Final = 30.0
"""how long is asked what became of a commit whose answer was lost"""
_PREPARED_FROM: Final = 2
"""a statement that is executed more often is planned once, as long as the connection lives"""
_OUTCOME_PAUSE_SECONDS: Final = 0.05

_BEGIN: Final = (
    f"BEGIN; SET LOCAL lock_timeout = '{{lock:g}}s'; SET LOCAL statement_timeout = '{STATEMENT_SECONDS:g}s';"
    f" SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS:g}s'"
)
_BEGIN_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_OUTCOME: Final = "SELECT pg_xact_status($1::xid8)"
_PLACE: Final = re.compile(r"\$(\d+)")
_NOW: Final = "SELECT kora.now_us()"
_VERSION: Final = "SELECT pg_current_snapshot()::text"


class _Waiting(psycopg.Connection[tuple[Any, ...]]):
    """Waits no longer for an answer than it may."""

    answer_seconds = ANSWER_SECONDS

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ANN401 - as psycopg has it
        try:
            return super().wait(gen, interval, timeout or self.answer_seconds)
        except psycopg.errors._WaitTimeout as error:  # noqa: SLF001 - it has no public name
            # What comes later would be taken for the answer to something else.
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {self.answer_seconds:g} s") from error


@lru_cache(maxsize=512)
def steps(text: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The single statements of a text, each with the places of the values that it takes, numbered anew."""
    return tuple(map(_step, text.split(";\n")))


def _step(statement: str) -> tuple[str, tuple[int, ...]]:
    used = sorted({int(place) for place in _PLACE.findall(statement)})
    numbers = {place: number for number, place in enumerate(used, 1)}
    renumbered = _PLACE.sub(lambda match: f"${numbers[int(match[1])]}", statement)
    return renumbered, tuple(place - 1 for place in used)


class PostgresConnection:
    """Implements `Connection`. Whatever was lost is made anew by the next call, unless a try has just failed."""

    def __init__(self, url: str, name: str, workspace_id: str, *, is_patient: bool = False) -> None:
        self._name = name
        self._workspace_id = workspace_id
        self.conninfo: Final = make_conninfo(
            url,
            application_name="kora",
            client_encoding="UTF8",
            connect_timeout=CONNECT_SECONDS,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=round(ANSWER_SECONDS * 1_000),
        )
        self._begin = _BEGIN.format(lock=OUTCOME_PATIENT_SECONDS if is_patient else LOCK_SECONDS)
        self._outcome_seconds = OUTCOME_PATIENT_SECONDS if is_patient else OUTCOME_SECONDS
        self._is_patient = is_patient
        self._random = Random()
        self._failures = 0
        self._next_try = 0.0
        self._bare: _Waiting | None = None
        self._is_interrupted = False
        self._xact_id: str | None = None
        self._pipeline: AbstractContextManager[psycopg.Pipeline] | None = None
        self._is_committing = False
        self._seen = ""

    # --- statements ---

    def execute(self, statement: str, bound: Sequence[Any] = (), /) -> Cursor:
        """What the last of the text's statements answers; each takes of the values those that it names."""
        bare = self._live()
        for text, places in steps(statement):
            cursor = bare.execute(text, [bound[place] for place in places])
        return cursor

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]], /) -> Cursor:
        """The statement, done for each of these rows; `rowcount` counts them all."""
        cursor = self._live().cursor()
        cursor.executemany(statement, rows)
        return cursor

    def grant(self, statement: str, role: str) -> None:
        """Carry out a statement in which `{role}` stands for a role's name."""
        self._live().execute(sql.SQL(statement).format(role=sql.Identifier(role)))

    # --- transactions ---

    def translated(self) -> AbstractContextManager[None]:
        """Whatever psycopg raises inside leaves as `StoreUnusableError` or `StoreUnavailableError`."""
        return translated(self._name)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Everything inside is committed together, or nothing is.

        Raises:
            StoreUnavailableError: nothing was changed; or it is not known, and the message says so. Where the answer to
                the commit was lost, the server is asked what became of it, so that this is rare.
        """
        with self.translated():
            bare = self._begun(self._begin)
            self._xact_id = None
            self._is_committing = False
            try:
                yield
                self._commit(bare)
            except psycopg.OperationalError as error:
                self._end_pipeline()
                if not (bare.closed and self._is_committing):
                    self._roll_back(bare)
                    raise
                self._learn_outcome(error)
            except BaseException:
                self._end_pipeline()
                self._roll_back(bare)
                raise

    def _commit(self, bare: _Waiting) -> None:
        self._is_committing = True
        said = bare.execute("COMMIT", prepare=False)
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.__exit__(None, None, None)
        if said.statusmessage != "COMMIT":
            raise AssertionError(f"a change that failed was to be committed: {said.statusmessage}")

    def _end_pipeline(self) -> None:
        """Take no further answers to what went to the server in one go."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            with suppress(psycopg.Error):
                pipeline.__exit__(None, None, None)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside is of one moment."""
        with self.translated():
            bare = self._begun(_BEGIN_SNAPSHOT)
            try:
                yield
            finally:
                self._roll_back(bare)

    def damage_shown(self) -> AbstractContextManager[None]:
        """Nothing is to be done: the server keeps no text that is none."""
        return nullcontext()

    # --- what a place offers ---

    def now_us(self) -> int:
        """The server's time."""
        return int(self.execute(_NOW).fetchone()[0])

    def wall_us(self) -> int:
        """The server's time: it has no other."""
        return self.now_us()

    def open_chain(self, chain_id: str) -> tuple[int, Mark]:
        """The time, and where the chain stands, which is this transaction's from here on."""
        row = self.execute(OPEN_CHAIN, (self._workspace_id, chain_id)).fetchone()
        if row is None:
            raise AssertionError(f"the chain {chain_id} has no row")
        seq, digest, now_us, xact_id = row
        self.begun_as(xact_id)
        return now_us, (seq, bytes(digest))

    def look_no_more(self) -> None:
        """What comes from here to the commit goes to the server in one go, and one way back brings all answers."""
        pipeline = self._live().pipeline()
        pipeline.__enter__()
        self._pipeline = pipeline

    def begun_as(self, xact_id: str) -> None:
        """The number of the transaction under way: by it can be asked what became of it, should the answer be lost."""
        self._xact_id = xact_id

    def changed(self) -> bool:
        """Whether anybody has committed since this was last asked, in whatever database of the server: a hint."""
        with self.translated():
            (version,) = self.execute(_VERSION).fetchone()
        changed, self._seen = str(version) != self._seen, str(version)
        return changed

    def interrupt(self) -> None:
        """Make a statement under way fail soon; callable from another thread, and harmless on a closed handle."""
        bare = self._bare
        if bare is None:
            return
        # The server's end, seen by whoever waits: the connection itself is not to be touched from here.
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(bare.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection back."""
        if self._bare is not None:
            self._bare.close()
            self._bare = None

    # --- the connection itself ---

    def _live(self) -> _Waiting:
        """The connection; a new one where there is none. Raises `StoreUnavailableError` while none is to be had."""
        if self._bare is not None and not self._bare.closed:
            return self._bare
        self._bare = None
        left = self._next_try - time.monotonic()
        if left > 0:
            raise StoreUnreachableError(f"{self._name} is out of reach; it is tried again in {left:.1f} s")
        try:
            self._bare = self._connected()
        except psycopg.Error as error:
            self._open_circuit()
            self._raise(error)
        self._failures = 0
        return self._bare

    def _connected(self) -> _Waiting:
        bare = _Waiting.connect(self.conninfo, autocommit=True, cursor_factory=RawCursor, prepare_threshold=None)
        if self._bare_pid(bare) == bare.info.backend_pid:
            # Nobody stands between who could hand the next transaction to another session, in which what was prepared
            # is not, or is something else: a proxy that pools has told a number of its own.
            bare.prepare_threshold = _PREPARED_FROM
        return bare

    @staticmethod
    def _bare_pid(bare: _Waiting) -> int:
        row = bare.execute("SELECT pg_backend_pid()").fetchone()
        return 0 if row is None else int(row[0])

    def _open_circuit(self) -> None:
        pause = min(PAUSE_MOST_SECONDS, PAUSE_LEAST_SECONDS * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._next_try = time.monotonic() + pause * self._random.uniform(0.5, 1.0)

    def _begun(self, begin: str) -> _Waiting:
        """A connection with a transaction open. One that had died unnoticed is replaced: nothing was done on it yet."""
        bare = self._live()
        try:
            bare.execute(begin)
        except psycopg.OperationalError:
            if not bare.closed:
                raise
            bare = self._live()
            bare.execute(begin)
        return bare

    def _roll_back(self, bare: _Waiting) -> None:
        try:
            bare.execute("ROLLBACK")
        except psycopg.Error:
            # It may be of no use any more; the server undoes what was not committed.
            bare.close()

    def _learn_outcome(self, error: psycopg.Error) -> None:
        """Nothing, if the transaction under way was committed after all. Raises what came of it otherwise."""
        if self._bare is not None:
            self._bare.close()
        if self._xact_id is not None:
            give_up_at = time.monotonic() + self._outcome_seconds
            while time.monotonic() < give_up_at:
                outcome = self._outcome(self._xact_id)
                if outcome == "committed":
                    return
                if outcome == "aborted":
                    raise StoreUnavailableError(
                        f"{self._name}: the connection was lost before a change was committed; nothing was changed"
                    ) from error
                time.sleep(_OUTCOME_PAUSE_SECONDS)
        raise StoreUnavailableError(
            f"{self._name} is out of reach since the end of a change, which may or may not have been made: look before"
            " you repeat it"
        ) from error

    def _outcome(self, xact_id: str) -> str | None:
        """What became of a transaction; None while that is not to be had."""
        try:
            row = self.execute(_OUTCOME, (xact_id,)).fetchone()
        except (psycopg.Error, StoreUnavailableError):
            return None
        return None if row is None else str(row[0])

    def _raise(self, error: psycopg.Error) -> NoReturn:
        raise translate(error, self._name) or error from error
