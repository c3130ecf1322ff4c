"""A small disk: how much of it the write-ahead log may take, and how it is given back."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from kora.errors import StoreFullError
from kora.store.sqlite.connection import writing

_LOG_PAGES: Final = 8_000
"""at 4 KiB a page, the log has come to 32 MiB: so far it may grow when commits keep ahead of `Folding`"""
_LEAST_PAGES: Final = 16
_SHARE: Final = 8
"""the log may take an eighth of the room: what is folded in may make the file grow by as much, and a turn is added"""


def suit_room(connection: sqlite3.Connection, path: Path) -> None:
    """The log of this connection's commits is folded in before it has taken the room that folding it in needs."""
    with suppress(OSError, sqlite3.Error):
        disk = os.statvfs(path)
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        pages = disk.f_bavail * disk.f_frsize // page_bytes // _SHARE
        connection.execute(f"PRAGMA wal_autocheckpoint = {max(_LEAST_PAGES, min(_LOG_PAGES, pages))}").fetchall()


@contextmanager
def writing_within_room(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """As `writing`; for want of room, what the log holds is folded in and its room given back before this raises.

    SQLite itself would fold in only after a commit, for which there is no room.
    """
    try:
        with writing(connection, path):
            yield
    except StoreFullError:
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        suit_room(connection, path)
        raise
