"""How SQLite goes about the statements that must stay fast on a million tickets."""

import re

import pytest

from kora.domain.operation import OperationState
from kora.domain.ticket import Priority, QueueState
from kora.store import sqlite_statements
from kora.store.port import ClaimOrder, Turn

FIVE = ("w", "a", 1, 1, 1)


def plan(raw, statement, bound):
    return [detail for *_, detail in raw.execute(f"EXPLAIN QUERY PLAN {statement}", bound).fetchall()]


def arguments(statement):
    numbered = {int(number) for number in re.findall(r"\?(\d)", statement)}
    return ("[]",) * (max(numbered) if numbered else statement.count("?"))


def test_the_next_tickets_are_read_off_the_ready_index_without_sorting(raw):
    steps = plan(raw, sqlite_statements.READY, ("w", "a", 10))

    assert "USING INDEX tickets_ready" in steps[0]
    assert not any("TEMP B-TREE" in step or "SCAN" in step for step in steps)


def test_promotion_reads_each_rank_off_the_waiting_index_without_sorting(raw):
    steps = plan(raw, sqlite_statements.PROMOTE, ("w", "a", 1, 200))

    sought = "(workspace_id=? AND assigned_to_actor_id=? AND queue_state=? AND rank=? AND next_eligible_at<?)"
    assert sum(f"INDEX tickets_waiting {sought}" in step for step in steps) == len(Priority)
    assert not any("ORDER BY" in step or "SCAN tickets" in step for step in steps)


def test_the_next_due_time_is_read_off_the_waiting_index(raw):
    steps = plan(raw, sqlite_statements.NEXT_ELIGIBLE, ("w", "a"))

    assert sum("SEARCH tickets USING COVERING INDEX tickets_waiting" in step for step in steps) == 4


def test_what_is_outstanding_is_read_off_the_indexes_alone(raw):
    steps = [step for step in plan(raw, sqlite_statements.OUTSTANDING, ("w", "a")) if "tickets" in step]

    assert [re.findall(r"COVERING INDEX (\w+)", step) for step in steps] == [
        ["tickets_ready"],
        ["tickets_waiting"],
        ["tickets_held"],
    ]


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, statement in vars(sqlite_statements).items()
        if name.isupper() and not name.startswith("_") and re.match(r"\s*(UPDATE|SELECT|DELETE)", statement)
    ],
)
def test_no_statement_of_a_turn_reads_a_whole_table(raw, name):
    statement = getattr(sqlite_statements, name)
    paged = {"EVENTS_AFTER", "EVENTS_OF_TYPES_AFTER", "TICKETS_AFTER", "TICKETS_OF_STATUS_AFTER", "ALL_EVENTS", "LOOK"}
    small = {"REVISION_OF_SCHEMA", "LAST_TICKET_NO"}
    bound = arguments(statement) if ":" not in statement else {"workspace_id": "w", "actor_id": "a", "now": 1}

    scans = [
        step for step in plan(raw, statement, bound) if re.search(r"SCAN (t|tickets|e|events|o|operations)\b", step)
    ]

    assert scans == [] or name in paged | small


def test_the_numbers_in_the_statements_are_the_domains():
    assert {state.name: int(state) for state in QueueState} == {"OUT": 0, "READY": 1, "WAITING": 2, "HELD": 3}
    assert [priority.rank for priority in Priority] == [0, 1, 2, 3]
    assert set(OperationState) == {"allocated", "dispatched", "committed", "abandoned"}


@pytest.mark.parametrize("tickets", [1, 50])
def test_a_turn_needs_as_many_statements_for_many_tickets_as_for_one(writer, add, tickets):
    add(tickets)
    incarnation = writer.next_incarnation()
    calls = []

    class Counts:
        def __init__(self, connection):
            self.connection = connection

        def execute(self, *arguments):
            calls.append(arguments[0])
            return self.connection.execute(*arguments)

        def __getattr__(self, name):
            return getattr(self.connection, name)

    connection, writer._connection = writer._connection, Counts(writer._connection)
    writer.turn(incarnation, Turn(sweep=True, claim=ClaimOrder(tickets, 60.0)))
    writer._connection = connection

    assert len(calls) == 11
