"""A Ledger's turn: what happens between BEGIN and COMMIT, in the order of `Turn`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

import orjson

from kora.clock import MICROSECONDS, from_us
from kora.domain.claim import BLOCKED_FOR_ATTEMPTS, ClaimKey
from kora.domain.cost import month_of
from kora.domain.events import EventType, NewEvent, canonical
from kora.domain.ticket import QueueState, Status
from kora.store.port import Earned, TurnResult
from kora.store.sql.log import ChainLog, Told
from kora.store.sql.place import Connection, Counted
from kora.store.sql.rows import json_array
from kora.store.sql.statements import TurnStatements
from kora.store.sql.steering_statements import Gate

_BLOCKED: Final = EventType.BLOCKED.value
_EXPIRED: Final = EventType.EXPIRED.value
LEASE_RAN_OUT: Final = "lease expired"
HOLDER_GONE: Final = "holder is gone"
EXPIRED: Final = "expired"
"""what the tallies call an attempt that nobody ended"""
SEEN_EVERY_US: Final = 10 * MICROSECONDS
"""how often a writer says that its runtime is there"""
MINUTE_US: Final = 60 * MICROSECONDS

Row = TypeVar("Row")
Done = TypeVar("Done")


class Claimed(NamedTuple):
    """What a settlement need not ask the store for, of a claim of the same writer."""

    ticket_id: str
    ticket_no: int
    booted_us: int
    """when it was claimed, on the boot clock"""


@dataclass(slots=True)
class Tally:
    """Attempts of one turn that ended in one way."""

    attempts: int = 0
    cost_micro_usd: int = 0
    worked_us: int = 0


@dataclass(slots=True)
class OpenTurn:
    """One turn under way: the writer's chain is its own, and `now_us` was read after it was got."""

    connection: Connection
    say: TurnStatements
    row_errors: tuple[type[Exception], ...]
    workspace_id: str
    actor_id: str
    runtime_id: str
    now_us: int
    booted_us: int
    """the boot clock's word for `now_us`: how long ago something was, whatever became of the clock meanwhile"""
    log: ChainLog
    gate: Gate
    """what bounds its claims"""
    claimed: dict[str, Claimed]
    """what the writer remembers of its claims, by work attempt; those of this turn are added"""
    has_dependencies: bool | None = None
    """whether any ticket of the file waits, or waited, for another; None where others write meanwhile, so that it is
    not to be told before the tickets that end are locked"""
    any_ran_out: bool = True
    any_due: bool = True
    """whether a lease had run out, and a dated ticket of this actor was due, when the turn began"""
    says_seen: bool = False
    """whether the runtime's row is to say that it was seen now"""
    careful: bool = True
    """a row that fails is set aside; else it fails the turn, which is then to be done again with care"""
    tallies: dict[str, Tally] = field(default_factory=dict)
    result: TurnResult = field(default_factory=TurnResult)
    _expected: list[tuple[Sequence[Counted], int, str]] = field(default_factory=list)

    def after(self, seconds: float) -> int:
        """The store's time so many seconds from now."""
        return self.now_us + round(seconds * MICROSECONDS)

    def since(self, then_us: int | None) -> int:
        """How long ago that was, in microseconds; 0 for what is not known or not past."""
        return 0 if then_us is None else max(0, self.now_us - then_us)

    def tally(self, resolution: str, *, worked_us: int, cost_micro_usd: int = 0, attempts: int = 1) -> None:
        """One more attempt ended so, or has cost so much more than was known; written by `close`."""
        tally = self.tallies.get(resolution)
        if tally is None:
            tally = self.tallies[resolution] = Tally()
        tally.attempts += attempts
        tally.worked_us += worked_us
        tally.cost_micro_usd += cost_micro_usd

    def expect(self, changed: Sequence[Counted], count: int, otherwise: str) -> None:
        """These have changed so many rows in all; otherwise the turn fails, with these words, before it is committed.

        Where a row that fails is to be set aside, at once: it is looked at no sooner than that, for to look is to wait.
        """
        self._expected.append((changed, count, otherwise))
        if self.careful:
            self._look_back()

    def _look_back(self) -> None:
        expected, self._expected = self._expected, []
        for changed, count, otherwise in expected:
            if sum(each.rowcount for each in changed) != count:
                raise ValueError(otherwise)

    def close(self) -> None:
        """Write what is written once a turn, and look whether everything has done what it should."""
        minute = self.now_us // MINUTE_US
        for resolution, tally in self.tallies.items():
            key = (self.workspace_id, minute, self.runtime_id, resolution)
            self.connection.execute(self.say.log.tally, (*key, tally.attempts, tally.cost_micro_usd, tally.worked_us))
        spent = sum(tally.cost_micro_usd for tally in self.tallies.values())
        if spent:
            bound = (self.workspace_id, month_of(from_us(self.now_us)), self.runtime_id, spent)
            self.connection.execute(self.say.steering.add_spend, bound)
        self.log.close()
        if self.says_seen:
            self.connection.execute(self.say.seen, (self.now_us, self.runtime_id, self.workspace_id))
        self._look_back()

    def each(
        self, rows: Sequence[Row], write: Callable[[Sequence[Row]], list[Done]], name: Callable[[Row], str]
    ) -> list[Done]:
        """What `write` returns for these rows, together with their events.

        All at once if that works; else one at a time, and a row whose own content makes it fail is set aside under its
        name, with nothing of it written. Faults of the disk or the lock are not a row's, and end the turn.
        """
        if not rows:
            return []
        if not self.careful:
            return write(rows)
        try:
            return self._within_savepoint(rows, write)
        except self.row_errors:
            done: list[Done] = []
        for row in rows:
            try:
                done += self._within_savepoint([row], write)
            except self.row_errors as error:
                self.result.set_aside.append(f"{name(row)}: {error}")
        return done

    def _within_savepoint(self, rows: Sequence[Row], write: Callable[[Sequence[Row]], list[Done]]) -> list[Done]:
        mark = self.log.mark()
        self.connection.execute("SAVEPOINT some_rows")
        try:
            done = write(rows)
            self.log.flush()
        except self.row_errors:
            self.connection.execute("ROLLBACK TO some_rows")
            self.connection.execute("RELEASE some_rows")
            self.log.rewind(mark)
            raise
        self.connection.execute("RELEASE some_rows")
        return done


def refresh(turn: OpenTurn, earned: Sequence[Earned], seconds: float) -> None:
    """Leases that still run, and are this runtime's, end `seconds` from now; the others are named lost."""
    if not earned:
        return
    progress = {each.key: turn.after(-each.progress_age_seconds) for each in earned}
    claims = orjson.dumps(
        [(key.ticket_id, key.claim_fence_token, key.work_attempt_id, at) for key, at in progress.items()]
    ).decode()
    bound = (turn.after(seconds), claims, turn.workspace_id, turn.runtime_id)
    refreshed = set(range(len(progress)))
    if turn.connection.execute(turn.say.refresh, (*bound, turn.now_us)).rowcount != len(progress):
        (found,) = turn.connection.execute(turn.say.refreshed, bound).fetchone()
        refreshed = set(orjson.loads(found))
    for index, key in enumerate(progress):
        (turn.result.refreshed if index in refreshed else turn.result.lost).append(key)


@dataclass(frozen=True, slots=True)
class _Held:
    ticket_no: int
    ticket_id: str
    claim_fence_token: int
    holder: str
    work_attempt_id: str
    attempts_counted: int
    claimed_at: int | None

    def is_over(self, max_attempts: int) -> bool:
        """Whether it waits for an operator from now on."""
        return self.attempts_counted >= max_attempts


def return_holders(turn: OpenTurn, holders: Sequence[str], max_attempts: int) -> None:
    """What these runtimes hold is eligible at once, whether its lease ran out or not."""
    if holders:
        found = turn.connection.execute(turn.say.held_by_any, (turn.workspace_id, json_array(list(holders)))).fetchall()
        _give_back(turn, [_Held(*row) for row in found], HOLDER_GONE, max_attempts)


def sweep(turn: OpenTurn, max_attempts: int) -> None:
    """Every ticket of the workspace whose lease ran out is eligible at once, whoever held it."""
    if not turn.any_ran_out:
        return
    found = turn.connection.execute(turn.say.run_out, (turn.workspace_id, turn.now_us)).fetchall()
    _give_back(turn, [_Held(*row) for row in found], LEASE_RAN_OUT, max_attempts)


def _give_back(turn: OpenTurn, held: Sequence[_Held], why: str, max_attempts: int) -> None:
    def write(rows: Sequence[_Held]) -> list[_Held]:
        returned = [value for row in rows for value in _returned(turn, row, max_attempts)]
        changed = turn.say.return_tickets.execute(turn.connection, (turn.now_us,), returned)
        turn.expect([changed], len(rows), "its claim was gone when it came to be returned")
        attempts = json_array([row.work_attempt_id for row in rows])
        turn.connection.execute(turn.say.abandon_attempts, (why, turn.now_us, attempts))
        turn.log.extend([told for row in rows for told in _told(turn, row, max_attempts)])
        note_ceilings(turn, [row.ticket_id for row in rows if row.is_over(max_attempts)])
        return list(rows)

    done = turn.each(held, write, lambda row: f"return of ticket {row.ticket_id}")
    for row in done:
        turn.tally(EXPIRED, worked_us=turn.since(row.claimed_at))
    turn.result.returned += [ClaimKey(row.ticket_id, row.claim_fence_token, row.work_attempt_id) for row in done]


def _returned(turn: OpenTurn, row: _Held, max_attempts: int) -> tuple[object, ...]:
    status, state = (
        (Status.BLOCKED_NEEDS_OPERATOR, QueueState.OUT)
        if row.is_over(max_attempts)
        else (Status.ASSIGNED, QueueState.READY)
    )
    key = (row.ticket_no, row.claim_fence_token, row.holder)
    return (*key, status.value, int(state), turn.since(row.claimed_at))


def _told(turn: OpenTurn, row: _Held, max_attempts: int) -> Iterator[Told]:
    payload = canonical({"holder": row.holder, "work_attempt_id": row.work_attempt_id})
    yield _EXPIRED, payload, row.ticket_id, row.ticket_no, None
    if row.is_over(max_attempts):
        yield blocked(turn, row.ticket_id, row.ticket_no, BLOCKED_FOR_ATTEMPTS)


def blocked(turn: OpenTurn, ticket_id: str, ticket_no: int, reason: str) -> Told:
    """What the log is to be told of a ticket that waits for an operator."""
    payload = {"sea_ticket_id": ticket_id, "workspace_id": turn.workspace_id, "reason": reason}
    return _BLOCKED, canonical(payload), ticket_id, ticket_no, None


def note_ceilings(turn: OpenTurn, ticket_ids: list[str]) -> None:
    """These have been tried too often: three of them within an hour raise the retry ceiling."""
    if ticket_ids:
        bound = (turn.workspace_id, turn.now_us, json_array(ticket_ids))
        turn.connection.execute(turn.say.steering.note_ceilings, bound)


def append(turn: OpenTurn, events: Sequence[NewEvent]) -> None:
    """The events others asked for stand in this runtime's chain, each once, in the order given."""

    def write(rows: Sequence[NewEvent]) -> list[None]:
        numbers = _ticket_nos(turn, {event.ticket_id for event in rows if event.ticket_id is not None})
        asked = (json_array([event.event_id for event in rows]), json_array(list(numbers.values())), turn.workspace_id)
        known = {event_id for (event_id,) in turn.connection.execute(turn.say.log.known_events, asked).fetchall()}
        for event in rows:
            if event.event_id not in known:
                turn.log.append(
                    event.event_type,
                    event.payload,
                    ticket_id=event.ticket_id,
                    ticket_no=None if event.ticket_id is None else numbers[event.ticket_id],
                    event_id=event.event_id,
                )
        return []

    if events:
        distinct = {event.event_id: event for event in events}
        turn.each(list(distinct.values()), write, lambda event: f"event {event.event_type}")


def _ticket_nos(turn: OpenTurn, ticket_ids: set[str]) -> dict[str, int]:
    if not ticket_ids:
        return {}
    asked = (json_array(sorted(ticket_ids)), turn.workspace_id)
    numbers = dict(turn.connection.execute(turn.say.ticket_nos, asked).fetchall())
    for ticket_id in ticket_ids - numbers.keys():
        raise ValueError(f"there is no ticket {ticket_id} in this workspace")
    return numbers
