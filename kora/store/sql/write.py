"""What every Ledger's handle does alike: a turn from its opening to its commit, and what the runtime holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import Final

import orjson

from kora.clock import boot_us
from kora.domain.claim import Claim, ClaimKey
from kora.errors import IncarnationLostError, StoreUnavailableError, StoreUnusableError
from kora.store.port import RuntimeRecord, Turn, TurnResult
from kora.store.sql import charge, mark, operate, pace, rehearse, settle
from kora.store.sql import turn as turns
from kora.store.sql.log import ChainLog
from kora.store.sql.place import Connection, Mark, Place
from kora.store.sql.rows import TicketRow, claim_of, json_array, rfc3339
from kora.store.sql.statements import BoardStatements, TurnStatements
from kora.store.sql.steering_statements import Gate

REMEMBERED_MAX: Final = 10_000
"""claims that the writer knows by heart; beyond it all are forgotten, and asked for as they end"""


class Writer(ABC):
    """A Ledger's handle but for what is each database's own. The runtime's chain has its `runtime_id` for a name."""

    def __init__(self, place: Place, connection: Connection, runtime: RuntimeRecord, say: TurnStatements) -> None:
        self._place = place
        self._connection = connection
        self._runtime = runtime
        self._say = say
        self._claimed: dict[str, turns.Claimed] = {}
        self._seen_us = 0
        """when the runtime was last said to be there, by `_clock_us`"""

    @abstractmethod
    def _raise_incarnation(self) -> int:
        """The runtime's new incarnation, its row and its chain being there; within a transaction.

        Raises `StoreUnusableError` for a runtime of another workspace, or one that was revoked.
        """

    @abstractmethod
    def _nothing_ran_out(self) -> bool:
        """Whether a sweep would find nothing: so that an idle runtime leaves everybody alone."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[None]:
        """What a turn is written in."""

    @abstractmethod
    def _open_turn(self, incarnation: int, *, careful: bool) -> turns.OpenTurn:
        """The turn, opened within the transaction. Raises `IncarnationLostError` for a retired writer."""

    @abstractmethod
    def _committed(self) -> None:
        """What is done once a turn was committed."""

    def next_incarnation(self) -> int:
        """Raise and return the incarnation in the runtime's row; from now on its older writers change nothing."""
        with self._transaction():
            incarnation = self._raise_incarnation()
        self._seen_us = self._clock_us()
        return incarnation

    def rehearse(self, say: BoardStatements) -> None:
        """A ticket of its own was added, claimed and released, and all of it undone. Raises `StoreError`."""
        try:
            with self._connection.undone():
                rehearse.rehearse(self._open_turn(self._raise_incarnation(), careful=False), say)
        except self._place.row_errors as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise StoreUnusableError(
                f"{self._place.name} does not let a ticket be claimed and released ({said}); see `kora-actors migrate`"
            ) from error

    def turn(self, incarnation: int, turn: Turn) -> TurnResult:
        """Do the whole turn in one transaction, or nothing. Raises `IncarnationLostError` for a retired writer."""
        if not (turn.is_sweep_only and self._nothing_ran_out()):
            return self._turn(incarnation, turn)
        if self._is_seen_due():
            # To be seen is worth no alarm: where the store is locked, or full, an idle runtime tries again later.
            with suppress(StoreUnavailableError):
                return self._turn(incarnation, turn)
            self._seen_us = self._clock_us()
        return TurnResult()

    def _turn(self, incarnation: int, turn: Turn) -> TurnResult:
        """Without a savepoint first: that nearly always goes well. If a row fails, all over again, row by row."""
        try:
            return self._once(incarnation, turn, careful=False)
        except self._place.row_errors:
            return self._once(incarnation, turn, careful=True)

    def _once(self, incarnation: int, turn: Turn, *, careful: bool) -> TurnResult:
        with self._transaction():
            opened = self._open_turn(incarnation, careful=careful)
            if not careful:
                self._connection.run_ahead()
            turns.refresh(opened, turn.refresh, turn.refresh_seconds)
            # Ahead of what this turn changes: what was told had happened before.
            turns.append(opened, turn.append)
            if turn.operate:
                operate.operate(opened, turn.operate)
            settle.settle(opened, turn.settle)
            charge.charge(opened, turn.charge)
            mark.mark(opened, turn.marks)
            turns.return_holders(opened, turn.return_holders, turn.max_attempts)
            if turn.sweep:
                turns.sweep(opened, turn.max_attempts)
            if turn.resume_credit is not None:
                pace.resume_credit(opened, turn.resume_credit)
            if turn.claim is not None:
                pace.claim_within(opened, turn.claim)
            self._connection.run_ahead()
            opened.close()
        self._committed()
        self._forget_settled(opened.result)
        if opened.says_seen:
            self._seen_us = self._clock_us()
        return opened.result

    def held(self) -> list[Claim]:
        """What the store says this runtime holds, lease run out or not."""
        with self._connection.translated():
            bound = (self._place.workspace_id, self._runtime.runtime_id)
            rows = self._connection.execute(self._say.held_by, bound).fetchall()
        return [claim_of(TicketRow._make(row)) for row in rows]

    def holds(self) -> frozenset[ClaimKey]:
        """The keys of what the store says this runtime holds, lease run out or not."""
        with self._connection.translated():
            bound = (self._place.workspace_id, self._runtime.runtime_id)
            (keys,) = self._connection.execute(self._say.keys_held_by, bound).fetchone()
        return frozenset(ClaimKey(*key) for key in orjson.loads(keys))

    def holds_any(self, runtime_ids: Sequence[str]) -> frozenset[str]:
        """Which of these runtimes the store says hold a claim."""
        with self._connection.translated():
            bound = (self._place.workspace_id, json_array(list(runtime_ids)))
            return frozenset(
                holder for (holder,) in self._connection.execute(self._say.holders_among, bound).fetchall()
            )

    def changed(self) -> bool:
        """Whether somebody else may have committed since this was last asked, or since this handle was made.

        Raises `StoreUnusableError` when the store is not the one that was opened any more.
        """
        return self._connection.changed()

    def _clock_us(self) -> int:
        """A clock of this machine that nobody sets: for what may be late."""
        return boot_us(self._place.time)

    def _opened(
        self,
        *,
        now_us: int,
        booted_us: int,
        head: Mark,
        gate: Gate,
        careful: bool,
        has_dependencies: bool | None = None,
        any_ran_out: bool = True,
        any_due: bool = True,
    ) -> turns.OpenTurn:
        """A turn of this writer, whose chain stands at `head`; what it was not asked about is taken to be there."""
        place, runtime_id = self._place, self._runtime.runtime_id
        return turns.OpenTurn(
            connection=self._connection,
            say=self._say,
            row_errors=place.row_errors,
            workspace_id=place.workspace_id,
            actor_id=place.actor_id,
            runtime_id=runtime_id,
            now_us=now_us,
            booted_us=booted_us,
            claimed=self._claimed,
            log=ChainLog(
                self._connection,
                self._say.log,
                workspace_id=place.workspace_id,
                chain_id=runtime_id,
                now_us=now_us,
                head=head,
            ),
            gate=gate,
            has_dependencies=has_dependencies,
            any_ran_out=any_ran_out,
            any_due=any_due,
            says_seen=self._is_seen_due(),
            careful=careful,
        )

    def _is_seen_due(self) -> bool:
        return self._clock_us() - self._seen_us >= turns.SEEN_EVERY_US

    def _refuse(self, found: int | None, incarnation: int, revoked_at: int | None) -> None:
        """Nothing, if the runtime is at this incarnation. Raises `IncarnationLostError`, or what `_revoked` says."""
        if revoked_at is not None:
            raise self._revoked(revoked_at)
        if found != incarnation:
            raise IncarnationLostError(
                f"runtime {self._runtime.runtime_id} is at incarnation {found or 'none'};"
                f" a writer of {incarnation} changes nothing"
            )

    def _not_raised(self, revoked_at: int | None) -> StoreUnusableError:
        """Why the incarnation could not be raised."""
        if revoked_at is not None:
            return self._revoked(revoked_at)
        return StoreUnusableError(
            f"runtime {self._runtime.runtime_id} belongs to another workspace of {self._place.name}"
        )

    def _revoked(self, revoked_at: int) -> StoreUnusableError:
        """Why a runtime that was revoked changes nothing any more."""
        return StoreUnusableError(
            f"{self._place.name}: runtime {self._runtime.runtime_id} was revoked at {rfc3339(revoked_at)}, by a stop of"
            " level 5 or a watcher; what it writes is refused for good. Start another one"
        )

    def _forget_settled(self, result: TurnResult) -> None:
        """Keep what is in hand, or little more: of what others took away nobody tells."""
        for key in (*result.settled, *result.returned):
            self._claimed.pop(key.work_attempt_id, None)
        if len(self._claimed) > REMEMBERED_MAX:
            self._claimed.clear()
