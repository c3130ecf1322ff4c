"""What it costs on SQLite to be seen."""

import sqlite3
from contextlib import closing

import pytest

from kora.errors import StoreUnavailableError
from kora.store.port import ClaimOrder, Turn
from kora.store.sqlite.report_statements import FLEET
from kora.store.sqlite.turn_statements import SEEN

pytestmark = pytest.mark.parametrize("new_place", ["sqlite"], indirect=True)


@pytest.fixture
def told(runtime):
    """The statements that the runtime's turns run from now on."""
    statements = []
    runtime.writer.trace(statements.append)
    return statements


def test_an_idle_turn_takes_the_lock_only_once_in_ten_seconds(runtime, clock, told):
    writes = 0
    for _ in range(40):
        clock.advance(1)
        runtime.turn(sweep=True)
        began = [statement for statement in told if statement.startswith("BEGIN")]
        assert len(told) == (5 if began else 1)
        writes += len(began)
        told.clear()

    assert writes == 4


def test_a_turn_that_works_runs_one_statement_more_once_in_ten_seconds(runtime, clock, told):
    counts = []
    for _ in range(20):
        clock.advance(1)
        runtime.turn(sweep=True, claim=ClaimOrder(1, 60.0))
        counts.append(len(told))
        told.clear()

    usual = min(counts)
    assert counts == [usual + (second % 10 == 0) for second in range(1, 21)]


@pytest.fixture
def locked(place, runtime):
    """Another process keeps the write lock."""
    with closing(sqlite3.connect(place.path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("ROLLBACK")


def test_an_idle_runtime_that_cannot_say_that_it_is_there_goes_on_and_tries_again_later(
    *, runtime, clock, told, locked
):
    clock.advance(10)
    assert runtime.turn(sweep=True).set_aside == []
    assert any(statement.startswith("BEGIN") for statement in told)

    told.clear()
    clock.advance(9)
    runtime.turn(sweep=True)
    assert not any(statement.startswith("BEGIN") for statement in told)

    locked.execute("COMMIT")
    locked.execute("BEGIN")
    clock.advance(1)
    runtime.turn(sweep=True)
    assert any(statement.startswith("UPDATE runtimes") for statement in told)


def test_one_with_work_to_do_says_that_the_store_is_locked(runtime, locked):
    with pytest.raises(StoreUnavailableError):
        runtime.writer.turn(runtime.incarnation, Turn(sweep=True, claim=ClaimOrder(1, 60.0)))


@pytest.mark.parametrize("seconds", [-86_400.0, 3.0, 86_400.0])
def test_nobody_falls_silent_by_a_jump_of_the_wall_clock(*, runtime, other, reader, clock, seconds):
    clock.advance(20)
    clock.jump(seconds)
    other.turn(sweep=True)

    assert [(each.runtime_id, each.state, each.last_seen_seconds) for each in reader.fleet()] == [
        (other.id, "live", 0.0),
        (runtime.id, "live", 20.0),
    ]


def test_the_runtimes_of_years_are_not_read_to_see_who_is_there(place, store):
    with closing(sqlite3.connect(place.path)) as connection:
        steps = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {FLEET}", ("w", 1)).fetchall()]
        seen = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {SEEN}", (1, "r", "w")).fetchall()]

    of_runtimes = [step for step in steps if " runtimes" in step or " r " in f"{step} "]
    assert [step.split(" (")[0] for step in of_runtimes] == [
        "SEARCH runtimes USING COVERING INDEX runtimes_seen",
        "SEARCH r USING PRIMARY KEY",
    ]
    assert seen == ["SEARCH runtimes USING PRIMARY KEY (runtime_id=?)"]
