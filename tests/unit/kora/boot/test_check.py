"""Every gate once: what is found, what `run` would have ended with, and that nothing is changed by it."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from contextlib import closing

import pytest

from kora.app import Runtime, check
from kora.config import load
from kora.domain.gates import GATES
from kora.store.open import migrate
from tests.acceptance.home import Home
from tests.acceptance.in_process import work_the_board
from tests.postgres import free_port


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    home.configure(agent={"command": ["true"]})
    yield home
    home.end()


def checked(home):
    return check(load(home.config))


def outcomes(found):
    return {result.gate_id: result.outcome.value for result in found.results}


def details(found):
    return {result.gate_id: result.detail for result in found.results}


def everything(folder):
    """What stands in the folder, byte by byte."""
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_an_absent_file_passes_as_would_be_created_and_nothing_is_made(home):
    before = everything(home.folder)
    found = checked(home)
    assert found.exit_code == 0
    assert list(outcomes(found)) == [gate.gate_id for gate in GATES]
    assert set(outcomes(found).values()) == {"passed"}
    assert details(found)["store"].endswith("kora.db would be created")
    assert details(found)["claim_smoke"] == "would be created"
    assert everything(home.folder) == before


def test_a_board_that_was_worked_passes_and_is_left_as_it_is(home):
    home.add(1)
    work_the_board(home)
    before, events = everything(home.folder), home.events()
    found = checked(home)
    assert found.exit_code == 0
    assert {result.attempts for result in found.results} == {1}
    assert details(found)["clock"] == "the store's clock is this machine's: it is a file here"
    assert "rolled back" in details(found)["claim_smoke"]
    assert everything(home.folder) == before
    assert home.events() == events


def test_a_runtime_at_work_is_in_nobodys_way(home):
    home.add(1)
    with Runtime(load(home.config)) as runtime:
        runtime.start()
        assert checked(home).exit_code == 0
        assert runtime.drain()


def test_a_store_without_this_actor_is_not_registered_in(home):
    home.add(1)
    home.configure(runtime={"workspace": "another"})
    found = checked(home)
    assert found.exit_code == 0
    assert details(found)["actor"].endswith("of workspace another would be registered")
    with closing(sqlite3.connect(home.folder / "kora.db")) as store:
        assert store.execute("SELECT workspace_id FROM workspaces").fetchall() == [("default",)]


def test_an_older_schema_is_not_migrated(home):
    home.add(1)
    with closing(sqlite3.connect(home.folder / "kora.db")) as store:
        store.execute("UPDATE alembic_version SET version_num = '0003'")
        store.commit()
    found = checked(home)
    assert found.exit_code == 0
    assert details(found)["schema"].startswith("revision 0003, would be migrated to ")
    assert details(found)["epoch"] == "would be migrated first"
    with closing(sqlite3.connect(home.folder / "kora.db")) as store:
        assert store.execute("SELECT version_num FROM alembic_version").fetchone() == ("0003",)


@pytest.mark.parametrize("spoil", ["no database", "newer", "read-only", "no folder"])
def test_a_store_that_needs_a_person_ends_with_7_and_the_rest_is_still_looked_at(home, spoil):
    home.add(1)
    store = home.folder / "kora.db"
    match spoil:
        case "no database":
            store.write_text("no database " * 500)
        case "newer":
            with closing(sqlite3.connect(store)) as connection:
                connection.execute("UPDATE alembic_version SET version_num = '9999'")
                connection.commit()
        case "read-only":
            store.chmod(0o400)
        case "no folder":
            home.configure(runtime={"store": "sqlite:///nowhere/kora.db"})
    found = checked(home)
    assert found.exit_code == 7
    assert outcomes(found) == {
        gate.gate_id: "failed"
        if gate.gate_id == "store"
        else "passed"
        if gate.gate_id in {"configuration", "agents", "credentials"}
        else "skipped"
        for gate in GATES
    }


def test_a_server_out_of_reach_is_asked_once_and_fails(home):
    home.configure(runtime={"store": f"postgresql://ada:hidden@127.0.0.1:{free_port()}/kora"})
    found = checked(home)
    assert found.exit_code == 1
    assert outcomes(found)["store"] == "failed"
    assert "hidden" not in str(found)


def test_every_gate_that_fails_is_named_not_only_the_first(home, monkeypatch):
    monkeypatch.delenv("KORA_NEVER_SET", raising=False)
    home.configure(agent={"command": ["./missing"]}, boot={"credentials": ["env:KORA_NEVER_SET"]})
    found = checked(home)
    assert found.exit_code == 1
    assert [gate for gate, outcome in outcomes(found).items() if outcome == "failed"] == ["agents", "credentials"]


def test_a_restored_store_is_told_before_anything_is_started(home):
    work_the_board(home)
    with home.store() as store, closing(store.board()) as board:
        board.bump_epoch(reason="restored", who="ada")
    found = checked(home)
    assert found.exit_code == 1
    assert "is of epoch 2, and this machine last knew 1" in details(found)["epoch"]
    with home.reading() as reader:
        assert [event.event_type for event in reader.events()][-1] == "kora.operator.acted"


def test_a_server_in_order_passes_and_its_clock_is_compared(home, postgres, database):
    url = postgres.url(database)
    migrate(url, workspace_id="default")
    home.configure(runtime={"store": url})
    found = checked(home)
    assert found.exit_code == 0, found
    assert details(found)["actor"].endswith("would be registered")
    assert details(found)["clock"].endswith("s from the store's")
    assert postgres.execute("SELECT count(*) FROM kora.actor_registry", database=database) == [(0,)]
    assert postgres.execute("SELECT count(*) FROM kora.tickets", database=database) == [(0,)]


@pytest.mark.parametrize(("moved", "way"), [("- 7200000000", "ahead of"), ("+ 7200000000", "behind")])
def test_a_clock_that_is_off_from_the_servers_fails_with_by_how_much(home, postgres, database, moved, way):
    url = postgres.url(database)
    migrate(url, workspace_id="default")
    ((body,),) = postgres.execute("SELECT prosrc FROM pg_proc WHERE proname = 'now_us'", database=database)
    ((language,),) = postgres.execute(
        "SELECT lanname FROM pg_proc JOIN pg_language l ON l.oid = prolang WHERE proname = 'now_us'", database=database
    )
    assert language == "sql", body
    made = body.strip().rstrip(";")
    postgres.execute(
        f"CREATE OR REPLACE FUNCTION kora.now_us() RETURNS bigint LANGUAGE sql AS $$ SELECT ({made}) {moved} $$",
        database=database,
    )
    home.configure(runtime={"store": url})
    found = checked(home)
    assert found.exit_code == 1
    assert outcomes(found)["clock"] == "failed"
    said = re.fullmatch(r"this machine's clock is ([\d.]+) s (ahead of|behind) the store's.*", details(found)["clock"])
    assert said is not None, details(found)
    assert float(said[1]) == pytest.approx(7_200, abs=60)
    assert said[2] == way
