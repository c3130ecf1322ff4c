"""The store in a PostgreSQL database: many runtimes on many machines, one truth.

What each kind of handle is made of is imported when one is asked for, as in the SQLite store.
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
from kora.store.postgres.place import PostgresPlace
from kora.store.postgres.schema import check

if TYPE_CHECKING:
    from kora.store.postgres.board import PostgresBoard
    from kora.store.postgres.listening import Listener
    from kora.store.postgres.write import PostgresWriter
    from kora.store.sql.read import Reader
    from kora.store.views import ArchiveResult


class PostgresStore:
    """Implements `Store`. Each handle has its own connection, made when it is first needed; the store keeps none.

    Opening changes nothing but the actor's row, and not even that `as_it_is`; tables are made by `migrate` alone.
    """

    is_new = False

    def __init__(
        self,
        url: str,
        name: str,
        *,
        workspace_id: str,
        actor_id: str,
        time: TimeSource,
        as_it_is: bool = False,
    ) -> None:
        self._place = PostgresPlace(url, name, workspace_id, actor_id, time)
        if not as_it_is:
            check(self._place)

    @property
    def url(self) -> str:
        """Where it is, without the password."""
        return self._place.name

    def writer(self, runtime: RuntimeRecord) -> PostgresWriter:
        """A new handle for this runtime's Ledger; `next_incarnation` registers the runtime."""
        from kora.store.postgres.write import PostgresWriter

        return PostgresWriter(self._place, runtime)

    def reader(self) -> Reader:
        """A new reading handle."""
        from kora.store.postgres.read_statements import READ, REPORT
        from kora.store.sql.read import Reader

        return Reader(self._place, READ, REPORT)

    def board(self, *, is_patient: bool = True) -> PostgresBoard:
        """A new operator's handle."""
        from kora.store.postgres.board import PostgresBoard

        return PostgresBoard(self._place, is_patient=is_patient)

    def hints(self) -> Listener:
        """A new ear for new tickets, with a connection of its own."""
        from kora.store.postgres.listening import Listener

        return Listener(self._place)

    def rehearse(self, *, is_patient: bool = False) -> None:
        """A ticket of its own was added, claimed and released, and all of it undone. Raises `StoreError`."""
        from kora.store.postgres.board_statements import BOARD
        from kora.store.postgres.write import PostgresWriter

        nobody = RuntimeRecord(runtime_id=new_id(), host="", pid=0, version="")
        with closing(PostgresWriter(self._place, nobody, is_patient=is_patient)) as writer:
            writer.rehearse(BOARD)

    def archive(
        self, directory: Path, older_than: datetime, *, who: str, progress: Callable[[int, int], None]
    ) -> ArchiveResult:
        """Move the workspace's events that occurred before this moment into compressed files that still verify."""
        from kora.store.postgres.archive_statements import ARCHIVING
        from kora.store.sql.archive import archive

        return archive(self._place, ARCHIVING, directory, older_than, who=who, progress=progress)

    def close(self) -> None:
        """Nothing is left to close: each handle closes its own connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
