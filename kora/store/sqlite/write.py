"""The Ledger's handle on a SQLite store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict

from kora.clock import boot_us
from kora.domain.events import GENESIS
from kora.store.port import RuntimeRecord
from kora.store.sql import turn as turns
from kora.store.sql.steering_statements import Gate
from kora.store.sql.unfinished import check_finished
from kora.store.sql.write import Writer
from kora.store.sqlite.clock import anchored_us, now_for_writing_us
from kora.store.sqlite.folding import Folding
from kora.store.sqlite.place import SqliteConnection, SqlitePlace
from kora.store.sqlite.room import suit_room, writing_within_room
from kora.store.sqlite.sets import TURN
from kora.store.sqlite.statements import RAISE_INCARNATION, REVOKED_AT, SAY_ENDED, UNFINISHED_COPY
from kora.store.sqlite.turn_statements import ANY_RAN_OUT, OPEN_TURN


class SqliteWriter(Writer):
    """Implements `Writer`."""

    _place: SqlitePlace
    _connection: SqliteConnection

    def __init__(self, place: SqlitePlace, runtime: RuntimeRecord, *, is_patient: bool = False) -> None:
        super().__init__(place, place.connect(is_patient=is_patient), runtime, TURN)
        suit_room(self._connection.bare, place.path)
        self._folding = Folding(place)

    def say_ended(self) -> None:
        """The runtime is known to have ended in good order, until it asks for another incarnation."""
        with writing_within_room(self._connection.bare, self._place.path):
            now_us = now_for_writing_us(self._connection.bare, self._place.time)
            self._connection.execute(SAY_ENDED, (now_us, self._runtime.runtime_id, self._place.workspace_id))

    def interrupt(self) -> None:
        """Make a statement under way fail soon; callable from another thread, and harmless on a closed handle."""
        with suppress(sqlite3.ProgrammingError):
            self._connection.bare.interrupt()

    def trace(self, told: Callable[[str], object] | None) -> None:
        """Tell every statement from now on, as SQLite runs it; for measurements."""
        self._connection.bare.set_trace_callback(told)

    def close(self) -> None:
        """Give the connection back."""
        self._folding.close()
        self._connection.close()

    def _raise_incarnation(self) -> int:
        check_finished(self._connection, UNFINISHED_COPY, name=self._place.name, workspace_id=self._place.workspace_id)
        row = {
            **asdict(self._runtime),
            "workspace_id": self._place.workspace_id,
            "now": now_for_writing_us(self._connection.bare, self._place.time),
        }
        raised = self._connection.execute(RAISE_INCARNATION, row).fetchall()
        if not raised:
            bound = (self._runtime.runtime_id, self._place.workspace_id)
            found = self._connection.execute(REVOKED_AT, bound).fetchone()
            raise self._not_raised(found and found[0])
        return int(raised[0][0])

    def _nothing_ran_out(self) -> bool:
        """So that an idle runtime leaves the write lock alone: frozen with it in hand, it would stop every other."""
        with self._connection.translated():
            time = self._place.time
            bound = (self._place.workspace_id, boot_us(time), time.boot_id(), self._runtime.runtime_id)
            return bool(self._connection.execute(ANY_RAN_OUT, bound).fetchone() == (0,))

    def _transaction(self) -> AbstractContextManager[None]:
        return writing_within_room(self._connection.bare, self._place.path)

    def _committed(self) -> None:
        self._folding.committed(self._connection.bare.total_changes)

    def _open_turn(self, incarnation: int, *, careful: bool) -> turns.OpenTurn:
        place = self._place
        booted_us = boot_us(place.time)
        bound = (self._runtime.runtime_id, place.workspace_id, place.time.boot_id(), place.actor_id, booted_us)
        found, anchor_us, *rest = self._connection.execute(OPEN_TURN, bound).fetchone()
        head, (has_dependencies, any_ran_out, any_due, revoked_at), gate = rest[:2], rest[2:6], Gate(*rest[6:])
        self._refuse(found, incarnation, revoked_at)
        now_us = anchored_us(self._connection.bare, place.time, anchor_us, booted_us)
        is_anew = anchor_us is None or now_us != anchor_us + booted_us
        if is_anew and anchor_us is not None:
            gate = _moved(gate, now_us - anchor_us - booted_us)
        return self._opened(
            now_us=now_us,
            booted_us=booted_us,
            head=(0, GENESIS) if head[0] is None else (head[0], head[1]),
            gate=gate,
            careful=careful,
            has_dependencies=bool(has_dependencies),
            any_ran_out=bool(any_ran_out) or is_anew,
            any_due=bool(any_due) or is_anew,
        )


def _moved(gate: Gate, by_us: int) -> Gate:
    """The gate as `MOVE_RAMPS` has just left it."""
    if gate.ramp_until == 0:
        return gate
    paced_at = gate.paced_at + by_us if gate.paced_at else 0
    return gate._replace(ramp_until=gate.ramp_until + by_us, paced_at=paced_at)
