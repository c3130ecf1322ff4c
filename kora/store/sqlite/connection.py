"""Connections to a SQLite store, and the one way to write through them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from kora.errors import StoreUnusableError
from kora.store.sqlite.errors import translated

WRITER_SECONDS: Final = 1.0
"""how long a Ledger's statement waits for the write lock before the Ledger may pulse and try again"""
PATIENT_SECONDS: Final = 30.0
"""how long an operator's change, or an opening, waits: a person would only type it again"""

_PRAGMAS: Final = (
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    # Some builds of SQLite overwrite with zeros what a row leaves free: a fifth of a commit, for rows that stay anyway.
    "PRAGMA secure_delete = OFF",
    "PRAGMA journal_size_limit = 67108864",
    # 16 MiB: the tickets that a turn claims are settled some turns later, and should not be read from the file again.
    "PRAGMA cache_size = -16384",
)


def connect(path: Path, *, wait_seconds: float, query_only: bool = False) -> sqlite3.Connection:
    """A connection to an existing file, which it never creates; a statement outside a transaction commits itself."""
    with translated(path):
        connection = sqlite3.connect(
            f"file:{quote(os.fsencode(path))}?mode=rw",
            uri=True,
            timeout=wait_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            if query_only:
                connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
        return connection


def identity(path: Path) -> tuple[int, int] | None:
    """Which file stands at the path; None when there is none. A connection goes on with the one that it opened."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def check_identity(path: Path, opened: tuple[int, int] | None) -> None:
    """Nothing, while the file at the path is still the one that was opened. Raises `StoreUnusableError`."""
    if identity(path) != opened:
        raise StoreUnusableError(f"{path} was removed or replaced while it was in use; put the file back, then restart")


@contextmanager
def writing(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Everything inside is committed together, or nothing is; the write lock is held from the start.

    Raises `StoreUnavailableError` when the lock is not to be had in time, or when the commit fails and is rolled back.
    """
    with translated(path):
        if connection.in_transaction:
            # An earlier rollback failed together with its disk.
            connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


@contextmanager
def snapshot(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Everything read inside is of one moment."""
    with translated(path):
        connection.execute("BEGIN")
        try:
            yield
        finally:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
