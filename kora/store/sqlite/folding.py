"""Folding a busy writer's log into its file, beside the writer."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, suppress
from typing import Final

from kora.errors import StoreError
from kora.store.sqlite.place import SqlitePlace

ROWS: Final = 8_000
"""changed rows that are folded in together: of tickets that are claimed and settled, some four megabytes of log"""
CLOSE_SECONDS: Final = 2.0


class Folding:
    """Folds the log in after every so many rows, on a thread and a connection of its own, made when first needed.

    SQLite would do it within a commit: in every seventh turn of hundreds of tickets, the Ledger would read a thousand
    pages, write them again, and wait for the disk twice. Here it takes no lock that a writer needs. What it cannot do,
    because it fails or because commits keep ahead of it, SQLite does within a commit when the log has grown to what
    `suit_room` grants it; so nothing depends on it.
    """

    def __init__(self, place: SqlitePlace) -> None:
        self._place = place
        self._thread: threading.Thread | None = None
        self._bell = threading.Event()
        self._is_closed = False
        self._folded = 0

    def committed(self, rows: int) -> None:
        """The writer's connection has changed so many rows since it was made. Never waits."""
        if rows - self._folded < ROWS:
            return
        self._folded = rows
        if self._thread is None:
            thread = threading.Thread(target=self._serve, name="folding", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # No thread is to be had now; perhaps the next time.
                return
            self._thread = thread
        self._bell.set()

    def close(self) -> None:
        """What was committed is folded in, and the thread is gone; within two seconds, whatever the disk does."""
        self._is_closed = True
        if self._thread is not None:
            self._bell.set()
            self._thread.join(CLOSE_SECONDS)

    def _serve(self) -> None:
        # A store that is not what was opened is its writer's to complain of.
        with (
            suppress(StoreError, sqlite3.Error),
            closing(self._place.connect_bare(wait_seconds=0.0)) as connection,
        ):
            is_last = False
            while not is_last:
                self._bell.wait()
                self._bell.clear()
                is_last = self._is_closed
                with suppress(sqlite3.Error):
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
