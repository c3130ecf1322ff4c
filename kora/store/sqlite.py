"""The store in one SQLite file: WAL, every commit synced, several processes at once."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from kora.clock import TimeSource
from kora.store.port import RuntimeRecord
from kora.store.sqlite_board import SqliteBoard
from kora.store.sqlite_connection import Place
from kora.store.sqlite_read import SqliteReader
from kora.store.sqlite_schema import prepare, register
from kora.store.sqlite_write import SqliteWriter


class SqliteStore:
    """Implements `Store`. Each handle has its own connection; the store itself keeps none."""

    def __init__(self, url: str, path: Path, *, workspace_id: str, actor_id: str, time: TimeSource) -> None:
        self._url = url
        self._place = Place(path, workspace_id, actor_id, time)
        prepare(path)
        register(self._place)

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""
        return self._url

    def writer(self, runtime: RuntimeRecord) -> SqliteWriter:
        """A new handle for this runtime's Ledger; `next_incarnation` registers the runtime."""
        return SqliteWriter(self._place, runtime)

    def reader(self) -> SqliteReader:
        """A new reading handle."""
        return SqliteReader(self._place)

    def board(self) -> SqliteBoard:
        """A new operator's handle."""
        return SqliteBoard(self._place)

    def close(self) -> None:
        """Nothing is left to close: each handle closes its own connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
