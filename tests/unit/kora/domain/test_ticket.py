"""What may be put on the board."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kora.domain.ids import default_actor_id, new_id, operation_id, parse_id
from kora.domain.operation import default_key
from kora.domain.ticket import NewTicket, Priority


@pytest.mark.parametrize("title", ["a", "x" * 1_000, "\x1b[31mred", "\u202egnp.exe", "-rf /", "日本"])
def test_titles_of_1_to_1000_characters_are_stored_raw(title: str) -> None:
    assert NewTicket(ticket_title=title).ticket_title == title


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"ticket_title": ""}, "at least 1 character"),
        ({"ticket_title": "x" * 1_001}, "at most 1000 characters"),
        ({"ticket_title": "a\0b"}, "NUL"),
        ({"ticket_title": "a\ud800b"}, "unicode string"),
        ({"ticket_title": 7}, "valid string"),
        ({"ticket_title": "a", "ticket_objective": "é" * 524_289}, "1,048,578 bytes"),
        ({"ticket_title": "a", "ticket_objective": "\0"}, "NUL"),
        ({"ticket_title": "a", "sea_priority": "urgent"}, "'critical', 'high', 'medium' or 'low'"),
        ({"ticket_title": "a", "assigned_to_actor_id": "me"}, "UUID"),
        ({"ticket_title": "a", "next_eligible_at": "2026-01-01T00:00:00"}, "timezone"),
        ({"ticket_title": "a", "next_eligible_at": "0001-01-01T00:00:00+01:00"}, "years 1 to 9999"),
        ({"ticket_title": "a", "agent": "The best"}, "should match pattern"),
        ({"ticket_title": "a", "blocked_by": ["the first"]}, "UUID"),
        ({"ticket_title": "a", "blocked_by": [new_id()] * 1_001}, "at most 1000 items"),
        ({"ticket_title": "a", "ticket_id": "7"}, "UUID"),
        ({"ticket_title": "a", "colour": "red"}, "Extra inputs"),
        ({}, "Field required"),
    ],
)
def test_what_is_not_a_ticket_is_refused_with_the_reason(fields: dict[str, object], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        NewTicket.model_validate(fields)


def test_an_objective_may_be_a_mebibyte() -> None:
    assert len(NewTicket(ticket_title="a", ticket_objective="x" * 1_048_576).ticket_objective) == 1_048_576


def test_ids_are_kept_in_their_one_spelling() -> None:
    mine, blocker = new_id(), new_id()
    said = NewTicket(ticket_title="a", ticket_id=mine.upper(), blocked_by=("{" + blocker + "}",))
    assert (said.ticket_id, said.blocked_by) == (mine, (blocker,))


def test_critical_goes_first_and_low_last() -> None:
    assert sorted(Priority, key=lambda priority: priority.rank) == [
        Priority.CRITICAL,
        Priority.HIGH,
        Priority.MEDIUM,
        Priority.LOW,
    ]


def test_generated_ids_sort_in_the_order_they_were_made_and_are_version_7() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert ids[0][14] == "7"


def test_derived_ids_are_the_same_every_time() -> None:
    assert default_actor_id("default") == default_actor_id("default") != default_actor_id("other")
    ticket = new_id()
    assert operation_id(ticket, "key") == operation_id(ticket, "key") != operation_id(new_id(), "key")
    assert parse_id(ticket.upper()) == ticket


def test_a_key_that_nobody_gave_is_not_shared_between_attempts() -> None:
    assert default_key("tool", 1, "a") != default_key("tool", 1, "b")
