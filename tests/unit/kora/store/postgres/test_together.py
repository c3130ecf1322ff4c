"""Many Ledgers, operators and a follower at one board at a time; what must hold is looked at after."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from kora.domain.claim import Claim
from kora.domain.ids import new_id
from kora.domain.operation import OperationRequest, Step, Verdict
from kora.domain.ticket import NewTicket, Status
from kora.errors import RefusedError, StoreUnavailableError
from kora.store.port import ClaimOrder, Store, TurnResult
from tests.unit.kora.store.postgres.fleet import Runtime, ended

RUNTIMES, OPERATORS = 5, 2
SEED = 20_261_127
# Whatever frees a ticket before its time makes its claim fail.
NOT_BEFORE_ITS_TIME = """
CREATE FUNCTION not_before_its_time() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT 1 FROM kora.dependencies AS d JOIN kora.tickets AS b ON b.ticket_no = d.blocker_no
               WHERE d.ticket_no = new.ticket_no AND b.sea_status <> 'completed') THEN
        RAISE check_violation USING MESSAGE = 'it was freed before its time';
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER not_before_its_time BEFORE UPDATE ON tickets FOR EACH ROW
WHEN (new.queue_state = 3 AND old.queue_state <> 3) EXECUTE FUNCTION not_before_its_time()
"""


class Board:
    """What everybody knows of the one board."""

    def __init__(self, store: Store, tickets: int) -> None:
        self.store = store
        self.wanted = tickets
        self.mutex = threading.Lock()
        self.ids: list[str] = []
        self.working: dict[str, tuple[str, int]] = {}
        """who works which ticket, and under which fence"""
        self.voided: set[str] = set()
        """tickets that somebody cancelled, or was about to"""
        self.fences: dict[str, int] = {}
        self.locked = 0
        """how often somebody's change was broken off for another's"""
        self.over = threading.Event()

    def begin(self, claim: Claim) -> None:
        """Nobody else works it; its fence is higher than any before."""
        ticket_id, fence, _ = claim.key
        with self.mutex:
            assert ticket_id not in self.working or ticket_id in self.voided, f"two hold {ticket_id}"
            assert fence > self.fences.get(ticket_id, 0), f"the fence of {ticket_id} did not rise"
            self.fences[ticket_id] = fence
            self.working[ticket_id] = (claim.holder, fence)

    def end(self, claim: Claim) -> None:
        with self.mutex:
            if self.working.get(claim.key.ticket_id) == (claim.holder, claim.key.claim_fence_token):
                del self.working[claim.key.ticket_id]

    def known(self, chosen: random.Random, count: int) -> list[str]:
        with self.mutex:
            return chosen.sample(self.ids, min(count, len(self.ids)))


class Ledger:
    """Claims, operates, settles; what it was not told of it looks for."""

    def __init__(self, board: Board, number: int) -> None:
        self._board = board
        self._random = random.Random(SEED + number)
        self._runtime = Runtime(board.store, f"runtime-{number}")
        self._held: dict[str, Claim] = {}

    def work(self) -> None:
        with closing(self._runtime):
            while not self._board.over.is_set():
                self._turn(claim=ClaimOrder(self._random.randint(1, 8), 600.0), sweep=True)
                for claim in self._random.sample(list(self._held.values()), min(2, len(self._held))):
                    self._operate(claim)
                self._settle()

    def _turn(self, **parts: object) -> TurnResult | None:
        try:
            result = self._runtime.turn(**parts)
        except StoreUnavailableError:
            self._board.locked += 1
            for claim in self._runtime.writer.held():
                if claim.key.work_attempt_id not in self._held:
                    self._begin(claim)
            return None
        assert result.set_aside == []
        for claim in result.claims:
            self._begin(claim)
        return result

    def _begin(self, claim: Claim) -> None:
        self._board.begin(claim)
        self._held[claim.key.work_attempt_id] = claim

    def _operate(self, claim: Claim) -> None:
        for step in (Step.BEGIN, Step.COMMIT):
            result = "1" if step is Step.COMMIT else None
            asked = OperationRequest(claim.key, step, 1, "tool", claim.key.work_attempt_id, result)
            done = self._turn(operate=[asked])
            if done is None:
                return
            assert done.operated[0].verdict is not Verdict.REFUSED, done.operated

    def _settle(self) -> None:
        statuses = [Status.COMPLETED] * 6 + [Status.RELEASED, Status.FAILED_TERMINAL]
        some = self._random.sample(list(self._held.values()), self._random.randint(0, len(self._held)))
        # As if given up before they are settled: another may have them in the next moment.
        for claim in some:
            self._board.end(claim)
        ends = [ended(claim, self._random.choice(statuses)) for claim in some]
        while (result := self._turn(settle=ends)) is None:
            pass
        assert {*result.settled, *result.stale} == {end.key for end in ends}
        for key in result.stale:
            assert key.ticket_id in self._board.voided
        for end in ends:
            del self._held[end.key.work_attempt_id]


class Operator:
    """Adds, with blockers; does what verbs there are to whatever it meets."""

    def __init__(self, board: Board, number: int) -> None:
        self._board = board
        self._random = random.Random(SEED - 1 - number)
        self._handle = board.store.board()

    def work(self) -> None:
        with closing(self._handle):
            while not self._board.over.is_set():
                verbs = [self._add, self._add, self._add, self._unblock, self._retry, self._cancel]
                self._try(self._random.choice(verbs))

    def _try(self, do: Callable[[], None]) -> None:
        try:
            do()
        except RefusedError:
            pass
        except StoreUnavailableError:
            self._board.locked += 1

    def _add(self) -> None:
        if len(self._board.ids) >= self._board.wanted:
            self._tidy()
            return
        known = self._board.known(self._random, 20)
        ids = [new_id() for _ in range(self._random.choice([1, 5, 40]))]
        tickets = []
        for place, ticket_id in enumerate(ids):
            pool = known + ids[:place]
            blockers = self._random.sample(pool, min(len(pool), self._random.choice([0, 0, 1, 2])))
            tickets.append(NewTicket(ticket_id=ticket_id, ticket_title="t", blocked_by=tuple(blockers)))
        self._handle.add(tickets, who="t")
        with self._board.mutex:
            self._board.ids += ids

    def _tidy(self) -> None:
        """All is added: what waits for a person is freed, until nothing is left."""
        with closing(self._board.store.reader()) as reader:
            for ticket in reader.tickets([Status.BLOCKED_NEEDS_OPERATOR, Status.FAILED_TERMINAL]):
                verb = "unblock" if ticket.sea_status is Status.BLOCKED_NEEDS_OPERATOR else "force_retry"
                self._try(lambda verb=verb, ticket=ticket: getattr(self._handle, verb)(ticket.ticket_id, who="t"))
            if not reader.outstanding().any and not list(
                reader.tickets([Status.BLOCKED_NEEDS_OPERATOR, Status.FAILED_TERMINAL])
            ):
                self._board.over.set()

    def _unblock(self) -> None:
        for ticket_id in self._board.known(self._random, 5):
            self._try(lambda ticket_id=ticket_id: self._handle.unblock(ticket_id, who="t"))

    def _retry(self) -> None:
        for ticket_id in self._board.known(self._random, 5):
            self._try(lambda ticket_id=ticket_id: self._handle.force_retry(ticket_id, who="t"))

    def _cancel(self) -> None:
        if len(self._board.ids) >= self._board.wanted:
            return
        for ticket_id in self._board.known(self._random, 1):
            with self._board.mutex:
                self._board.voided.add(ticket_id)
            self._handle.cancel(ticket_id, who="t")


def follow(board: Board, seen: list[int]) -> None:
    """Read the log as it grows, page by page."""
    with closing(board.store.reader()) as reader:
        while True:
            is_last = board.over.is_set()
            seen.extend(event.seq for event in reader.events(after_seq=seen[-1] if seen else 0))
            if is_last:
                return


@pytest.mark.parametrize("tickets", [150, pytest.param(5_000, marks=pytest.mark.prove)])
def test_many_at_one_board_lose_nothing_strand_nothing_and_do_nothing_twice(store, raw, reader, tickets):
    raw.execute(NOT_BEFORE_ITS_TIME)
    board, seen = Board(store, tickets), []
    workers = [Ledger(board, number).work for number in range(RUNTIMES)]
    workers += [Operator(board, number).work for number in range(OPERATORS)]
    workers.append(lambda: follow(board, seen))

    def end_all(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException:
            board.over.set()
            raise

    with ThreadPoolExecutor(len(workers)) as threads:
        for done in [threads.submit(end_all, work) for work in workers]:
            done.result()
    print(f"{len(board.ids)} tickets, {len(seen)} events; {board.locked} changes broken off for another's")

    def ask(statement: str) -> list[tuple]:
        return raw.execute(statement).fetchall()

    assert ask("SELECT sea_status, count(*) FROM tickets GROUP BY 1") == [("completed", len(board.ids))]
    all_seqs = [seq for (seq,) in ask("SELECT seq FROM events ORDER BY seq")]
    assert seen == all_seqs
    assert (
        ask(
            "SELECT chain_id FROM (SELECT chain_id, seq, lag(seq) OVER (PARTITION BY chain_id ORDER BY chain_seq) AS"
            " before FROM events) AS e WHERE before >= seq"
        )
        == []
    )
    assert (
        ask(
            "SELECT ticket_no FROM events WHERE event_type = 'kora.sea_ticket.resolved'"
            " AND payload::json ->> 'resolution' = 'completed' GROUP BY 1 HAVING count(*) <> 1"
        )
        == []
    )
    assert (
        ask(
            "SELECT work_attempt_id FROM operations GROUP BY 1 HAVING max(sequence_within_attempt) + 1 <> count(*)"
            " OR bool_or(state IN ('allocated', 'dispatched'))"
        )
        == []
    )
    assert reader.verify().fault is None
