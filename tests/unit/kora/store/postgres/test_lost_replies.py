"""A proxy that loses what is said about commits, and a runtime and an operator who ask on until they know."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

import pytest

from kora.domain.claim import Claim
from kora.domain.events import EventType
from kora.domain.ids import new_id
from kora.domain.operation import OperationRequest, Step, Verdict
from kora.domain.ticket import NewTicket, Status, Ticket
from kora.errors import RefusedError, StoreUnavailableError
from kora.store.open import open_store
from kora.store.port import ClaimOrder, Reader, Store, TurnResult
from tests.proxies import DroppingProxy
from tests.unit.kora.store.postgres.fleet import ACTOR, ROLE, WORKSPACE, Runtime, ended

PART_LOST = 0.01
SEED = 20_261_127
OTHER_ACTOR = "0190a000-0000-7000-8000-000000000002"
Answer = TypeVar("Answer")


class Working:
    """One Ledger's and one operator's work, drawn at random; each does after a lost answer what it always does."""

    def __init__(self, through: Store, reader: Reader) -> None:
        self._random = random.Random(SEED)
        self._reader = reader
        self.unsure = 0
        """how often it was not known, but by looking, what had become of a change"""
        self._runtime = self._asked(lambda: Runtime(through, "runtime-1"))
        self._board = through.board()
        self.expected: dict[str, Counter[str]] = {}
        """what the log is to hold of each ticket, by the name of the event or of the verb"""
        self.committed: dict[str, list[str]] = {}
        """keys of each ticket's operations"""
        self.held: dict[str, Claim] = {}
        self.failed: set[str] = set()
        """tickets that failed for good"""

    def close(self) -> None:
        self._runtime.close()
        self._board.close()

    def do_something(self) -> None:
        """One operation."""
        whats = [self._add, self._claim, self._claim, self._settle, self._settle, self._operate, self._refresh]
        self._random.choice([*whats, self._verb])()

    def finish(self) -> None:
        """Complete all that is left."""
        while self._claim():
            self._settle(all_of_it=True)

    # --- the Ledger's ---

    def _turn(self, **parts: object) -> TurnResult:
        """As the Ledger: what could not be written is asked again, and what it holds unawares is looked for."""
        while True:
            try:
                result = self._runtime.turn(**parts)
            except StoreUnavailableError as error:
                self._note(error)
                self._adopt()
                continue
            self.held |= {claim.key.ticket_id: claim for claim in result.claims}
            for claim in result.claims:
                self.expected[claim.key.ticket_id][EventType.CLAIMED] += 1
            return result

    def _note(self, error: StoreUnavailableError) -> None:
        self.unsure += "may or may not" in str(error)

    def _adopt(self) -> None:
        held = self._asked(self._runtime.writer.held)
        for claim in held:
            if claim.key.ticket_id not in self.held:
                self.held[claim.key.ticket_id] = claim
                self.expected[claim.key.ticket_id][EventType.CLAIMED] += 1

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        while True:
            try:
                return ask()
            except StoreUnavailableError as error:
                self._note(error)

    def _claim(self) -> bool:
        before = len(self.held)
        self._turn(claim=ClaimOrder(self._random.randint(1, 4), 600.0), sweep=True)
        return len(self.held) > before

    def _settle(self, *, all_of_it: bool = False) -> None:
        count = len(self.held) if all_of_it else self._random.randint(1, 3)
        ends = []
        for ticket_id in list(self.held)[:count]:
            status = self._random.choice([Status.COMPLETED, Status.COMPLETED, Status.RELEASED, Status.FAILED_TERMINAL])
            ends.append(ended(self.held[ticket_id], Status.COMPLETED if all_of_it else status))
        result = self._turn(settle=ends)
        assert set(result.settled) == {end.key for end in ends}
        for end in ends:
            del self.held[end.key.ticket_id]
            self.expected[end.key.ticket_id].update([EventType.RESOLVED, EventType.RELEASED])
            if end.sea_status is Status.FAILED_TERMINAL:
                self.failed.add(end.key.ticket_id)

    def _operate(self) -> None:
        if not self.held:
            return
        claim = self._random.choice(list(self.held.values()))
        done = self.committed.setdefault(claim.key.ticket_id, [])
        number = self._numbers(claim) + 1
        key = f"key {len(done)}"
        for step, verdict in ((Step.BEGIN, Verdict.DISPATCHED), (Step.COMMIT, Verdict.COMMITTED)):
            asked = OperationRequest(claim.key, step, number, "tool", key, "1" if step is Step.COMMIT else None)
            (answer,) = self._turn(operate=[asked]).operated
            assert answer.verdict is verdict, answer
        done.append(key)

    def _numbers(self, claim: Claim) -> int:
        rows = self._reader.operations(claim.key.ticket_id)
        return sum(row.work_attempt_id == claim.key.work_attempt_id for row in rows)

    def _refresh(self) -> None:
        if not self.held:
            return
        claim = self._random.choice(list(self.held.values()))
        while True:
            try:
                assert self._runtime.refresh(claim).refreshed == [claim.key]
            except StoreUnavailableError as error:
                self._note(error)
            else:
                return

    # --- the operator's ---

    def _add(self) -> None:
        tickets = [NewTicket(ticket_id=new_id(), ticket_title="t") for _ in range(self._random.randint(1, 5))]
        ids = [ticket.ticket_id for ticket in tickets]
        while True:
            try:
                assert self._board.add(tickets, who="t") == ids
            except StoreUnavailableError as error:
                there = [ticket_id for ticket_id in ids if self._is_there(ticket_id)]
                assert there in ([], ids), "a part of it"
                if "nothing was changed" in str(error):
                    assert not there
                self._note(error)
                if not there:
                    continue
            break
        self.expected |= {ticket_id: Counter({"add": 1}) for ticket_id in ids}

    def _is_there(self, ticket_id: str) -> bool:
        return any(True for _ in self._reader.events(ticket_id=ticket_id))

    def _verb(self) -> None:
        if not self.failed:
            return
        ticket_id = self.failed.pop()
        while True:
            try:
                self._board.force_retry(ticket_id, who="t")
            except StoreUnavailableError as error:
                self._note(error)
                continue
            except RefusedError:
                # Done before, and nobody knew.
                assert self._ticket(ticket_id).sea_status == Status.ASSIGNED
            break
        self.expected[ticket_id]["force_retry"] += 1

    def _ticket(self, ticket_id: str) -> Ticket:
        return self._reader.ticket(ticket_id)


@pytest.mark.parametrize("loses", ["reply", "commit"])
@pytest.mark.parametrize(
    ("operations", "part"), [(150, 0.08), pytest.param(20_000, PART_LOST, marks=pytest.mark.prove)]
)
def test_whatever_becomes_of_the_answers_to_commits_nothing_is_lost_and_nothing_done_twice(  # noqa: PLR0917 - by name
    postgres, fresh, store, reader, loses, operations, part
):
    with DroppingProxy(postgres.port, probability=part, seed=SEED, loses=loses) as proxy:
        through = open_store(proxy.url(fresh, user=ROLE), workspace_id=WORKSPACE, actor_id=ACTOR)
        with closing(Working(through, reader)) as working:
            for _ in range(operations):
                working.do_something()
            working.finish()
            dropped = proxy.dropped
    assert dropped >= operations * part / 3
    print(f"{proxy.commits} commits, of which {dropped} lost their {loses}; {working.unsure} outcomes were not known")
    logged: dict[str, Counter[str]] = {}
    for event in reader.events():
        name = event.payload["verb"] if event.event_type == EventType.OPERATOR_ACTED else event.event_type
        logged.setdefault(event.ticket_id, Counter())[name] += 1
    assert logged == working.expected
    for ticket in reader.tickets():
        assert ticket.claim is None
        done = [row for row in reader.operations(ticket.ticket_id) if row.state == "committed"]
        assert sorted(row.operation_key for row in done) == sorted(working.committed.get(ticket.ticket_id, []))
    assert reader.verify().fault is None
    with closing(Runtime(store, "runtime-2")) as another:
        assert another.claim(100) == []
