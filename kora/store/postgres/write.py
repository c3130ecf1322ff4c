"""The Ledger's handle on a PostgreSQL store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from kora.domain.claim import Claim, ClaimKey
from kora.errors import IncarnationLostError, StoreUnusableError
from kora.store.port import RuntimeRecord, Turn, TurnResult
from kora.store.postgres.errors import ROW_ERRORS
from kora.store.postgres.place import PostgresPlace
from kora.store.postgres.statements import HELD_BY, HOLDERS_AMONG, KEYS_HELD_BY
from kora.store.postgres.turn_statements import ANY_RAN_OUT, MAKE_CHAIN, OPEN_TURN, RAISE_INCARNATION, TURN
from kora.store.sql import claim, operate, settle
from kora.store.sql import turn as turns
from kora.store.sql.log import ChainLog
from kora.store.sql.rows import TicketRow, claim_of, json_array

REMEMBERED_MAX: Final = 10_000
"""claims that the writer knows by heart; beyond it all are forgotten, and asked for as they end"""


class PostgresWriter:
    """Implements `Writer`. The runtime's chain carries its `runtime_id` as its name."""

    def __init__(self, place: PostgresPlace, runtime: RuntimeRecord) -> None:
        self._place = place
        self._runtime = runtime
        self._connection = place.connect()
        self._claimed: dict[str, turns.Claimed] = {}

    def next_incarnation(self) -> int:
        """Raise and return the incarnation in the runtime's row; from now on its older writers change nothing."""
        runtime, workspace_id = self._runtime, self._place.workspace_id
        with self._connection.writing():
            row = (runtime.runtime_id, workspace_id, runtime.host, runtime.pid, runtime.version)
            raised = self._connection.execute(RAISE_INCARNATION, row).fetchone()
            if raised is None:
                raise StoreUnusableError(
                    f"runtime {runtime.runtime_id} belongs to another workspace of {self._place.name}"
                )
            self._connection.execute(MAKE_CHAIN, (workspace_id, runtime.runtime_id))
        return int(raised[0])

    def turn(self, incarnation: int, turn: Turn) -> TurnResult:
        """Do the whole turn in one transaction, or nothing. Raises `IncarnationLostError` for a retired writer."""
        if turn.is_sweep_only and not self._any_ran_out():
            return TurnResult()
        try:
            return self._once(incarnation, turn, careful=False)
        except ROW_ERRORS:
            return self._once(incarnation, turn, careful=True)

    def _once(self, incarnation: int, turn: Turn, *, careful: bool) -> TurnResult:
        with self._connection.writing():
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
        self._forget_settled(opened.result)
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

    def changed(self) -> bool:
        """Whether anybody has committed since this was last asked: a hint, and often a wrong one."""
        return self._connection.changed()

    def interrupt(self) -> None:
        """Make a statement under way fail soon; callable from another thread, and harmless on a closed handle."""
        self._connection.interrupt()

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def _any_ran_out(self) -> bool:
        with self._connection.translated():
            return bool(self._connection.execute(ANY_RAN_OUT, (self._place.workspace_id,)).fetchone()[0])

    def _forget_settled(self, result: TurnResult) -> None:
        """Keep what is in hand, or little more: of what others took away nobody tells."""
        for key in (*result.settled, *result.returned):
            self._claimed.pop(key.work_attempt_id, None)
        if len(self._claimed) > REMEMBERED_MAX:
            self._claimed.clear()

    def _open_turn(self, incarnation: int, *, careful: bool) -> turns.OpenTurn:
        place, runtime_id = self._place, self._runtime.runtime_id
        row = self._connection.execute(OPEN_TURN, (place.workspace_id, runtime_id, place.actor_id)).fetchone()
        found = row[0] if row else None
        if row is None or found != incarnation:
            raise IncarnationLostError(
                f"runtime {runtime_id} is at incarnation {found or 'none'}; a writer of {incarnation} changes nothing"
            )
        _, now_us, xact_id, last_seq, last_hash, has_dependencies, any_due = row
        self._connection.begun_as(xact_id)
        return turns.OpenTurn(
            connection=self._connection,
            say=TURN,
            row_errors=place.row_errors,
            workspace_id=place.workspace_id,
            actor_id=place.actor_id,
            runtime_id=runtime_id,
            now_us=now_us,
            booted_us=now_us,
            claimed=self._claimed,
            log=ChainLog(
                self._connection,
                TURN.log,
                workspace_id=place.workspace_id,
                chain_id=runtime_id,
                now_us=now_us,
                head=(last_seq, bytes(last_hash)),
            ),
            has_dependencies=has_dependencies,
            any_due=any_due,
            careful=careful,
        )
