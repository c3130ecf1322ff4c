"""An operator's handle on a PostgreSQL store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import errors

from kora.errors import RefusedError
from kora.store.hints import Hint
from kora.store.postgres.board_statements import BOARD, WAKE
from kora.store.postgres.listening import channel
from kora.store.postgres.place import PostgresPlace
from kora.store.sql.board import Board
from kora.store.sql.change import Change


class PostgresBoard(Board):
    """As every operator's handle, and it wakes the workspace's runtimes when a change is committed."""

    def __init__(self, place: PostgresPlace, *, is_patient: bool = True) -> None:
        super().__init__(place, BOARD, is_patient=is_patient)
        self._channel = channel(place.workspace_id)

    @contextmanager
    def _changing(self, who: str) -> Iterator[Change]:
        try:
            with super()._changing(who) as change:
                yield change
                hint = Hint.STEERING if change.steers else Hint.TICKETS
                change.connection.execute(WAKE, (self._channel, hint.value))
        except errors.UniqueViolation as error:
            if error.diag.constraint_name != "objectives_ticket_id_key":
                raise
            raise RefusedError("nothing was added: another workspace has a ticket of one of these ids") from error
