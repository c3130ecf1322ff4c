"""Where a SQLite store's handles work, as the shared logic has it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kora.clock import TimeSource, boot_us
from kora.domain.events import GENESIS
from kora.store.sql.place import Mark
from kora.store.sqlite.clock import now_for_writing_us
from kora.store.sqlite.connection import PATIENT_SECONDS, WRITER_SECONDS, check_identity, connect, snapshot, writing
from kora.store.sqlite.errors import ROW_ERRORS, translated
from kora.store.sqlite.statements import ANCHOR, CHAIN_HEAD

_READER_SECONDS: Final = 5.0
"""a reader waits only while another process recovers or closes the write-ahead log"""


@dataclass(frozen=True, slots=True)
class SqlitePlace:
    """Implements `Place`: one file, one workspace, one actor, one source of time."""

    path: Path
    workspace_id: str
    actor_id: str
    time: TimeSource
    file: tuple[int, int] | None
    """which file it was when the store was opened: no other one is ever worked on"""

    @property
    def name(self) -> str:
        """The file, as messages name it."""
        return str(self.path)

    @property
    def row_errors(self) -> tuple[type[Exception], ...]:
        """What one row's own content can cause."""
        return ROW_ERRORS

    def check(self) -> None:
        """Nothing, while the file is still the one that was opened. Raises `StoreUnusableError`."""
        check_identity(self.path, self.file)

    def connect(self, *, is_patient: bool = False, only_reads: bool = False) -> SqliteConnection:
        """A connection to the very file that the store was opened with. Raises `StoreUnusableError` for another."""
        seconds = PATIENT_SECONDS if is_patient else _READER_SECONDS if only_reads else WRITER_SECONDS
        return SqliteConnection(self, self.connect_bare(wait_seconds=seconds, query_only=only_reads))

    def connect_bare(self, *, wait_seconds: float, query_only: bool = False) -> sqlite3.Connection:
        """The same as `connect`, as the driver has it."""
        # Before, because to open another file is to change it: its log is folded in, and an empty one takes away ours.
        self.check()
        connection = connect(self.path, wait_seconds=wait_seconds, query_only=query_only)
        try:
            self.check()
        except BaseException:
            connection.close()
            raise
        return connection


class SqliteConnection:
    """Implements `Connection`."""

    def __init__(self, place: SqlitePlace, bare: sqlite3.Connection) -> None:
        self._place = place
        self.bare: Final = bare
        self.execute: Final = bare.execute
        self.executemany: Final = bare.executemany
        self._seen = self._version()

    def translated(self) -> AbstractContextManager[None]:
        """Whatever SQLite raises inside leaves as `StoreUnusableError` or `StoreUnavailableError`."""
        return translated(self._place.path)

    def writing(self) -> AbstractContextManager[None]:
        """Everything inside is committed together, or nothing is; the write lock is held from the start."""
        return writing(self.bare, self._place.path)

    def snapshot(self) -> AbstractContextManager[None]:
        """Everything read inside is of one moment."""
        return snapshot(self.bare, self._place.path)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Everything inside is undone at its end; the write lock is held from the start."""
        with self.translated():
            self.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                with suppress(sqlite3.Error):
                    self.execute("ROLLBACK")

    @contextmanager
    def damage_shown(self) -> Iterator[None]:
        """Text that is no UTF-8 is read all the same inside."""
        self.bare.text_factory = lambda raw: raw.decode(errors="surrogateescape")
        try:
            yield
        finally:
            self.bare.text_factory = str

    def now_us(self) -> int:
        """The store's time. Inside a write transaction it is read after the lock is held."""
        time = self._place.time
        row = self.execute(ANCHOR, (time.boot_id(),)).fetchone()
        return time.now_us() if row is None else int(row[0]) + boot_us(time)

    def wall_us(self) -> int:
        """What this machine's wall clock says."""
        return self._place.time.now_us()

    def open_chain(self, chain_id: str) -> tuple[int, Mark]:
        """The time, and where the chain stands; the write lock is held already."""
        now_us = now_for_writing_us(self.bare, self._place.time)
        head = self.execute(CHAIN_HEAD, (self._place.workspace_id, chain_id)).fetchone()
        return now_us, head or (0, GENESIS)

    def run_ahead(self) -> None:
        """Nothing: an answer costs no way."""

    def proven_by(self, chain_id: str, tail: Mark) -> None:
        """Nothing: no answer to a commit is ever lost."""

    def changed(self) -> bool:
        """Whether another connection has committed since this was last asked, or since this one was made.

        Raises `StoreUnusableError` when the file is not the one that was opened any more.
        """
        self._place.check()
        version = self._version()
        changed, self._seen = version != self._seen, version
        return changed

    def close(self) -> None:
        """Give the connection back."""
        with self.translated():
            self.bare.close()

    def _version(self) -> int:
        with self.translated():
            (version,) = self.execute("PRAGMA data_version").fetchone()
        return int(version)
