"""The Ledger's handle on a PostgreSQL store."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from kora.store.port import RuntimeRecord
from kora.store.postgres.connection import PostgresConnection
from kora.store.postgres.place import PostgresPlace
from kora.store.postgres.runtime_statements import RAISE_INCARNATION, REVOKED_AT, SAY_ENDED
from kora.store.postgres.schema import UNFINISHED_COPY
from kora.store.postgres.turn_statements import ANY_RAN_OUT, MAKE_CHAIN, OPEN_TURN, TURN
from kora.store.sql import turn as turns
from kora.store.sql.steering_statements import Gate
from kora.store.sql.unfinished import check_finished
from kora.store.sql.write import Writer


class PostgresWriter(Writer):
    """Implements `Writer`."""

    _place: PostgresPlace
    _connection: PostgresConnection

    def __init__(self, place: PostgresPlace, runtime: RuntimeRecord, *, is_patient: bool = False) -> None:
        super().__init__(place, place.connect(is_patient=is_patient), runtime, TURN)

    def say_ended(self) -> None:
        """The runtime is known to have ended in good order, until it asks for another incarnation."""
        with self._connection.writing():
            self._connection.execute(SAY_ENDED, (self._runtime.runtime_id, self._place.workspace_id))

    def interrupt(self) -> None:
        """Make a statement under way fail soon; callable from another thread, and harmless on a closed handle."""
        self._connection.interrupt()

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def _raise_incarnation(self) -> int:
        runtime, workspace_id = self._runtime, self._place.workspace_id
        row = (runtime.runtime_id, workspace_id, runtime.host, runtime.pid, runtime.version)
        check_finished(self._connection, UNFINISHED_COPY, name=self._place.name, workspace_id=workspace_id)
        raised = self._connection.execute(RAISE_INCARNATION, row).fetchone()
        if raised is None:
            found = self._connection.execute(REVOKED_AT, (runtime.runtime_id, workspace_id)).fetchone()
            raise self._not_raised(found and found[0])
        self._connection.execute(MAKE_CHAIN, (workspace_id, runtime.runtime_id))
        return int(raised[0])

    def _nothing_ran_out(self) -> bool:
        bound = (self._place.workspace_id, self._runtime.runtime_id)
        with self._connection.translated():
            return not self._connection.execute(ANY_RAN_OUT, bound).fetchone()[0]

    def _transaction(self) -> AbstractContextManager[None]:
        return self._connection.writing()

    def _committed(self) -> None:
        """Nothing: the server sees to its log."""

    def _open_turn(self, incarnation: int, *, careful: bool) -> turns.OpenTurn:
        bound = (self._place.workspace_id, self._runtime.runtime_id, self._place.actor_id)
        row: tuple[Any, ...] = self._connection.execute(OPEN_TURN, bound).fetchone() or (None,) * 8
        found, now_us, xact_id, last_seq, last_hash, any_due, revoked_at, gate = row
        self._refuse(found, incarnation, revoked_at)
        self._connection.begun_as(xact_id)
        head = (last_seq, bytes(last_hash))
        return self._opened(
            now_us=now_us, booted_us=now_us, head=head, gate=Gate(*gate), careful=careful, any_due=any_due
        )
