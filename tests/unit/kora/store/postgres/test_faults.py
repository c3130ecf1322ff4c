"""A server that stands still, has no room, writes nothing, or has lost its database: words, and a way back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress

import psycopg
import pytest

from kora.domain.ticket import NewTicket
from kora.errors import StoreLockedError, StoreUnavailableError, StoreUnusableError
from kora.store.open import open_store
from kora.store.postgres import connection
from kora.store.postgres.bare import Waiting
from tests.postgres import QUICK, Server
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

END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename"
CONNECTIONS, RESERVED = 12, 3
"""RESERVED are for superusers"""


def until_it_works(do):
    """What it returns once the store answers; bounded by tries."""
    for _ in range(100_000):
        try:
            return do()
        except StoreUnavailableError:
            continue
    raise AssertionError("it does not come back")


def test_when_the_server_stands_still_every_handle_says_so_in_time_and_all_go_on_when_it_does(own_server, monkeypatch):
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(connection, "PATIENT_SECONDS", 0.5)
    store = new_store(own_server)
    with ExitStack() as opened, ThreadPoolExecutor(8) as threads:
        turning, holding, looking = (opened.enter_context(closing(Runtime(store, f"runtime-{n}"))) for n in range(3))
        reader, board = opened.enter_context(closing(store.reader())), opened.enter_context(closing(store.board()))
        hints = opened.enter_context(closing(store.hints()))
        board.add([NewTicket(ticket_title="one")], who="t")
        (claim,) = turning.claim()
        list(reader.tickets())
        hints.wait(0.01)
        asks = [
            lambda: turning.refresh(claim),
            holding.writer.held,
            looking.writer.changed,
            lambda: list(reader.tickets()),
            lambda: board.add([NewTicket(ticket_title="two")], who="t"),
            lambda: open_store(own_server.url("test_1", user=ROLE), workspace_id=WORKSPACE, actor_id=ACTOR),
        ]
        own_server.freeze()
        try:
            asked = [threads.submit(ask) for ask in asks]
            heard = threads.submit(hints.wait, 0.5)
            for each in asked:
                error = each.exception(PATIENCE_SECONDS)
                assert isinstance(error, StoreUnavailableError), error
                assert len(str(error).splitlines()) == 1
            assert heard.result(PATIENCE_SECONDS) is None
        finally:
            own_server.thaw()
        for ask in asks:
            until_it_works(ask)
        assert turning.settle(ended(claim)).settled == [claim.key]
        assert reader.verify().fault is None


def test_a_statement_under_way_ends_when_it_is_interrupted_and_the_handle_goes_on(runtime, add, raw):
    add(1)
    (claim,) = runtime.claim()
    with ThreadPoolExecutor(1) as threads, raw.transaction():
        raw.execute("SELECT 1 FROM tickets FOR UPDATE")
        waiting = threads.submit(runtime.settle, ended(claim))
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while raw.execute(waits).fetchone() == (0,):
            assert not waiting.done()
        runtime.writer.interrupt()
        error = waiting.exception(PATIENCE_SECONDS)
    assert isinstance(error, StoreUnavailableError)
    assert not isinstance(error, StoreLockedError)
    assert runtime.settle(ended(claim)).settled == [claim.key]
    runtime.close()
    runtime.writer.interrupt()


def until_there_is_room(server):
    """A connection, once those that were closed before are gone from the server too; bounded by tries."""
    for _ in range(100_000):
        with suppress(psycopg.OperationalError):
            return psycopg.connect(server.url("test_1", user=ROLE))
    raise AssertionError("there is no room")


def test_a_server_without_a_connection_to_spare_says_how_to_have_more():
    with Server(QUICK | {"max_connections": str(CONNECTIONS)}) as server:
        make_role(server)
        store = new_store(server)
        with ExitStack() as taken, closing(store.board()) as board:
            for _ in range(CONNECTIONS - RESERVED):
                taken.enter_context(closing(until_there_is_room(server)))
            with pytest.raises(StoreUnavailableError, match=r"no connection to spare; raise max_connections") as told:
                board.add([NewTicket(ticket_title="one")], who="t")
            assert len(str(told.value).splitlines()) == 1
            taken.close()
            assert until_it_works(lambda: board.add([NewTicket(ticket_title="one")], who="t"))


def test_a_server_that_writes_nothing_is_read_all_the_same(postgres, fresh, runtime, add, reader):
    add(1)
    list(reader.tickets())
    postgres.execute(f"ALTER DATABASE {fresh} SET default_transaction_read_only = on")
    # Only new sessions heed it.
    runtime.close()
    reader.close()
    with pytest.raises(
        StoreUnavailableError, match="writes nothing now: it is a standby, or was set read-only"
    ) as told:
        runtime.claim()
    assert len(str(told.value).splitlines()) == 1
    assert len(list(reader.tickets())) == 1
    postgres.execute(f"ALTER DATABASE {fresh} RESET default_transaction_read_only")
    runtime.close()
    assert len(runtime.claim()) == 1


def test_a_database_that_is_dropped_under_a_runtime_is_for_a_person(postgres, role):
    store = new_store(postgres)
    (name,) = store.url.rsplit("/", 1)[1:]
    with closing(Runtime(store, "runtime-1")) as runtime:
        postgres.drop(name)
        with pytest.raises(StoreUnusableError, match="has no such database; create it, or name another") as told:
            runtime.claim()
        assert len(str(told.value).splitlines()) == 1


def test_whoever_was_let_in_before_waits_while_its_credentials_are_changed(own_server):
    store = new_store(own_server)
    with closing(Runtime(store, "runtime-1")) as runtime:
        own_server.execute(f"ALTER ROLE {ROLE} NOLOGIN")
        own_server.execute(f"{END_SESSIONS} = '{ROLE}'")
        with pytest.raises(StoreUnavailableError, match=r"does not let this role in.*is tried again"):
            until_it_is_refused(runtime.claim)
        with pytest.raises(StoreUnusableError, match="does not let this role in"):
            Runtime(store, "runtime-2")
        own_server.execute(f"ALTER ROLE {ROLE} LOGIN")
        assert until_it_works(runtime.claim) == []


def until_it_is_refused(do):
    """What it raises once the connection that was lost is to be made anew; bounded by tries."""
    for _ in range(100_000):
        try:
            do()
        except StoreUnavailableError as error:
            if "tried again in" not in str(error):
                raise
    raise AssertionError("it is not refused")


def test_a_server_that_takes_its_time_for_each_of_several_statements_is_not_out_of_reach(postgres):
    """What was sent ahead is answered together: slow one by one, it takes longer than one answer may."""
    with Waiting.opened(postgres.url("postgres"), 1.0) as slow:
        slow.run_ahead()
        for _ in range(2):
            found = slow.execute("SELECT 1 FROM pg_sleep(0.7)")
        assert found.fetchone() == (1,)
        slow.run_no_longer_ahead()
