"""Two of a fleet at one thing in the same moment, each pair brought about on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager

import psycopg
import pytest

from kora.domain.ticket import NewTicket, Status
from kora.errors import StoreUnavailableError
from kora.store.open import open_store
from kora.store.postgres.connection import STATEMENT_SECONDS
from kora.store.sql import settle as settling
from tests.postgres import QUICK, Server
from tests.proxies import DroppingProxy
from tests.unit.kora.store.postgres.fleet import (
    ACTOR,
    PATIENCE_SECONDS,
    ROLE,
    WORKSPACE,
    Runtime,
    ended,
    make_role,
    new_store,
)

BARRIER = 4711
# At the gate a scan waits that sees the board as it was when its statement began.
GATE = f"""
CREATE TABLE gate (pid integer);
GRANT SELECT ON gate TO {ROLE};
CREATE FUNCTION pass_gate() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN
    IF EXISTS (SELECT 1 FROM kora.gate WHERE pid = pg_backend_pid()) THEN
        PERFORM pg_advisory_lock({BARRIER});
        PERFORM pg_advisory_unlock({BARRIER});
    END IF;
    RETURN true;
END $$;
CREATE POLICY gate ON tickets AS RESTRICTIVE USING (kora.pass_gate())
"""  # noqa: S608 - made of constants


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def wait_for_waiting(raw: psycopg.Connection, count: int = 1) -> None:
    """Until so many connections to this database wait for a lock."""
    for _ in range(int(PATIENCE_SECONDS * 100)):
        (found,) = raw.execute(
            "SELECT count(*), pg_sleep(0.01) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock'"
        ).fetchone()[:1]
        if found >= count:
            return
    raise AssertionError("nobody waits")


@contextmanager
def locked(raw: psycopg.Connection, ticket_id: str) -> Iterator[None]:
    """Nobody else can lock this ticket inside."""
    with raw.transaction():
        raw.execute("SELECT 1 FROM tickets WHERE ticket_id = %s FOR UPDATE", [ticket_id])
        yield


def test_the_first_ticket_that_waits_for_one_is_freed_even_if_it_comes_while_that_one_ends(runtime, add, monkeypatch):
    (blocker,) = add(1)
    (claim,) = runtime.claim()
    settle = settling.settle

    def and_meanwhile(turn, settlements):
        add({"blocked_by": [blocker]})
        settle(turn, settlements)

    monkeypatch.setattr(settling, "settle", and_meanwhile)
    runtime.settle(ended(claim))
    monkeypatch.undo()
    assert len(runtime.claim(5)) == 1


@pytest.mark.parametrize("first", ["the end", "the new ticket"])
def test_what_waits_for_a_ticket_that_ends_meanwhile_is_freed_whichever_comes_first(runtime, add, raw, beside, first):
    blocker, apart = add(2)
    claims = {claim.key.ticket_id: claim for claim in runtime.claim(2)}

    def end() -> Future:
        return beside.submit(runtime.settle, ended(claims[blocker]))

    def new() -> Future:
        return beside.submit(add, {"blocked_by": [blocker]})

    with locked(raw, blocker):
        under_way = [(end, new)[first != "the end"]()]
        wait_for_waiting(raw)
        under_way.append((new, end)[first != "the end"]())
        wait_for_waiting(raw, 2)
    for each in under_way:
        each.result(PATIENCE_SECONDS)
    assert apart in claims
    assert len(runtime.claim(5)) == 1


def test_two_blockers_completed_by_two_runtimes_in_the_same_moment_free_what_waits_for_both(
    runtime, other, add, raw, beside
):
    first, second = add(2)
    (dependent,) = add({"blocked_by": [first, second]})
    (one,), (two,) = runtime.claim(), other.claim()
    with locked(raw, dependent):
        ends = [beside.submit(runtime.settle, ended(one)), beside.submit(other.settle, ended(two))]
        wait_for_waiting(raw, 2)
    for end in ends:
        assert end.result(PATIENCE_SECONDS).settled
    assert [claim.key.ticket_id for claim in runtime.claim(5)] == [dependent]


def test_what_is_unblocked_while_its_blocker_ends_is_freed_and_neither_waits_for_the_other(
    runtime, add, board, raw, beside
):
    failing, ending = add(2)
    (dependent,) = add({"blocked_by": [failing, ending]})
    claims = {claim.key.ticket_id: claim for claim in runtime.claim(2)}
    runtime.settle(ended(claims[failing], Status.FAILED_TERMINAL))
    with locked(raw, dependent):
        unblocked = beside.submit(board.unblock, dependent, who="t")
        wait_for_waiting(raw)
        end = beside.submit(runtime.settle, ended(claims[ending]))
        wait_for_waiting(raw, 2)
    unblocked.result(PATIENCE_SECONDS)
    assert end.result(PATIENCE_SECONDS).settled
    assert [claim.key.ticket_id for claim in runtime.claim(5)] == [dependent]


def test_a_claim_of_what_was_worked_and_given_back_meanwhile_has_the_fence_that_the_store_has(
    runtime, other, add, raw, beside
):
    add(1)
    raw.execute(GATE)
    (pid,) = runtime.writer._connection.execute("SELECT pg_backend_pid()").fetchone()
    raw.execute("SELECT pg_advisory_lock(%s)", [BARRIER])
    raw.execute("INSERT INTO gate VALUES (%s)", [pid])
    claiming = beside.submit(runtime.claim)
    wait_for_waiting(raw)
    for _ in range(2):
        (theirs,) = other.claim()
        assert other.settle(ended(theirs, Status.RELEASED)).settled
    raw.execute("DELETE FROM gate")
    raw.execute("SELECT pg_advisory_unlock(%s)", [BARRIER])
    (ours,) = claiming.result(PATIENCE_SECONDS)
    assert ours.key.claim_fence_token == 3
    assert ours.ticket.last_resolution == "released"
    assert runtime.refresh(ours).refreshed == [ours.key]
    assert runtime.settle(ended(ours)).settled == [ours.key]


@pytest.mark.prove
def test_a_person_s_change_outwaits_what_would_end_a_ledger_s_turn(add, board, raw, beside):
    (ticket,) = add(1)
    with locked(raw, ticket):
        acting = beside.submit(board.cancel, ticket, who="t")
        wait_for_waiting(raw)
        raw.execute("SELECT pg_sleep(%s)", [STATEMENT_SECONDS + 2])
    assert acting.result(PATIENCE_SECONDS).sea_status == "failed_terminal"


class CrashingProxy(DroppingProxy):
    """Its first COMMIT never arrives: the server has crashed, and its successor has given the number to others."""

    def __init__(self, server: Server, meanwhile: Callable[[], None]) -> None:
        super().__init__(server.port, probability=0.0, seed=0, loses="commit")
        self._server = server
        self._meanwhile = meanwhile
        self.is_armed = False

    def _drops(self) -> bool:
        if not self.is_armed:
            return False
        self.is_armed = False
        self._server.crash()
        self._server.start()
        self._meanwhile()
        return True


def test_a_change_lost_in_a_crash_is_not_taken_for_the_one_that_got_its_number():
    # What has not been committed is not to come to the disk by itself.
    with Server(QUICK | {"wal_writer_delay": "10s"}) as server:
        make_role(server)
        store, database = new_store(server), "test_1"
        with closing(store.board()) as board:
            board.add([NewTicket(ticket_title="one"), NewTicket(ticket_title="two")], who="t")
        numbers = []

        def take_numbers() -> None:
            with psycopg.connect(server.url(database), autocommit=True) as connection:
                taking = (connection.execute("SELECT pg_current_xact_id()::text").fetchone() for _ in range(50))
                numbers.extend(number for (number,) in taking)

        with CrashingProxy(server, take_numbers) as proxy, closing(store.reader()) as reader:
            through = open_store(proxy.url(database, user=ROLE), workspace_id=WORKSPACE, actor_id=ACTOR)
            with closing(Runtime(through, "runtime-1")) as runtime:
                proxy.is_armed = True
                with pytest.raises(StoreUnavailableError, match="nothing was changed"):
                    runtime.claim()
                lost = runtime.writer._connection._xact_id
                assert lost in numbers, "the number was not given to anybody else, and so nothing was tried"
                assert [claim for claim in (ticket.claim for ticket in reader.tickets()) if claim] == []
                assert len(runtime.claim(5)) == 2
            assert reader.verify().fault is None
