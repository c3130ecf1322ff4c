"""The event log's command."""

import json
import sqlite3

import pytest

from kora.domain.events import EventType

NOBODY = "0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3"


@pytest.fixture
def two(kora):
    return [kora("ticket", "add", title, "--json").document["ticket_id"] for title in ("one", "two")]


def test_the_whole_log_is_one_array_an_event_a_line(kora, two):
    done = kora("events", "--json")

    assert [event["ticket_id"] for event in done.document] == two
    assert list(done.document[0]) == [
        "seq",
        "event_id",
        "event_type",
        "occurred_at",
        "workspace_id",
        "ticket_id",
        "payload",
        "chain_id",
        "chain_seq",
        "prev_event_hash",
        "this_event_hash",
    ]
    assert done.document[0]["occurred_at"].endswith("Z")
    middle = done.out.splitlines()[1:-1]
    assert [json.loads(line.removesuffix(",").removeprefix(",")) for line in middle] == done.document


def test_people_get_a_line_for_each_event(kora, two):
    head, *lines = kora("events").out.splitlines()

    assert head.split("\t") == ["seq", "occurred_at", "event_type", "ticket_id", "payload"]
    assert [line.split("\t")[3] for line in lines] == two
    assert "verb=add" in lines[0]


def test_the_log_is_filtered_by_ticket_and_type(kora, two):
    assert [event["ticket_id"] for event in kora("events", "--ticket", two[1], "--json").document] == [two[1]]
    assert len(kora("events", "--type", "kora.operator.acted", "--json").document) == 2
    assert kora("events", "--type", "sea_ticket.claim_released").out == "no events\n"
    assert kora("events", "--type", "sea_ticket.claim_released", "--json").document == []


def test_an_unknown_type_is_wrong_usage_that_names_the_known_ones(kora):
    done = kora("events", "--type", "sunk", "--type", "kora.operator.acted")

    assert done.code == 2
    assert "'sunk'" in done.err
    assert all(each in done.err for each in EventType)


def test_an_unknown_ticket_ends_with_4_and_one_that_is_no_uuid_with_2(kora, two):
    assert kora("events", "--ticket", NOBODY).code == 4
    assert kora("events", "--ticket", "x").code == 2


def test_a_whole_chain_verifies_in_one_line(kora, two):
    assert kora("events", "--verify").out == "2 events in 1 chain: all intact\n"
    assert kora("events", "--verify", "--json").document == {"events": 2, "chains": 1, "fault": None}


def test_a_chain_is_verified_whole_or_not_at_all(kora, two):
    for narrowed in (["--ticket", two[0]], ["--type", "kora.operator.acted"]):
        assert kora("events", "--verify", *narrowed).code == 2


def test_the_first_broken_event_is_named_and_ends_with_1(kora, two, here):
    with sqlite3.connect(here / "kora.db") as connection:
        tampered = [
            table
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if "event" in table
        ]
        for table in tampered:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            if "payload" in columns:
                connection.execute(f"UPDATE {table} SET payload = replace(payload, 'two', 'too')")  # noqa: S608
    connection.close()

    done = kora("events", "--verify")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("kora-actors: broken at 2 of chain workspace:w, event ")
    done = kora("events", "--verify", "--json")
    assert done.code == 1
    assert done.document["fault"]["chain_seq"] == 2
