"""Connections to a PostgreSQL server: made anew when they were lost, and never waited on for ever.

A connection relies on nothing in its session: no setting and no lock outlives a transaction, and statements are
prepared only where the session is known to be the connection's own. So any proxy may stand between, and hand each
transaction to another of its own connections.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Final, NoReturn

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from kora.errors import StoreUnavailableError, StoreUnreachableError
from kora.store.postgres.bare import ANSWER_SECONDS, Waiting, steps
from kora.store.postgres.board_statements import OPEN_CHAIN
from kora.store.postgres.circuit import Circuit
from kora.store.postgres.errors import translate, translated, turned_away
from kora.store.sql.place import Cursor, Mark

LOCK_SECONDS: Final = 1.0
"""how long a statement waits for a row that somebody else has locked"""
STATEMENT_SECONDS: Final = 5.0
"""how long the server may take for a statement of a change, with what it waits for, before it ends it"""
IDLE_SECONDS: Final = 5.0
"""how long the server lets a change lie, whoever made it being frozen or cut off, before it undoes it"""
CONNECT_SECONDS: Final = 2
PAUSE_LEAST_SECONDS: Final = 0.05
PAUSE_MOST_SECONDS: Final = 2.0
"""between two tries to connect, doubling from the least and scattered: meanwhile every call fails at once"""
OUTCOME_SECONDS: Final = 1.0
"""how long is asked what became of a commit whose answer was lost"""
PATIENT_SECONDS: Final = 30.0
"""how much longer a person's change waits, for a lock, an answer and an outcome: a person would only try again"""
_OUTCOME_PAUSE_SECONDS: Final = 0.05

# Whatever the server's default is: a statement has to see what the one before it waited for.
_BEGIN: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '{lock:g}s';"
    " SET LOCAL statement_timeout = '{statement:g}s';"
    f" SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS:g}s'"
)
# A Ledger names each row by its key. What it prepares is planned while the tables are empty, and kept when they grow:
# so no plan may read a table from end to end, however small that is at the time. Nor is any made for the values at
# hand: it would be the same, made anew each time.
BY_KEYS: Final = (
    "; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;"
    " SET LOCAL plan_cache_mode = force_generic_plan"
)
_BEGIN_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_OUTCOME: Final = "SELECT pg_xact_status($1::xid8)"
_IS_THERE: Final = """
SELECT EXISTS (SELECT 1 FROM kora.events AS e JOIN kora.workspaces AS w ON w.workspace_id = e.workspace_id
               WHERE e.workspace_id = $1 AND e.seq > ($2::bigint + w.seq_shift) << 22
                 AND e.seq < ($2::bigint + w.seq_shift + 1) << 22
                 AND e.chain_id = $3 AND e.chain_seq = $4 AND e.this_event_hash = $5)
"""
_NOW: Final = "SELECT kora.now_us()"
_VERSION: Final = "SELECT pg_current_snapshot()::text"


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
        more = PATIENT_SECONDS if is_patient else 0.0
        self._begin = _BEGIN.format(lock=LOCK_SECONDS + more, statement=STATEMENT_SECONDS + more)
        if not is_patient:
            self._begin += BY_KEYS
        self._answer_seconds = ANSWER_SECONDS + more
        self._outcome_seconds = OUTCOME_SECONDS + more
        self._circuit = Circuit(least_seconds=PAUSE_LEAST_SECONDS, most_seconds=PAUSE_MOST_SECONDS)
        self._bare: Waiting | None = None
        self._was_let_in = False
        self._xact_id: str | None = None
        self._is_committing = False
        self._proof: tuple[str, int, bytes] | None = None
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
        bare = self._live()
        cursor = bare.cursor()
        cursor.executemany(statement, rows)
        bare.catch_up()
        return cursor

    def carry_out(self, statement: sql.Composed) -> None:
        """Carry out a statement that has its values in it."""
        self._live().execute(statement)

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
            self._xact_id = self._proof = None
            self._is_committing = False
            try:
                yield
                self._commit(bare)
            except psycopg.OperationalError as error:
                bare.break_off()
                if not (bare.closed and self._is_committing):
                    self._roll_back(bare)
                    raise
                self._learn_outcome(error)
            except BaseException:
                bare.break_off()
                self._roll_back(bare)
                raise

    def _commit(self, bare: Waiting) -> None:
        self._is_committing = True
        said = bare.execute("COMMIT", prepare=False)
        bare.run_no_longer_ahead()
        if said.statusmessage != "COMMIT":
            raise AssertionError(f"a change that failed was to be committed: {said.statusmessage}")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside is of one moment."""
        with self.translated():
            bare = self._begun(_BEGIN_SNAPSHOT)
            try:
                yield
            finally:
                self._roll_back(bare)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Everything inside is undone at its end."""
        with self.translated():
            bare = self._begun(self._begin)
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

    def run_ahead(self) -> None:
        """From here to the commit the server works on what it was told while the next is made up here."""
        self._live().run_ahead()

    def begun_as(self, xact_id: str) -> None:
        """The number of the transaction under way: by it can be asked what became of it, should the answer be lost."""
        self._xact_id = xact_id

    def proven_by(self, chain_id: str, tail: Mark) -> None:
        """The last event of the transaction under way: if it is there, that was committed."""
        self._proof = (chain_id, *tail)

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

    def _live(self) -> Waiting:
        """The connection; a new one where there is none. Raises `StoreUnavailableError` while none is to be had."""
        if self._bare is not None and not self._bare.closed:
            return self._bare
        self._bare = None
        left = self._circuit.left_seconds()
        if left > 0:
            raise StoreUnreachableError(f"{self._name} is out of reach; it is tried again in {left:.1f} s")
        try:
            self._bare = Waiting.opened(self.conninfo, self._answer_seconds)
        except psycopg.Error as error:
            self._circuit.failed()
            if self._was_let_in and (waits := turned_away(error, self._name)) is not None:
                raise waits from error
            self._raise(error)
        self._was_let_in = True
        self._circuit.succeeded()
        return self._bare

    def _begun(self, begin: str) -> Waiting:
        """A connection with a transaction open. One that had died unnoticed is replaced: nothing was done on it yet."""
        bare = self._live()
        try:
            bare.begin(begin)
        except psycopg.OperationalError:
            if not bare.closed:
                raise
            bare = self._live()
            bare.begin(begin)
        return bare

    def _roll_back(self, bare: Waiting) -> None:
        try:
            bare.execute("ROLLBACK")
        except psycopg.Error:
            # It may be of no use any more; the server undoes what was not committed.
            bare.close()

    def _learn_outcome(self, error: psycopg.Error) -> None:
        """Nothing, if the transaction under way was committed after all. Raises what came of it otherwise."""
        if self._bare is not None:
            self._bare.close()
        give_up_at = time.monotonic() + self._outcome_seconds
        while self._xact_id is not None and self._proof is not None and time.monotonic() < give_up_at:
            is_committed = self._is_committed(self._xact_id, self._proof)
            if is_committed:
                return
            if is_committed is False:
                raise StoreUnavailableError(
                    f"{self._name}: the connection was lost before a change was committed; nothing was changed"
                ) from error
            time.sleep(_OUTCOME_PAUSE_SECONDS)
        raise StoreUnavailableError(
            f"{self._name} is out of reach since the end of a change, which may or may not have been made: look before"
            " you repeat it"
        ) from error

    def _is_committed(self, xact_id: str, proof: tuple[str, int, bytes]) -> bool | None:
        """Whether a transaction was committed; None while that is not to be had.

        A crash gives the number of a transaction that had not come to the disk to another one. So a number that was
        committed is only a reason to look whether the event is there.
        """
        try:
            (outcome,) = self.execute(_OUTCOME, (xact_id,)).fetchone()
            if outcome == "aborted":
                return False
            if outcome != "committed":
                return None
            (is_there,) = self.execute(_IS_THERE, (self._workspace_id, int(xact_id), *proof)).fetchone()
        except (psycopg.Error, StoreUnavailableError):
            return None
        return bool(is_there)

    def _raise(self, error: psycopg.Error) -> NoReturn:
        raise translate(error, self._name) or error from error
