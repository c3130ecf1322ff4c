"""How SQLite goes about the questions of people: it must not matter to them how many tickets are over."""

import re
from contextlib import closing
from datetime import UTC, datetime

import pytest

from kora.store.port import ClaimOrder, RuntimeRecord, Turn
from kora.store.sqlite import report_statements as statements

COUNTED = ["HOW_MANY", "OF_STATUS_EXCEPTIONAL", "OF_STATUS_BLOCKED", "FIRST_QUEUED"]
IN_ORDER = ["FOR_A_PERSON", "LONGEST", "FLAKIEST", "NUMBERS_EXCEPTIONAL"]


def plan(raw, name):
    statement = getattr(statements, name)
    numbered = {int(number) for number in re.findall(r"\?(\d)", statement)}
    bound = ("[]",) * (max(numbered) if numbered else statement.count("?"))
    return [detail for *_, detail in raw.execute(f"EXPLAIN QUERY PLAN {statement}", bound).fetchall()]


@pytest.mark.parametrize("name", COUNTED)
def test_what_is_counted_is_counted_in_an_index_alone(store, raw, name):
    steps = [step for step in plan(raw, name) if "tickets" in step]

    assert steps
    assert all("SEARCH tickets USING COVERING INDEX" in step for step in steps)


@pytest.mark.parametrize("name", IN_ORDER)
def test_what_is_asked_for_in_an_order_lies_in_that_order(store, raw, name):
    (step,) = plan(raw, name)

    assert step.startswith("SEARCH tickets USING")


def test_the_tallies_are_sought_by_kind_and_minute(store, raw):
    (step,) = plan(raw, "TALLIES_SINCE")

    assert step == "SEARCH tallies USING PRIMARY KEY (workspace_id=? AND resolution=? AND minute>?)"


def test_the_index_of_the_long_worked_begins_where_the_statements_say(store, raw):
    (made,) = raw.execute("SELECT sql FROM sqlite_master WHERE name = 'tickets_longest'").fetchone()

    assert f"worked_us >= {statements.WORKED_NOTEWORTHY_US}" in made


def test_a_claim_of_before_has_the_time_of_its_ledger_row(store, add, raw):
    add(1)
    with closing(store.writer(RuntimeRecord("runtime-1", "here", 7, "0"))) as writer:
        writer.turn(writer.next_incarnation(), Turn(claim=ClaimOrder(1, 60.0)))
    raw.execute("UPDATE tickets SET claimed_at = NULL")
    raw.execute("UPDATE operations SET allocated_at = 1000000")

    with closing(store.reader()) as reader:
        (claim,) = reader.claims()

    assert claim.claimed_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert (claim.host, claim.pid) == ("here", 7)
