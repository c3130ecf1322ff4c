"""The store in one SQLite file: WAL, every commit synced, several processes at once.

What each kind of handle is made of is imported when one is asked for: a command needs one of them, and to import them
all takes as long as everything else that it does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kora.clock import TimeSource
from kora.domain.ids import new_id
from kora.store.port import RuntimeRecord
from kora.store.sqlite.connection import identity
from kora.store.sqlite.place import SqlitePlace
from kora.store.sqlite.schema import prepare, register

if TYPE_CHECKING:
    from kora.store.sql.board import Board
    from kora.store.sql.read import Reader
    from kora.store.sqlite.write import SqliteWriter
    from kora.store.views import ArchiveResult


class SqliteStore:
    """Implements `Store`. Each handle has its own connection; the store itself keeps none.

    Every handle is one to the file that was there at first. Once that is removed or replaced, making another handle
    raises `StoreUnusableError`, and neither file is changed.

    `as_it_is`: nothing is made, migrated or registered; for a file that `look` has found to be current.
    """

    def __init__(
        self, url: str, path: Path, *, workspace_id: str, actor_id: str, time: TimeSource, as_it_is: bool = False
    ) -> None:
        self._url = url
        self._is_new = False if as_it_is else prepare(path)[0] is None
        self._place = SqlitePlace(path, workspace_id, actor_id, time, identity(path))
        if not as_it_is:
            register(self._place)

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""
        return self._url

    @property
    def is_new(self) -> bool:
        """Whether it was made by this opening."""
        return self._is_new

    def writer(self, runtime: RuntimeRecord) -> SqliteWriter:
        """A new handle for this runtime's Ledger; `next_incarnation` registers the runtime."""
        from kora.store.sqlite.write import SqliteWriter

        return SqliteWriter(self._place, runtime)

    def reader(self) -> Reader:
        """A new reading handle."""
        from kora.store.sql.read import Reader
        from kora.store.sqlite.sets import READ, REPORT

        return Reader(self._place, READ, REPORT)

    def board(self, *, is_patient: bool = True) -> Board:
        """A new operator's handle."""
        from kora.store.sql.board import Board
        from kora.store.sqlite.sets import BOARD

        return Board(self._place, BOARD, is_patient=is_patient)

    def hints(self) -> None:
        """None: a file tells nobody of what is written to it."""

    def rehearse(self, *, is_patient: bool = False) -> None:
        """A ticket of its own was added, claimed and released, and all of it undone. Raises `StoreError`."""
        from kora.store.sqlite.sets import BOARD
        from kora.store.sqlite.write import SqliteWriter

        nobody = RuntimeRecord(runtime_id=new_id(), host="", pid=0, version="")
        with closing(SqliteWriter(self._place, nobody, is_patient=is_patient)) as writer:
            writer.rehearse(BOARD)

    def archive(
        self, directory: Path, older_than: datetime, *, who: str, progress: Callable[[int, int], None]
    ) -> ArchiveResult:
        """Move the workspace's events that occurred before this moment into compressed files that still verify."""
        from kora.store.sql.archive import archive
        from kora.store.sqlite.sets import ARCHIVING

        return archive(self._place, ARCHIVING, directory, older_than, who=who, progress=progress)

    def close(self) -> None:
        """Nothing is left to close: each handle closes its own connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
