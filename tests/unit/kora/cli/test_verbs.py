"""What an operator decides about one ticket."""

import sqlite3
import uuid

import pytest

from kora.domain.ids import default_actor_id

NOBODY = "0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3"
ACTOR = "6f1d0a52-6e0f-5c7e-9a35-0b1f0c6d7e11"
VERBS = {"unblock": [], "force-retry": [], "cancel": [], "reassign": ["--to", ACTOR]}


@pytest.fixture
def ticket_id(kora):
    return kora("ticket", "add", "t", "--json").document["ticket_id"]


def stand(here, status):
    with sqlite3.connect(here / "kora.db") as connection:
        connection.execute("UPDATE tickets SET sea_status = ?, queue_state = 0", (status,))
    connection.close()


def test_a_ticket_that_waits_for_a_person_is_let_go_on(kora, here, ticket_id):
    stand(here, "blocked_needs_operator")

    done = kora("ticket", "unblock", ticket_id.upper())

    assert done.code == 0
    (line,) = done.out.splitlines()
    status = kora("ticket", "show", ticket_id, "--json").document["sea_status"]
    assert line == f"{ticket_id} is now {status}, for actor {default_actor_id('w')}"
    assert status != "blocked_needs_operator"


def test_a_failed_ticket_is_reopened(kora, here, ticket_id):
    stand(here, "failed_terminal")

    ticket = kora("ticket", "force-retry", ticket_id, "--json").document

    assert ticket["sea_status"] != "failed_terminal"
    assert ticket == kora("ticket", "show", ticket_id, "--json").document


def test_a_cancelled_ticket_is_given_up(kora, ticket_id):
    assert kora("ticket", "cancel", ticket_id).out.startswith(f"{ticket_id} is now failed_terminal, ")


def test_a_ticket_that_is_still_dated_says_when_it_is_eligible(kora, here):
    (here / "plan.jsonl").write_text('{"ticket_title": "t", "next_eligible_at": "2999-01-02T03:04:05Z"}\n')
    (ticket_id,) = kora("ticket", "import", "plan.jsonl", "--json").document["ticket_ids"]

    done = kora("ticket", "reassign", ticket_id, "--to", ACTOR)

    assert done.out == f"{ticket_id} is now assigned, eligible from 2999-01-02T03:04:05Z, for actor {ACTOR}\n"


def test_a_reassigned_ticket_is_anothers(kora, ticket_id):
    done = kora("ticket", "reassign", ticket_id, "--to", ACTOR.upper(), "--json")

    assert done.document["assigned_to_actor_id"] == ACTOR


def test_a_reassigning_without_an_actor_or_to_none_is_wrong_usage(kora, ticket_id):
    assert kora("ticket", "reassign", ticket_id).code == 2
    done = kora("ticket", "reassign", ticket_id, "--to", "me")
    assert done.code == 2
    assert "'me' is no actor's id" in done.err


@pytest.mark.parametrize("verb", VERBS)
def test_no_such_ticket_ends_with_4_and_no_uuid_with_2(kora, verb):
    assert kora("ticket", verb, NOBODY, *VERBS[verb]).code == 4
    assert kora("ticket", verb, "anchor", *VERBS[verb]).code == 2


@pytest.mark.parametrize("verb", VERBS)
def test_what_cannot_be_done_to_a_ticket_is_refused_with_1_and_changes_nothing(kora, here, ticket_id, verb):
    stand(here, "completed")
    before = kora("ticket", "show", ticket_id, "--json").out

    done = kora("ticket", verb, ticket_id, *VERBS[verb])

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("kora-actors: ")
    assert "completed" in done.err
    assert kora("ticket", "show", ticket_id, "--json").out == before


def test_who_decided_is_on_record(kora, ticket_id, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "ishmael")
    kora("ticket", "cancel", ticket_id)
    kora("ticket", "force-retry", ticket_id)

    acted = [event["payload"] for event in kora("events", "--type", "kora.operator.acted", "--json").document][1:]

    assert [(each["who"], each["verb"], each["target"]) for each in acted] == [
        ("ishmael", "cancel", ticket_id),
        ("ishmael", "force_retry", ticket_id),
    ]
    assert str(uuid.UUID(ticket_id)) == ticket_id
