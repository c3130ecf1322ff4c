"""What a Ledger prepares on an empty board is still right for it when the board has grown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from typing import Any

import psycopg
import pytest
from psycopg import sql

from kora.domain.events import EventType, NewEvent
from kora.domain.ticket import NewTicket
from kora.store.open import migrate
from kora.store.postgres import bare
from kora.store.postgres.bare import steps
from kora.store.postgres.connection import BY_KEYS, PostgresConnection
from kora.store.postgres.many import Many
from kora.store.postgres.turn_statements import TURN
from tests.unit.kora.store.postgres.fleet import WORKSPACE, ended

GROWING = {"tickets", "objectives", "operations", "events"}
"""tables that come to have millions of rows"""
OF_ALL_ATTEMPTS = "(sequence_within_attempt = 0)"
"""a condition of an index that holds for a row of each attempt there ever was"""
TEXTS = {
    field.name: said.statement if isinstance(said, Many) else said
    for group in (TURN, TURN.log, TURN.dependents, TURN.steering)
    for field in fields(group)
    if isinstance(said := getattr(group, field.name), str | Many)
}


@pytest.fixture(scope="module")
def empty(postgres, role) -> str:
    """A runtime's address of a board that never had a ticket, and whose ledger is known to be empty."""
    database = postgres.database()
    migrate(postgres.url(database), workspace_id=WORKSPACE, runtime_role=role)
    postgres.execute("VACUUM ANALYZE kora.operations", database=database)
    return postgres.url(database, user=role)


@pytest.fixture
def prepared(empty) -> Iterator[psycopg.Connection]:
    """A runtime's connection, on which everything is planned as what is kept: for whatever values."""
    with psycopg.connect(empty) as connection:
        connection.execute(BY_KEYS.removeprefix("; ").encode())
        yield connection


def plans_of(connection: psycopg.Connection, text: str) -> Iterator[dict[str, Any]]:
    """The plan of each of a text's statements, node by node."""
    for number, (statement, places) in enumerate(steps(text)):
        connection.execute(f"PREPARE statement_{number} AS {statement}".encode())
        values = f"({', '.join(['NULL'] * len(places))})" if places else ""
        (found,) = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE statement_{number}{values}".encode()).fetchone()
        yield from nodes(found[0]["Plan"])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def reads_whole_tables(node: dict[str, Any]) -> bool:
    """Whether this part of a plan goes through all rows of a table that grows, or one of each attempt."""
    if node["Node Type"] == "Bitmap Index Scan":
        return node.get("Index Cond") in (None, OF_ALL_ATTEMPTS)
    if node.get("Relation Name") not in GROWING or node["Node Type"] in ("ModifyTable", "Bitmap Heap Scan"):
        return False
    return node.get("Index Cond") in (None, OF_ALL_ATTEMPTS)


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_planned_on_an_empty_board_reads_no_table_from_end_to_end(prepared, name):
    assert [node for node in plans_of(prepared, TEXTS[name]) if reads_whole_tables(node)] == []


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 FROM kora.tickets WHERE ticket_title = $1",
        """
SELECT 1 FROM unnest($1::text[]) AS given(id) JOIN kora.operations ON work_attempt_id = given.id
    AND sequence_within_attempt = 0
""",
    ],
)
def test_a_plan_that_reads_a_table_from_end_to_end_is_seen(prepared, text):
    assert any(reads_whole_tables(node) for node in plans_of(prepared, text))


def test_what_was_planned_on_a_board_of_one_ticket_is_planned_anew_in_time(monkeypatch, postgres, fresh, url, board):
    board.add([NewTicket(ticket_title="the first")], who="ada")
    postgres.execute("VACUUM ANALYZE kora.tickets", database=fresh)
    with closing(PostgresConnection(url, "a store", WORKSPACE)) as connection:

        def indexes() -> set[str | None]:
            with connection.writing():
                (found,) = connection.execute("EXPLAIN (FORMAT JSON) EXECUTE held ('runtime')").fetchone()
            return {node.get("Index Name") for node in nodes(found[0]["Plan"])} & {"tickets_pkey", "tickets_held"}

        with connection.writing():
            connection.carry_out(sql.SQL(BY_KEYS.removeprefix("; ").replace("SET LOCAL", "SET")))
            held = """
PREPARE held AS SELECT ticket_id FROM kora.tickets
WHERE workspace_id = 'workspace' AND queue_state = 3 AND holder = $1 ORDER BY ticket_no
"""
            connection.carry_out(sql.SQL(held))
        assert indexes() == {"tickets_pkey"}
        board.add([NewTicket(ticket_title="one of many")] * 2_000, who="ada")
        assert indexes() == {"tickets_pkey"}
        monkeypatch.setattr(bare, "PLANS_SECONDS", 0.0)
        assert indexes() == {"tickets_held"}


def test_where_no_ticket_waits_for_another_nobody_looks_for_such(add, runtime, monkeypatch):
    first, second = add(2)
    asked = []
    execute = PostgresConnection.execute
    monkeypatch.setattr(
        PostgresConnection, "execute", lambda self, *said: asked.append(said[0]) or execute(self, *said)
    )

    runtime.settle(*(ended(claim) for claim in runtime.claim(2)))
    assert TURN.dependents.free_dependents not in asked

    add({"blocked_by": [first, second]}, {"blocked_by": [add(1)[0]]})
    runtime.settle(*(ended(claim) for claim in runtime.claim(1)))
    assert TURN.dependents.free_dependents in asked


def test_what_was_not_prepared_because_a_turn_broke_off_is_prepared_by_the_next(runtime, add):
    add(5)
    # The first change to be undone, ahead of all that is prepared: psycopg looks no closer at any later one.
    assert runtime.turn(append=[NewEvent(EventType.TRANSITIONED, {}, ticket_id="nowhere")]).set_aside != []
    claims = runtime.claim(5)
    for claim in claims[:2]:
        runtime.settle(ended(claim))
    # What comes behind it would be prepared now, by the third that settles.
    unwritable = ended(claims[2])._replace(summary="\0")
    turned = runtime.settle(unwritable, ended(claims[3]))
    assert (turned.settled, len(turned.set_aside)) == ([claims[3].key], 1)
    assert runtime.settle(ended(claims[4])).settled == [claims[4].key]
