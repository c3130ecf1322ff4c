"""The Ledger's handle on a SQLite store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Final

import orjson

from kora.domain.claim import Claim, ClaimKey
from kora.domain.events import GENESIS
from kora.errors import IncarnationLostError, StoreUnavailableError, StoreUnusableError
from kora.store.port import RuntimeRecord, Turn, TurnResult
from kora.store.sql import claim, operate, settle
from kora.store.sql import turn as turns
from kora.store.sql.log import ChainLog
from kora.store.sql.rows import TicketRow, claim_of, json_array
from kora.store.sqlite.clock import anchored_us, boot_us, now_for_writing_us
from kora.store.sqlite.errors import ROW_ERRORS
from kora.store.sqlite.folding import Folding
from kora.store.sqlite.place import SqlitePlace
from kora.store.sqlite.room import suit_room, writing_within_room
from kora.store.sqlite.sets import TURN
from kora.store.sqlite.statements import HELD_BY, HOLDERS_AMONG, KEYS_HELD_BY, RAISE_INCARNATION, SAY_ENDED
from kora.store.sqlite.turn_statements import ANY_RAN_OUT, OPEN_TURN

REMEMBERED_MAX: Final = 10_000
"""claims that the writer knows by heart; beyond it all are forgotten, and asked for as they end"""


class SqliteWriter:
    """Implements `Writer`. The runtime's chain carries its `runtime_id` as its name."""

    def __init__(self, place: SqlitePlace, runtime: RuntimeRecord) -> None:
        self._place = place
        self._runtime = runtime
        self._connection = place.connect()
        suit_room(self._connection.bare, place.path)
        self._folding = Folding(place)
        self._claimed: dict[str, turns.Claimed] = {}
        self._seen_us = 0
        """when the runtime was last said to be there, on the boot clock"""

    def next_incarnation(self) -> int:
        """Raise and return the incarnation in the runtime's row; from now on its older writers change nothing."""
        with writing_within_room(self._connection.bare, self._place.path):
            row = {
                **asdict(self._runtime),
                "workspace_id": self._place.workspace_id,
                "now": now_for_writing_us(self._connection.bare, self._place.time),
            }
            raised = self._connection.execute(RAISE_INCARNATION, row).fetchall()
            if not raised:
                raise StoreUnusableError(
                    f"runtime {self._runtime.runtime_id} belongs to another workspace of {self._place.path}"
                )
        self._seen_us = boot_us(self._place.time)
        return int(raised[0][0])

    def turn(self, incarnation: int, turn: Turn) -> TurnResult:
        """Do the whole turn in one transaction, or nothing. Raises `IncarnationLostError` for a retired writer."""
        if not (turn.is_sweep_only and self._nothing_ran_out()):
            return self._turn(incarnation, turn)
        booted_us = boot_us(self._place.time)
        if self._is_seen_due(booted_us):
            # To be seen is worth no alarm: where the file is locked, or full, an idle runtime tries again later.
            with suppress(StoreUnavailableError):
                return self._turn(incarnation, turn)
            self._seen_us = booted_us
        return TurnResult()

    def _turn(self, incarnation: int, turn: Turn) -> TurnResult:
        """Without a savepoint first: that nearly always goes well. If a row fails, all over again, row by row."""
        try:
            return self._once(incarnation, turn, careful=False)
        except ROW_ERRORS:
            return self._once(incarnation, turn, careful=True)

    def _once(self, incarnation: int, turn: Turn, *, careful: bool) -> TurnResult:
        with writing_within_room(self._connection.bare, self._place.path):
            opened = self._open_turn(incarnation, careful=careful)
            turns.refresh(opened, turn.refresh, turn.refresh_seconds)
            # Ahead of what this turn changes: what was told had happened before.
            turns.append(opened, turn.append)
            if turn.operate:
                operate.operate(opened, turn.operate)
            settle.settle(opened, turn.settle)
            turns.return_holders(opened, turn.return_holders, turn.max_attempts)
            if turn.sweep:
                turns.sweep(opened, turn.max_attempts)
            if turn.claim is not None:
                claim.claim(opened, turn.claim)
            opened.close()
        self._folding.committed(self._connection.bare.total_changes)
        self._forget_settled(opened.result)
        if opened.says_seen:
            self._seen_us = opened.booted_us
        return opened.result

    def held(self) -> list[Claim]:
        """What the store says this runtime holds, lease run out or not."""
        with self._connection.translated():
            bound = (self._place.workspace_id, self._runtime.runtime_id)
            rows = self._connection.execute(HELD_BY, bound).fetchall()
        return [claim_of(TicketRow._make(row)) for row in rows]

    def holds(self) -> frozenset[ClaimKey]:
        """The keys of what the store says this runtime holds, lease run out or not."""
        with self._connection.translated():
            bound = (self._place.workspace_id, self._runtime.runtime_id)
            (keys,) = self._connection.execute(KEYS_HELD_BY, bound).fetchone()
        return frozenset(ClaimKey(*key) for key in orjson.loads(keys))

    def holds_any(self, runtime_ids: Sequence[str]) -> frozenset[str]:
        """Which of these runtimes the store says hold a claim."""
        with self._connection.translated():
            bound = (self._place.workspace_id, json_array(list(runtime_ids)))
            return frozenset(holder for (holder,) in self._connection.execute(HOLDERS_AMONG, bound).fetchall())

    def say_ended(self) -> None:
        """The runtime is known to have ended in good order, until it asks for another incarnation."""
        with writing_within_room(self._connection.bare, self._place.path):
            now_us = now_for_writing_us(self._connection.bare, self._place.time)
            self._connection.execute(SAY_ENDED, (now_us, self._runtime.runtime_id, self._place.workspace_id))

    def changed(self) -> bool:
        """Whether another connection has committed since this was last asked, or since this handle was made.

        Raises `StoreUnusableError` when the file is not the one that was opened any more.
        """
        return self._connection.changed()

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

    def _nothing_ran_out(self) -> bool:
        """So that an idle runtime leaves the write lock alone: frozen with it in hand, it would stop every other."""
        with self._connection.translated():
            time = self._place.time
            bound = (self._place.workspace_id, boot_us(time), time.boot_id())
            return bool(self._connection.execute(ANY_RAN_OUT, bound).fetchone() == (0,))

    def _is_seen_due(self, booted_us: int) -> bool:
        return booted_us - self._seen_us >= turns.SEEN_EVERY_US

    def _forget_settled(self, result: TurnResult) -> None:
        """Keep what is in hand, or little more: of what others took away nobody tells."""
        for key in (*result.settled, *result.returned):
            self._claimed.pop(key.work_attempt_id, None)
        if len(self._claimed) > REMEMBERED_MAX:
            self._claimed.clear()

    def _open_turn(self, incarnation: int, *, careful: bool) -> turns.OpenTurn:
        place, runtime_id = self._place, self._runtime.runtime_id
        booted_us = boot_us(place.time)
        bound = (runtime_id, place.workspace_id, place.time.boot_id(), place.actor_id, booted_us)
        found, anchor_us, *head, has_dependencies, any_ran_out, any_due = self._connection.execute(
            OPEN_TURN, bound
        ).fetchone()
        if found != incarnation:
            raise IncarnationLostError(
                f"runtime {runtime_id} is at incarnation {found or 'none'}; a writer of {incarnation} changes nothing"
            )
        now_us = anchored_us(self._connection.bare, place.time, anchor_us, booted_us)
        is_anew = anchor_us is None or now_us != anchor_us + booted_us
        return turns.OpenTurn(
            connection=self._connection,
            say=TURN,
            row_errors=place.row_errors,
            workspace_id=place.workspace_id,
            actor_id=place.actor_id,
            runtime_id=runtime_id,
            now_us=now_us,
            booted_us=booted_us,
            claimed=self._claimed,
            log=ChainLog(
                self._connection,
                TURN.log,
                workspace_id=place.workspace_id,
                chain_id=runtime_id,
                now_us=now_us,
                head=(0, GENESIS) if head[0] is None else (head[0], head[1]),
            ),
            has_dependencies=bool(has_dependencies),
            any_ran_out=bool(any_ran_out) or is_anew,
            any_due=bool(any_due) or is_anew,
            says_seen=self._is_seen_due(booted_us),
            careful=careful,
        )
