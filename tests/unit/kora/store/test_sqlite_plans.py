"""How SQLite goes about the statements that must stay fast on a million tickets."""

import re

import pytest

from kora.domain.operation import OperationState
from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import Priority, QueueState, Status
from kora.store.port import ClaimOrder, Turn
from kora.store.sqlite import statements, turn_statements
from kora.store.sqlite.many import Many
from kora.store.sqlite.place import SqliteConnection

FIVE = ("w", "a", 1, 1, 1)


def plan(raw, statement, bound=None):
    bound = arguments(statement) if bound is None else bound
    return [detail for *_, detail in raw.execute(f"EXPLAIN QUERY PLAN {statement}", bound).fetchall()]


def arguments(statement):
    highest = 0
    for number in re.findall(r"\?(\d*)", statement):
        highest = max(highest, int(number)) if number else highest + 1
    return ("[]",) * highest


def test_the_next_tickets_are_read_off_the_ready_index_without_sorting(raw):
    steps = plan(raw, turn_statements.READY, ("w", "a", 10))

    assert steps[1].startswith("SEARCH t USING INDEX tickets_ready (workspace_id=? AND assigned_to_actor_id=?")
    assert not any("TEMP B-TREE" in step or "SCAN t" in step for step in steps)


def test_promotion_reads_each_rank_off_the_waiting_index_without_sorting(raw):
    steps = plan(raw, turn_statements.PROMOTE, ("w", "a", 1, 200))

    sought = "(workspace_id=? AND assigned_to_actor_id=? AND queue_state=? AND rank=? AND next_eligible_at<?)"
    assert sum(f"INDEX tickets_waiting {sought}" in step for step in steps) == len(Priority)
    assert not any("ORDER BY" in step or "SCAN tickets" in step for step in steps)


def test_the_next_due_time_is_read_off_the_waiting_index(raw):
    steps = plan(raw, turn_statements.NEXT_ELIGIBLE, ("w", "a"))

    assert sum("SEARCH tickets USING COVERING INDEX tickets_waiting" in step for step in steps) == 4


def test_what_is_outstanding_is_read_off_the_indexes_alone(raw):
    steps = [step for step in plan(raw, statements.OUTSTANDING, ("w", "a")) if "tickets" in step]

    assert [re.findall(r"COVERING INDEX (\w+)", step) for step in steps] == [
        ["tickets_ready"],
        ["tickets_waiting"],
        ["tickets_held"],
        ["tickets_blocked"],
    ]


def every_statement():
    """Every statement of the store by its name, one over many rows in its smallest size."""
    for module in (statements, turn_statements):
        for name, statement in vars(module).items():
            text = statement.statements[4] if isinstance(statement, Many) else statement
            if name.isupper() and not name.startswith("_") and re.match(r"\s*(UPDATE|SELECT|DELETE)", str(text)):
                yield pytest.param(name, text, id=name)


@pytest.mark.parametrize(("name", "statement"), list(every_statement()))
def test_no_statement_of_a_turn_reads_a_whole_table(raw, name, statement):
    paged = {"TICKET_SELECT", "EVENTS_AFTER", "ALL_EVENTS_AFTER", "EVENTS_OF_TYPES_AFTER", "TICKETS_AFTER", "LOOK"}
    small = {"REVISION_OF_SCHEMA"}
    # Only where the wall clock was set; what waits is all that it reads.
    paged.add("MOVE_DELAYS")
    named = {"workspace_id": "w", "actor_id": "a", "boot_id": "b", "now": 1}
    bound = arguments(statement) if ":" not in statement else named

    steps = plan(raw, statement, bound)

    # Of the first, the held tickets of the whole file are few; of the second, one row is read at most.
    few = ("INDEX tickets_held", "dependencies USING COVERING INDEX dependents")
    scans = [
        step
        for step in steps
        if re.search(r"SCAN (t|tickets|e|events|o|operations|d|dependencies)\b", step) and not step.endswith(few)
    ]
    whole_workspace = [step for step in steps if "tickets_of_workspace (workspace_id=?)" in step]

    assert scans + whole_workspace == [] or name in paged | small


def test_claims_and_ends_find_their_rows_by_the_primary_key(raw):
    found = {
        name: [
            step.split(" (")[0] for step in plan(raw, getattr(turn_statements, name).statements[4]) if "SEARCH" in step
        ]
        for name in ("TO_SETTLE", "SETTLE_TICKETS", "SETTLE_PRESENCES", "RETURN_TICKETS", "CLAIM_TICKETS")
    }

    by_number = ["SEARCH tickets USING INTEGER PRIMARY KEY"]
    assert found == {
        "TO_SETTLE": ["SEARCH t USING INDEX sqlite_autoindex_tickets_1", "SEARCH p USING PRIMARY KEY"],
        "SETTLE_TICKETS": by_number,
        "SETTLE_PRESENCES": ["SEARCH operations USING PRIMARY KEY"],
        "RETURN_TICKETS": by_number,
        "CLAIM_TICKETS": by_number,
    }


def test_refreshes_look_each_ticket_up_and_not_all_that_are_held(raw):
    for statement in (turn_statements.REFRESH, turn_statements.REFRESHED):
        steps = plan(raw, statement, arguments(statement))

        assert any(step.startswith("SEARCH tickets USING INDEX sqlite_autoindex_tickets_1") for step in steps)
        assert steps[0].startswith("SCAN claim")


def test_the_numbers_in_the_statements_are_the_domains():
    assert {state.name: int(state) for state in QueueState} == {"OUT": 0, "READY": 1, "WAITING": 2, "HELD": 3}
    assert [priority.rank for priority in Priority] == [0, 1, 2, 3]
    assert set(OperationState) == {"allocated", "dispatched", "committed", "abandoned"}


class Counts:
    """A connection that remembers what it was asked."""

    def __init__(self, connection):
        self.connection = connection
        self.asked = []

    def execute(self, *arguments):
        self.asked.append(arguments[0])
        return self.connection.execute(*arguments)

    def __getattr__(self, name):
        return getattr(self.connection, name)


@pytest.mark.parametrize("tickets", [1, 16, 100])
def test_a_turn_needs_as_many_statements_for_many_tickets_as_for_one(writer, add, tickets):
    """Each is a step in which the interpreter's lock changes hands: more of them is slower, whatever they do."""
    add(3 * tickets)
    incarnation = writer.next_incarnation()
    before = writer._connection
    counts = Counts(before.bare)
    writer._connection = SqliteConnection(writer._place, counts)
    counts.asked.clear()
    order = ClaimOrder(tickets, 60.0)
    claims = writer.turn(incarnation, Turn(sweep=True, claim=order)).claims
    first, counts.asked = counts.asked, []

    ends = [Settlement(claim.key, Resolution.COMPLETED, Status.COMPLETED, "", None, {}) for claim in claims]
    writer.turn(incarnation, Turn(settle=ends, sweep=True, claim=order))
    writer._connection = before

    # BEGIN, OPEN_TURN, READY, CLAIM_TICKETS, ALLOCATE, APPEND_EVENTS, MOVE_CHAIN_HEAD, COMMIT; then also
    # SETTLE_TICKETS, SETTLE_PRESENCES, END_OPERATIONS, TALLY. What is inserted comes in powers of two, and
    # the events of the ends before those of the claims.
    assert len(first) == 6 + 2 * tickets.bit_count()
    assert len(counts.asked) == 10 + 2 * tickets.bit_count() + (2 * tickets).bit_count()


def test_a_turn_with_nothing_due_and_nothing_run_out_does_not_look_for_it(writer, add):
    add(1)
    incarnation = writer.next_incarnation()
    before = writer._connection
    counts = Counts(before.bare)
    writer._connection = SqliteConnection(writer._place, counts)
    counts.asked.clear()

    writer.turn(incarnation, Turn(sweep=True, claim=ClaimOrder(1, 60.0)))

    writer._connection = before
    assert not {turn_statements.PROMOTE, turn_statements.RUN_OUT} & set(counts.asked)
